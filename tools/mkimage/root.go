package main

import (
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"latchkey/tools/qemu"
)

// node is a file, link or empty folder of the root.
type node struct {
	mode fs.FileMode // permissions, and fs.ModeSymlink or fs.ModeDir
	data []byte      // of a link, where it leads
}

// tree is a root by path, without a slash in front. Folders above what is in it need not be.
type tree map[string]node

// root puts together what is checked by dm-verity.
type root struct {
	tree
	*unpacked
	without []string
}

// Folders that are mounted upon, and links that make old paths and new ones the same.
var (
	folders = []string{"dev", "proc", "sys", "run", "tmp", "data", "boot", "var"}
	links   = map[string]string{
		"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib",
		"var/run": "/run", "etc/resolv.conf": "/run/resolv.conf", "etc/mtab": "/proc/self/mounts",
	}
)

// newRoot is what no package has: places, links and our own files.
func newRoot(u *unpacked, own string, without []string) (*root, error) {
	r := &root{tree{}, u, without}
	for _, name := range folders {
		r.tree[name] = node{mode: fs.ModeDir | 0o755}
	}
	for name, to := range links {
		r.tree[name] = node{fs.ModeSymlink | 0o777, []byte(to)}
	}
	return r, filepath.WalkDir(own, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(own, file)
		if err != nil {
			return err
		}
		return r.add(name, file)
	})
}

// add takes a file of this machine, with its permissions but for who may write.
func (r *root) add(name, file string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	mode := fs.FileMode(0o644)
	if info.Mode()&0o100 != 0 {
		mode = 0o755
	}
	r.tree[name] = node{mode, b}
	return r.linked(name, b)
}

// take takes what a line of the configuration names.
func (r *root) take(line string) error {
	dir, all := strings.CutSuffix(line, "/...")
	if !all {
		return r.takeFile(line)
	}
	names, err := r.below(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if slices.ContainsFunc(r.without, func(w string) bool { return name == w || strings.HasPrefix(name, w+"/") }) {
			continue
		}
		if err := r.takeFile(name); err != nil {
			return err
		}
	}
	return nil
}

// takeFile takes a file of a package, what it leads to if it is a link, and what it is linked with if it is a program.
func (r *root) takeFile(name string) error {
	name = merged(path.Clean(name))
	if _, is := r.tree[name]; is {
		return nil
	}
	file, owner, err := r.find(name)
	if err != nil {
		return err
	}
	r.used[owner] = true
	info, err := os.Lstat(file)
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink == 0 {
		return r.add(name, file)
	}
	to, err := os.Readlink(file)
	if err != nil {
		return err
	}
	r.tree[name] = node{fs.ModeSymlink | 0o777, []byte(to)}
	target := strings.TrimPrefix(to, "/")
	if target == to {
		target = path.Join(path.Dir(name), to)
	}
	if err := r.takeFile(target); err != nil {
		return fmt.Errorf("/%s leads there: %w", name, err)
	}
	return nil
}

const libraries = "usr/lib/aarch64-linux-gnu/"

// linked takes the libraries and the loader that a program or library asks for.
func (r *root) linked(name string, data []byte) error {
	wanted, err := needed(data)
	if err != nil {
		return fmt.Errorf("/%s: %w", name, err)
	}
	for _, w := range wanted {
		if !strings.Contains(w, "/") {
			w = libraries + w
		}
		if err := r.takeFile(strings.TrimPrefix(w, "/")); err != nil {
			return fmt.Errorf("/%s is linked with it: %w", name, err)
		}
	}
	return nil
}

// needed are the names of libraries, and the path of a loader, that a program asks for. What is no program asks for nothing.
func needed(data []byte) ([]string, error) {
	if !strings.HasPrefix(string(data), elf.ELFMAG) {
		return nil, nil
	}
	f, err := elf.NewFile(strings.NewReader(string(data)))
	if err != nil {
		return nil, err
	}
	if f.Machine != elf.EM_AARCH64 {
		return nil, errors.New("it is a program for another architecture than 64-bit ARM")
	}
	wanted, err := f.ImportedLibraries()
	if err != nil {
		return nil, err
	}
	if loader := f.Section(".interp"); loader != nil {
		b, err := loader.Data()
		if err != nil {
			return nil, err
		}
		wanted = append(wanted, strings.TrimRight(string(b), "\x00"))
	}
	return wanted, nil
}

// addModules takes modules, as they are in Debian's packages, which the kernel can load as they are.
func (r *root) addModules(version string, modules []qemu.Module) {
	dir := path.Join("usr/lib/modules", version)
	for _, m := range modules {
		r.tree[path.Join(dir, m.Path)] = node{0o644, m.Packed}
	}
	for name, text := range moduleTables(modules, func(m qemu.Module) string { return m.Path }) {
		r.tree[path.Join(dir, name)] = node{0o644, []byte(text)}
	}
}

// moduleTables are modules.dep and modules.alias, by which modules are found, as depmod writes them (their manual pages, section 5).
func moduleTables(modules []qemu.Module, at func(qemu.Module) string) map[string]string {
	byName := map[string]qemu.Module{}
	for _, m := range modules {
		byName[m.Name] = m
	}
	var deps, aliases strings.Builder
	aliases.WriteString("# Aliases extracted from modules themselves.\n")
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		m := byName[name]
		fmt.Fprintf(&deps, "%s:", at(m))
		for _, n := range order(byName, m) {
			fmt.Fprintf(&deps, " %s", at(byName[n]))
		}
		deps.WriteByte('\n')
		for _, a := range m.Aliases {
			fmt.Fprintf(&aliases, "alias %s %s\n", a, m.Name)
		}
	}
	return map[string]string{"modules.dep": deps.String(), "modules.alias": aliases.String()}
}

// order are the modules that one needs, the one that is to be loaded first last.
func order(byName map[string]qemu.Module, m qemu.Module) (names []string) {
	var add func(qemu.Module)
	add = func(m qemu.Module) {
		for _, n := range m.Needs {
			if needed, is := byName[n]; is && !slices.Contains(names, n) {
				add(needed)
				names = append(names, n)
			}
		}
	}
	add(m)
	slices.Reverse(names)
	return names
}

// write lays the tree out in a folder.
func (t tree) write(dir string) error {
	for _, name := range slices.Sorted(maps.Keys(t)) {
		n, file := t[name], filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		var err error
		switch {
		case n.mode.IsDir():
			err = os.MkdirAll(file, 0o755)
		case n.mode&fs.ModeSymlink != 0:
			err = os.Symlink(string(n.data), file)
		default:
			err = os.WriteFile(file, n.data, n.mode.Perm())
		}
		if err != nil {
			return err
		}
	}
	return nil
}
