package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"latchkey/image/provision"
)

// ward7 is a bench that is the kiosk ward-7 of the central with this key, with the settings of the file that is returned.
func ward7(t *testing.T) (s *setup, key *ecdsa.PrivateKey, text []byte, told *[]provision.Network) {
	t.Helper()
	s, told = bench(t)
	key = newKey(t)
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ward-7"}, NotAfter: time.Now().Add(-time.Hour)} // it has run out
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, newKey(t).Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	identity := filepath.Join(filepath.Dir(s.config), "identity")
	if err := errors.Join(os.WriteFile(filepath.Join(identity, "central.pem"), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), 0o600),
		os.WriteFile(filepath.Join(identity, "certificate.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}), 0o600)); err != nil {
		t.Fatal(err)
	}
	text = provisioningBy(t, key, "ward-7", time.Now())
	s.configured(t, text)
	if err := os.WriteFile(s.kept, []byte("[network]\nmode = \"dhcp\"\nntp = [\"before.example\"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return s, key, text, told
}

func (s *setup) ntp(t *testing.T) string {
	t.Helper()
	kept, err := keptNetwork(s.kept)
	if err != nil {
		t.Fatal(err)
	}
	return kept.Network.NTP[0]
}

// A kiosk takes newer files for itself, by its own central, and says why it takes no other.
func TestWhichFilesAKioskTakes(t *testing.T) {
	t.Parallel()
	s, key, present, told := ward7(t)
	later := time.Now().Add(time.Hour)
	for says, text := range map[string][]byte{
		"it is for the kiosk ward-8, and this is ward-7": provisioningBy(t, key, "ward-8", later),
		"another central has signed it":                  provisioningBy(t, newKey(t), "ward-7", later),
		"it is older than the settings":                  provisioningBy(t, key, "ward-7", time.Now().Add(-time.Hour)),
		"changed after central signed it":                []byte(strings.Replace(string(provisioningBy(t, key, "ward-7", later)), "x4050", "x4051", 1)),
	} {
		if s.takes(text, "sda1") {
			t.Errorf("one is taken of which it should be said that %s", says)
		}
		if said, err := os.ReadFile(s.said); err != nil || !strings.Contains(string(said), says) {
			t.Errorf("it is said %q, %v, and not that %s", said, err, says)
		}
		os.Remove(s.said)
		if s.takes(text, "sda1") {
			t.Error("it is taken when it is seen again")
		}
		if _, err := os.Stat(s.said); !errors.Is(err, fs.ErrNotExist) {
			t.Error("it is said again")
		}
	}
	f, err := provision.Open(present)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Wipe()
	if err := s.whoIs().judge(f, sha256.Sum256(present)); !errors.Is(err, errTaken) {
		t.Errorf("of the file whose settings it has: %v", err)
	}
	if len(*told) > 0 || s.ntp(t) != "before.example" {
		t.Error("something has changed")
	}
	if !s.takes(provisioningBy(t, key, "ward-7", later), "sda1") {
		said, _ := os.ReadFile(s.said)
		t.Errorf("a good file is not taken: %s", said)
	}
}

// Other settings are there when kiosk.toml is from their file, and not before: the power may be cut at any moment.
func TestOtherSettingsAreThereWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	s, key, _, told := ward7(t)
	s.renewing = true
	text := provisioningBy(t, key, "ward-7", time.Now().Add(time.Hour))
	if !s.offer(&offer{text: slices.Clone(text)}) || len(*told) != 1 {
		t.Fatal("it is not offered")
	}
	after := func(cut func(again *setup)) {
		t.Helper()
		again, _ := bench(t)
		again.config, again.kept = s.config, s.kept
		cut(again)
		again.finishAfterCut()
		if left, err := filepath.Glob(s.staged("*")); err != nil || len(left) > 0 {
			t.Errorf("left behind: %q, %v", left, err)
		}
	}
	after(func(*setup) {}) // before kiosk setup has done anything
	if got := s.ntp(t); got != "before.example" {
		t.Errorf("the network's settings are %s already", got)
	}
	s.withdraw()
	if !s.offer(&offer{text: slices.Clone(text)}) {
		t.Fatal("it is not offered again")
	}
	after(func(again *setup) { again.configured(t, text) }) // when it was done, and nothing was wiped
	if got := s.ntp(t); got != "ward-7.example" {
		t.Errorf("the network's settings are still %s", got)
	}
}

// kiosk setup refuses, or fails again and again: the kiosk goes on as it was.
func TestAKioskGoesOnWhenAFileDoesNotDo(t *testing.T) {
	t.Parallel()
	s, key, _, _ := ward7(t)
	s.renewing = true
	for i, end := range []struct {
		status   process
		failures int
		again    bool
		stays    bool // the file, where kiosk setup looks
	}{{process{status: exitRefused << 8}, 1, false, false}, {process{status: 1 << 8}, 1, true, true}, {process{status: 1 << 8}, renewTries, false, false},
		{process{status: 0}, renewTries, false, true}} {
		text := provisioningBy(t, key, "ward-7", time.Now().Add(time.Duration(i+1)*time.Hour))
		if !s.offer(&offer{text: slices.Clone(text)}) {
			t.Fatal("it is not offered")
		}
		if got := s.again(&end.status, end.failures); got != end.again {
			t.Errorf("after %s, %d times: again %t", end.status.how(), end.failures, got)
		}
		if _, err := os.Stat(s.file); end.stays != (err == nil) {
			t.Errorf("the file: %v", err)
		}
		if got := s.takes(text, ""); got != end.stays {
			t.Errorf("it is taken when it is seen again: %t", got)
		}
	}
	if err := s.settle(); err != nil || s.ntp(t) != "before.example" {
		t.Errorf("the network's settings are %s, %v", s.ntp(t), err)
	}
}

// The kiosk may put into its folder what it likes.
func TestWhatTheKioskPutsInPlaceOfItsFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	outside := filepath.Join(t.TempDir(), "secret")
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(os.WriteFile(outside, []byte("secret"), 0o600), os.Symlink(outside, at("link")), unix.Mkfifo(at("pipe"), 0o600), os.Mkdir(at("folder"), 0o700),
		os.WriteFile(at("large"), make([]byte, 1<<20), 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"link", "pipe", "folder", "nothing", "../secret"} {
		if got, err := readKiosks(dir, name); err == nil {
			t.Errorf("%s gives %q", name, got)
		}
	}
	if got, err := readKiosks(dir, "large"); err != nil || len(got) != provision.MaxSize {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	s, _, _, _ := ward7(t)
	if err := os.WriteFile(s.config, []byte("[provisioned]\nsha256 = \"../../etc\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.settle(); err != nil || s.ntp(t) != "before.example" {
		t.Errorf("the network's settings are %s, %v", s.ntp(t), err)
	}
}

// A file is taken between two visits.
func TestAFileWaitsUntilNobodyIsServed(t *testing.T) {
	t.Parallel()
	for status, idle := range map[string]bool{"": true, "ready": true, "fault: no-reader": true, "fault": true, "busy": false, "attention": false} {
		k := &kioskLife{}
		if status != "" {
			k.doing.Store(&status)
		}
		if k.idle() != idle {
			t.Errorf("%q: idle %t", status, !idle)
		}
	}
	// The kiosk's words reach who waits.
	signs := make(chan sign)
	k := &kioskLife{log: newLog(&lines{}), signs: signs, ready: func() {}, changed: make(chan struct{}, 1)}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan string)
	go func() { ended <- k.watch(ctx, &process{pid: 7}) }()
	for _, status := range []string{"ready", "busy"} {
		signs <- sign{pid: 7, status: status}
		<-k.changed
		if k.idle() != (status == "ready") {
			t.Errorf("%s: idle %t", status, k.idle())
		}
	}
	stop()
	<-ended
}
