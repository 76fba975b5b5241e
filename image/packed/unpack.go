package packed

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"latchkey/image/manifest"
)

// maxPiece is what a piece cannot be longer than, whatever it says, in bytes.
const maxPiece = 1 << 30

// Unpacker unpacks one piece after another; for several at once there must be several.
type Unpacker struct {
	file  io.ReaderAt
	z     *zstd.Decoder
	frame []byte
}

// NewUnpacker is for the pieces of a packed file. It is closed after use.
func NewUnpacker(file io.ReaderAt, pieces []manifest.Piece) (*Unpacker, error) {
	longest := int64(0)
	for _, p := range pieces {
		longest = max(longest, p.Size)
	}
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(1<<maxWindowLog), zstd.WithDecoderMaxMemory(maxPiece))
	if err != nil {
		return nil, fmt.Errorf("unpack image: %w", err)
	}
	// Once, for what is grown leaves the shorter behind; what no piece fills is never touched, and takes no memory.
	return &Unpacker{file, z, make([]byte, 0, len(before)+int(longest)+len(behind))}, nil
}

// Close frees what unpacking took.
func (u *Unpacker) Close() { u.z.Close() }

// Unpack unpacks a piece into memory of its length. What was unpacked has not been compared with anything.
func (u *Unpacker) Unpack(p manifest.Piece, to []byte) error {
	u.frame = append(u.frame[:0], before...)[:len(before)+int(p.Size)]
	if n, err := u.file.ReadAt(u.frame[len(before):], p.At); n < int(p.Size) {
		return fmt.Errorf("unpack piece at block %d: %w", p.First, err)
	}
	u.frame = append(u.frame, behind...)
	got, err := u.z.DecodeAll(u.frame, to[:0:len(to)])
	if err == nil && len(got) > len(to) { // and so elsewhere
		err = errors.New("it is longer than it should be")
	}
	if err != nil {
		return fmt.Errorf("unpack piece at block %d: %w", p.First, err)
	}
	clear(to[len(got):]) // where there is room, the decoder copies a little too much
	return nil
}

// Check unpacks all of a packed file, piece by piece, and compares it with the manifest's ranges, those that are copies among them.
func Check(file io.ReaderAt, m manifest.Manifest) error {
	u, err := NewUnpacker(file, m.Pieces)
	if err != nil {
		return err
	}
	defer u.Close()
	pieces := make([][]byte, len(m.Pieces))
	for i, p := range m.Pieces {
		pieces[i] = make([]byte, p.Count*manifest.Block)
		if err := u.Unpack(p, pieces[i]); err != nil {
			return err
		}
	}
	for _, r := range m.Ranges {
		where, err := m.Find(r.Extent)
		if err != nil {
			return fmt.Errorf("check packed image: %w", err)
		}
		sum := sha256.New()
		for _, p := range where {
			sum.Write(pieces[p.Piece][p.First*manifest.Block : p.End()*manifest.Block])
		}
		if [sha256.Size]byte(sum.Sum(nil)) != r.SHA256 {
			return fmt.Errorf("check packed image: range %d %d is not what was packed", r.First, r.Count)
		}
	}
	return nil
}
