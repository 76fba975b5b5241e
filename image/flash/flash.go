// Package flash writes an image to removable media and into files: it finds the media, checks the image's signature and checksums before
// the first byte is written, writes the blocks that the image's manifest names, gives a medium its provisioning file, and reads everything
// back.
//
// It writes removable media alone, and none that the system uses: not when it is asked by path either. A medium's first block, with the
// partition table, is emptied first and written last, when everything else has been found as it should be: a write that failed at any point
// leaves nothing that boots. What an older installation left is made unreadable to the new one: see Image.Write.
//
// It knows no other images than those that have package manifest's manifest and are made by package packed.
package flash

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/mod/sumdb/note"

	"latchkey/image/disk"
	"latchkey/image/manifest"
	"latchkey/image/packed"
)

// Endings of an image's file names: the image as it is handed out, and its manifest.
const (
	ending         = ".img.zst"
	manifestEnding = ".manifest"
)

// ImageError says why an image is not written: it is not trusted, or not what its maker signed.
type ImageError struct{ Err error }

func (e *ImageError) Error() string { return "image: " + e.Err.Error() }
func (e *ImageError) Unwrap() error { return e.Err }

func bad(format string, args ...any) error { return &ImageError{fmt.Errorf(format, args...)} }

// Image is one whose signature and checksum were found good. It is unpacked once, whoever and how many write it, and held in memory: what is
// in both its slots, once.
type Image struct {
	Manifest manifest.Manifest
	Signers  []string // names of the trusted keys that signed it

	file   *os.File
	cancel context.CancelFunc
	end    sync.WaitGroup

	ready  []chan struct{}   // a range's is closed when it has been unpacked and checked, or failed
	ranges [][]manifest.Part // where each is
	failed []error           // why, for those that did
	pieces [][]byte
}

// Open checks an image: its manifest, which stands beside it, by the trusted keys, and the whole file by the manifest. It begins to unpack it.
// progress is told how many bytes have been read; it may be nil. Errors about the image itself are *ImageErrors.
func Open(ctx context.Context, path string, trusted []note.Verifier, progress func(done, total int64)) (_ *Image, err error) {
	base, is := strings.CutSuffix(path, ending)
	if !is {
		return nil, bad("%s does not end in %s: give the compressed image, and have its manifest beside it", path, ending)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, bad("%w", err)
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	text, err := readManifest(base + manifestEnding)
	if err != nil {
		return nil, err
	}
	m, by, err := manifest.Open(text, trusted...)
	if err != nil {
		return nil, bad("%s: %w", base+manifestEnding, err)
	}
	// A length that differs says more than a checksum that does.
	if info, err := f.Stat(); err != nil {
		return nil, bad("%w", err)
	} else if info.Size() != m.Compressed.Size {
		return nil, bad("%s has %d bytes and its manifest says %d: it was cut short, or they are of two images; fetch both again", path, info.Size(), m.Compressed.Size)
	}
	sum, err := manifest.SumOf(&counted{ctx: ctx, r: f, total: m.Compressed.Size, tell: progress})
	if ctx.Err() != nil {
		return nil, fmt.Errorf("stopped while the image was checked; nothing was written: %w", ctx.Err())
	}
	if err != nil {
		return nil, bad("read %s: %w", path, err)
	}
	if sum != m.Compressed {
		return nil, bad("%s is not the image that its manifest describes: it was damaged on the way; fetch it again", path)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, bad("read %s: %w", path, err)
	}
	im := &Image{Manifest: m, Signers: by, file: f, failed: make([]error, len(m.Ranges)), pieces: make([][]byte, len(m.Pieces))}
	for _, r := range m.Ranges {
		where, err := m.Find(r.Extent)
		if err != nil {
			return nil, bad("%w", err)
		}
		im.ready, im.ranges = append(im.ready, make(chan struct{})), append(im.ranges, where)
	}
	ctx, im.cancel = context.WithCancel(ctx)
	im.end.Go(func() { im.unpack(ctx) })
	return im, nil
}

func readManifest(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, bad("it has no manifest beside it: %w; fetch that, too", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, manifest.MaxText+1))
	if err == nil && len(text) > manifest.MaxText {
		err = errors.New("it is too long for one: fetch it again")
	}
	if err != nil {
		return nil, bad("read manifest %s: %w", path, err)
	}
	return text, nil
}

// counted tells how much of r has been read, and stops with the context.
type counted struct {
	ctx         context.Context
	r           io.Reader
	done, total int64
	tell        func(done, total int64)
}

func (c *counted) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.r.Read(b)
	if c.done += int64(n); c.tell != nil {
		c.tell(c.done, c.total)
	}
	return n, err
}

// Close ends unpacking.
func (im *Image) Close() error {
	im.cancel()
	im.end.Wait()
	return im.file.Close()
}

// unpack unpacks the pieces, on all processors, and checks one range after the other, for all who write: they need not wait for the whole.
func (im *Image) unpack(ctx context.Context) {
	ctx, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	var next atomic.Int64
	done, errs := make([]chan struct{}, len(im.pieces)), make([]error, len(im.pieces))
	for i := range done {
		done[i] = make(chan struct{})
	}
	for range min(runtime.GOMAXPROCS(0), len(im.pieces)) {
		wg.Go(func() {
			u, err := packed.NewUnpacker(im.file, im.Manifest.Pieces)
			if err == nil {
				defer u.Close()
			}
			for i := next.Add(1) - 1; i < int64(len(im.pieces)); i = next.Add(1) - 1 {
				if errs[i] = cmp.Or(err, ctx.Err()); errs[i] == nil {
					p := im.Manifest.Pieces[i]
					im.pieces[i] = aligned(p.Count * manifest.Block)
					errs[i] = u.Unpack(p, im.pieces[i])
				}
				close(done[i])
			}
		})
	}
	var failed error // of one range, and so of all behind it
	for i, r := range im.Manifest.Ranges {
		sum, checked := sha256.New(), im.Manifest.Copied(r.Extent) // of blocks that were checked where they stand first
		for _, p := range im.ranges[i] {
			<-done[p.Piece]
			if err := errs[p.Piece]; failed == nil && err != nil {
				if failed = err; ctx.Err() == nil {
					failed = bad("it cannot be unpacked: fetch it again: %w", err)
				}
			}
			if failed == nil && !checked {
				sum.Write(im.part(p))
			}
		}
		if failed == nil && !checked && [sha256.Size]byte(sum.Sum(nil)) != r.SHA256 {
			failed = bad("block %d is not what the manifest says: fetch the image again; if it stays so, its maker must build it again", r.First)
		}
		if failed != nil {
			stop()
		}
		im.failed[i] = failed
		close(im.ready[i])
	}
}

func (im *Image) part(p manifest.Part) []byte {
	return im.pieces[p.Piece][p.First*manifest.Block : p.End()*manifest.Block]
}

// rangeOf waits for a range to be unpacked. Its parts follow one another.
func (im *Image) rangeOf(ctx context.Context, i int) ([][]byte, error) {
	select {
	case <-im.ready[i]:
		if im.failed[i] != nil {
			return nil, im.failed[i]
		}
		var parts [][]byte
		for _, p := range im.ranges[i] {
			parts = append(parts, im.part(p))
		}
		return parts, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// reader reads the unpacked image; what no range holds is zeros.
type reader struct {
	ctx context.Context
	im  *Image
}

func (r reader) ReadAt(b []byte, at int64) (int, error) {
	clear(b)
	for i, e := range r.im.Manifest.Ranges {
		first := e.First * manifest.Block
		if max(at, first) >= min(at+int64(len(b)), e.End()*manifest.Block) {
			continue
		}
		parts, err := r.im.rangeOf(r.ctx, i)
		if err != nil {
			return 0, err
		}
		for _, part := range parts {
			if from, to := max(at, first), min(at+int64(len(b)), first+int64(len(part))); from < to {
				copy(b[from-at:to-at], part[from-first:])
			}
			first += int64(len(part))
		}
	}
	return len(b), nil
}

// partition finds one of the image by its name.
func (im *Image) partition(ctx context.Context, name string) (at, size int64, err error) {
	table, err := disk.Read(reader{ctx, im}, im.Manifest.Image.Size)
	if err != nil {
		return 0, 0, bad("%w", err)
	}
	p, err := table.Named(name)
	if err != nil {
		return 0, 0, bad("%w", err)
	}
	return int64(p.First) * disk.Sector, p.Size(), nil
}
