package cardtest

import (
	"bytes"
	"crypto/des"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"latchkey/card"
	"latchkey/firmware/secret"
)

// Over completes a fixture for a virtual card in the process of the test: reset begins a session, in which open speaks to
// the card.
func (f Fixture) Over(sim card.Transport, reset func(), open func(card.Transport) card.Card) (card.Card, Fixture) {
	f.Transport = &Counter{Transport: sim}
	f.Again = func(*testing.T) card.Card {
		reset()
		return open(f.Transport)
	}
	return open(f.Transport), f
}

// Stored is what stands in the file of a virtual card whose applet has one certificate.
func Stored(t testing.TB, path string) card.Certificates {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var memory struct{ Applet struct{ Certificate []byte } }
	if err := json.Unmarshal(b, &memory); err != nil {
		t.Fatal(err)
	}
	if memory.Applet.Certificate == nil {
		return card.Certificates{}
	}
	cert, err := x509.ParseCertificate(memory.Applet.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	return card.Certificates{Authentication: cert.Raw, Expires: cert.NotAfter}
}

// TripleDES answers a challenge as whoever has the key, in hex, answers it.
func TripleDES(key string) func(challenge []byte) secret.Value {
	return func(challenge []byte) secret.Value {
		k, err := hex.DecodeString(key)
		if err != nil {
			panic(err)
		}
		block, err := des.NewTripleDESCipher(k)
		if err != nil {
			panic(err)
		}
		out := make([]byte, des.BlockSize)
		block.Encrypt(out, challenge)
		return secret.New([]byte(hex.EncodeToString(out)))
	}
}

// Answers sends a command and wants this answer, both in hex.
func Answers(t testing.TB, c card.Transport, command, want string) {
	t.Helper()
	if got := send(t, c, command); got != strings.ToUpper(want) {
		t.Fatalf("%s: %s, want %s", command, got, want)
	}
}

// Ends sends a command and wants this at the end of the answer, both in hex. It returns the answer's data.
func Ends(t testing.TB, c card.Transport, command, want string) []byte {
	t.Helper()
	got := send(t, c, command)
	if !strings.HasSuffix(got, strings.ToUpper(want)) {
		t.Fatalf("%s: %s, want %s", command, got, want)
	}
	b, err := hex.DecodeString(got)
	if err != nil || len(b) < 2 {
		t.Fatalf("%s: %s has no status word", command, got)
	}
	return b[:len(b)-2]
}

func send(t testing.TB, c card.Transport, command string) string {
	t.Helper()
	b, err := hex.DecodeString(command)
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.Transmit(b)
	if err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	return fmt.Sprintf("%X", r)
}

// FuzzCommands sends two commands, of which the seeds are some, in hex, to a fresh card. Any that could be one is answered
// by a status word at least, and the card keeps its secrets.
func FuzzCommands(f *testing.F, seeds []string, open func(t *testing.T) (c card.Transport, kept func() bool)) {
	for _, s := range seeds {
		b, err := hex.DecodeString(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, b)
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		c, kept := open(t)
		for _, b := range [][]byte{first, second} {
			if r, err := c.Transmit(bytes.Clone(b)); (err != nil) != (len(b) < 2) || err == nil && len(r) < 2 {
				t.Fatalf("%X: %X, %v", b, r, err)
			}
		}
		if !kept() {
			t.Fatalf("%X, %X: a secret was changed, or its tries", first, second)
		}
	})
}
