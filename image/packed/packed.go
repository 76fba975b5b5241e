// Package packed is the file in which an image is handed out: zstd (RFC 8878), so that whoever has only that tool can unpack it, made so
// that a flasher needs neither much memory nor one processor alone, and unpacks nothing twice.
//
// It is one frame of the whole disk. Plain tools read it from the beginning to the end, with a window that reaches from slot b back to slot a.
// But its blocks fall into pieces. None refers to another, so that each can be unpacked by itself: the manifest says where they are. What is
// in the image a second time, as one slot is in the other, is in no piece: for plain tools it is copied by the stream itself, for the flasher
// by the manifest.
//
// What zstd's blocks take from those before is, besides the bytes themselves, the last three distances that were copied from. A frame begins
// with 1, 4 and 8 (3.1.1.5), and so must a piece. Therefore a piece begins behind zeros, the last of which are written as copies from these
// distances. One that cannot is stored as it is. Compressed tables never go from one piece to the next, as each was a frame of its own.
package packed

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"runtime"
	"sync"

	"github.com/cespare/xxhash/v2"

	"latchkey/image/manifest"
)

const (
	// maxWindowLog is of the largest window that zstd takes without being asked to, 128 MiB.
	maxWindowLog = 27
	// enough is how long a piece must be before it is ended, where it can be, in blocks: 4 MiB.
	enough = 1024
	// alike is the shortest run that is worth a copy, in blocks.
	alike = 16
	// settled are the zeros behind which a piece can begin, in bytes: some to copy, and three copies.
	settled = 4 * minCopy
)

// Compressor makes a zstd frame of a piece. Several run at once.
type Compressor func(piece []byte) ([]byte, error)

// Pack writes the packed file of an image whose ranges m has, and fills in m's Compressed, Pieces and Copies.
func Pack(w io.Writer, img io.ReaderAt, m *manifest.Manifest, compress Compressor) error {
	parts, err := plan(img, *m, 1<<maxWindowLog)
	if err == nil {
		err = pack(parts, compress)
	}
	if err == nil {
		err = write(w, img, m, parts)
	}
	if err != nil {
		return fmt.Errorf("pack image: %w", err)
	}
	return nil
}

// part is a piece or a copy.
type part struct {
	manifest.Extent
	copies bool
	from   int64  // block that it copies from
	size   int64  // bytes, without the zeros at its end
	stored bool   // it cannot begin as a frame does
	bytes  []byte // of a piece; then its blocks
}

// plan finds what is in the image twice, within the reach of plain tools, in bytes, and where pieces can end.
func plan(img io.ReaderAt, m manifest.Manifest, reach int64) (parts []part, err error) {
	type sum = [sha256.Size]byte
	blocks := m.Image.Size / manifest.Block
	sums, single, seen := make([]sum, blocks), make([]bool, blocks), map[sum]int64{}
	add := func(p part) error {
		if p.Count == 0 {
			return nil
		}
		b := make([]byte, p.Count*manifest.Block)
		if n, err := img.ReadAt(b, p.First*manifest.Block); n < len(b) {
			return err
		}
		p.bytes = b[:1+len(bytes.TrimRight(b[1:], "\x00"))]
		p.size = int64(len(p.bytes))
		// What is before is zeros, or a part that was added just now.
		end := int64(0)
		if n := len(parts); n > 0 {
			end = parts[n-1].First*manifest.Block + parts[n-1].size
		}
		p.stored = p.First > 0 && p.First*manifest.Block-end < settled
		if p.copies {
			p.bytes = nil
		}
		parts = append(parts, p)
		return nil
	}
	block, nothing := make([]byte, manifest.Block), sha256.Sum256(make([]byte, manifest.Block))
	for i := 0; i < len(m.Ranges); {
		run := m.Ranges[i].Extent
		for i++; i < len(m.Ranges) && m.Ranges[i].First == run.End(); i++ {
			run.Count += m.Ranges[i].Count
		}
		for b := run.First; b < run.End(); b++ {
			if n, err := img.ReadAt(block, b*manifest.Block); n < len(block) {
				return nil, err
			}
			sums[b] = sha256.Sum256(block)
		}
		first := run.First
		for b := run.First; b < run.End(); {
			from, known := seen[sums[b]]
			known = known && (b-from)*manifest.Block <= reach
			same := int64(0)
			for known && b+same < run.End() && from+same < first && single[from+same] && sums[from+same] == sums[b+same] {
				same++
			}
			if same >= alike {
				err = errors.Join(add(part{Extent: manifest.Extent{First: first, Count: b - first}}),
					add(part{Extent: manifest.Extent{First: b, Count: same}, copies: true, from: from}))
				b += same
				first = b
			} else {
				if single[b] = true; !known && sums[b] != nothing {
					seen[sums[b]] = b
				}
				b++
			}
			if b == run.End() || b-first >= enough && endsInZeros(img, b) {
				err = errors.Join(err, add(part{Extent: manifest.Extent{First: first, Count: b - first}}))
				first = b
			}
			if err != nil {
				return nil, err
			}
		}
	}
	return parts, nil
}

// endsInZeros tells whether a piece can begin at a block. If the image cannot be read, that is said when it is read again.
func endsInZeros(img io.ReaderAt, block int64) bool {
	b := make([]byte, settled)
	n, _ := img.ReadAt(b, block*manifest.Block-settled)
	return n == len(b) && bytes.Count(b, []byte{0}) == len(b)
}

// pack has the pieces compressed.
func pack(parts []part, compress Compressor) error {
	errs, room := make([]error, len(parts)), make(chan struct{}, runtime.NumCPU())
	var wg sync.WaitGroup
	for i := range parts {
		p := &parts[i]
		if p.copies {
			continue
		}
		if p.stored {
			p.bytes = storedBlocks(p.bytes)
			continue
		}
		wg.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			frame, err := compress(p.bytes)
			if err == nil {
				p.bytes, err = blocksOf(frame)
			}
			errs[i] = err
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// write writes the file and describes it.
func write(w io.Writer, img io.ReaderAt, m *manifest.Manifest, parts []part) error {
	m.Pieces, m.Copies = nil, nil
	reach := int64(1) << minWindowLog // the farthest that anything is copied from
	for _, p := range parts {
		reach = max(reach, p.size)
		if p.copies {
			reach = max(reach, (p.First-p.from)*manifest.Block)
		}
	}
	log := min(bits.Len64(uint64(reach-1)), maxWindowLog) // no frame that zstd makes by itself looks farther
	sum := sha256.New()
	out := &counter{w: bufio.NewWriter(io.MultiWriter(w, sum))}
	out.write(frameHeader(log, m.Image.Size))
	at := int64(0)
	for _, p := range parts {
		gap := p.First*manifest.Block - at
		switch {
		case p.copies:
			out.write(zeroBlocks(gap))
			out.write(copiedBlocks((p.First-p.from)*manifest.Block, p.size))
			m.Copies = append(m.Copies, manifest.Copy{Extent: p.Extent, From: p.from})
		case p.stored || p.First == 0:
			out.write(zeroBlocks(gap))
		default:
			out.write(zeroBlocks(gap - 3*minCopy))
			for _, distance := range []int64{8, 4, 1} {
				out.write(copied(nil, distance, minCopy))
			}
		}
		if !p.copies {
			m.Pieces = append(m.Pieces, manifest.Piece{Extent: p.Extent, At: out.n, Size: int64(len(p.bytes))})
			out.write(p.bytes)
		}
		at = p.First*manifest.Block + p.size
	}
	out.write(zeroBlocks(m.Image.Size - at))
	out.write(behind)
	whole := xxhash.New()
	if _, err := io.Copy(whole, io.NewSectionReader(img, 0, m.Image.Size)); err != nil {
		return err
	}
	out.write(binary.LittleEndian.AppendUint32(nil, uint32(whole.Sum64()))) // 3.1.1, content checksum
	if err := out.w.Flush(); err != nil {
		return err
	}
	m.Compressed.Size = out.n
	sum.Sum(m.Compressed.SHA256[:0])
	return nil
}

// counter counts what is written; the writer keeps its error until it is flushed.
type counter struct {
	w *bufio.Writer
	n int64
}

func (c *counter) write(b []byte) {
	n, _ := c.w.Write(b)
	c.n += int64(n)
}
