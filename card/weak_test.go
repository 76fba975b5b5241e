package card

import (
	"bytes"
	"testing"

	"latchkey/firmware/secret"
)

func TestWeak(t *testing.T) {
	t.Parallel()
	for passcode, want := range map[string]Weakness{
		"": WeakNone, "0": WeakRepeated, "111111": WeakRepeated, "000000": WeakRepeated, "aaaaaaaa": WeakRepeated,
		"1234": WeakSequence, "123456": WeakSequence, "654321": WeakSequence, "98765432": WeakSequence, "567890": WeakSequence,
		"210987": WeakSequence, "012345": WeakSequence, "abcdef": WeakSequence, "AbCdEf": WeakSequence, "fedcba": WeakSequence,
		"1212": WeakPattern, "121212": WeakPattern, "123123": WeakPattern, "12121": WeakPattern, "20012001": WeakPattern, "abab": WeakPattern,
		"240583": WeakDate, "290200": WeakDate, "310199": WeakDate, "24051983": WeakDate, "19830524": WeakDate, "29022000": WeakDate,
		"1983": WeakDate, "2004": WeakDate,
		"2580": WeakCommon, "147258": WeakCommon, "112233": WeakCommon, "qwerty": WeakCommon, "Password": WeakCommon, "PASSW0RD": WeakCommon,
		"271828": WeakNone, "402817": WeakNone, "310282": WeakNone, "320199": WeakNone, "451399": WeakNone, "24052183": WeakNone,
		"1899": WeakNone, "2100": WeakNone, "7381": WeakNone, "abcdeg": WeakNone, "897654": WeakNone, "890a12": WeakNone, "!\"#$%&": WeakNone,
		"correct horse": WeakNone,
	} {
		v := secret.New([]byte(passcode))
		if got := Weak(v); got != want {
			t.Errorf("Weak(%q) = %q, want %q", passcode, got, want)
		}
		if string(v.Reveal()) != passcode {
			t.Errorf("Weak changed %q", passcode)
		}
	}
}

// No rule hides an entry of the list: it would never be told as common.
func TestCommonIsReached(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, word := range common {
		if got := Weak(secret.New([]byte(word))); got != WeakCommon {
			t.Errorf("%q is told as %q", word, got)
		}
		if seen[word] {
			t.Errorf("%q stands there twice", word)
		}
		seen[word] = true
	}
}

// Of six digits, most are still to be had.
func TestWeakLeavesMost(t *testing.T) {
	t.Parallel()
	weak := 0
	b := []byte("000000")
	v := secret.New(b)
	for n := range 1_000_000 {
		for i, d := 5, n; i >= 0; i, d = i-1, d/10 {
			b[i] = byte('0' + d%10)
		}
		if Weak(v) != WeakNone {
			weak++
		}
	}
	if weak < 30_000 || weak > 50_000 {
		t.Errorf("%d of a million six-digit passcodes are weak", weak)
	}
}

func TestWeakKeepsNothing(t *testing.T) { // not parallel: it counts allocations
	for _, passcode := range []string{"271828", "Password", "24051983", "correct horse battery staple, and more of it"} {
		v := secret.New([]byte(passcode))
		if n := testing.AllocsPerRun(100, func() { Weak(v) }); n != 0 {
			t.Errorf("Weak(%q) allocates %v times", passcode, n)
		}
	}
}

func FuzzWeak(f *testing.F) {
	for _, s := range []string{"", "1", "111111", "654321", "121212", "24051983", "Password", "\x00\xff/:@[`{"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		v := secret.New(b)
		got := Weak(v)
		if !bytes.Equal(b, before) || got != Weak(v) {
			t.Fatal("it changed the passcode, or its mind")
		}
		if len(b) > 1 && bytes.Count(b, b[:1]) == len(b) && got != WeakRepeated {
			t.Fatalf("%q is one character, and %q", b, got)
		}
	})
}
