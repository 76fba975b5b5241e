package main

import (
	"slices"
	"strings"
	"testing"

	"latchkey/tools/debs"
)

const sum = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// What was written is what is read.
func TestLockFile(t *testing.T) {
	t.Parallel()
	l := lock{
		"common": {{Name: "libc6", Version: "2.36-9+deb12u14", Suite: "bookworm", Path: "pool/main/g/glibc/libc6_2.36-9+deb12u14_arm64.deb", SHA256: sum, Size: 2}},
		"debug":  {{Name: "busybox-static", Version: "1:1.35.0-4", Suite: "bookworm", Path: "pool/b.deb", SHA256: sum, Size: 1}},
		"wifi":   {{Name: "wpasupplicant", Version: "2:2.10-12", Suite: "bookworm", Path: "pool/w.deb", SHA256: sum, Size: 1}},
	}
	again, err := parseLock(l.String())
	if err != nil {
		t.Fatal(err)
	}
	if changes := again.changes(l); len(changes) > 0 {
		t.Error("reading back what was written changed it:", changes)
	}
	if got := again.of("pi4", false, false); len(got) != 1 || got[0] != l["common"][0] {
		t.Errorf("a board without packages of its own has %v", got)
	}
	if got := again.of("pi4", true, false); len(got) != 2 {
		t.Errorf("its debug image has %v", got)
	}
	if got := again.of("pi4", false, true); len(got) != 2 || got[1] != l["wifi"][0] {
		t.Errorf("its image with Wi-Fi has %v", got)
	}
}

func TestLockFileThatIsBad(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"no section":   "libc6 1 bookworm pool/l.deb " + sum + " 2\n",
		"a short hash": "[common]\nlibc6 1 bookworm pool/l.deb 0123 2\n",
		"no length":    "[common]\nlibc6 1 bookworm pool/l.deb " + sum + " x\n",
		"a field less": "[common]\nlibc6 1 bookworm pool/l.deb " + sum + "\n",
	} {
		if _, err := parseLock(text); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestChangesAreTold(t *testing.T) {
	t.Parallel()
	of := func(name, version, sum string) debs.Package {
		return debs.Package{Name: name, Version: version, SHA256: sum, Suite: "bookworm"}
	}
	before := lock{"common": {of("libc6", "1", "a"), of("pcscd", "1", "a"), of("tzdata", "1", "a"), of("same", "1", "a")}}
	now := lock{"common": {of("libc6", "2", "b"), of("libccid", "1", "a"), of("tzdata", "1", "b"), of("same", "1", "a")}}
	want := []string{
		"common: libc6 1 -> 2 (bookworm)",
		"common: libccid 1 (bookworm) is new",
		"common: pcscd 1 is gone",
		"common: tzdata 1 has other bytes under the same version",
	}
	if got := now.changes(before); !slices.Equal(got, want) {
		t.Errorf("told:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// The files that are there fit together: all that the configuration wants is pinned, for every board.
func TestConfigurationAndLockFileAgree(t *testing.T) {
	t.Parallel()
	const dir = "../../image"
	c, err := readConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	l, err := readLock(dir)
	if err != nil {
		t.Fatal(err)
	}
	sections := c.sections()
	for _, architecture := range builders {
		sections[toolsOf(architecture)] = c.Tools
	}
	for section, part := range sections {
		for _, names := range part.Packages {
			for _, name := range names {
				if !slices.ContainsFunc(l[section], func(p debs.Package) bool { return p.Name == name }) {
					t.Errorf("%s: %s is wanted and not in the lock file: make image-lock", section, name)
				}
			}
		}
	}
}
