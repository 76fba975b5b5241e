package qemu

import (
	"bufio"
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
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

// AddModules takes modules of the kernel in a tree of Debian's packages, by name, and those that they need, and lists them in /modules in the
// order in which they are to be loaded. Those that the kernel has built in need nothing.
func (t Tree) AddModules(packages string, names ...string) error {
	root, err := first(packages, "lib/modules/*", "usr/lib/modules/*")
	if err != nil {
		return err
	}
	builtin, err := os.ReadFile(filepath.Join(root, "modules.builtin"))
	if err != nil {
		return err
	}
	files := map[string]string{}
	for line := range strings.Lines(string(builtin)) {
		files[moduleName(strings.TrimSpace(line))] = ""
	}
	err = filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err == nil && (strings.HasSuffix(file, ".ko") || strings.HasSuffix(file, ".ko.xz")) {
			files[moduleName(file)] = file
		}
		return err
	})
	if err != nil {
		return err
	}
	var list []string
	var add func(string) error
	add = func(name string) error {
		file, is := files[name]
		if !is {
			return fmt.Errorf("the kernel has no module %s", name)
		}
		in := "modules.d/" + name + ".ko"
		if _, is := t[in]; is || file == "" {
			return nil
		}
		b, err := readModule(file)
		if err != nil {
			return err
		}
		t[in] = File{0o644, b}
		needs, err := moduleNeeds(b)
		if err != nil {
			return fmt.Errorf("module %s: %w", name, err)
		}
		for _, n := range needs {
			if err := add(n); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		list = append(list, "/"+in)
		return nil
	}
	for _, name := range names {
		if err := add(moduleName(name)); err != nil {
			return err
		}
	}
	t["modules"] = File{0o644, []byte(strings.Join(list, "\n") + "\n")}
	return nil
}

// moduleName: the kernel takes - and _ for the same.
func moduleName(file string) string {
	return strings.ReplaceAll(strings.TrimSuffix(strings.TrimSuffix(path.Base(file), ".xz"), ".ko"), "-", "_")
}

// readModule reads a module as the guest loads it: not compressed, as Debian's newer kernels have them.
func readModule(file string) ([]byte, error) {
	if !strings.HasSuffix(file, ".xz") {
		return os.ReadFile(file)
	}
	b, err := exec.Command("xz", "-dc", file).Output()
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w", file, err)
	}
	return b, nil
}

// moduleNeeds are the modules that one names in its section .modinfo; Debian's package has no modules.dep, which depmod makes.
func moduleNeeds(module []byte) ([]string, error) {
	f, err := elf.NewFile(bytes.NewReader(module))
	if err != nil {
		return nil, err
	}
	section := f.Section(".modinfo")
	if section == nil {
		return nil, errors.New("it has no section .modinfo")
	}
	b, err := section.Data()
	if err != nil {
		return nil, err
	}
	for entry := range strings.SplitSeq(string(b), "\x00") {
		if needs, is := strings.CutPrefix(entry, "depends="); is && needs != "" {
			names := strings.Split(needs, ",")
			for i := range names {
				names[i] = moduleName(names[i])
			}
			return names, nil
		}
	}
	return nil, nil
}

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
