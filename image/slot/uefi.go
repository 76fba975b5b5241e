package slot

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// entriesDir is where systemd-boot looks for entries, in the ESP.
const entriesDir = "loader/entries"

// Entry of systemd-boot (the Boot Loader Specification's type #1) for a slot. Of two that have tries left, that with the higher version is
// booted.
type Entry struct {
	Slot          Slot
	Version       uint64
	Linux, Initrd string // paths in the ESP
	Options       string // the kernel's command line
}

// sortKey is the same in both, so that the versions decide.
const sortKey = "latchkey"

// Name of its file in the ESP's folder loader/entries, with all tries left.
func (e Entry) Name() string { return fmt.Sprintf("latchkey-%s+%d.conf", e.Slot, Tries) }

// Text of its file.
func (e Entry) Text() []byte {
	return fmt.Appendf(nil, "title Latchkey %s\nsort-key %s\nversion %d\nlinux %s\ninitrd %s\noptions %s\n", e.Slot, sortKey, e.Version, e.Linux, e.Initrd, e.Options)
}

// ParseEntry reads what Text wrote.
func ParseEntry(s Slot, text []byte) (Entry, error) {
	e := Entry{Slot: s}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), " ")
		switch key {
		case "version":
			var err error
			if e.Version, err = strconv.ParseUint(value, 10, 64); err != nil {
				return Entry{}, fmt.Errorf("entry of slot %s: version %q is no number", s, value)
			}
		case "linux":
			e.Linux = value
		case "initrd":
			e.Initrd = value
		case "options":
			e.Options = value
		}
	}
	if err := lines.Err(); err != nil {
		return Entry{}, fmt.Errorf("entry of slot %s: %w", s, err)
	}
	if e.Linux == "" || e.Initrd == "" || e.Options == "" {
		return Entry{}, fmt.Errorf("entry of slot %s: it names no kernel, initial RAM disk or options", s)
	}
	return e, nil
}

// UEFI is a Selector through systemd-boot, which takes a try off an entry's name before it boots it: latchkey-a+3.conf becomes
// latchkey-a+2-1.conf. An entry without tries is booted only when the other has none either.
type UEFI struct {
	Boot string // where the ESP is mounted
}

var entryName = regexp.MustCompile(`^latchkey-([ab])\+([0-9]{1,3})(?:-[0-9]{1,3})?\.conf$`)

// file of an entry.
type file struct {
	name string
	left int
}

// files of a slot, that with the most tries first. There are two of one slot only after a power cut in write.
func (u UEFI) files(s Slot) ([]file, error) {
	list, err := os.ReadDir(filepath.Join(u.Boot, entriesDir))
	if err != nil {
		return nil, err
	}
	var found []file
	for _, e := range list {
		if m := entryName.FindStringSubmatch(e.Name()); m != nil && m[1] == string(s) {
			left, err := strconv.Atoi(m[2])
			if err != nil {
				return nil, err
			}
			found = append(found, file{e.Name(), left})
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s has no entry latchkey-%s+N.conf", entriesDir, s)
	}
	slices.SortFunc(found, func(a, b file) int { return cmp.Compare(b.left, a.left) })
	return found, nil
}

func (u UEFI) entry(s Slot) (Entry, error) {
	files, err := u.files(s)
	if err != nil {
		return Entry{}, err
	}
	var failed []error
	for _, f := range files { // FAT may have torn one of two
		text, err := os.ReadFile(filepath.Join(u.Boot, entriesDir, f.name))
		if err == nil {
			var e Entry
			if e, err = ParseEntry(s, text); err == nil {
				return e, nil
			}
		}
		failed = append(failed, err)
	}
	return Entry{}, errors.Join(failed...)
}

// Left implements Selector.
func (u UEFI) Left(s Slot) (int, error) {
	files, err := u.files(s)
	if err != nil {
		return 0, fmt.Errorf("tries of slot %s: %w", s, err)
	}
	return files[0].left, nil
}

// Good implements Selector.
func (u UEFI) Good(s Slot) error {
	e, err := u.entry(s)
	if err == nil {
		err = u.write(e)
	}
	if err != nil {
		return fmt.Errorf("call slot %s good: %w", s, err)
	}
	return nil
}

// Try implements Selector.
func (u UEFI) Try(s Slot) (string, error) {
	e, err := u.entry(s)
	if err != nil {
		return "", fmt.Errorf("try slot %s: %w", s, err)
	}
	other, err := u.entry(s.Other())
	if err != nil {
		return "", fmt.Errorf("try slot %s: %w", s, err) // there would be no way back
	}
	e.Version = max(e.Version, other.Version+1)
	if err := u.write(e); err != nil {
		return "", fmt.Errorf("try slot %s: %w", s, err)
	}
	return "", nil
}

// write gives the slot's entry all its tries. A power cut leaves the old name, or both, of which either boots the slot.
func (u UEFI) write(e Entry) error {
	dir := filepath.Join(u.Boot, entriesDir)
	old, err := u.files(e.Slot)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(dir, e.Name()))
	if err != nil || !bytes.Equal(text, e.Text()) {
		if err := replace(dir, e.Name(), e.Text()); err != nil {
			return err
		}
	}
	for _, f := range old {
		if f.name == e.Name() {
			continue
		}
		if err := os.Remove(filepath.Join(dir, f.name)); err != nil {
			return err
		}
	}
	return syncDir(dir)
}
