package debs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Arm64 returns the unpacked packages of Debian's 64-bit ARM, fetching them first as Root does its tools. They are for a
// machine that is emulated: nothing of them can run here, and what they depend on is not fetched. A package whose name ends in
// "=>" is one that only names another, such as linux-image-arm64: the first that it depends on is taken in its place.
func Arm64(ctx context.Context, log io.Writer, packages ...string) (Sysroot, error) {
	return set{what: "emulated machine", packages: packages, foreign: "arm64"}.root(ctx, log)
}

// Arm64Backports is Arm64 with the packages that Debian has made anew for its release, newer than those in it.
func Arm64Backports(ctx context.Context, log io.Writer, packages ...string) (Sysroot, error) {
	return set{what: "emulated machine", packages: packages, foreign: "arm64", suite: "backports"}.root(ctx, log)
}

// source has apt know the suite alone, which systems seldom have among their sources, from wherever the system has its release.
func (p set) source(ctx context.Context, tmp string) (conf string, err error) {
	name, err := codename()
	if err != nil {
		return "", err
	}
	places, err := exec.CommandContext(ctx, "apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Release: "+name, "Component: main").Output()
	if err != nil {
		return "", fmt.Errorf("ask where Debian's %s comes from: %w", name, err)
	}
	if len(places) == 0 {
		return "", fmt.Errorf("there is no source of Debian's %s in /etc/apt", name)
	}
	// Somebody else's packages may be among them; what Debian has not signed is not taken.
	var lines []string
	for place := range strings.Lines(string(places)) {
		lines = append(lines, fmt.Sprintf("deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s-%s main\n", strings.TrimSpace(place), name, p.suite))
	}
	slices.Sort(lines)
	list := filepath.Join(tmp, "sources.list")
	return fmt.Sprintf("Dir::Etc::sourcelist %q;\nDir::Etc::sourceparts \"-\";\n", list),
		os.WriteFile(list, []byte(strings.Join(slices.Compact(lines), "")), 0o644)
}

// Path is that of a file or folder of the tree.
func (s Sysroot) Path(elem ...string) string {
	return filepath.Join(append([]string{s.dir}, elem...)...)
}

// architecture is what apt is told of the set's architecture.
func (p set) architecture() string {
	if p.foreign == "" {
		return ""
	}
	return foreignApt(p.foreign)
}

func foreignApt(architecture string) string {
	// What is installed here is another architecture's.
	return fmt.Sprintf("APT::Architecture %q;\n#clear APT::Architectures;\nAPT::Architectures { %q; };\nDir::State::status \"/dev/null\";\n", architecture, architecture)
}

// codename is that of Debian's release on this machine.
func codename() (string, error) {
	release, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return "", err
	}
	_, rest, found := strings.Cut(string(release), "VERSION_CODENAME=")
	if !found {
		return "", errors.New("/etc/os-release names no release of Debian (VERSION_CODENAME)")
	}
	name, _, _ := strings.Cut(rest, "\n")
	return name, nil
}

// fetchForeign downloads the packages alone into dir.
func (p set) fetchForeign(ctx context.Context, conf, dir string, updated error) ([]string, error) {
	var names []string
	for _, name := range p.packages {
		meta, is := strings.CutSuffix(name, "=>")
		if !is {
			names = append(names, name)
			continue
		}
		out, err := exec.CommandContext(ctx, "apt-cache", "-c", conf, "depends", meta).Output()
		if err != nil {
			return nil, fmt.Errorf("ask what %s depends on: %w", meta, errors.Join(err, updated))
		}
		_, rest, found := strings.Cut(string(out), "Depends: ")
		if !found {
			return nil, fmt.Errorf("%s depends on nothing; apt-cache says: %s", meta, tail(out))
		}
		name, _, _ = strings.Cut(rest, "\n")
		names = append(names, strings.TrimSpace(name))
	}
	cmd := exec.CommandContext(ctx, "apt-get", append([]string{"-c", conf, "-q", "download"}, names...)...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("fetch the Debian packages of the %s (is there a network, and are Debian's sources in /etc/apt?): %w", p.what,
			errors.Join(fmt.Errorf("%w: %s", err, tail(out)), updated))
	}
	return filepath.Glob(filepath.Join(dir, "*.deb"))
}
