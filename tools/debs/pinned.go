package debs

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Package is one Debian package as a lock file pins it. Where the archive is, this machine's apt knows, not the lock file.
type Package struct {
	Name    string
	Version string
	Suite   string // such as bookworm or trixie-security
	Path    string // in the archive, below its base
	SHA256  string // hex
	Size    int64  // bytes
	Depends string // as its stanza has it; not pinned
}

// GoneError is a pinned package that the archive no longer has, or has otherwise.
type GoneError struct {
	Package
	Reason string
}

func (e *GoneError) Error() string {
	return fmt.Sprintf("the archive no longer has %s %s as it is pinned (%s)", e.Name, e.Version, e.Reason)
}

// keyring has the keys of all Debian's archives.
const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// archives are the bases of Debian's archive and of its security archive, from wherever this machine's apt has them.
type archives struct{ main, security string }

func findArchives(ctx context.Context) (a archives, err error) {
	for _, tool := range []string{"apt-get", "dpkg-deb"} {
		if _, err := exec.LookPath(tool); err != nil {
			return a, fmt.Errorf("%s is not on this machine: Debian packages are needed, so Debian or one of its kin is", tool)
		}
	}
	release, err := codename()
	if err != nil {
		return a, err
	}
	out, err := exec.CommandContext(ctx, "apt-get", "indextargets", "--format", "$(RELEASE) $(CODENAME) $(REPO_URI)", "Created-By: Packages", "Component: main").Output()
	if err != nil {
		return a, fmt.Errorf("ask apt where Debian's archive is: %w", err)
	}
	return archivesOf(string(out), release)
}

// archivesOf reads what apt says of its sources: a suite's names and where it is, a line each.
func archivesOf(targets, release string) (a archives, err error) {
	other := ""
	for line := range strings.Lines(targets) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		base := strings.TrimSuffix(f[len(f)-1], "/")
		if !strings.HasPrefix(base, "http://") && !strings.HasPrefix(base, "https://") {
			other = base // such as mirror+file:, of which apt alone knows what stands behind it
			continue
		}
		switch {
		case slices.Contains(f, release) && a.main == "":
			a.main = base
		case slices.Contains(f, release+"-security") && a.security == "":
			a.security = base
		}
	}
	if (a.main == "" || a.security == "") && other != "" {
		return a, fmt.Errorf("apt has Debian's archive as %s: name an http or https address of %s and %s-security in /etc/apt, and run apt-get update", other, release, release)
	}
	if a.main == "" || a.security == "" {
		return a, fmt.Errorf("there is no source of Debian's %s and %s-security in /etc/apt, or apt-get update was never run", release, release)
	}
	return a, nil
}

// base is where a suite is.
func (a archives) base(suite string) string {
	if strings.HasSuffix(suite, "-security") {
		return a.security
	}
	return a.main
}

// Newest finds the newest version of packages of an architecture in suites. A release's name stands for it with its updates and its security archive;
// another suite's, such as trixie-backports, for itself. wanted has package names by suite. apt checks the archives' signatures, as always.
//
// The answer has, by suite and by name, the package; one of a kernel, such as linux-image-arm64, with those of the same version that it needs.
func Newest(ctx context.Context, log io.Writer, architecture string, wanted map[string][]string) (map[string]map[string][]Package, error) {
	places, err := findArchives(ctx)
	if err != nil {
		return nil, fmt.Errorf("debs: %w", err)
	}
	tmp, err := os.MkdirTemp("", "latchkey-apt-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	var suites []string
	for suite := range wanted {
		suites = append(suites, members(suite)...)
	}
	slices.Sort(suites)
	var sources strings.Builder
	for _, suite := range suites {
		fmt.Fprintf(&sources, "deb [signed-by=%s] %s %s main non-free-firmware\n", keyring, places.base(suite), suite)
	}
	list := filepath.Join(tmp, "sources.list")
	if err := os.WriteFile(list, []byte(sources.String()), 0o644); err != nil {
		return nil, err
	}
	conf := filepath.Join(tmp, "apt.conf")
	text, err := privateApt(tmp)
	if err != nil {
		return nil, err
	}
	text += foreignApt(architecture) + fmt.Sprintf("Dir::Etc::sourcelist %q;\nDir::Etc::sourceparts \"-\";\n", list)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return nil, err
	}
	fmt.Fprintln(log, "asking Debian's archive for", architecture, "in", strings.Join(suites, ", "))
	if out, err := exec.CommandContext(ctx, "apt-get", "-c", conf, "-q", "update", "-o", "APT::Update::Error-Mode=any").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("debs: apt-get update: %w: %s", err, tail(out))
	}
	all, err := stanzas(ctx, conf)
	if err != nil {
		return nil, fmt.Errorf("debs: %w", err)
	}
	found := map[string]map[string][]Package{}
	for suite, names := range wanted {
		found[suite] = map[string][]Package{}
		for _, name := range names {
			p, err := newest(all, members(suite), name)
			if err != nil {
				return nil, fmt.Errorf("debs: %w", err)
			}
			if found[suite][name], err = withKernel(all, members(suite), p); err != nil {
				return nil, fmt.Errorf("debs: %w", err)
			}
		}
	}
	return found, nil
}

// members are the suites that a name stands for.
func members(suite string) []string {
	if strings.Contains(suite, "-") {
		return []string{suite}
	}
	return []string{suite, suite + "-updates", suite + "-security"}
}

// withKernel is the package and, if it is of a kernel, those of the same version that it needs: linux-image-arm64 only names
// linux-image-6.12.1+deb13-arm64, and that may be in parts.
func withKernel(all []Package, suites []string, p Package) (found []Package, err error) {
	found = []Package{p}
	for i := 0; i < len(found); i++ {
		for needed := range strings.SplitSeq(found[i].Depends, ",") {
			name, version, _ := strings.Cut(strings.TrimSpace(needed), " ")
			if !strings.HasPrefix(name, "linux-") || version != "(= "+p.Version+")" || slices.ContainsFunc(found, func(q Package) bool { return q.Name == name }) {
				continue
			}
			q, err := newest(all, suites, name)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", p.Name, err)
			}
			found = append(found, q)
		}
	}
	return found, nil
}

func newest(all []Package, suites []string, name string) (best Package, err error) {
	for _, p := range all {
		if p.Name != name || !slices.Contains(suites, p.Suite) {
			continue
		}
		if best.Name != "" {
			err := exec.Command("dpkg", "--compare-versions", p.Version, "gt", best.Version).Run()
			if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
				continue
			} else if err != nil {
				return best, err
			}
		}
		best = p
	}
	if best.Name == "" {
		return best, fmt.Errorf("there is no package %s in %s", name, strings.Join(suites, ", "))
	}
	return best, nil
}

// stanzas reads the lists that apt has fetched and checked.
func stanzas(ctx context.Context, conf string) (all []Package, err error) {
	out, err := exec.CommandContext(ctx, "apt-get", "-c", conf, "indextargets", "--format", "$(RELEASE) $(FILENAME)", "Created-By: Packages").Output()
	if err != nil {
		return nil, fmt.Errorf("ask apt for its lists: %w", err)
	}
	for line := range strings.Lines(string(out)) {
		suite, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		// apt may keep it compressed.
		cmd := exec.CommandContext(ctx, "/usr/lib/apt/apt-helper", "cat-file", file)
		pipe, err := cmd.StdoutPipe()
		if err != nil {
			return nil, err
		}
		if err := cmd.Start(); err != nil {
			return nil, err
		}
		found, err := parseStanzas(pipe, suite)
		if err := errors.Join(err, cmd.Wait()); err != nil {
			return nil, fmt.Errorf("read apt's list of %s: %w", suite, err)
		}
		all = append(all, found...)
	}
	return all, nil
}

// parseStanzas reads a Packages file (deb-src-control(5) says of its form what matters here: one field a line).
func parseStanzas(r io.Reader, suite string) (all []Package, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	p := Package{Suite: suite}
	for lines.Scan() {
		line := lines.Text()
		if line == "" {
			all = append(all, p)
			p = Package{Suite: suite}
			continue
		}
		field, value, _ := strings.Cut(line, ": ")
		switch field {
		case "Package":
			p.Name = value
		case "Version":
			p.Version = value
		case "Filename":
			p.Path = value
		case "SHA256":
			p.SHA256 = value
		case "Size":
			if p.Size, err = strconv.ParseInt(value, 10, 64); err != nil {
				return nil, fmt.Errorf("size of %s: %w", p.Name, err)
			}
		case "Depends":
			p.Depends = value
		}
	}
	if p.Name != "" {
		all = append(all, p)
	}
	return all, lines.Err()
}

// Fetch returns the paths of pinned packages' files, from the cache or by HTTP, each of the length and hash that it is pinned with. What is fetched
// is said on log. A *GoneError names one that is not to be had.
func Fetch(ctx context.Context, log io.Writer, packages []Package) ([]string, error) {
	cache, err := cacheDir()
	if err != nil {
		return nil, fmt.Errorf("debs: find a cache folder: %w", err)
	}
	cache = filepath.Join(cache, "archives")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, fmt.Errorf("debs: make the cache folder (set LATCHKEY_CACHE to a folder you can write): %w", err)
	}
	var places archives
	var client *http.Client
	files := make([]string, len(packages))
	for i, p := range packages {
		files[i] = filepath.Join(cache, path.Base(p.Path))
		sum, err := fileSum(files[i])
		if err == nil && sum == p.SHA256 {
			continue
		}
		if client == nil {
			if places, err = findArchives(ctx); err != nil {
				return nil, fmt.Errorf("debs: %w", err)
			}
			if client, err = aptClient(ctx); err != nil {
				return nil, fmt.Errorf("debs: %w", err)
			}
		}
		fmt.Fprintf(log, "fetching %s %s\n", p.Name, p.Version)
		if err := p.fetch(ctx, client, places.base(p.Suite), files[i]); err != nil {
			return nil, fmt.Errorf("debs: %w", err)
		}
	}
	return files, nil
}

func (p Package) fetch(ctx context.Context, client *http.Client, base, file string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/"+p.Path, nil)
	if err != nil {
		return fmt.Errorf("fetch %s: %w", p.Name, err)
	}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("fetch %s, which the cache does not have (is there a network?): %w", p.Name, err)
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound, http.StatusGone:
		return &GoneError{p, response.Status}
	default:
		return fmt.Errorf("fetch %s: the archive answers %s", p.Name, response.Status)
	}
	// Beside its place first: another process may look for it there.
	tmp, err := os.CreateTemp(filepath.Dir(file), "new-")
	if err != nil {
		return fmt.Errorf("write into the cache folder (set LATCHKEY_CACHE to a folder you can write): %w", err)
	}
	defer os.Remove(tmp.Name())
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(tmp, h), io.LimitReader(response.Body, p.Size+1))
	if err := errors.Join(err, tmp.Chmod(0o644), tmp.Close()); err != nil {
		return fmt.Errorf("fetch %s: %w", p.Name, err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); n != p.Size || got != p.SHA256 {
		return &GoneError{p, fmt.Sprintf("%d bytes with SHA-256 %s, and not %d with %s", n, got, p.Size, p.SHA256)}
	}
	return os.Rename(tmp.Name(), file)
}

// aptClient goes through the proxy that apt goes through.
func aptClient(ctx context.Context) (*http.Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	out, err := exec.CommandContext(ctx, "apt-config", "dump", "--format", "%v", "Acquire::http::Proxy").Output()
	if err != nil {
		return nil, fmt.Errorf("ask apt for its proxy: %w", err)
	}
	if proxy := strings.TrimSpace(string(out)); proxy != "" && proxy != "DIRECT" {
		at, err := url.Parse(proxy)
		if err != nil {
			return nil, fmt.Errorf("apt's proxy: %w", err)
		}
		transport.Proxy = http.ProxyURL(at)
	}
	return &http.Client{Transport: transport}, nil
}

func fileSum(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
