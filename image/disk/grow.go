package disk

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Medium is what a table is written to; an *os.File is one.
type Medium interface {
	ReadAt(b []byte, at int64) (int, error)
	WriteAt(b []byte, at int64) (int, error)
	Sync() error
}

// alignment of a grown partition's end, in sectors: what flash memory erases at once divides 1 MiB, or is a multiple that nobody tells.
const alignment = 1 << 20 / Sector

// Grow gives the partition of a name, which must be the last, the rest of a medium of so many bytes, and puts the table's backup at the
// medium's end. It also mends a damaged table from the backup. It returns the partition as it is then, and whether anything was written.
//
// A table that came from elsewhere, which is known by its backup's place, gets GUIDs of its own: all media of an image have the same ones, and a
// machine with two of them could not tell which it booted.
//
// A power cut leaves the old table or the new one. The new backup is durable before the first table is touched, and all of that which
// changes, the header, the first entries and the protective MBR, is in the medium's first 4 KiB, which are written at once; should a medium
// tear even these, firmware and a kernel that is told gpt take the backup, and the next Grow mends the first.
func Grow(m Medium, size int64, name string) (_ Partition, wrote bool, err error) {
	t, err := Read(m, size)
	if err != nil {
		return Partition{}, false, fmt.Errorf("grow %s: %w", name, err)
	}
	p, err := t.Named(name)
	if err != nil {
		return Partition{}, false, fmt.Errorf("grow %s: %w", name, err)
	}
	for _, other := range t.Partitions {
		if other.First > p.First {
			return Partition{}, false, fmt.Errorf("grow %s: %s stands behind it", name, other.Name)
		}
	}
	// Behind the last usable sector stand the backup's entries and its header.
	end := t.sectors - 1 - tableBlocks
	last := max(p.Last, end/alignment*alignment-1)
	if last >= end {
		return Partition{}, false, fmt.Errorf("grow %s: it reaches into the last %d sectors, where the table's backup has to be", name, tableBlocks+1)
	}
	if last == p.Last && t.alternate == t.sectors-1 && !t.damaged {
		return p, false, nil
	}
	p.Last = last
	binary.LittleEndian.PutUint64(t.entry(p.Number)[40:], last)
	if t.alternate != t.sectors-1 && !t.damaged {
		t.disk = newGUID()
		for _, other := range t.Partitions {
			id := newGUID()
			copy(t.entry(other.Number)[16:], id[:])
			if other.Number == p.Number {
				p.ID = id
			}
		}
	}
	if err := t.write(m); err != nil {
		return Partition{}, false, fmt.Errorf("grow %s: %w", name, err)
	}
	return p, true, nil
}

// newGUID is a random one (RFC 9562, 5.4), in a table's order of bytes.
func newGUID() (g GUID) {
	rand.Read(g[:])
	g[7] = g[7]&0x0f | 0x40
	g[8] = g[8]&0x3f | 0x80
	return g
}

// write writes the backup and then the first table.
func (t *Table) write(m Medium) error {
	last := t.sectors - 1
	backup := append(append([]byte(nil), t.entries...), t.header(last, 1, last-tableBlocks)...)
	if _, err := m.WriteAt(backup, int64(last-tableBlocks)*Sector); err != nil {
		return err
	}
	if err := m.Sync(); err != nil {
		return err
	}
	front := make([]byte, Sector)
	if _, err := m.ReadAt(front, 0); err != nil {
		return err
	}
	protect(front, t.sectors)
	front = append(append(front, t.header(1, last, 2)...), t.entries...)
	if _, err := m.WriteAt(front, 0); err != nil {
		return err
	}
	return m.Sync()
}

// header makes the header that stands at one sector, with the other header and the entries at others.
func (t *Table) header(at, other, entries uint64) []byte {
	b, le := make([]byte, Sector), binary.LittleEndian
	copy(b, signature)
	le.PutUint32(b[8:], revision)
	le.PutUint32(b[12:], headerSize)
	le.PutUint64(b[24:], at)
	le.PutUint64(b[32:], other)
	le.PutUint64(b[40:], t.first)
	le.PutUint64(b[48:], t.sectors-1-tableBlocks-1)
	copy(b[56:], t.disk[:])
	le.PutUint64(b[72:], entries)
	le.PutUint32(b[80:], entryCount)
	le.PutUint32(b[84:], entrySize)
	le.PutUint32(b[88:], crc32.ChecksumIEEE(t.entries))
	le.PutUint32(b[16:], headerSum(b))
	return b
}

// protect has a protective MBR cover the medium (UEFI 2.10, table 5-4). One that has other partitions, too, as some boards want, is left.
func protect(mbr []byte, sectors uint64) {
	const (
		protective = 0xee
		record     = 446 // the first of four, of 16 bytes each
		kind, size = 4, 12
	)
	if mbr[record+kind] == protective && mbr[record+16+kind]|mbr[record+32+kind]|mbr[record+48+kind] == 0 {
		binary.LittleEndian.PutUint32(mbr[record+size:], uint32(min(sectors-1, 0xffffffff)))
	}
}

// ResizeInKernel tells the kernel how large a partition of a disk has become, without its reading the table again, which it refuses while
// another partition is in use (linux/blkpg.h).
func ResizeInKernel(disk *os.File, p Partition) error {
	part := unix.BlkpgPartition{Start: int64(p.First) * Sector, Length: p.Size(), Pno: int32(p.Number)}
	arg := unix.BlkpgIoctlArg{Op: unix.BLKPG_RESIZE_PARTITION, Datalen: int32(unsafe.Sizeof(part)), Data: (*byte)(unsafe.Pointer(&part))}
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, disk.Fd(), unix.BLKPG, uintptr(unsafe.Pointer(&arg))); e != 0 {
		return fmt.Errorf("resize partition %d of %s: %w", p.Number, disk.Name(), e)
	}
	return nil
}

// SizeOf is the size of a block device or a file, in bytes.
func SizeOf(f *os.File) (int64, error) {
	end, err := f.Seek(0, 2)
	if err == nil && end == 0 {
		err = errors.New("it has no size: there is no medium in it")
	}
	if err != nil {
		return 0, fmt.Errorf("size of %s: %w", f.Name(), err)
	}
	return end, nil
}
