package provision

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func signText(t testing.TB, body []byte, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	sum := signed(body)
	signature, err := key.Sign(nil, sum[:], crypto.SHA256) // without chance, so that a fuzzer sees the same twice
	if err != nil {
		t.Fatal(err)
	}
	return append(bytes.Clone(body), (lastLine + base64.StdEncoding.EncodeToString(signature) + "\n")...)
}

// Whatever somebody signs: what opens says the same when it is signed again, and what does not is an *Error that quotes no more of the
// file than fits on a screen.
func FuzzOpen(f *testing.F) {
	key := newKey(f)
	text := sign(f, ward7(f), key)
	body := text[:bytes.LastIndex(text, []byte("\n# "))+1]
	f.Add(body, true)
	f.Add(body, false)
	f.Add(bytes.Replace(body, []byte("code = "), []byte("[eap]\ncode = "), 1), true)
	f.Add([]byte("version = 1\npassword = \"\\\\\"\n"), true)
	f.Add([]byte("\ncode = \"\n"), true)
	for _, nests := range []string{"{a=", "a.", "[a.b]\n", "[{\n"} { // each took a minute, or could
		f.Add([]byte("a="+strings.Repeat(nests, 60_000/len(nests))), true)
		f.Add([]byte(strings.Repeat(nests, 60_000/len(nests))+"a=1\n"), true)
	}
	f.Fuzz(func(t *testing.T, body []byte, whole bool) {
		text := body
		if whole {
			text = signText(t, body, key)
		}
		if settings, err := Template(body); err == nil {
			if _, err := Template(settings.Text()); err != nil && settings.check() == nil {
				t.Fatalf("%v\n%s", err, settings.Text())
			}
		}
		file, err := Open(text)
		var e *Error
		if err != nil {
			if !errors.As(err, &e) || utf8.RuneCountInString(err.Error()) > 700 {
				t.Fatalf("%q", err)
			}
			return
		}
		again := signText(t, file.signedPart(), key)
		read, err := Open(again)
		if err != nil {
			t.Fatalf("%v\n%s", err, again)
		}
		if once, twice := file.signedPart(), read.signedPart(); !bytes.Equal(once, twice) {
			t.Fatalf("%s\nis not\n%s", once, twice)
		}
	})
}

// Whatever stands on the partition: the file lies within it.
func FuzzUnpack(f *testing.F) {
	f.Add(Pack([]byte("file")))
	f.Add([]byte(Magic + "99999\n"))
	f.Add([]byte(Magic + "1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := Unpack(b)
		if err == nil && !bytes.HasPrefix(b, Pack(file)) {
			t.Fatalf("%q of %q", file, b)
		}
	})
}
