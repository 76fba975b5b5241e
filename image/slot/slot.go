// Package slot decides which of the image's two slots, a and b, a machine boots: kernel, initial RAM disk and root belong to one slot each, so
// that an update writes the one that is not running and the one that ran is still there.
//
// A Selector speaks to what chooses at boot: systemd-boot's counted entries on UEFI (the UAPI Group's Boot Loader Specification, "Boot
// counting"), and a Raspberry Pi's autoboot.txt (Raspberry Pi documentation, "config.txt", "autoboot.txt"), whose firmware does not count, so
// that the initial RAM disk does.
//
// A slot is never good for ever: each boot spends a try, and a boot that served gives them back. So a slot that rots later is left for the
// other, too.
//
// It works in the folder where the boot partition is mounted. That is FAT, which has no journal: a file is written whole beside the old one
// and made durable before it takes a name that counts, the old name goes last, and nothing of the other slot is touched. It neither mounts,
// nor writes kernels or roots, nor restarts.
package slot

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
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

// Selector has the machine boot a slot. What it wrote is durable when it returns nil; after an error the machine boots as it would have
// before, or as it was told.
type Selector interface {
	// Good gives a slot its tries back: it has booted, and all that it is for works.
	Good(Slot) error
	// Try has the next restart boot a slot that was written anew, and the other one again if it is not called good. What it returns is to
	// be given to reboot(2) as the command; "" is none.
	Try(Slot) (command string, err error)
	// Left is how many tries a slot has left.
	Left(Slot) (int, error)
}

// replace writes a file that is there whole or not at all.
func replace(dir, name string, content []byte) error {
	path := filepath.Join(dir, name)
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
