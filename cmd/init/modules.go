package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// modules are the kernel's, found by the tables that depmod makes of them (modules.alias(5), modules.dep(5), in their text forms).
type modules struct {
	dir string // /usr/lib/modules/VERSION

	aliases map[string][]alias  // by the bus, which is what stands before the colon; with slashes as path.Match needs them
	paths   map[string]string   // of a module, below dir
	needs   map[string][]string // paths, in the order in which they are loaded

	mu     sync.Mutex
	asked  map[string]bool     // for what load was called: devices come in dozens of a kind
	loaded map[string]*loading // by path, from the moment that it is begun

	live   func(name string) bool // it was loaded by somebody else, such as the initial RAM disk's init
	insert func(path string) error
}

type alias struct{ pattern, module string }

// loading is the loading of one file, which is tried once.
type loading struct {
	once sync.Once
	err  error
}

// openModules reads the tables in dir.
func openModules(dir string) (*modules, error) {
	aliases, err := os.ReadFile(filepath.Join(dir, "modules.alias"))
	if err != nil {
		return nil, fmt.Errorf("modules: %w", err)
	}
	deps, err := os.ReadFile(filepath.Join(dir, "modules.dep"))
	if err != nil {
		return nil, fmt.Errorf("modules: %w", err)
	}
	m := &modules{
		dir: dir, aliases: map[string][]alias{}, paths: map[string]string{}, needs: map[string][]string{}, asked: map[string]bool{}, loaded: map[string]*loading{}, live: isLive, insert: loadModule,
	}
	for line := range strings.Lines(string(aliases)) {
		f := strings.Fields(line)
		if len(f) != 3 || f[0] != "alias" {
			continue // a comment
		}
		bus, _, _ := strings.Cut(f[1], ":")
		m.aliases[bus] = append(m.aliases[bus], alias{plain(f[1]), f[2]})
	}
	for line := range strings.Lines(string(deps)) {
		file, needs, is := strings.Cut(line, ":")
		if !is {
			continue
		}
		m.paths[moduleName(file)] = file
		all := strings.Fields(needs)
		for n := len(all) - 1; n >= 0; n-- { // depmod has the deepest last
			m.needs[file] = append(m.needs[file], all[n])
		}
	}
	return m, nil
}

// moduleName is a module's, as the kernel spells it.
func moduleName(file string) string {
	name, _, _ := strings.Cut(path.Base(file), ".")
	return strings.ReplaceAll(name, "-", "_")
}

// find are the files of what a modalias, an alias without a colon, or a module's name asks for.
func (m *modules) find(name string) (files []string) {
	bus, _, _ := strings.Cut(name, ":")
	text := plain(name)
	for _, a := range m.aliases[bus] {
		if is, err := path.Match(a.pattern, text); is && err == nil {
			if f, is := m.paths[moduleName(a.module)]; is {
				files = append(files, f)
			}
		}
	}
	if f, is := m.paths[moduleName(name)]; is && len(files) == 0 {
		files = append(files, f)
	}
	return files
}

// plain has a slash be a character like another, as in fnmatch(3) without flags, which depmod's patterns are for; path.Match has it for folders.
func plain(s string) string { return strings.ReplaceAll(s, "/", "\x01") }

// load loads what name asks for, with what that needs. A name that asks for nothing here is no error: most devices' drivers
// are built in, or not in the image. What cannot be loaded is told once. Several may load at the same time.
func (m *modules) load(name string) error {
	m.mu.Lock()
	before := m.asked[name]
	m.asked[name] = true
	m.mu.Unlock()
	if before {
		return nil
	}
	var failed []error
	for _, file := range m.find(name) {
		_, err := m.loadFile(file)
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// loadFile loads a file and before it what that needs. It returns when they are loaded, whoever did that. err is for the first alone.
func (m *modules) loadFile(file string) (ok bool, err error) {
	m.mu.Lock()
	l := m.loaded[file]
	if l == nil {
		l = &loading{}
		m.loaded[file] = l
	}
	m.mu.Unlock()
	l.once.Do(func() {
		if m.live(moduleName(file)) {
			return
		}
		for _, need := range m.needs[file] {
			if ok, first := m.loadFile(need); !ok {
				l.err, err = fmt.Errorf("load module %s: it needs %s", file, need), first
				return
			}
		}
		l.err = m.insert(filepath.Join(m.dir, file))
		if !errors.Is(l.err, unix.ENODEV) { // what it drives is not here after all
			err = l.err
		}
	})
	return l.err == nil, err
}

// isLive tells whether the kernel runs a module (Documentation/ABI/testing/sysfs-module): to unpack its file is most of the work, and would be
// for nothing.
func isLive(name string) bool {
	state, err := os.ReadFile(filepath.Join("/sys/module", name, "initstate"))
	return err == nil && string(state) == "live\n"
}

// kernelModules are those of the kernel that runs.
func kernelModules() (*modules, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return nil, fmt.Errorf("uname: %w", err)
	}
	return openModules(filepath.Join("/usr/lib/modules", unix.ByteSliceToString(u.Release[:])))
}

// asModprobe answers the kernel when it asks for a module by name, such as a file system's code page: it starts what stands in
// /proc/sys/kernel/modprobe as "PROGRAM -q -- NAME" (kernel/module/kmod.c).
func asModprobe(args []string) (int, bool) {
	if len(args) != 4 || args[1] != "-q" || args[2] != "--" {
		return 0, false
	}
	m, err := kernelModules()
	if err == nil {
		err = m.load(args[3])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "init: as modprobe:", err)
		return 1, true
	}
	return 0, true
}

// beModprobe has the kernel ask this program for modules, such as /data's file system.
func beModprobe() {
	if err := os.WriteFile("/proc/sys/kernel/modprobe", []byte("/sbin/init"), 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
		say("modules that the kernel asks for by name will be missing: %v", err)
	}
}
