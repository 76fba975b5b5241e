package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"latchkey/image"
	"latchkey/image/disk"
	"latchkey/image/provision"
	"latchkey/tools/rig"
)

const mib = 1 << 20

// partition is where one is on the machine's disk, which must be off.
func (l *lab) partition(name string) (p disk.Partition, offset int64, err error) {
	f, err := os.Open(l.disk)
	if err != nil {
		return p, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return p, 0, err
	}
	table, err := disk.Read(f, info.Size())
	if err != nil {
		return p, 0, err
	}
	p, err = table.Named(name)
	return p, int64(p.First) * disk.Sector, err
}

// write puts bytes into a partition.
func (l *lab) write(name string, b []byte) error {
	p, at, err := l.partition(name)
	if err != nil {
		return err
	}
	if int64(len(b)) > p.Size() {
		return fmt.Errorf("partition %s has no room for %d bytes", name, len(b))
	}
	f, err := os.OpenFile(l.disk, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, at)
	return errors.Join(err, f.Close())
}

// read takes a partition's bytes from the disk, up to a length.
func (l *lab) read(name string, most int64) ([]byte, error) {
	p, at, err := l.partition(name)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(l.disk)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.NewSectionReader(f, at, min(p.Size(), most)))
}

// fillSetup has central make a provisioning file, and writes it as the flasher does.
func (l *lab) fillSetup() error {
	file, err := l.provisioning(rig.KioskID, "en")
	if err != nil {
		return err
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return l.write(image.Setup, provision.Pack(b))
}

// rot changes one byte of every eighth block of a root.
func (l *lab) rot(root string) error {
	const every = 8
	b, err := l.read(root, image.RootMiB*mib)
	if err != nil {
		return err
	}
	n := 0
	for at := every / 2 * image.BlockSize; at < len(b); at += every * image.BlockSize {
		if block := b[at : at+image.BlockSize]; !bytes.Equal(block, make([]byte, len(block))) {
			block[image.BlockSize/2] ^= 0x10
			n++
		}
	}
	if n == 0 {
		return errors.New("the slot is empty")
	}
	return l.write(root, b)
}

// entries are the names of the boot entries, with the tries that they have left.
func (l *lab) entries(ctx context.Context) (list []string, err error) {
	_, at, err := l.partition(image.Boot)
	if err != nil {
		return nil, err
	}
	out, err := exec.CommandContext(ctx, "mdir", "-b", "-i", fmt.Sprintf("%s@@%d", l.disk, at), "::/"+image.Entries).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("list the boot entries: %w: %s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		list = append(list, line[strings.LastIndexByte(line, '/')+1:len(line)-1])
	}
	return list, nil
}

// dataBehind is where the file system begins on the data partition: behind init's header.
const dataBehind = mib

// fileSystem is the size of the ext4 on the data partition, in bytes, by its superblock (Linux: fs/ext4/ext4.h).
func (l *lab) fileSystem() (int64, error) {
	const (
		superblock = 1024
		magic      = 0xEF53
	)
	b, err := l.read(image.Data, dataBehind+2*superblock)
	if err != nil {
		return 0, err
	}
	s := b[dataBehind+superblock:]
	if binary.LittleEndian.Uint16(s[0x38:]) != magic {
		return 0, errors.New("there is no ext4 on the data partition")
	}
	return int64(binary.LittleEndian.Uint32(s[4:])) << (10 + binary.LittleEndian.Uint32(s[0x18:])), nil
}

// holds tells whether a text stands in clear on the data partition.
func (l *lab) holds(text string) (bool, error) {
	p, _, err := l.partition(image.Data)
	if err != nil {
		return false, err
	}
	b, err := l.read(image.Data, p.Size())
	return bytes.Contains(b, []byte(text)), err
}

// The stick: one FAT partition, as those that are bought have.
const (
	stickSize   = 64 * mib
	stickBegins = mib
)

// makeStick writes a USB stick with a copy of a file in its root, by another name.
func makeStick(ctx context.Context, path, name, file string) error {
	const (
		sector  = 512
		entries = 446 // of the table in the first sector
		fat32   = 0x0C
	)
	mbr := make([]byte, sector)
	mbr[entries+4] = fat32
	binary.LittleEndian.PutUint32(mbr[entries+8:], stickBegins/sector)
	binary.LittleEndian.PutUint32(mbr[entries+12:], (stickSize-stickBegins)/sector)
	mbr[510], mbr[511] = 0x55, 0xAA
	if err := os.WriteFile(path, mbr, 0o600); err != nil {
		return err
	}
	if err := os.Truncate(path, stickSize); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, "mkfs.vfat", "-F", "32", "--offset", fmt.Sprint(stickBegins/sector), path, fmt.Sprint((stickSize-stickBegins)/1024)).CombinedOutput()
	if err != nil {
		return fmt.Errorf("make the stick's file system: %w: %s", err, out)
	}
	out, err = exec.CommandContext(ctx, "mcopy", "-i", fmt.Sprintf("%s@@%d", path, stickBegins), file, "::/"+name).CombinedOutput()
	if err != nil {
		return fmt.Errorf("write onto the stick: %w: %s", err, out)
	}
	return nil
}

// onStick are the files in a stick's root.
func onStick(ctx context.Context, path string) (string, error) {
	out, err := exec.CommandContext(ctx, "mdir", "-b", "-i", fmt.Sprintf("%s@@%d", path, stickBegins), "::/").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("read the stick: %w: %s", err, out)
	}
	return string(out), nil
}
