// Package disk knows the disk that the image is on: its GUID partition table (UEFI Specification 2.10, section 5.3), the partitions by their
// names in Linux's sysfs, and which of several disks the machine booted from. It can give the last partition the rest of a medium that is
// larger than the image.
//
// It neither makes tables nor moves partitions, and knows sectors of 512 bytes alone: so the image is made.
package disk

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"unicode/utf16"
)

// Sector is the unit of the table's addresses, in bytes.
const Sector = 512

// Of the header (UEFI 2.10, table 5-5).
const (
	signature  = "EFI PART"
	revision   = 0x00010000
	headerSize = 92
)

// Of a partition's entry (UEFI 2.10, table 5-6), and how many the table has, which is also the least that it may.
const (
	entrySize   = 128
	entryCount  = 128
	tableSize   = entrySize * entryCount
	tableBlocks = tableSize / Sector
	nameAt      = 56
)

// GUID as it stands in a table: its first three fields are little-endian.
type GUID [16]byte

// String is the GUID as the world writes it, in small letters.
func (g GUID) String() string {
	order := [16]byte{g[3], g[2], g[1], g[0], g[5], g[4], g[7], g[6]}
	copy(order[8:], g[8:])
	h := hex.EncodeToString(order[:])
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}

// Partition of a table.
type Partition struct {
	Number      int // from 1
	Name        string
	Type, ID    GUID
	First, Last uint64 // sectors, both its own
}

// Size of the partition, in bytes.
func (p Partition) Size() int64 { return int64(p.Last-p.First+1) * Sector }

// Table of a disk.
type Table struct {
	Partitions []Partition // those in use, in the table's order

	sectors   uint64 // of the medium
	alternate uint64 // where the header says that the other is
	damaged   bool   // the first header was; this is the backup
	disk      GUID
	first     uint64 // usable sector
	entries   []byte
}

// NoTableError says why a disk has no table that can be used.
type NoTableError struct {
	First, Backup error
}

// Error implements error.
func (e *NoTableError) Error() string {
	return fmt.Sprintf("no partition table: at the beginning %v; at the end %v", e.First, e.Backup)
}

// Read reads the table of a medium of so many bytes, or its backup at the medium's end where the first is damaged.
func Read(r io.ReaderAt, size int64) (*Table, error) {
	sectors := uint64(size / Sector)
	if sectors < 2*(tableBlocks+1)+1 {
		return nil, fmt.Errorf("no partition table: the medium has only %d bytes", size)
	}
	t, err := readAt(r, 1, sectors)
	if err == nil {
		return t, nil
	}
	backup, second := readAt(r, sectors-1, sectors)
	if second != nil {
		return nil, &NoTableError{err, second}
	}
	backup.damaged = true
	return backup, nil
}

func readAt(r io.ReaderAt, at, sectors uint64) (*Table, error) {
	b := make([]byte, Sector)
	if _, err := r.ReadAt(b, int64(at)*Sector); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	if string(b[:8]) != signature || le.Uint32(b[8:]) != revision || le.Uint32(b[12:]) != headerSize {
		return nil, errors.New("there is no GPT header")
	}
	if headerSum(b) != le.Uint32(b[16:]) {
		return nil, errors.New("the header's checksum is wrong")
	}
	t := &Table{sectors: sectors, alternate: le.Uint64(b[32:]), first: le.Uint64(b[40:]), disk: GUID(b[56:72])}
	start := le.Uint64(b[72:])
	switch {
	case le.Uint64(b[24:]) != at:
		return nil, fmt.Errorf("the header says that it is at sector %d", le.Uint64(b[24:]))
	case le.Uint32(b[80:]) != entryCount || le.Uint32(b[84:]) != entrySize:
		return nil, fmt.Errorf("it has %d entries of %d bytes, and not the usual %d of %d", le.Uint32(b[80:]), le.Uint32(b[84:]), entryCount, entrySize)
	case start < 2 || start > sectors-tableBlocks:
		return nil, errors.New("its entries are outside of the medium")
	}
	t.entries = make([]byte, tableSize)
	if _, err := r.ReadAt(t.entries, int64(start)*Sector); err != nil {
		return nil, err
	}
	if crc32.ChecksumIEEE(t.entries) != le.Uint32(b[88:]) {
		return nil, errors.New("the entries' checksum is wrong")
	}
	return t, t.parse()
}

// headerSum is what the header's own checksum should be.
func headerSum(b []byte) uint32 {
	h := bytes.Clone(b[:headerSize])
	clear(h[16:20])
	return crc32.ChecksumIEEE(h)
}

// parse makes the list of partitions from the entries.
func (t *Table) parse() error {
	t.Partitions = nil
	for i := range entryCount {
		e := t.entry(i + 1)
		p := Partition{Number: i + 1, Type: GUID(e[:16]), ID: GUID(e[16:32]), First: binary.LittleEndian.Uint64(e[32:]), Last: binary.LittleEndian.Uint64(e[40:])}
		if p.Type == (GUID{}) {
			continue
		}
		if p.First < t.first || p.Last < p.First || p.Last >= t.sectors {
			return fmt.Errorf("partition %d is outside of the medium, which may have been cut off", p.Number)
		}
		var name []uint16
		for at := nameAt; at < entrySize; at += 2 {
			c := binary.LittleEndian.Uint16(e[at:])
			if c == 0 {
				break
			}
			name = append(name, c)
		}
		p.Name = string(utf16.Decode(name))
		t.Partitions = append(t.Partitions, p)
	}
	return nil
}

func (t *Table) entry(number int) []byte { return t.entries[(number-1)*entrySize : number*entrySize] }

// Named returns the partition of a name.
func (t *Table) Named(name string) (Partition, error) {
	for _, p := range t.Partitions {
		if p.Name == name {
			return p, nil
		}
	}
	return Partition{}, fmt.Errorf("the partition table has no partition %q", name)
}
