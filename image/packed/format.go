package packed

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"slices"

	"github.com/klauspost/compress/zstd"
)

// Of RFC 8878.
const (
	magic        = 0xfd2fb528 // 3.1.1
	maxBlock     = 128 << 10  // 3.1.1.2.4, for windows that are no smaller
	minWindowLog = 17         // so that they are not
	hasSize      = 0xc0       // 3.1.1.1.1: a content size of 8 bytes,
	hasSum       = 0x04       // and a checksum behind the last block

	// Types of blocks, 3.1.1.2.2.
	raw        = 0
	repeated   = 1
	compressed = 2
)

// blockHeader is one's (3.1.1.2).
func blockHeader(b []byte, last bool, kind, size int) []byte {
	v := uint32(kind)<<1 | uint32(size)<<3
	if last {
		v |= 1
	}
	return append(b, byte(v), byte(v>>8), byte(v>>16))
}

// Shortest and longest that a copied block can be, in bytes.
const (
	minCopy = 131
	maxCopy = maxBlock
)

// copied is a block that copies size bytes from so many bytes before. It has no literals and one sequence, all three of whose codes are in
// the block, so that it takes nothing from the block before and leaves nothing to the next but its distance (3.1.1.3).
func copied(b []byte, distance int64, size int) []byte {
	// 3.1.1.3.2.1.1, tables of match lengths and offsets: from a length of 131 on, codes go up with the power of two.
	length, offset := uint64(size-3), uint64(distance+3)
	lengthBits, offsetBits := bits.Len64(length)-1, bits.Len64(offset)-1
	block := []byte{
		0,                     // 3.1.1.3.1: raw literals, none
		1,                     // 3.1.1.3.2.1: sequences
		1<<6 | 1<<4 | 1<<2,    // each code is one byte
		0,                     // of literals' length: none
		byte(offsetBits),      // of offset
		byte(36 + lengthBits), // of match length
	}
	// Read from its end: a one, the offset's bits, the length's.
	stream := length&(1<<lengthBits-1) | (offset&(1<<offsetBits-1)|1<<offsetBits)<<lengthBits
	for ; stream > 0; stream >>= 8 {
		block = append(block, byte(stream))
	}
	return append(blockHeader(b, false, compressed, len(block)), block...)
}

// copiedBlocks copy size bytes; the last few may be more than a block's copy leaves.
func copiedBlocks(distance, size int64) (b []byte) {
	for size > 0 {
		n := min(size, maxCopy)
		if rest := size - n; rest > 0 && rest < minCopy {
			n -= minCopy
		}
		b, size = copied(b, distance, int(n)), size-n
	}
	return b
}

// zeroBlocks are so many zeros.
func zeroBlocks(size int64) (b []byte) {
	for ; size > 0; size -= maxBlock {
		b = append(blockHeader(b, false, repeated, int(min(size, maxBlock))), 0)
	}
	return b
}

// storedBlocks hold bytes as they are.
func storedBlocks(of []byte) (b []byte) {
	for part := range slices.Chunk(of, maxBlock) {
		b = append(blockHeader(b, false, raw, len(part)), part...)
	}
	return b
}

// blocksOf takes the blocks out of a frame, none of which is the last any more.
func blocksOf(frame []byte) ([]byte, error) {
	var h zstd.Header
	if err := h.Decode(frame); err != nil {
		return nil, fmt.Errorf("read compressed piece: %w", err)
	}
	if h.Skippable || h.DictionaryID != 0 {
		return nil, errors.New("read compressed piece: it is no frame that stands by itself")
	}
	blocks := frame[h.HeaderSize:]
	for at := 0; ; {
		if len(blocks) < at+3 {
			return nil, fmt.Errorf("read compressed piece: %w", io.ErrUnexpectedEOF)
		}
		header := uint32(blocks[at]) | uint32(blocks[at+1])<<8 | uint32(blocks[at+2])<<16
		size := int(header >> 3)
		if header>>1&3 == repeated {
			size = 1
		}
		last := header&1 != 0
		blocks[at] &^= 1
		if at += 3 + size; last {
			if len(blocks) < at {
				return nil, fmt.Errorf("read compressed piece: %w", io.ErrUnexpectedEOF)
			}
			return blocks[:at:at], nil
		}
	}
}

// frameHeader of the whole image.
func frameHeader(windowLog int, size int64) []byte {
	b := binary.LittleEndian.AppendUint32(nil, magic)
	b = append(b, hasSize|hasSum, byte(windowLog-10)<<3) // 3.1.1.1.2
	return binary.LittleEndian.AppendUint64(b, uint64(size))
}

// Around a piece's blocks to make a frame of them: a header with the largest window that is used, and an empty last block.
var (
	before = append(binary.LittleEndian.AppendUint32(nil, magic), 0, (maxWindowLog-10)<<3)
	behind = blockHeader(nil, true, raw, 0)
)
