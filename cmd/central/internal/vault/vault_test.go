package vault

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"latchkey/card/profiles"
	"latchkey/firmware/secret"
)

func key(b byte) secret.Value { return secret.New(bytes.Repeat([]byte{b}, keyLen)) }

func testVault(t *testing.T, kek byte) *Vault {
	t.Helper()
	v, err := New(key(kek), key(2), key(3))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestSealedOpensForItsSubjectAlone(t *testing.T) {
	t.Parallel()
	v := testVault(t, 1)
	s := Subject{KindPUK, "0a0b", 0}
	sealed, err := v.Seal(s, secret.New([]byte("12345678")))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sealed, []byte("12345678")) {
		t.Error("the secret stands in its envelope")
	}
	got, err := v.Open(s, sealed)
	if err != nil || string(got.Reveal()) != "12345678" {
		t.Fatalf("opened %q, %v", got.Reveal(), err)
	}
	for _, other := range []Subject{{KindEmail, "0a0b", 0}, {KindPUK, "0a0c", 0}, {KindPUK, "0a0b", 1}} {
		if _, err := v.Open(other, sealed); !errors.Is(err, ErrSealed) {
			t.Errorf("opened as %v: %v", other, err)
		}
	}
	if _, err := testVault(t, 9).Open(s, sealed); !errors.Is(err, ErrSealed) || !strings.Contains(err.Error(), "another key") {
		t.Errorf("opened with another key: %v", err)
	}
	for i := range sealed {
		flipped := bytes.Clone(sealed)
		flipped[i] ^= 1
		if _, err := v.Open(s, flipped); !errors.Is(err, ErrSealed) {
			t.Fatalf("opened with byte %d flipped: %v", i, err)
		}
	}
	again, _ := v.Seal(s, secret.New([]byte("12345678")))
	if bytes.Equal(again, sealed) {
		t.Error("sealing twice gives the same bytes")
	}
}

func FuzzOpen(f *testing.F) {
	v, err := New(key(1), key(2), key(3))
	if err != nil {
		f.Fatal(err)
	}
	s := Subject{KindPUK, "0a0b", 0}
	sealed, _ := v.Seal(s, secret.New([]byte("12345678")))
	f.Add(sealed)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, err := v.Open(s, b); err == nil && string(got.Reveal()) != "12345678" {
			t.Errorf("opened something else as %q", got.Reveal())
		}
	})
}

func TestDerivedPUKs(t *testing.T) {
	t.Parallel()
	v := testVault(t, 1)
	eight := profiles.PUK{Length: 8, DigitsOnly: true, Tries: 3}
	derive := func(card string, n int64, form profiles.PUK) string {
		p, err := v.Derive(card, n, form)
		if err != nil {
			t.Fatal(err)
		}
		return string(p.Reveal())
	}
	// A central that is restored must find the PUKs that cards have: these never change. Computed apart from this code.
	for got, want := range map[string]string{
		derive("0a0b", 1, eight):                    "74131529",
		derive("0a0b", 2, eight):                    "64351378",
		derive("0a0b", 1, profiles.PUK{Length: 16}): "18JfHZ6JmXvCxBWr",
		derive("0a0b0c", 1, eight):                  "68135402",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	count := map[rune]int{}
	for n := range 4000 {
		for _, c := range derive("0a0b", int64(n+1), eight) {
			count[c]++
		}
	}
	for c := '0'; c <= '9'; c++ {
		if count[c] < 2900 || count[c] > 3500 { // 3200 ± 5.6 σ
			t.Errorf("digit %c stands %d times of 32000", c, count[c])
		}
	}
	if _, err := v.Derive("0a0b", 0, eight); err == nil {
		t.Error("generation 0 was derived")
	}
}

func TestCodes(t *testing.T) {
	t.Parallel()
	v := testVault(t, 1)
	code := NewCode(6)
	if code.Len() != 6 || strings.Trim(string(code.Reveal()), digits) != "" {
		t.Errorf("code %q", code.Reveal())
	}
	mac := v.CodeMAC("case", "card", "kiosk", code)
	if !bytes.Equal(mac, v.CodeMAC("case", "card", "kiosk", code.Clone())) {
		t.Error("the same code has another tag")
	}
	for _, other := range [][3]string{{"case2", "card", "kiosk"}, {"case", "card2", "kiosk"}, {"case", "card", "kiosk2"}, {"casec", "ard", "kiosk"}} {
		if bytes.Equal(mac, v.CodeMAC(other[0], other[1], other[2], code)) {
			t.Errorf("the code holds for %v too", other)
		}
	}
}

func TestKeyFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"kek", "root", "code"} {
		if err := MakeKey(path(name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := MakeKey(path("kek")); !errors.Is(err, os.ErrExist) {
		t.Errorf("a key was overwritten: %v", err)
	}
	if _, err := ReadKEK(path("kek")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path("root"), 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadRoot(path("root")); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a key that others can read: %v", err)
	}
	if err := MakeSigningKey(path("signing.pem"), path("signing.pub.pem")); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadSigningKey(path("signing.pem")); err != nil {
		t.Error(err)
	}
	if _, err := ReadSigningKey(path("kek")); err == nil || !strings.Contains(err.Error(), "P-256") {
		t.Errorf("a key of another kind: %v", err)
	}
}
