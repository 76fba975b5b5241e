package qemu

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Modules are those of a kernel in a tree of Debian's packages.
type Modules struct {
	Version string // of the kernel, as uname(2) has it

	root  string            // folder
	files map[string]string // by name; "" is built into the kernel
}

// Module is one that can be loaded.
type Module struct {
	Name    string   // as the kernel spells it
	Path    string   // below the folder of the kernel's version, ending in .ko, or in .ko.xz as it is in Debian's package
	Needs   []string // names, those alone that it asks for itself
	Aliases []string // patterns of the devices that it drives, and of other things that it answers to
	Data    []byte   // not compressed
	Packed  []byte   // as it is in Debian's package
}

// OpenModules finds the modules of the kernel in a tree of Debian's packages.
func OpenModules(packages string) (*Modules, error) {
	root, err := first(packages, "lib/modules/*", "usr/lib/modules/*")
	if err != nil {
		return nil, err
	}
	m := &Modules{filepath.Base(root), root, map[string]string{}}
	builtin, err := os.ReadFile(filepath.Join(root, "modules.builtin"))
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(builtin)) {
		m.files[moduleName(strings.TrimSpace(line))] = ""
	}
	err = filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err == nil && (strings.HasSuffix(file, ".ko") || strings.HasSuffix(file, ".ko.xz")) {
			m.files[moduleName(file)] = file
		}
		return err
	})
	return m, err
}

// Names are those that a pattern stands for: a module's name, or paths below the folder of the kernel's version without .ko, such as
// "kernel/drivers/net/usb/*" (path.Match). A name that is built in is one, too.
func (m *Modules) Names(pattern string) (names []string, err error) {
	if !strings.Contains(pattern, "/") {
		name := moduleName(pattern)
		if _, is := m.files[name]; !is {
			return nil, fmt.Errorf("the kernel %s has no module %s", m.Version, name)
		}
		return []string{name}, nil
	}
	for name, file := range m.files {
		if file == "" {
			continue
		}
		is, err := path.Match(pattern, strings.TrimSuffix(strings.TrimSuffix(strings.TrimPrefix(file, m.root+"/"), ".xz"), ".ko"))
		if err != nil {
			return nil, fmt.Errorf("pattern %s: %w", pattern, err)
		}
		if is {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("the kernel %s has no module %s", m.Version, pattern)
	}
	slices.Sort(names)
	return names, nil
}

// Select reads modules and those that they need, in the order in which they are to be loaded. Those that the kernel has built in need nothing.
func (m *Modules) Select(names ...string) (list []Module, err error) {
	seen := map[string]bool{}
	var add func(string) error
	add = func(name string) error {
		file, is := m.files[name]
		if !is {
			return fmt.Errorf("the kernel %s has no module %s", m.Version, name)
		}
		if seen[name] || file == "" {
			return nil
		}
		seen[name] = true
		module := Module{Name: name, Path: strings.TrimPrefix(file, m.root+"/")}
		if module.Packed, module.Data, err = readModule(file); err != nil {
			return err
		}
		info, err := moduleInfo(module.Data)
		if err != nil {
			return fmt.Errorf("module %s: %w", name, err)
		}
		module.Needs, module.Aliases = info.needs, info.aliases
		for _, n := range module.Needs {
			if err := add(n); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		list = append(list, module)
		return nil
	}
	for _, name := range names {
		if err := add(moduleName(name)); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// AddModules takes modules of the kernel in a tree of Debian's packages, by name, and those that they need, and lists them in /modules in the
// order in which they are to be loaded.
func (t Tree) AddModules(packages string, names ...string) error {
	modules, err := OpenModules(packages)
	if err != nil {
		return err
	}
	selected, err := modules.Select(names...)
	if err != nil {
		return err
	}
	var list strings.Builder
	for _, m := range selected {
		name := "modules.d/" + m.Name + ".ko"
		t[name] = File{0o644, m.Data}
		fmt.Fprintln(&list, "/"+name)
	}
	t["modules"] = File{0o644, []byte(list.String())}
	return nil
}

// moduleName: the kernel takes - and _ for the same.
func moduleName(file string) string {
	return strings.ReplaceAll(strings.TrimSuffix(strings.TrimSuffix(path.Base(file), ".xz"), ".ko"), "-", "_")
}

// readModule reads a module, and unpacks it if it is compressed, as those of Debian's newer kernels are.
func readModule(file string) (packed, data []byte, err error) {
	if packed, err = os.ReadFile(file); err != nil || !strings.HasSuffix(file, ".xz") {
		return packed, packed, err
	}
	cmd := exec.Command("xz", "-dc")
	cmd.Stdin = bytes.NewReader(packed)
	if data, err = cmd.Output(); err != nil {
		return nil, nil, fmt.Errorf("unpack %s: %w", file, err)
	}
	return packed, data, nil
}

type info struct{ needs, aliases []string }

// moduleInfo reads a module's section .modinfo; Debian's package has no modules.dep or modules.alias, which depmod makes.
func moduleInfo(module []byte) (i info, err error) {
	f, err := elf.NewFile(bytes.NewReader(module))
	if err != nil {
		return i, err
	}
	section := f.Section(".modinfo")
	if section == nil {
		return i, errors.New("it has no section .modinfo")
	}
	b, err := section.Data()
	if err != nil {
		return i, err
	}
	for entry := range strings.SplitSeq(string(b), "\x00") {
		if needs, is := strings.CutPrefix(entry, "depends="); is && needs != "" {
			for name := range strings.SplitSeq(needs, ",") {
				i.needs = append(i.needs, moduleName(name))
			}
		}
		if alias, is := strings.CutPrefix(entry, "alias="); is {
			i.aliases = append(i.aliases, alias)
		}
	}
	return i, nil
}
