package disk

import (
	"bufio"
	"bytes"
	"cmp"
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

// Disk is one that the kernel knows, with the partitions of which the table has names.
type Disk struct {
	Name string // such as mmcblk0

	where      string            // its place among the devices: which bus it is on
	partitions map[string]string // the kernel's names, by the table's
}

// Device is the disk's file.
func (d *Disk) Device() string { return "/dev/" + d.Name }

// Partition is the file of the partition of a name, or "" when the disk has none.
func (d *Disk) Partition(name string) string {
	if p, is := d.partitions[name]; is {
		return "/dev/" + p
	}
	return ""
}

// List returns the disks that have partitions of all these names, as sysfs, mounted at sys, shows them.
func List(sys string, names ...string) ([]*Disk, error) {
	entries, err := os.ReadDir(filepath.Join(sys, "class/block"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // no disk has come yet
	}
	if err != nil {
		return nil, fmt.Errorf("list disks: %w", err)
	}
	found := map[string]*Disk{}
	for _, e := range entries {
		name, err := partitionName(filepath.Join(sys, "class/block", e.Name(), "uevent"))
		if err != nil && !gone(err) {
			return nil, fmt.Errorf("list disks: %w", err)
		}
		if name == "" {
			continue
		}
		place, err := filepath.EvalSymlinks(filepath.Join(sys, "class/block", e.Name()))
		if gone(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list disks: %w", err)
		}
		where := filepath.Dir(place)
		d := found[where]
		if d == nil {
			d = &Disk{Name: filepath.Base(where), where: where, partitions: map[string]string{}}
			found[where] = d
		}
		if _, twice := d.partitions[name]; !twice { // the first, as the kernel's own root=PARTLABEL takes it
			d.partitions[name] = e.Name()
		}
	}
	var list []*Disk
	for _, d := range found {
		if !slices.ContainsFunc(names, func(n string) bool { return d.partitions[n] == "" }) {
			list = append(list, d)
		}
	}
	slices.SortFunc(list, func(a, b *Disk) int { return cmp.Compare(a.Name, b.Name) })
	return list, nil
}

// gone: a stick may be pulled out while it is looked at.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV)
}

// partitionName is the table's name of a partition, or "" for what is none.
func partitionName(uevent string) (string, error) {
	b, err := os.ReadFile(uevent)
	if err != nil {
		return "", err
	}
	lines := bufio.NewScanner(bytes.NewReader(b))
	for lines.Scan() {
		if name, is := strings.CutPrefix(lines.Text(), "PARTNAME="); is {
			return name, nil
		}
	}
	return "", lines.Err()
}

// Number is the partition's number in the table, or 0 when the disk has none of that name.
func (d *Disk) Number(name string) int {
	digits := strings.TrimPrefix(strings.TrimPrefix(d.partitions[name], d.Name), "p")
	n, err := strconv.Atoi(digits)
	if err != nil {
		return 0
	}
	return n
}
