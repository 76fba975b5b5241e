package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Of e2fsprogs.
const (
	mke2fs    = "/usr/sbin/mke2fs"
	e2fsck    = "/usr/sbin/e2fsck"
	resize2fs = "/usr/sbin/resize2fs"
)

// Of ext4's superblock (kernel documentation, "ext4 Data Structures and Algorithms", 2.1.1); all little-endian.
const (
	superblockAt   = 1024
	superblockSize = 1024
	blocksLowAt    = 0x4
	logBlockAt     = 0x18
	magicAt        = 0x38
	incompatibleAt = 0x60
	blocksHighAt   = 0x150

	ext4Magic   = 0xef53
	wideNumbers = 0x80 // INCOMPAT_64BIT
)

// holdsExt4 tells whether an ext4 begins so many bytes into something.
func holdsExt4(r io.ReaderAt, at int64) (bool, error) {
	b := make([]byte, superblockSize)
	if _, err := r.ReadAt(b, at+superblockAt); err != nil {
		return false, err
	}
	return binary.LittleEndian.Uint16(b[magicAt:]) == ext4Magic, nil
}

// ext4Size is how large the file system thinks that it is, in bytes; 0 for what is none.
func ext4Size(superblock []byte) int64 {
	le := binary.LittleEndian
	if len(superblock) < superblockSize || le.Uint16(superblock[magicAt:]) != ext4Magic || le.Uint32(superblock[logBlockAt:]) > 6 {
		return 0
	}
	blocks := uint64(le.Uint32(superblock[blocksLowAt:]))
	if le.Uint32(superblock[incompatibleAt:])&wideNumbers != 0 {
		blocks |= uint64(le.Uint32(superblock[blocksHighAt:])) << 32
	}
	if blocks >= 1<<46 {
		return 0
	}
	return int64(blocks << (10 + le.Uint32(superblock[logBlockAt:])))
}

// fsErrors is how many errors the kernel has met in a mounted ext4 since that was checked last
// (Documentation/ABI/testing/sysfs-fs-ext4, errors_count). Newer kernels show one that they no longer write as writable otherwise. It is 0
// where nothing is told.
func fsErrors(sys, device string) int {
	b, err := os.ReadFile(filepath.Join(sys, "fs/ext4", filepath.Base(device), "errors_count"))
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0
	}
	return n
}

// makeFS makes an empty one.
func (ps *processes) makeFS(device string) error {
	// Not discarding: it takes long on some media, and on an encrypted one it would tell what is in use.
	if _, _, err := ps.tool(mke2fs, "-q", "-F", "-t", "ext4", "-m", "1", "-L", "latchkey", "-E", "nodiscard,lazy_itable_init=1", device); err != nil {
		return fmt.Errorf("make the file system of /data: %w", err)
	}
	return nil
}

// checkFS checks it, mends what can be mended, and has it fill its device.
func (ps *processes) checkFS(device string) error {
	if err := ps.fsck("-p", device); err != nil {
		say("%v: it is mended as far as it can be", err)
		if err := ps.fsck("-f", "-y", device); err != nil {
			return err
		}
	}
	f, err := os.Open(device)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	superblock := make([]byte, superblockSize)
	if _, err := f.ReadAt(superblock, superblockAt); err != nil {
		return err
	}
	const worth = 1 << 20
	if size-ext4Size(superblock) < worth {
		return nil
	}
	// resize2fs wants one that has just been checked in full.
	if err := ps.fsck("-f", "-p", device); err != nil {
		return err
	}
	if _, _, err := ps.tool(resize2fs, device); err != nil {
		say("%v", err) // it serves as it is
	}
	return nil
}

// fsck fails if the file system still has errors: bits 0 and 1 of e2fsck(8)'s status mean that it mended some.
func (ps *processes) fsck(args ...string) error {
	said, status, err := ps.tool(e2fsck, args...)
	if status > 0 && status&^3 == 0 {
		say("/data was mended: %s", said)
		return nil
	}
	if err != nil {
		return fmt.Errorf("check /data: %w", err)
	}
	return nil
}

// tool runs a program to its end. status is what it ended with, or -1. Of what it said the beginning is kept; what follows is advice for people
// at a keyboard.
func (ps *processes) tool(name string, args ...string) (said string, status int, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: %w", name, err)
		}
	}()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return "", -1, err
	}
	defer null.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return "", -1, err
	}
	defer r.Close()
	p, err := ps.start(append([]string{name}, args...), &os.ProcAttr{Env: os.Environ(), Files: []*os.File{null, w, w}})
	w.Close()
	if err != nil {
		return "", -1, err
	}
	const most = 200
	out := make([]byte, most)
	n, _ := io.ReadFull(r, out)
	_, _ = io.Copy(io.Discard, r) // its end is what counts
	<-p.ended
	said = strings.Join(strings.Fields(string(bytes.ToValidUTF8(out[:n], nil))), " ")
	status = p.status.ExitStatus()
	if status != 0 {
		return said, status, fmt.Errorf("%s: %s", p.how(), said)
	}
	return said, 0, nil
}
