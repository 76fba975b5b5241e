// Package slot decides which of the image's two slots, a and b, a machine boots: kernel, initial RAM disk and root belong to one slot each, so
// that an update writes the one that is not running and the one that ran is still there.
//
// A Selector speaks to what chooses at boot: systemd-boot's counted entries on UEFI (UAPI Group's Boot Loader Specification, "Boot
// counting"; systemd's documentation "Automatic Boot Assessment"), and a Raspberry Pi's autoboot.txt, whose firmware does not count, so that
// the initial RAM disk does.
//
// It works in the folder where the boot partition is mounted, which is FAT and survives power cuts only as far as files are written in the
// right order. It neither mounts, nor writes kernels or roots, nor restarts.
package slot

import (
	"errors"
	"fmt"
)

// Slot is one of the two.
type Slot string

// The slots.
const (
	A Slot = "a"
	B Slot = "b"
)

// Parse takes the kernel command line's latchkey.slot.
func Parse(s string) (Slot, error) {
	switch Slot(s) {
	case A, B:
		return Slot(s), nil
	case "":
		return "", errors.New("the kernel command line names no slot: latchkey.slot=a or latchkey.slot=b is missing")
	}
	return "", fmt.Errorf("slot %q: there are a and b", s)
}

// Other is the one that is not s.
func (s Slot) Other() Slot {
	if s == A {
		return B
	}
	return A
}

// Tries is how often a slot may be booted without being called good, before the other is.
const Tries = 3
