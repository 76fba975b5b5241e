// Package debs fetches the programs that the development tools drive (pcscd, vpcd, OpenSC, yubico-piv-tool, scdaemon, SoftHSM;
// PostgreSQL) as Debian packages and unpacks them into a cache, without root and without touching the system: apt works on lists and archives
// of its own, nothing is installed, no maintainer script runs.
//
// Libraries that the system has already are used from there; only the missing ones are fetched. apt checks signatures
// and hashes as always. The package is for development: production code never imports it, and the appliance's image is
// made elsewhere.
package debs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// set is what one of the tools drives; each has a tree of its own.
type set struct {
	what     string
	packages []string // what they depend on is apt's answer, not ours
	programs []string // must find all their libraries, else the unpacked tree is of no use
	foreign  string   // Debian's name of an architecture that is not this machine's; then the packages alone are fetched
	suite    string   // of Debian, such as "backports", beside the release; "" is the release as this machine has it
}

var smartcards = set{
	what:     "smartcard tools",
	packages: []string{"libpcsclite1", "libsofthsm2", "opensc", "opensc-pkcs11", "pcscd", "scdaemon", "vsmartcard-vpcd", "yubico-piv-tool"},
	programs: []string{"pcscd", "opensc-tool", "openpgp-tool", "pkcs11-tool", "pkcs15-tool", "scdaemon", "yubico-piv-tool"},
}

// The server's package is named for its version, of which a release of Debian has one: apt takes the expression.
var postgresql = set{what: "PostgreSQL server", packages: []string{"^postgresql-[0-9]+$"}, programs: []string{"postgres", "initdb"}}

var softwareTPM = set{what: "software TPM", packages: []string{"swtpm", "swtpm-libs"}, programs: []string{"swtpm"}}

// Root returns the unpacked smartcard tools, fetching them first if the cache does not hold them. It is safe in several
// processes at once: one fetches, the others wait. What takes long is said on log.
//
// The cache is the folder debs in $LATCHKEY_CACHE, by default .cache at the repository's root, or the user's cache
// folder where there is no repository.
func Root(ctx context.Context, log io.Writer) (Sysroot, error) { return smartcards.root(ctx, log) }

// PostgreSQL returns the unpacked PostgreSQL server, as Root does its tools.
func PostgreSQL(ctx context.Context, log io.Writer) (Sysroot, error) {
	return postgresql.root(ctx, log)
}

// SoftwareTPM returns the unpacked swtpm, as Root does its tools.
func SoftwareTPM(ctx context.Context, log io.Writer) (Sysroot, error) {
	return softwareTPM.root(ctx, log)
}

func (p set) root(ctx context.Context, log io.Writer) (Sysroot, error) {
	cache, err := cacheDir()
	if err != nil {
		return Sysroot{}, fmt.Errorf("debs: find a cache folder: %w", err)
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return Sysroot{}, fmt.Errorf("debs: make the cache folder (set LATCHKEY_CACHE to a folder you can write): %w", err)
	}
	unlock, err := lock(ctx, filepath.Join(cache, "lock"))
	if err != nil {
		return Sysroot{}, fmt.Errorf("debs: lock the cache (set LATCHKEY_CACHE to a folder you can write): %w", err)
	}
	defer unlock()

	root := Sysroot{filepath.Join(cache, p.key())}
	if _, err := os.Stat(root.dir); err == nil && root.check(ctx, p.programs) == nil {
		return root, nil
	}
	// A library that the system had when this was unpacked can be gone: begin again.
	if err := os.RemoveAll(root.dir); err != nil {
		return Sysroot{}, fmt.Errorf("debs: remove what is incomplete: %w", err)
	}
	if err := p.build(ctx, cache, root.dir, log); err != nil {
		return Sysroot{}, fmt.Errorf("debs: %w", err)
	}
	if err := root.check(ctx, p.programs); err != nil {
		return Sysroot{}, fmt.Errorf("debs: the fetched packages do not run here: %w", err)
	}
	return root, nil
}

// build fetches and unpacks beside its destination and renames at the end, so that what stands there is whole.
func (p set) build(ctx context.Context, cache, dest string, log io.Writer) error {
	for _, tool := range []string{"apt-get", "dpkg-deb"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%s is not on this machine: what is needed (%s) comes as Debian packages, so Debian or one of its kin is needed", tool, p.what)
		}
	}
	fmt.Fprintf(log, "fetching %s into %s (once; nothing is installed)\n", strings.Join(p.packages, " "), cache)
	tmp, err := os.MkdirTemp(cache, "new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)

	archives, err := p.fetch(ctx, tmp)
	if err != nil {
		return err
	}
	tree := filepath.Join(tmp, "root")
	for _, deb := range archives {
		if out, err := exec.CommandContext(ctx, "dpkg-deb", "-x", deb, tree).CombinedOutput(); err != nil {
			return fmt.Errorf("unpack %s: %w: %s", filepath.Base(deb), err, tail(out))
		}
	}
	return os.Rename(tree, dest)
}

// fetch downloads the packages and what they need beyond the system's own, and returns the .deb files.
func (p set) fetch(ctx context.Context, tmp string) ([]string, error) {
	conf, err := privateApt(tmp)
	if err != nil {
		return nil, err
	}
	conf += p.architecture()
	if p.suite != "" {
		source, err := p.source(ctx, tmp)
		if err != nil {
			return nil, err
		}
		conf += source
	}
	file := filepath.Join(tmp, "apt.conf")
	if err := os.WriteFile(file, []byte(conf), 0o644); err != nil {
		return nil, err
	}
	apt := func(args ...string) error {
		cmd := exec.CommandContext(ctx, "apt-get", append([]string{"-c", file, "-q"}, args...)...)
		cmd.Env = append(os.Environ(), "LC_ALL=C")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get %s: %w: %s", args[0], err, tail(out))
		}
		return nil
	}
	// One broken third-party source fails the update as a whole and does not matter if the packages are found.
	updated := apt("update", "-o", "APT::Update::Error-Mode=any")
	if p.foreign != "" {
		return p.fetchForeign(ctx, file, filepath.Join(tmp, "cache/archives"), updated)
	}
	// With --reinstall the packages themselves are fetched even where the system has them; their dependencies are not.
	err = apt(append([]string{"install", "--download-only", "--reinstall"}, p.packages...)...)
	if err != nil {
		return nil, fmt.Errorf("fetch the Debian packages of the %s (is there a network, and are Debian's sources in /etc/apt?): %w", p.what, errors.Join(err, updated))
	}
	archives, err := filepath.Glob(filepath.Join(tmp, "cache/archives/*.deb"))
	if err != nil {
		return nil, err
	}
	if len(archives) < len(p.packages) {
		return nil, fmt.Errorf("apt-get fetched %d packages where at least %d are needed", len(archives), len(p.packages))
	}
	return archives, nil
}

// privateApt makes folders for an apt of its own below tmp and returns its configuration.
func privateApt(tmp string) (conf string, err error) {
	for _, d := range []string{"state/lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(tmp, d), 0o755); err != nil {
			return "", err
		}
	}
	// Hooks of the system's configuration would clean the system's own cache. The sandbox user could not write here.
	return fmt.Sprintf(`#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
Dir::State %q;
Dir::State::lists %q;
Dir::Cache %q;
Dir::Cache::archives %q;
APT::Sandbox::User "root";
APT::Get::Assume-Yes "true";
APT::Install-Recommends "false";
Acquire::Languages "none";
Debug::NoLocking "true";
`, tmp+"/state", tmp+"/state/lists", tmp+"/cache", tmp+"/cache/archives"), nil
}

// check tells whether every program finds its libraries.
func (s Sysroot) check(ctx context.Context, programs []string) error {
	for _, p := range programs {
		path, err := s.Program(p)
		if err != nil {
			return err
		}
		cmd := exec.CommandContext(ctx, "ldd", path)
		cmd.Env = s.environ()
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("ldd %s: %w: %s", p, err, tail(out))
		}
		for line := range bytes.Lines(out) {
			if bytes.Contains(line, []byte("not found")) {
				return fmt.Errorf("%s: library %s", p, bytes.TrimSpace(line))
			}
		}
	}
	return nil
}

// key names the tree: the same for the same packages on the same release and architecture.
func (p set) key() string {
	h := sha256.New()
	fmt.Fprintln(h, p.packages)
	if p.foreign != "" {
		fmt.Fprintln(h, p.foreign)
	}
	if p.suite != "" {
		fmt.Fprintln(h, p.suite)
	}
	release, _ := os.ReadFile("/etc/os-release") // without it the name is only less telling
	h.Write(release)
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		h.Write(u.Machine[:])
	}
	return fmt.Sprintf("root-%x", h.Sum(nil)[:6])
}

// cacheDir finds the folder that holds the unpacked trees, absolute.
func cacheDir() (string, error) {
	if dir := os.Getenv("LATCHKEY_CACHE"); dir != "" {
		dir, err := filepath.Abs(dir)
		return filepath.Join(dir, "debs"), err
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && bytes.HasPrefix(mod, []byte("module latchkey\n")) {
			return filepath.Join(dir, ".cache", "debs"), nil
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	dir, err = os.UserCacheDir()
	return filepath.Join(dir, "latchkey", "debs"), err
}

// lock takes the cache for this process until the returned function is called. It is lost with the process.
func lock(ctx context.Context, path string) (func(), error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			f.Close()
			return nil, err
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// tail keeps the end of a program's output, where the reason stands.
func tail(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) > 6 {
		lines = lines[len(lines)-6:]
	}
	return strings.Join(lines, "\n")
}

// Sysroot is a tree of unpacked packages.
type Sysroot struct{ dir string }

// Command prepares a program of the tree to run with the tree's libraries. Add to its Env, do not replace it.
func (s Sysroot) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	path, err := s.Program(name)
	if err != nil {
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Err = err
		return cmd
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = s.environ()
	return cmd
}

// Program is the path of a program of the tree.
func (s Sysroot) Program(name string) (string, error) {
	return s.find(name, "usr/bin", "usr/sbin", "bin", "sbin", "usr/lib/gnupg", "usr/lib/postgresql/*/bin")
}

// Library is the path of a library of the tree, by its file name: "opensc-pkcs11.so", "libifdvpcd.so".
func (s Sysroot) Library(name string) (string, error) {
	return s.find(name, "usr/lib/*-linux-gnu*", "lib/*-linux-gnu*", "usr/lib/pcsc/drivers/serial", "usr/lib/softhsm")
}

func (s Sysroot) find(name string, dirs ...string) (string, error) {
	for _, d := range dirs {
		if found, _ := filepath.Glob(filepath.Join(s.dir, d, name)); len(found) > 0 {
			return found[0], nil
		}
	}
	return "", fmt.Errorf("%s in the unpacked packages: %w", name, fs.ErrNotExist)
}

// environ is this process's environment with the tree's libraries and OpenSC's configuration before the system's.
func (s Sysroot) environ() []string {
	var libs []string
	for _, d := range []string{"usr/lib/*-linux-gnu*", "lib/*-linux-gnu*", "usr/lib/*-linux-gnu*/swtpm"} {
		found, _ := filepath.Glob(filepath.Join(s.dir, d))
		libs = append(libs, found...)
	}
	if inherited := os.Getenv("LD_LIBRARY_PATH"); inherited != "" {
		libs = append(libs, inherited)
	}
	return append(os.Environ(),
		"LD_LIBRARY_PATH="+strings.Join(libs, ":"),
		"OPENSC_CONF="+filepath.Join(s.dir, "etc/opensc/opensc.conf"),
		"LC_ALL=C.UTF-8",
	)
}

// Copy puts what the tree's programs need to run into a folder that everybody can read, for one who cannot reach the cache.
func (s Sysroot) Copy(dir string) (Sysroot, error) {
	// LLVM is large, and PostgreSQL loads it for queries of a kind that tests do not make.
	args := []string{"-c", `cp -a "$1/." "$2" && rm -f "$2"/usr/lib/*-linux-gnu*/libLLVM* && chmod -R a+rX "$2"`, "sh", s.dir, dir}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return Sysroot{}, fmt.Errorf("debs: copy: %w", err)
	}
	if out, err := exec.Command("/bin/sh", args...).CombinedOutput(); err != nil {
		return Sysroot{}, fmt.Errorf("debs: copy: %w: %s", err, tail(out))
	}
	return Sysroot{dir}, nil
}
