package slot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// autobootFile of the Raspberry Pi's first partition says which partition holds the boot files.
const autobootFile = "autoboot.txt"

// The numbers of the partitions boot-a and boot-b.
var piPartition = map[Slot]int{A: 2, B: 3}

// Autoboot is the text of autoboot.txt (at most 512 bytes) that boots a slot, and the other one once when the restart before was told to try
// it.
func Autoboot(s Slot) []byte {
	return fmt.Appendf(nil, "[all]\ntryboot_a_b=1\nboot_partition=%d\n[tryboot]\nboot_partition=%d\n", piPartition[s], piPartition[s.Other()])
}

// Pi is a Selector through autoboot.txt. The board's firmware boots the same partition however often it fails. So the initial RAM disk counts
// (Count), which finds a root that rots, and not a kernel that does not start.
//
// A slot that is tried is booted once by the firmware's "tryboot", and a kernel that hangs costs no more than the watchdog's time. The
// kernel has to pass the word on to the firmware, though, which Debian's does not: there the machine restarts into the slot
// that it ran, and nothing is tried.
type Pi struct {
	Boot string // where the first partition is mounted
}

// byDefault is the slot that autoboot.txt has the firmware boot.
func (p Pi) byDefault() (Slot, error) {
	text, err := os.ReadFile(filepath.Join(p.Boot, autobootFile))
	if err != nil {
		return "", err
	}
	for _, s := range []Slot{A, B} {
		if string(text) == string(Autoboot(s)) {
			return s, nil
		}
	}
	return "", fmt.Errorf("%s is not as this image writes it", autobootFile)
}

func triesFile(s Slot) string { return "tries-" + string(s) }

// spent is how often a slot was booted since it was called good.
func (p Pi) spent(s Slot) (int, error) {
	b, err := os.ReadFile(filepath.Join(p.Boot, triesFile(s)))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || n < 0 {
		return 0, nil // damaged: it was no more than a count
	}
	return n, nil
}

func (p Pi) spend(s Slot, n int) error {
	return replace(p.Boot, triesFile(s), fmt.Appendf(nil, "%d\n", n))
}

// Left implements Selector.
func (p Pi) Left(s Slot) (int, error) {
	n, err := p.spent(s)
	if err != nil {
		return 0, fmt.Errorf("tries of slot %s: %w", s, err)
	}
	return max(Tries-n, 0), nil
}

// Count takes a try off the slot that boots. When it had none left the other is booted from now on, and the machine is to restart.
func (p Pi) Count(s Slot) (leave bool, err error) {
	leave, err = p.count(s)
	if err != nil {
		return false, fmt.Errorf("count a boot of slot %s: %w", s, err)
	}
	return leave, nil
}

func (p Pi) count(s Slot) (leave bool, err error) {
	n, err := p.spent(s)
	if err != nil {
		return false, err
	}
	if n < Tries {
		return false, p.spend(s, n+1)
	}
	usual, err := p.byDefault()
	if err != nil {
		return false, err
	}
	if usual != s {
		return true, nil // it was tried, and the firmware goes back by itself
	}
	// The other begins afresh: should it fail, too, this one has its turn again.
	if err := p.spend(s.Other(), 0); err != nil {
		return false, err
	}
	if err := p.spend(s, 0); err != nil {
		return false, err
	}
	return true, replace(p.Boot, autobootFile, Autoboot(s.Other()))
}

// Good implements Selector. The slot is the one that is booted from now on.
func (p Pi) Good(s Slot) error {
	err := p.spend(s, 0)
	if err == nil {
		var usual Slot
		if usual, err = p.byDefault(); err != nil || usual != s {
			err = replace(p.Boot, autobootFile, Autoboot(s))
		}
	}
	if err != nil {
		return fmt.Errorf("call slot %s good: %w", s, err)
	}
	return nil
}

// Try implements Selector.
func (p Pi) Try(s Slot) (string, error) {
	usual, err := p.byDefault()
	if err == nil && usual == s {
		err = errors.New("it is the one that is booted anyhow: call the other one good first")
	}
	if err == nil {
		err = p.spend(s, 0)
	}
	if err != nil {
		return "", fmt.Errorf("try slot %s: %w", s, err)
	}
	return "0 tryboot", nil // partition 0 is none in particular
}
