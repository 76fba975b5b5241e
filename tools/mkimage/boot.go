package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"latchkey/image"
	"latchkey/image/slot"
)

// silence keeps the screen to the kiosk; a kernel that fails says so on the serial line and restarts.
const silence = "loglevel=3 panic=10 vt.global_cursor_default=0 consoleblank=0 logo.nologo"

// mending has the kernel take the partition table's backup where the first is damaged, as a power cut could leave it while the table grows.
const mending = "gpt"

// arguments are the kernel's in a slot.
func (b *build) arguments(s slot.Slot, root verity) string {
	return fmt.Sprintf("%s=%s %s=%s %s=%d %s %s %s", image.ArgumentSlot, s, image.ArgumentRoot, root.hash, image.ArgumentBlocks, root.blocks, b.config.Arguments, mending, silence)
}

// partitions makes what stands in each partition, by its name; one that is not there is empty.
func (b *build) partitions(ctx context.Context, packages *unpacked, s system, root verity) (map[string]string, error) {
	contents := map[string]string{image.RootA: root.file, image.RootB: root.file}
	folders := map[string]boot{}
	var err error
	if b.board == image.UEFI {
		folders[image.Boot], err = b.uefi(packages, s, root)
	} else {
		folders, err = b.raspberry(packages, s, root)
	}
	if err != nil {
		return nil, err
	}
	for _, p := range image.Partitions(b.board) {
		files, is := folders[p.Name]
		if !is {
			continue
		}
		if contents[p.Name], err = b.fat(ctx, p, files); err != nil {
			return nil, fmt.Errorf("partition %s: %w", p.Name, err)
		}
	}
	return contents, nil
}

// boot are the files of a boot partition: by path in it, either a file of this machine or text.
type boot map[string]content

type content struct{ file, text string }

// uefi has systemd-boot and both slots' entries, which count the tries that are left (Boot Loader Specification).
func (b *build) uefi(packages *unpacked, s system, root verity) (boot, error) {
	loader, err := packages.glob("usr/lib/systemd/boot/efi/systemd-bootaa64.efi")
	if err != nil {
		return nil, err
	}
	initrd, err := b.even(s)
	if err != nil {
		return nil, err
	}
	files := boot{
		image.Loader: {file: loader},
		// Of what can be booted the first; editor: nobody changes the kernel's arguments from a keyboard.
		"loader/loader.conf": {text: "timeout 0\neditor no\nauto-entries no\nauto-firmware no\n"},
	}
	for i, which := range []slot.Slot{slot.A, slot.B} {
		at := "latchkey/" + string(which) + "/"
		files[at+image.Kernel] = content{file: s.kernel}
		files[at+image.Initrd] = content{file: initrd}
		// Of two that have tries left, a is booted.
		e := slot.Entry{Slot: which, Version: uint64(2 - i), Linux: "/" + at + image.Kernel, Initrd: "/" + at + image.Initrd, Options: b.arguments(which, root)}
		files[image.Entries+"/"+e.Name()] = content{text: string(e.Text())}
	}
	return files, nil
}

// cluster32 is a cluster of FAT32, in bytes.
const cluster32 = 1024

// even makes an initial RAM disk so long, by zeros at its end, which the kernel passes over (its Documentation/driver-api/early-userspace,
// "initramfs buffer format"), that a slot's folder with its two files takes whole blocks: then slot b is slot a again block by block, and is
// packed and unpacked once.
func (b *build) even(s system) (string, error) {
	initrd, err := os.ReadFile(s.initrd)
	if err != nil {
		return "", err
	}
	kernel, err := os.Stat(s.kernel)
	if err != nil {
		return "", err
	}
	taken := cluster32 + (kernel.Size()+cluster32-1)/cluster32*cluster32 + int64(len(initrd))
	padded := filepath.Join(b.work, "initrd-even")
	return padded, os.WriteFile(padded, append(initrd, make([]byte, (image.BlockSize-taken%image.BlockSize)%image.BlockSize)...), 0o644)
}

// fat makes a FAT file system of the partition's size, the same each time.
func (b *build) fat(ctx context.Context, p image.Partition, files boot) (string, error) {
	fs := filepath.Join(b.work, p.Name+".fat")
	f, err := os.Create(fs)
	if err != nil {
		return "", err
	}
	if err := f.Truncate(p.MiB << 20); err != nil {
		return "", err
	}
	if err := f.Close(); err != nil {
		return "", err
	}
	// FAT32 needs 65525 clusters or more (Microsoft's FAT specification 1.03), so they must be small here.
	clusters := "4"
	if p.FAT == 32 {
		clusters = fmt.Sprint(cluster32 / sector)
	}
	if _, err := commandIn(ctx, b.epoch(), "mkfs.vfat", "--invariant", "-F", fmt.Sprint(p.FAT), "-s", clusters, "-i", strings.ReplaceAll(guid("fat", p.Name), "-", "")[:8],
		"-n", strings.ToUpper(p.Name), fs); err != nil {
		return "", err
	}
	// One after the other, in the order of their names: what follows what is then no folder's whim.
	made := map[string]bool{".": true}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		var folders []string
		for dir := path.Dir(name); !made[dir]; dir = path.Dir(dir) {
			made[dir] = true
			folders = append(folders, "::/"+dir)
		}
		slices.Reverse(folders)
		for _, dir := range folders {
			if _, err := commandIn(ctx, b.epoch(), "mmd", "-i", fs, dir); err != nil {
				return "", err
			}
		}
		from := files[name].file
		if from == "" {
			from = filepath.Join(b.work, "text")
			if err := os.WriteFile(from, []byte(files[name].text), 0o644); err != nil {
				return "", err
			}
		}
		if _, err := commandIn(ctx, b.epoch(), "mcopy", "-Q", "-i", fs, from, "::/"+name); err != nil {
			return "", err
		}
	}
	_, err = command(ctx, "fsck.vfat", "-n", fs)
	return fs, err
}
