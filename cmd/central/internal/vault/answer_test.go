package vault

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"latchkey/firmware/secret"
)

func sealKey(t *testing.T, v *Vault, s Subject, key string) []byte {
	t.Helper()
	sealed, err := v.Seal(s, secret.New([]byte(key)))
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	v := testVault(t, 1)
	s := CardSecret("0a0b", true, 0)
	for _, tc := range []struct{ key, challenge, want string }{
		// NIST SP 800-67 rev. 2 appendix B.1: "The quic", "k brown ", "fox jump" under three keys.
		{"0123456789abcdef23456789abcdef01456789abcdef0123", "5468652071756663", "a826fd8ce53b855f"},
		{"0123456789abcdef23456789abcdef01456789abcdef0123", "6b2062726f776e20", "cce21c8112256fe6"},
		{"0123456789abcdef23456789abcdef01456789abcdef0123", "666f78206a756d70", "68d5c05dd9b6b900"},
		// NIST SP 800-17 table A.1 (single DES, three times the same key).
		{"010101010101010101010101010101010101010101010101", "8000000000000000", "95f8a5e5dd31d900"},
		{"010101010101010101010101010101010101010101010101", "0000000000000001", "166b40b44aba4bd6"},
	} {
		challenge, err := hex.DecodeString(tc.challenge)
		if err != nil {
			t.Fatal(err)
		}
		got, err := v.Answer(s, sealKey(t, v, s, tc.key), challenge)
		if err != nil || string(got.Reveal()) != tc.want {
			t.Errorf("%s: answered %q, %v, want %s", tc.challenge, got.Reveal(), err, tc.want)
		}
	}
}

func TestWhatIsNotAnsweredTellsNoKey(t *testing.T) {
	t.Parallel()
	v := testVault(t, 1)
	s := CardSecret("0a0b", true, 0)
	const key = "0123456789abcdef23456789abcdef01456789abcdef0123"
	good, eight := sealKey(t, v, s, key), make([]byte, 8)
	for name, answer := range map[string]func() (secret.Value, error){
		"short challenge":    func() (secret.Value, error) { return v.Answer(s, good, eight[1:]) },
		"long challenge":     func() (secret.Value, error) { return v.Answer(s, good, make([]byte, 16)) },
		"no challenge":       func() (secret.Value, error) { return v.Answer(s, good, nil) },
		"another card":       func() (secret.Value, error) { return v.Answer(CardSecret("0a0c", true, 0), good, eight) },
		"another generation": func() (secret.Value, error) { return v.Answer(CardSecret("0a0b", true, 2), good, eight) },
		"a PUK":              func() (secret.Value, error) { return v.Answer(CardSecret("0a0b", false, 0), good, eight) },
		"a PUK as key": func() (secret.Value, error) {
			return v.Answer(s, sealKey(t, v, CardSecret("0a0b", false, 0), key), eight)
		},
		"short key":  func() (secret.Value, error) { return v.Answer(s, sealKey(t, v, s, key[2:]), eight) },
		"key in hex": func() (secret.Value, error) { return v.Answer(s, sealKey(t, v, s, key[1:]+"g"), eight) },
	} {
		got, err := answer()
		if err == nil || got.Len() != 0 {
			t.Errorf("%s was answered", name)
			continue
		}
		if text := fmt.Sprintf("%v %+v", err, err); strings.Contains(text, key[2:20]) || strings.Contains(text, "45 67") {
			t.Errorf("%s: %s", name, text)
		}
	}
	for _, as := range []Subject{s, CardSecret("0a0b", false, 0)} {
		if _, err := v.Open(as, good); err == nil {
			t.Errorf("an administrator's key was opened as %s", as.Kind)
		}
	}
	if same, err := v.Holds(s, good, secret.New([]byte(key))); err != nil || !same {
		t.Errorf("the key that was sealed is not told to be the same: %v", err)
	}
	if same, err := v.Holds(s, good, secret.New([]byte(key[1:]+"0"))); err != nil || same {
		t.Errorf("another key is told to be the same: %v", err)
	}
	if bytes.Contains(good, []byte(key)) {
		t.Error("the key stands in its envelope")
	}
}
