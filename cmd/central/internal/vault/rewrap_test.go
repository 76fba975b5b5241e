package vault

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"latchkey/firmware/secret"
)

func kek(t *testing.T, b byte) KEK {
	t.Helper()
	k, err := NewKEK(key(b))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// with makes a vault that seals under the first key and opens what the others sealed.
func with(t *testing.T, first byte, old ...byte) *Vault {
	t.Helper()
	root, err := NewRoot(key(2))
	if err != nil {
		t.Fatal(err)
	}
	k := Keys{KEK: kek(t, first), Root: root, Codes: key(3)}
	for _, o := range old {
		k.Old = append(k.Old, kek(t, o))
	}
	v, err := With(k)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestAnOldKeyOpensUntilAllIsWrappedAnew(t *testing.T) {
	t.Parallel()
	s := Subject{KindPUK, "0a0b", 2}
	before, both, after := with(t, 1), with(t, 9, 1), with(t, 9)
	sealed, err := before.Seal(s, secret.New([]byte("12345678")))
	if err != nil {
		t.Fatal(err)
	}
	kept := bytes.Clone(sealed)
	opens := func(v *Vault, sealed []byte) bool {
		got, err := v.Open(s, sealed)
		if err != nil && !errors.Is(err, ErrSealed) {
			t.Fatal(err)
		}
		return err == nil && string(got.Reveal()) == "12345678"
	}
	anew, err := both.Rewrap(s, sealed)
	if err != nil {
		t.Fatal(err)
	}
	for what, is := range map[string]bool{
		"the old envelope opens with both keys":          opens(both, sealed),
		"the old envelope does not open without its key": !opens(after, sealed),
		"the new envelope opens without the old key":     opens(after, anew),
		"the new envelope does not open with the old":    !opens(before, anew),
		"the secret was not sealed anew":                 bytes.Equal(sealed[headLen+wrappedLen:], anew[headLen+wrappedLen:]),
		"the old envelope was left as it was":            bytes.Equal(sealed, kept),
	} {
		if !is {
			t.Errorf("not so: %s", what)
		}
	}
	if again, err := both.Rewrap(s, anew); err != nil || !bytes.Equal(again, anew) {
		t.Errorf("what is under the new key was wrapped again: %v", err)
	}
	var unknown *UnknownKeyError
	if same, err := after.Rewrap(s, sealed); !errors.As(err, &unknown) || unknown.ID != before.KeyID() || !errors.Is(err, ErrSealed) || !bytes.Equal(same, sealed) {
		t.Errorf("without the old key: %v", err)
	}
	if _, err := both.Rewrap(Subject{KindPUK, "0a0c", 2}, sealed); !errors.Is(err, ErrSealed) {
		t.Errorf("wrapped anew for another card: %v", err)
	}
}

// An envelope's two halves each hold for their subject: whoever can write the database cannot give one card's secret to another.
func TestHalvesOfEnvelopesDoNotMix(t *testing.T) {
	t.Parallel()
	v := with(t, 1)
	subjects := []Subject{{KindPUK, "0a0b", 0}, {KindPUK, "0a0b", 1}, {KindAdminKey, "0a0b", 0}, {KindPUK, "0a0c", 0}}
	var sealed [][]byte
	for _, s := range subjects {
		b, err := v.Seal(s, secret.New([]byte("12345678")))
		if err != nil {
			t.Fatal(err)
		}
		sealed = append(sealed, b)
	}
	for i, s := range subjects {
		for j := range subjects {
			for k := range subjects {
				mixed := slices.Concat(sealed[j][:headLen+wrappedLen], sealed[k][headLen+wrappedLen:])
				if _, err := v.open(s, mixed); (err == nil) != (i == j && j == k) {
					t.Errorf("key of %v with secret of %v, for %v: %v", subjects[j], subjects[k], s, err)
				}
			}
		}
	}
}
