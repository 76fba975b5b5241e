package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"latchkey/image"
	"latchkey/tools/debs"
	"latchkey/tools/qemu"
)

// putTPM gives the machine a TPM: tpmport goes before the image's first process, in an archive behind that of the initial RAM disks on the boot
// partition. Kernel, root and first process stay the image's own.
func (l *lab) putTPM(ctx context.Context) error {
	kernel, err := l.kernelPackage(ctx, image.UEFI)
	if err != nil {
		return err
	}
	tree, modules := qemu.Tree{}, qemu.Tree{}
	if err := modules.AddModules(kernel, "virtio_pci", "virtio_console", "tpm_vtpm_proxy"); err != nil {
		return err
	}
	for name, file := range modules {
		tree["tpm/"+name] = file
	}
	more := filepath.Join(l.dir, "tpm.initrd")
	if err := errors.Join(tree.Add("init", filepath.Join(l.bin, "arm64", "tpmport")),
		tree.Add("init.image", filepath.Join(l.bin, "arm64", "image", "init")), tree.WriteArchive(more)); err != nil {
		return err
	}
	archive, err := os.ReadFile(more)
	if err != nil {
		return err
	}
	_, at, err := l.partition(image.Boot)
	if err != nil {
		return err
	}
	for _, slot := range []string{"a", "b"} {
		disk, file := fmt.Sprintf("%s@@%d", l.disk, at), "::/latchkey/"+slot+"/"+image.Initrd
		was, err := exec.CommandContext(ctx, "mcopy", "-i", disk, file, "-").Output()
		if err != nil {
			return fmt.Errorf("read %s: %w", file, err)
		}
		const align = 4 // of archives that follow one another (Linux: buffer-format.rst)
		was = append(was, make([]byte, -len(was)&(align-1))...)
		cmd := exec.CommandContext(ctx, "mcopy", "-o", "-i", disk, "-", file)
		cmd.Stdin = bytes.NewReader(append(was, archive...))
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("write %s: %w: %s", file, err, out)
		}
	}
	return nil
}

// kernelPackage unpacks the kernel that a board's image has, and returns where.
func (l *lab) kernelPackage(ctx context.Context, board string) (string, error) {
	const lock = "image/debian.lock" // this tool runs at the top of the repository
	text, err := os.ReadFile(lock)
	if err != nil {
		return "", err
	}
	_, section, _ := strings.Cut(string(text), "["+board+"]")
	for line := range strings.Lines(section) {
		f := strings.Fields(line)
		if len(f) != 6 || !strings.HasPrefix(f[0], "linux-image-") || f[0] == "linux-image-arm64" {
			continue
		}
		size, err := strconv.ParseInt(f[5], 10, 64)
		if err != nil {
			return "", fmt.Errorf("%s: %w", lock, err)
		}
		files, err := debs.Fetch(ctx, os.Stderr, []debs.Package{{Name: f[0], Version: f[1], Suite: f[2], Path: f[3], SHA256: f[4], Size: size}})
		if err != nil {
			return "", err
		}
		dir := filepath.Join(l.dir, "kernel")
		if out, err := exec.CommandContext(ctx, "dpkg-deb", "-x", files[0], dir).CombinedOutput(); err != nil {
			return "", fmt.Errorf("unpack %s: %w: %s", f[0], err, out)
		}
		return dir, nil
	}
	return "", fmt.Errorf("%s names no kernel for %s", lock, board)
}
