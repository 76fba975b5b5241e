package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"latchkey/tools/debs"
	"latchkey/tools/qemu"
)

// packagesOf lays out unpacked packages: files by package and path; a text that begins with -> is a link.
func packagesOf(t *testing.T, files map[string]string) *unpacked {
	t.Helper()
	u := &unpacked{dir: t.TempDir(), used: map[string]bool{}}
	for name, text := range files {
		file := filepath.Join(u.dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		err := error(nil)
		if to, link := strings.CutPrefix(text, "->"); link {
			err = os.Symlink(to, file)
		} else {
			err = os.WriteFile(file, []byte(text), 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
		owner, _, _ := strings.Cut(name, "/")
		if !slices.ContainsFunc(u.packages, func(p debs.Package) bool { return p.Name == owner }) {
			u.packages = append(u.packages, debs.Package{Name: owner, Version: "1"})
		}
	}
	return u
}

// Paths are those of a merged /usr, links bring what they lead to, and only packages of which something is there count as used.
func TestRootHasWhatItsFilesNeed(t *testing.T) {
	t.Parallel()
	u := packagesOf(t, map[string]string{
		"tools/sbin/tool":                    "tool",
		"drivers/usr/lib/drivers/a/Info":     "->/etc/driver_Info",
		"drivers/etc/driver_Info":            "info",
		"drivers/usr/lib/drivers/a/lib.so":   "->lib.so.1",
		"drivers/usr/lib/drivers/a/lib.so.1": "library",
		"drivers/usr/lib/drivers/b/unwanted": "no",
		"other/usr/share/other":              "no",
	})
	r, err := newRoot(u, t.TempDir(), []string{"usr/lib/drivers/b"})
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"usr/sbin/tool", "usr/lib/drivers/..."} {
		if err := r.take(line); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"usr/sbin/tool", "usr/lib/drivers/a/Info", "etc/driver_Info", "usr/lib/drivers/a/lib.so.1"} {
		if _, is := r.tree[name]; !is {
			t.Errorf("/%s is missing", name)
		}
	}
	for name := range r.tree {
		if strings.Contains(name, "unwanted") || strings.Contains(name, "other") {
			t.Errorf("/%s was not asked for", name)
		}
	}
	if !u.used["tools"] || !u.used["drivers"] || u.used["other"] {
		t.Errorf("used packages: %v", u.used)
	}
	dir := t.TempDir()
	if err := r.write(dir); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "sbin/tool")); err != nil || string(b) != "tool" {
		t.Errorf("by its old path: %q, %v", b, err)
	}
	if to, err := os.Readlink(filepath.Join(dir, "etc/resolv.conf")); err != nil || to != "/run/resolv.conf" {
		t.Errorf("resolv.conf leads to %q, %v", to, err)
	}
	if info, err := os.Stat(filepath.Join(dir, "data")); err != nil || info.Mode() != fs.ModeDir|0o755 {
		t.Errorf("/data: %v, %v", info, err)
	}
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	t.Parallel()
	u := packagesOf(t, map[string]string{"p/usr/lib/dangling": "->nowhere", "p/usr/bin/foreign": "\x7fELF" + "\x02\x01\x01" + strings.Repeat("\x00", 9) + "\x02\x00\x3e\x00\x01\x00\x00\x00" + strings.Repeat("\x00", 40)})
	r, err := newRoot(u, t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"usr/bin/absent":       "/usr/bin/absent",
		"usr/share/absent/...": "/usr/share/absent",
		"usr/lib/dangling":     "/usr/lib/nowhere",
		"usr/bin/foreign":      "/usr/bin/foreign",
	} {
		if err := r.take(line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// init reads the tables as kmod does: a module's line has what it needs, the deepest last.
func TestModuleTables(t *testing.T) {
	t.Parallel()
	modules := []qemu.Module{
		{Name: "libphy", Path: "kernel/libphy.ko.xz"},
		{Name: "usbcore", Path: "kernel/usbcore.ko.xz"},
		{Name: "usbnet", Path: "kernel/usbnet.ko.xz", Needs: []string{"usbcore", "libphy"}},
		{Name: "asix", Path: "kernel/asix.ko.xz", Needs: []string{"usbnet", "libphy"}, Aliases: []string{"usb:v0B95p7720d*", "usb:v0B95p772Ad*"}},
	}
	got := moduleTables(modules, func(m qemu.Module) string { return m.Path })
	for _, want := range []string{"kernel/asix.ko.xz: kernel/usbnet.ko.xz kernel/libphy.ko.xz kernel/usbcore.ko.xz\n", "kernel/usbcore.ko.xz:\n"} {
		if !strings.Contains(got["modules.dep"], want) {
			t.Errorf("modules.dep has no line %q:\n%s", want, got["modules.dep"])
		}
	}
	if want := "alias usb:v0B95p772Ad* asix\n"; !strings.Contains(got["modules.alias"], want) {
		t.Errorf("modules.alias has no line %q:\n%s", want, got["modules.alias"])
	}
}
