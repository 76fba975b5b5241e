package qemu

import (
	"bufio"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Tree is what stands in an initial RAM disk: files by their path in it, without a slash in front.
type Tree map[string]File

// File of a Tree.
type File struct {
	Mode fs.FileMode // permissions
	Data []byte
}

// Add takes a file of this machine, following links.
func (t Tree) Add(name, from string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	t[name] = File{info.Mode().Perm(), b}
	return nil
}

// AddProgram takes a program, and the libraries and the loader that it asks for, from a tree of Debian's packages.
func (t Tree) AddProgram(name, from, packages string) error {
	if err := t.Add(name, from); err != nil {
		return err
	}
	f, err := elf.Open(from)
	if err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	defer f.Close()
	wanted, err := f.ImportedLibraries()
	if err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	if loader := f.Section(".interp"); loader != nil {
		b, err := loader.Data()
		if err != nil {
			return fmt.Errorf("%s: %w", from, err)
		}
		wanted = append(wanted, path.Base(strings.TrimRight(string(b), "\x00")))
	}
	for _, library := range wanted {
		name := "lib/" + library // where the loader looks at last, and where the loader itself is
		if _, is := t[name]; is {
			continue
		}
		found, err := first(packages, "lib/*-linux-gnu/"+library, "usr/lib/*-linux-gnu/"+library)
		if err != nil {
			return fmt.Errorf("%s needs %s: %w", from, library, err)
		}
		if err := t.AddProgram(name, found, packages); err != nil {
			return err
		}
	}
	return nil
}

func first(root string, patterns ...string) (string, error) {
	for _, p := range patterns {
		found, err := filepath.Glob(filepath.Join(root, p))
		if err != nil {
			return "", err
		}
		if len(found) > 0 {
			return found[0], nil
		}
	}
	return "", fmt.Errorf("%s in the unpacked packages: %w", strings.Join(patterns, " or "), fs.ErrNotExist)
}

// KernelImage finds the kernel in a tree of Debian's packages.
func KernelImage(packages string) (string, error) { return first(packages, "boot/vmlinuz-*") }

// Archive writes the tree as the kernel takes it: a cpio archive of the "newc" kind
// (Documentation/driver-api/early-userspace/buffer-format.rst), always the same bytes for the same tree. It has a /dev/console, without which
// the first process has nowhere to complain.
func (t Tree) Archive(w io.Writer) error {
	const (
		directory = 0o040000
		regular   = 0o100000
		device    = 0o020000
	)
	out := bufio.NewWriter(w)
	inode := 0
	entry := func(name string, mode uint32, major, minor int, data []byte) {
		inode++
		fmt.Fprintf(out, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00", inode, mode, 0, 0, 1, 0, len(data), 0, 0, major, minor, len(name)+1, 0, name)
		pad(out, 110+len(name)+1)
		out.Write(data)
		pad(out, len(data))
	}
	folders := map[string]bool{"dev": true}
	for name := range t {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			folders[dir] = true
		}
	}
	for _, dir := range sortedKeys(folders) {
		entry(dir, directory|0o755, 0, 0, nil)
	}
	entry("dev/console", device|0o600, 5, 1, nil)
	for _, name := range sortedKeys(t) {
		entry(name, regular|uint32(t[name].Mode.Perm()), 0, 0, t[name].Data)
	}
	inode = -1
	entry("TRAILER!!!", 0, 0, 0, nil)
	return out.Flush()
}

func pad(w *bufio.Writer, n int) {
	for ; n%4 != 0; n++ {
		w.WriteByte(0)
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// WriteArchive writes the archive into a file.
func (t Tree) WriteArchive(file string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	return errors.Join(t.Archive(f), f.Close())
}
