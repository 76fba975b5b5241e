package debs

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// What the tools need runs from the cache, and a second asking fetches nothing.
func TestProgramsRunFromTheCache(t *testing.T) {
	t.Parallel()
	root, err := Root(t.Context(), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	for name, arg := range map[string]string{"pcscd": "--version", "opensc-tool": "--version", "yubico-piv-tool": "--version"} {
		out, err := root.Command(t.Context(), name, arg).CombinedOutput()
		if err != nil || len(out) == 0 {
			t.Errorf("%s %s: %v: %s", name, arg, err, out)
		}
	}
	for _, lib := range []string{"opensc-pkcs11.so", "libifdvpcd.so", "libpcsclite.so.1", "libsofthsm2.so"} {
		if _, err := root.Library(lib); err != nil {
			t.Error(err)
		}
	}

	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			var log bytes.Buffer
			again, err := Root(t.Context(), &log)
			if err != nil || again != root || log.Len() > 0 {
				t.Errorf("second asking: %v, %v, log %q", again, err, &log)
			}
		})
	}
	wg.Wait()
}

// The PostgreSQL server is a tree of its own, and a copy of it runs.
func TestPostgreSQLRunsFromTheCacheAndFromACopy(t *testing.T) {
	t.Parallel()
	root, err := PostgreSQL(t.Context(), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	copied, err := root.Copy(filepath.Join(t.TempDir(), "copy"))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []Sysroot{root, copied} {
		out, err := r.Command(t.Context(), "postgres", "--version").CombinedOutput()
		if err != nil || !bytes.HasPrefix(out, []byte("postgres (PostgreSQL) ")) {
			t.Errorf("postgres --version: %v: %s", err, out)
		}
	}
}

func TestUnknownProgramSaysSo(t *testing.T) {
	t.Parallel()
	err := Sysroot{t.TempDir()}.Command(t.Context(), "pcscd").Run()
	if err == nil || !strings.Contains(err.Error(), "pcscd in the unpacked packages") {
		t.Errorf("got %v", err)
	}
}

// A tree that lost a program is fetched anew, and where there is no apt, one sentence says what is missing.
func TestWithoutAptOneSentenceSaysSo(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	cache := t.TempDir()
	t.Setenv("LATCHKEY_CACHE", cache)
	if err := os.MkdirAll(filepath.Join(cache, "debs", smartcards.key(), "usr/bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, err := Root(t.Context(), t.Output())
	if err == nil || !strings.Contains(err.Error(), "apt-get is not on this machine") {
		t.Errorf("got %v", err)
	}
	left, _ := filepath.Glob(filepath.Join(cache, "debs", "*"))
	if len(left) != 1 { // the lock
		t.Errorf("left behind: %v", left)
	}
}

func TestWithoutNetworkOneSentenceSaysSo(t *testing.T) {
	dir := t.TempDir()
	fake := "#!/bin/sh\necho 'E: Unable to locate package pcscd' >&2\nexit 100\n"
	if err := os.WriteFile(filepath.Join(dir, "apt-get"), []byte(fake), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	t.Setenv("LATCHKEY_CACHE", t.TempDir())
	_, err := Root(t.Context(), t.Output())
	if err == nil || !strings.Contains(err.Error(), "is there a network") || !strings.Contains(err.Error(), "Unable to locate package") {
		t.Errorf("got %v", err)
	}
}

func TestWaitingForTheCacheEndsWithTheContext(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := lock(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := lock(ctx, path); err == nil {
		t.Error("two hold the lock")
	}
	unlock()
	unlock, err = lock(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
}
