package flash

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Machine is where the kernel tells about disks: normally /sys, /proc and /dev.
type Machine struct{ Sys, Proc, Dev string }

// This is the machine that we run on.
func This() Machine { return Machine{"/sys", "/proc", "/dev"} }

// Medium is a removable disk.
type Medium struct {
	Name  string // of the kernel, such as sdb
	Path  string // of its device
	Model string // may be empty
	Size  int64  // bytes; 0 is a reader with nothing in it
	Parts []Part
	// Unfit says why it is not to be written; empty if it may be.
	Unfit string

	number   string // major:minor
	sequence string // the kernel's count of disks that ever came; another stick in the same place has another
}

// Part is a partition that is on a medium, or what stands on the medium itself if it has none.
type Part struct {
	Name  string // in the partition table, or of the kernel if it has none there
	Size  int64
	Holds string // file system and label, as far as they are known
}

// UnfitError says why a medium is not written.
type UnfitError struct{ Medium, Reason string }

func (e *UnfitError) Error() string { return e.Medium + ": " + e.Reason }

// Media lists the removable media, those that are unfit among them, sorted by name. Disks that are built in are not told of.
func (m Machine) Media() (list []Medium, err error) {
	names, err := os.ReadDir(filepath.Join(m.Sys, "block"))
	if err != nil {
		return nil, fmt.Errorf("list media: %w", err)
	}
	used, err := m.used()
	if err != nil {
		return nil, fmt.Errorf("list media: %w", err)
	}
	for _, n := range names {
		if !m.removable(n.Name()) {
			continue
		}
		medium, err := m.read(n.Name(), used)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
			continue // pulled out meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("list media: %w", err)
		}
		list = append(list, medium)
	}
	slices.SortFunc(list, func(a, b Medium) int {
		if n := len(a.Name) - len(b.Name); n != 0 { // sdz, sdaa
			return n
		}
		return strings.Compare(a.Name, b.Name)
	})
	return list, nil
}

// Medium finds one by its name or its device's path, which may be a link to it. What is not fit to be written gives an *UnfitError.
func (m Machine) Medium(given string) (Medium, error) {
	name := given
	if strings.Contains(given, "/") {
		path, err := filepath.EvalSymlinks(given)
		if err != nil {
			return Medium{}, &UnfitError{given, "there is no such medium; flash list shows those that there are"}
		}
		dev, err := filepath.EvalSymlinks(m.Dev)
		if err != nil {
			return Medium{}, fmt.Errorf("find medium: %w", err)
		}
		if name = filepath.Base(path); filepath.Dir(path) != dev {
			return Medium{}, &UnfitError{given, "it is no disk; an image is written into a file with --to-file"}
		}
	}
	unfit := func(reason string) (Medium, error) { return Medium{}, &UnfitError{given, reason} }
	if _, err := os.Stat(filepath.Join(m.Sys, "block", name)); err != nil || name == "" || name[0] == '.' {
		if disks, _ := filepath.Glob(filepath.Join(m.Sys, "block", "*", name, "partition")); len(disks) == 1 {
			return unfit("it is a partition; give the whole medium, " + filepath.Base(filepath.Dir(filepath.Dir(disks[0]))))
		}
		return unfit("there is no such medium; flash list shows those that there are")
	}
	used, err := m.used()
	if err != nil {
		return Medium{}, fmt.Errorf("find medium: %w", err)
	}
	medium, err := m.read(name, used)
	if err != nil {
		return unfit("it was pulled out")
	}
	switch {
	case !m.removable(name) && medium.Unfit != system: // whatever else is done about it
		return unfit("it is built in, and only removable media are written")
	case medium.Unfit != "":
		return unfit(medium.Unfit)
	}
	return medium, nil
}

// removable tells whether a disk can be taken out by hand: media that say so, all that is on USB, and SD cards. An eMMC cannot.
func (m Machine) removable(name string) bool {
	if strings.HasPrefix(name, "sr") || strings.HasPrefix(name, "fd") {
		return false
	}
	where, err := filepath.EvalSymlinks(filepath.Join(m.Sys, "block", name))
	if err != nil || strings.Contains(where, "/devices/virtual/") {
		return false
	}
	return m.text(name, "removable") == "1" || strings.Contains(where, "/usb") ||
		strings.HasPrefix(name, "mmcblk") && m.text(name, "device/type") == "SD"
}

// text is what a file of a disk in sysfs says; what is not there is empty.
func (m Machine) text(name, file string) string {
	b, err := os.ReadFile(filepath.Join(m.Sys, "block", name, file))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// there tells whether a medium is still where it was found.
func (m Machine) there(medium Medium) bool {
	return m.text(medium.Name, "dev") == medium.number && m.text(medium.Name, "diskseq") == medium.sequence
}

func (m Machine) read(name string, used usage) (Medium, error) {
	medium := Medium{Name: name, Path: filepath.Join(m.Dev, name)}
	for file, to := range map[string]*string{"dev": &medium.number, "diskseq": &medium.sequence} {
		b, err := os.ReadFile(filepath.Join(m.Sys, "block", name, file))
		if err != nil && (file == "dev" || !errors.Is(err, fs.ErrNotExist)) { // Linux before 5.15 does not count
			return medium, err
		}
		*to = strings.TrimSpace(string(b))
	}
	// A card says its name, a disk its maker and model.
	medium.Model = strings.Join(strings.Fields(printable(m.text(name, "device/vendor")+" "+m.text(name, "device/model")+" "+m.text(name, "device/name"))), " ")
	medium.Size = m.sectors(name, "size")
	entries, err := os.ReadDir(filepath.Join(m.Sys, "block", name))
	if err != nil {
		return medium, err
	}
	medium.Unfit = used.why(name, medium.number, m.holders(name, ""))
	type numbered struct {
		Part
		number int
	}
	var parts []numbered
	for _, e := range entries {
		number, err := strconv.Atoi(m.text(name, e.Name()+"/partition"))
		if err != nil {
			continue
		}
		p := Part{Name: e.Name(), Size: m.sectors(name, e.Name()+"/size"), Holds: holds(filepath.Join(m.Dev, e.Name()))}
		for line := range strings.Lines(m.text(name, e.Name()+"/uevent")) {
			if label, is := strings.CutPrefix(strings.TrimSpace(line), "PARTNAME="); is {
				p.Name = printable(label)
			}
		}
		parts = append(parts, numbered{p, number})
		if medium.Unfit == "" {
			medium.Unfit = used.why(e.Name(), m.text(name, e.Name()+"/dev"), m.holders(name, e.Name()))
		}
	}
	slices.SortFunc(parts, func(a, b numbered) int { return a.number - b.number })
	for _, p := range parts {
		medium.Parts = append(medium.Parts, p.Part)
	}
	if len(parts) == 0 {
		if on := holds(medium.Path); on != "" {
			medium.Parts = []Part{{Name: "whole", Size: medium.Size, Holds: on}}
		}
	}
	switch block := m.text(name, "queue/logical_block_size"); {
	case medium.Unfit != "":
	case medium.Size == 0:
		medium.Unfit = "there is no medium in this reader"
	case m.text(name, "ro") == "1":
		medium.Unfit = "it is write-protected: an SD card has a slide for it on its edge"
	case block != "" && block != "512":
		medium.Unfit = "it has sectors of " + block + " bytes, and images are made for 512: take another"
	}
	return medium, nil
}

// sectors reads a size; sysfs counts in 512 bytes, whatever the disk does.
func (m Machine) sectors(name, file string) int64 {
	n, err := strconv.ParseInt(m.text(name, file), 10, 64)
	if err != nil || n < 0 || n > 1<<53 {
		return 0
	}
	return n * 512
}

// holders are the disks of md and dm that use one.
func (m Machine) holders(name, part string) (list []string) {
	entries, _ := os.ReadDir(filepath.Join(m.Sys, "block", name, part, "holders"))
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

// usage is what the system uses: by a device's number and by its name, and how.
type usage map[string]string

const system = "it holds the running system"

// used reads what is mounted, swapped to, and behind a loop device. File systems on several disks have a number of their own, so their source counts as well;
// and since one names only one of its disks, the medium is opened for ourselves alone in the end.
func (m Machine) used() (usage, error) {
	u := usage{}
	mounts, err := os.ReadFile(filepath.Join(m.Proc, "self/mountinfo"))
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(mounts)) { // of any length: one that is not read could be the system's
		f := strings.Fields(line) // proc_pid_mountinfo(5)
		dash := slices.Index(f, "-")
		if len(f) < 6 || dash < 0 || dash+2 >= len(f) {
			continue
		}
		says := system
		if at := unescape(f[4]); at != "/" {
			says = "it is mounted at " + at + ": unmount it first"
		}
		u.add(f[2], says)
		if strings.HasPrefix(f[dash+2], "/") {
			u.add(m.base(unescape(f[dash+2])), says)
		}
	}
	swaps, err := os.ReadFile(filepath.Join(m.Proc, "swaps"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // a kernel without swap
		return nil, err
	}
	for line := range strings.Lines(string(swaps)) {
		if f := strings.Fields(line); len(f) > 0 && strings.HasPrefix(f[0], "/") {
			u.add(m.base(unescape(f[0])), "the running system swaps to it")
		}
	}
	// A loop device holds what is behind it open like anybody: opening it for ourselves alone would not tell.
	loops, _ := filepath.Glob(filepath.Join(m.Sys, "block", "loop*", "loop", "backing_file"))
	for _, file := range loops {
		loop := filepath.Base(filepath.Dir(filepath.Dir(file)))
		if behind := m.text(loop, "loop/backing_file"); filepath.Dir(behind) == m.Dev {
			u.add(filepath.Base(behind), "it is in use as a part of "+loop)
		}
	}
	return u, nil
}

func (u usage) add(key, says string) {
	if u[key] != system {
		u[key] = says
	}
}

// base is a device's name, of links such as /dev/disk/by-uuid/… what they lead to.
func (m Machine) base(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	return filepath.Base(path)
}

func (u usage) why(name, number string, holders []string) string {
	for _, key := range []string{number, name} {
		if says := u[key]; says != "" && key != "" {
			return says
		}
	}
	if len(holders) > 0 {
		return "it is in use as a part of " + strings.Join(holders, ", ")
	}
	return ""
}

// unescape undoes mountinfo's \040 and the like.
func unescape(s string) string {
	for _, c := range []struct{ code, is string }{{`\040`, " "}, {`\011`, "\t"}, {`\012`, "\n"}, {`\134`, `\`}} {
		s = strings.ReplaceAll(s, c.code, c.is)
	}
	return printable(s)
}
