package debs

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What the archive no longer has, or has otherwise, is named with its version, and leaves nothing in the cache.
func TestPinnedPackageIsFetchedOrNamed(t *testing.T) {
	t.Parallel()
	const content = "a package"
	archive := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/pool/p/there.deb":
			_, _ = w.Write([]byte(content))
		case "/pool/p/broken.deb":
			w.WriteHeader(http.StatusBadGateway)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(archive.Close)
	sum := sha256.Sum256([]byte(content))
	there := Package{Name: "there", Version: "1.2-3", Path: "pool/p/there.deb", SHA256: hex.EncodeToString(sum[:]), Size: int64(len(content))}

	dir := t.TempDir()
	file := filepath.Join(dir, "there.deb")
	if err := there.fetch(t.Context(), archive.Client(), archive.URL, file); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != content {
		t.Errorf("fetched %q, %v", b, err)
	}
	absent, altered, shorter, broken := there, there, there, there
	absent.Path = "pool/p/absent.deb"
	altered.SHA256 = strings.Repeat("0", 64)
	shorter.Size--
	broken.Path = "pool/p/broken.deb"
	for name, c := range map[string]struct {
		p    Package
		gone bool
	}{"absent": {absent, true}, "altered": {altered, true}, "of another length": {shorter, true}, "the archive is out of order": {broken, false}} {
		file := filepath.Join(dir, "other.deb")
		err := c.p.fetch(t.Context(), archive.Client(), archive.URL, file)
		gone := (*GoneError)(nil)
		if errors.As(err, &gone) != c.gone || err == nil {
			t.Errorf("%s: %v", name, err)
		} else if c.gone && (!strings.Contains(err.Error(), "there 1.2-3")) {
			t.Errorf("%s: the package is not named: %v", name, err)
		}
		if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: something stands in the cache: %v", name, err)
		}
	}
}

// A kernel's package only names others, of which some name more; all are of one version.
func TestAKernelComesWithItsParts(t *testing.T) {
	t.Parallel()
	const list = `Package: linux-image-arm64
Version: 7.3-1
Filename: pool/linux-image-arm64_7.3-1_arm64.deb
Size: 1
SHA256: 00
Depends: linux-image-7.3-arm64 (= 7.3-1), linux-modules-7.3-arm64 (= 7.3-1)

Package: linux-image-7.3-arm64
Version: 7.3-1
Size: 1
Depends: initramfs-tools | dracut, kmod, linux-base (>= 4), linux-binary-7.3-arm64 (= 7.3-1)

Package: linux-modules-7.3-arm64
Version: 7.3-1
Size: 1

Package: linux-binary-7.3-arm64
Version: 7.3-1
Size: 1
`
	all, err := parseStanzas(strings.NewReader(list), "trixie-backports")
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 4 || all[0].Path != "pool/linux-image-arm64_7.3-1_arm64.deb" || all[3].Suite != "trixie-backports" {
		t.Fatalf("read %+v", all)
	}
	found, err := withKernel(all, []string{"trixie-backports"}, all[0])
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range found {
		names = append(names, p.Name)
	}
	if got, want := strings.Join(names, " "), "linux-image-arm64 linux-image-7.3-arm64 linux-modules-7.3-arm64 linux-binary-7.3-arm64"; got != want {
		t.Errorf("found %s, want %s", got, want)
	}
	if _, err := withKernel(all[:3], []string{"trixie-backports"}, all[0]); err == nil {
		t.Error("a part that is nowhere is not missed")
	}
}

// Where the archive is, is taken from apt's sources, others' among them; one that only apt can fetch from is named.
func TestArchives(t *testing.T) {
	t.Parallel()
	a, err := archivesOf("stable bookworm http://mirror.example/debian/\nstable other https://elsewhere.example/x\nbookworm-security https://security.example/debian-security\n", "bookworm")
	if err != nil || a.base("trixie") != "http://mirror.example/debian" || a.base("trixie-security") != "https://security.example/debian-security" {
		t.Errorf("%v, %v", a, err)
	}
	for says, targets := range map[string]string{
		"apt-get update was never run": "stable bookworm http://mirror.example/debian\n",
		"mirror+file:/etc/apt/mirrors": "stable bookworm mirror+file:/etc/apt/mirrors/debian.list\nbookworm-security mirror+file:/etc/apt/mirrors/debian-security.list\n",
	} {
		if _, err := archivesOf(targets, "bookworm"); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v; want %q", err, says)
		}
	}
}
