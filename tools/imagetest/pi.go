package main

import (
	"context"
	"errors"
	"fmt"
	"image"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	layout "latchkey/image"
	"latchkey/tools/qemu"
	"latchkey/tools/qemu/letters"
)

// onPi is what can be seen of the image for the Raspberry Pi 4 without one: its kernel, initial RAM disk and root on the board that Debian's
// emulator knows, a 3B with its own device tree. No firmware of a Pi runs there, so this stands for no first trial on hardware.
var onPi = []check{
	{"the pi4 image's kernel, RAM disk and root start from an SD card, with the 3B's device tree, and the kiosk enrols over USB Ethernet", false, func(ctx context.Context, l *lab) (string, error) {
		return "", errors.Join(l.fillSetup(), l.powerOn(ctx), l.confirm(ctx))
	}},
	{"it is ready, and the GPIO line of its green lamp is seen to be on from outside", false, func(ctx context.Context, l *lab) (string, error) {
		if _, err := l.see(ctx, "ready", attract); err != nil {
			return "", err
		}
		return l.lamp(ctx, "green", 27)
	}},
	{"a card in a USB reader on the chip's own USB is read", false, func(ctx context.Context, l *lab) (string, error) {
		return l.insertOnPi(ctx)
	}},
}

// insertOnPi does what the screen says: QEMU's model of the chip's USB loses a transfer now and then, for the reader a card that
// was taken out, or cannot be read.
func (l *lab) insertOnPi(ctx context.Context) (string, error) {
	const most = 12
	for try := 1; ; try++ {
		if err := l.insert(ctx, openCard); err != nil {
			return "", err
		}
		page, err := l.look(ctx, "", func(p letters.Page) error {
			for _, said := range []string{notLocked, takenOut, unreadable} {
				if strings.Contains(p.Flat(), said) {
					return nil
				}
			}
			return fmt.Errorf("the screen says none of %q, %q and %q", notLocked, takenOut, unreadable)
		})
		switch {
		case err != nil:
			return "", err
		case strings.Contains(page.Flat(), notLocked):
			return fmt.Sprintf(": at try %d", try), l.keep("not-locked")
		case try == most:
			return "", fmt.Errorf("a card that is in was not read, %d times", most)
		}
		if err := l.reader.Eject(ctx); err != nil {
			return "", err
		}
		if _, err := l.see(ctx, "", attract); err != nil {
			return "", err
		}
	}
}

// lamp waits until the line of a lamp of board/boards/pi4.toml is on.
func (l *lab) lamp(ctx context.Context, name string, line int) (string, error) {
	var levels uint32
	_, err := l.Look(ctx, func(image.Image) (err error) {
		if levels, err = l.PiLines(ctx); err == nil && levels&(1<<line) == 0 {
			err = fmt.Errorf("the %s lamp's line %d is off: %08x", name, line, levels)
		}
		return err
	})
	return fmt.Sprintf(": levels %08x", levels), err
}

// sdCard is a size that the emulator takes: a power of two.
const sdCard = 512 * mib

// takeFirmwaresPlace takes from the disk what a Raspberry Pi's firmware loads: kernel, RAM disk and command line of slot a; and the board's device
// tree from the kernel's package.
func (l *lab) takeFirmwaresPlace(ctx context.Context) error {
	_, at, err := l.partition(layout.BootA)
	if err != nil {
		return err
	}
	c := &qemu.Config{Kernel: filepath.Join(l.dir, "kernel.img"), Initrd: filepath.Join(l.dir, "initrd"), Tree: filepath.Join(l.dir, "tree.dtb"), Screen: qemu.Panel}
	line := filepath.Join(l.dir, "cmdline.txt")
	for from, to := range map[string]string{layout.Kernel: c.Kernel, layout.Initrd: c.Initrd, "cmdline.txt": line} {
		if out, err := exec.CommandContext(ctx, "mcopy", "-n", "-i", fmt.Sprintf("%s@@%d", l.disk, at), "::/"+from, to).CombinedOutput(); err != nil {
			return fmt.Errorf("read %s from partition %s: %w: %s", from, layout.BootA, err, out)
		}
	}
	text, err := os.ReadFile(line)
	if err != nil {
		return err
	}
	c.Append = strings.TrimSpace(string(text))
	kernel, err := l.kernelPackage(ctx, layout.Pi4)
	if err != nil {
		return err
	}
	trees, err := filepath.Glob(filepath.Join(kernel, "usr/lib/linux-image-*/broadcom/bcm2837-rpi-3-b.dtb"))
	if err != nil || len(trees) != 1 {
		return fmt.Errorf("the kernel's package has no device tree of a Raspberry Pi 3B: %q", trees)
	}
	if err := errors.Join(qemu.CopyDisk(c.Tree, trees[0]), qemu.PiTree(ctx, c.Tree, *c), os.Truncate(l.disk, sdCard)); err != nil {
		return err
	}
	l.pi = c
	return nil
}
