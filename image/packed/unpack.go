package packed

import (
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"latchkey/image/manifest"
)

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
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(1<<maxWindowLog), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		return nil, fmt.Errorf("unpack image: %w", err)
	}
	// Once, for what is grown leaves the shorter behind; what no piece fills is never touched, and takes no memory.
	return &Unpacker{file, z, make([]byte, 0, len(before)+int(longest)+len(behind))}, nil
}

// Close frees what unpacking took.
func (u *Unpacker) Close() { u.z.Close() }

// Unpack unpacks a piece into memory of its length, all zeros. What was unpacked has not been compared with anything.
func (u *Unpacker) Unpack(p manifest.Piece, to []byte) error {
	u.frame = append(u.frame[:0], before...)[:len(before)+int(p.Size)]
	if n, err := u.file.ReadAt(u.frame[len(before):], p.At); n < int(p.Size) {
		return fmt.Errorf("unpack piece at block %d: %w", p.First, err)
	}
	u.frame = append(u.frame, behind...)
	if _, err := u.z.DecodeAll(u.frame, to[:0:len(to)]); err != nil {
		return fmt.Errorf("unpack piece at block %d: %w", p.First, err)
	}
	return nil
}
