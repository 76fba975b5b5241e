package manifest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"latchkey/image"
	"latchkey/image/disk"
)

// Head is how much of the data partition's beginning must be zeros, in bytes, so that init takes it for new: what it knows its own by,
// and the head of the file system.
const Head = 4 << 20

// Free finds what may hold anything, in an image with the partitions of package image: FAT file systems' free clusters, what roots leave of
// their partitions, and the data partition behind its Head.
func Free(img io.ReaderAt, size int64) (free []Extent, err error) {
	table, err := disk.Read(img, size)
	if err != nil {
		return nil, fmt.Errorf("find free blocks: %w", err)
	}
	for _, p := range table.Partitions {
		at := int64(p.First) * disk.Sector
		switch p.Name {
		case image.Boot, image.BootA, image.BootB:
			clusters, err := freeClusters(io.NewSectionReader(img, at, p.Size()))
			if err != nil {
				return nil, fmt.Errorf("find free blocks: partition %s: %w", p.Name, err)
			}
			for _, c := range clusters {
				free = append(free, inside(at+c.First, c.Count)...)
			}
		case image.RootA, image.RootB:
			// Behind the hash tree, whose last block is not zero: hashes are not.
			used, err := beforeZeros(io.NewSectionReader(img, at, p.Size()))
			if err != nil {
				return nil, fmt.Errorf("find free blocks: partition %s: %w", p.Name, err)
			}
			free = append(free, inside(at+used, p.Size()-used)...)
		case image.Data:
			free = append(free, inside(at+Head, p.Size()-Head)...)
		}
	}
	return free, nil
}

// inside are the whole blocks in a run of bytes.
func inside(at, size int64) []Extent {
	first, end := (at+Block-1)/Block, (at+size)/Block
	if end <= first {
		return nil
	}
	return []Extent{{first, end - first}}
}

// beforeZeros is how many bytes stand before the zeros at the end.
func beforeZeros(r *io.SectionReader) (int64, error) {
	buf, nothing := make([]byte, 1<<20), make([]byte, 1<<20)
	for end := r.Size(); end > 0; {
		part := buf[:min(int64(len(buf)), end)]
		if _, err := r.ReadAt(part, end-int64(len(part))); err != nil {
			return 0, err
		}
		if !bytes.Equal(part, nothing[:len(part)]) {
			return end - int64(len(part)-len(bytes.TrimRight(part, "\x00"))), nil
		}
		end -= int64(len(part))
	}
	return 0, nil
}

// freeClusters of a FAT16 or FAT32 file system, as runs of bytes (Microsoft, FAT specification of 2005, 3.1 to 4.1).
func freeClusters(r *io.SectionReader) (free []Extent, err error) {
	b := make([]byte, 512)
	if _, err := r.ReadAt(b, 0); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	sector, cluster := int64(le.Uint16(b[11:])), int64(le.Uint16(b[11:]))*int64(b[13])
	table := int64(le.Uint16(b[22:]))
	if table == 0 {
		table = int64(le.Uint32(b[36:]))
	}
	sectors := int64(le.Uint16(b[19:]))
	if sectors == 0 {
		sectors = int64(le.Uint32(b[32:]))
	}
	reserved := int64(le.Uint16(b[14:])) * sector
	data := reserved + int64(b[16])*table*sector + (int64(le.Uint16(b[17:]))*32+sector-1)/max(sector, 1)*sector
	if le.Uint16(b[510:]) != 0xaa55 || sector < 512 || cluster == 0 || table == 0 || b[16] == 0 || data > sectors*sector || sectors*sector > r.Size() {
		return nil, errors.New("it holds no FAT file system")
	}
	count, entry := (sectors*sector-data)/cluster, int64(4)
	switch {
	case count < 4085:
		return nil, errors.New("it is FAT12, and boot partitions are FAT16 or FAT32")
	case count < 65525:
		entry = 2
	}
	if (count+2)*entry > table*sector {
		return nil, errors.New("its FAT is shorter than its clusters need")
	}
	fat := make([]byte, (count+2)*entry)
	if _, err := r.ReadAt(fat, reserved); err != nil {
		return nil, err
	}
	for i := range count {
		e := slices.Clone(fat[(i+2)*entry:][:entry])
		if entry == 4 {
			e[3] &= 0x0f // the upper four bits are not the entry's
		}
		if at := data + i*cluster; bytes.Count(e, []byte{0}) == len(e) {
			if n := len(free); n > 0 && free[n-1].End() == at {
				free[n-1].Count += cluster
				continue
			}
			free = append(free, Extent{at, cluster})
		}
	}
	return free, nil
}
