package flash

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"strings"
	"unicode"
)

// looked is how much of a partition is read to tell what it holds: as far as the last of the marks goes.
const looked = 68 << 10

// holds names the file system on a partition, and its label. It is a help to people who must know a medium again, and decides nothing; what
// it cannot read, it does not name.
func holds(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	b := make([]byte, looked)
	n, err := io.ReadFull(f, b)
	if err != nil && err != io.ErrUnexpectedEOF {
		return ""
	}
	return recognise(b[:n])
}

// mark is how a file system is known. Offsets are in bytes from the partition's beginning.
type mark struct {
	name  string
	at    int
	magic string
	label int // where; 0 for none
	size  int
}

var marks = []mark{
	{"ext4", 1024 + 0x38, "\x53\xef", 1024 + 0x78, 16}, // and ext2, ext3: fs/ext4/ext4.h, struct ext4_super_block
	{"erofs", 1024, "\xe2\xe1\xf5\xe0", 1024 + 64, 16}, // fs/erofs/erofs_fs.h
	{"LUKS", 0, "LUKS\xba\xbe", 0, 0},
	{"FAT32", 0x52, "FAT32   ", 0x47, 11}, // Microsoft, FAT specification, 3.3
	{"FAT16", 0x36, "FAT16   ", 0x2b, 11}, // 3.2
	{"FAT12", 0x36, "FAT12   ", 0x2b, 11},
	{"exFAT", 3, "EXFAT   ", 0, 0},
	{"NTFS", 3, "NTFS    ", 0, 0},
	{"XFS", 0, "XFSB", 108, 12},
	{"btrfs", 65536 + 64, "_BHRfS_M", 65536 + 299, 256},
	{"squashfs", 0, "hsqs", 0, 0},
	{"f2fs", 1024, "\x10\x20\xf5\xf2", 0, 0},
	{"ISO 9660", 32769, "CD001", 32768 + 40, 32}, // ECMA-119, 8.4
	{"BitLocker", 3, "-FVE-FS-", 0, 0},
	{"LVM", 512, "LABELONE", 0, 0},                           // lib/label/label.h of LVM2
	{"RAID", 4096, "\xfc\x4e\x2b\xa9\x01\x00\x00\x00", 0, 0}, // version 1.2: linux/raid/md_p.h, struct mdp_superblock_1
	{"swap", 4086, "SWAPSPACE2", 1052, 16},
}

func recognise(b []byte) string {
	for _, m := range marks {
		if !bytes.HasPrefix(b[min(m.at, len(b)):], []byte(m.magic)) {
			continue
		}
		if m.label > 0 && m.label+m.size <= len(b) {
			if l := label(b[m.label : m.label+m.size]); l != "" {
				return m.name + " " + l
			}
		}
		return m.name
	}
	// A table of partitions that the kernel did not read, such as one that was cut off.
	if len(b) >= 1024 && bytes.HasPrefix(b[512:], []byte("EFI PART")) || len(b) >= 512 && binary.LittleEndian.Uint16(b[510:]) == 0xaa55 {
		return "a partition table"
	}
	return ""
}

func label(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	if l := strings.TrimSpace(printable(string(b))); l != "NO NAME" { // what FAT says of a volume without one
		return l
	}
	return ""
}

// printable is a text from a medium as it may stand on a terminal: its control characters would command it.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}
