package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"latchkey/tools/debs"
)

// A lock file pins packages, one a line, by section:
//
//	[common]
//	libc6 2.36-9+deb12u14 bookworm pool/main/g/glibc/libc6_2.36-9+deb12u14_arm64.deb SHA256 BYTES
type lock map[string][]debs.Package

const lockFile = "debian.lock"

// builders are the architectures of machines that make images, as Go and Debian call them.
var builders = []string{"amd64", "arm64"}

// toolsOf is the section with the tools of such a machine.
func toolsOf(architecture string) string { return "tools-" + architecture }

const lockHeader = `# Debian packages of the image: name, version, suite, path in the archive, SHA-256, bytes.
# Made by make image-lock from image.toml; where the archive is, apt knows on the machine that builds.
`

func readLock(dir string) (lock, error) {
	file := filepath.Join(dir, lockFile)
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	l, err := parseLock(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return l, nil
}

func parseLock(text string) (lock, error) {
	l, section := lock{}, ""
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if line[0] == '[' && line[len(line)-1] == ']' {
			section = line[1 : len(line)-1]
			continue
		}
		f := strings.Fields(line)
		if len(f) != 6 || section == "" {
			return nil, fmt.Errorf("line %d is neither [SECTION] nor a package with version, suite, path, SHA-256 and bytes in a section", number)
		}
		p := debs.Package{Name: f[0], Version: f[1], Suite: f[2], Path: f[3], SHA256: f[4]}
		var err error
		if p.Size, err = strconv.ParseInt(f[5], 10, 64); err != nil || p.Size <= 0 || len(p.SHA256) != 64 {
			return nil, fmt.Errorf("line %d: %s has no SHA-256 or no length in bytes", number, p.Name)
		}
		l[section] = append(l[section], p)
	}
	return l, nil
}

func (l lock) String() string {
	var text strings.Builder
	text.WriteString(lockHeader)
	for _, section := range slices.Sorted(maps.Keys(l)) {
		fmt.Fprintf(&text, "\n[%s]\n", section)
		for _, p := range l[section] {
			fmt.Fprintln(&text, p.Name, p.Version, p.Suite, p.Path, p.SHA256, p.Size)
		}
	}
	return text.String()
}

// of are the packages of one board's image.
func (l lock) of(board string, debug, wifi bool) []debs.Package {
	all := slices.Concat(l["common"], l[board])
	if debug {
		all = append(all, l["debug"]...)
	}
	if wifi {
		all = append(all, l[wifiSection]...)
	}
	return all
}

// changes tells what became of each package, a line each.
func (l lock) changes(from lock) (lines []string) {
	versions := func(l lock, section string) map[string]debs.Package {
		m := map[string]debs.Package{}
		for _, p := range l[section] {
			m[p.Name] = p
		}
		return m
	}
	sections := maps.Clone(l)
	maps.Copy(sections, from)
	for _, section := range slices.Sorted(maps.Keys(sections)) {
		before, now := versions(from, section), versions(l, section)
		both := maps.Clone(before)
		maps.Copy(both, now)
		for _, name := range slices.Sorted(maps.Keys(both)) {
			old, was := before[name]
			young, is := now[name]
			switch {
			case !was:
				lines = append(lines, fmt.Sprintf("%s: %s %s (%s) is new", section, name, young.Version, young.Suite))
			case !is:
				lines = append(lines, fmt.Sprintf("%s: %s %s is gone", section, name, old.Version))
			case old.Version != young.Version:
				lines = append(lines, fmt.Sprintf("%s: %s %s -> %s (%s)", section, name, old.Version, young.Version, young.Suite))
			case old.SHA256 != young.SHA256:
				lines = append(lines, fmt.Sprintf("%s: %s %s has other bytes under the same version", section, name, old.Version))
			}
		}
	}
	return lines
}

// renew pins the newest versions.
func renew(ctx context.Context, dir string, out io.Writer) error {
	c, err := readConfig(dir)
	if err != nil {
		return err
	}
	old, err := readLock(dir)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	found, err := debs.Newest(ctx, out, "arm64", c.wanted())
	if err != nil {
		return err
	}
	l := lock{}
	pin := func(section string, part part, found map[string]map[string][]debs.Package) {
		for suite, names := range part.Packages {
			for _, name := range names {
				l[section] = append(l[section], found[suite][name]...)
			}
		}
		slices.SortFunc(l[section], func(a, b debs.Package) int { return strings.Compare(a.Name, b.Name) })
	}
	for section, part := range c.sections() {
		pin(section, part, found)
	}
	for _, architecture := range builders {
		found, err := debs.Newest(ctx, out, architecture, c.Tools.Packages)
		if err != nil {
			return err
		}
		pin(toolsOf(architecture), c.Tools, found)
	}
	lines := l.changes(old)
	for _, line := range lines {
		fmt.Fprintln(out, line)
	}
	if len(lines) == 0 {
		fmt.Fprintln(out, "nothing is newer")
	}
	return os.WriteFile(filepath.Join(dir, lockFile), []byte(l.String()), 0o644)
}

// wanted are the packages of all sections by suite.
func (c config) wanted() map[string][]string {
	all := map[string][]string{}
	for _, part := range c.sections() {
		for suite, names := range part.Packages {
			all[suite] = append(all[suite], names...)
		}
	}
	for suite := range all {
		slices.Sort(all[suite])
		all[suite] = slices.Compact(all[suite])
	}
	return all
}
