package profiles

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"latchkey/card"
)

func TestTheProfilesThatAreThere(t *testing.T) {
	t.Parallel()
	want := []string{"authentic", "gids", "isoapplet", "openpgp", "openpgp-admin", "piv", "piv-any"}
	if got := Embedded().Names(); !slices.Equal(got, want) {
		t.Errorf("profiles %v, want %v", got, want)
	}
	p, err := Embedded().Named("piv-any")
	if err != nil || p.Passcode.Rules != (card.Rules{Min: 4, Max: 8}) || p.PUK.Length != 8 || !p.PUK.Rotates || !slices.Equal(p.Blocked, []uint16{0x6983}) {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := Embedded().Named("pvi"); err == nil || !strings.Contains(err.Error(), "piv, piv-any") {
		t.Errorf("unknown profile: %v, want an error that lists the known ones", err)
	}
}

func text(t *testing.T, name string) string {
	t.Helper()
	b, err := files.ReadFile(name + ".toml")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestProfilesAreReadStrictly(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ profile, old, new, says string }{
		{"piv", "digits_only = true", "digitsonly = true", `"passcode.digitsonly" is not known`},
		{"piv", "tries = 3", "tries = 3\nretries = 3", `"passcode.retries" is not known`},
		{"piv", "tries = 3", "", `"passcode.tries" is missing`},
		{"piv", "tries = 3", "tries = 16", "want 1 to 15"},
		{"piv", "tries = 3", `tries = "3"`, "incompatible types"},
		{"piv", `family = "piv"`, `family = "vip"`, "authentic, gids, iso, openpgp, piv, pkcs11"},
		{"piv", `family = "piv"`, "", `"family" is missing`},
		{"piv", `title = "PIV card"`, `title = ""`, "title is empty"},
		{"piv", "min = 6", "min = 9", "max not below min"},
		{"piv", "min = 6", "min = 0", "1 or more"},
		{"piv", "rotates = true", "", `"puk.rotates" is missing`},
		{"piv", "[puk]", "[puk", "expected"},
		{"piv", "[puk]", "[puk]\nreference = 0x81", "no meaning for family"},
		{"piv", "[passcode]", "module = \"x\"\n[passcode]", "no meaning for family"},
		{"piv", "[passcode]", "aid = \"A0\"\n[passcode]", "5 to 16 bytes"},
		{"piv", "[passcode]", "blocked = [\"63C1\"]\n[passcode]", "status words"},
		{"piv", "[passcode]", "blocked = []\n[passcode]", "blocked is empty"},
		{"piv", "[passcode]", "atr = [\"3B 0\"]\n[passcode]", "upper-case hex"},
		{"isoapplet", "pad_to = 16", "pad_to = 8", "16, the longest"},
		{"isoapplet", "reference = 0x01", "reference = 0x100", "0x01 to 0xFF"},
		{"isoapplet", "reference = 0x01", "", `"passcode.reference" is missing`},
		{"isoapplet", "pad_with = 0x00", "pad_with = 0x20", "0x00 or 0xFF"},
		{"isoapplet", `serial = "token-info"`, "", `"serial" is missing`},
		{"isoapplet", `serial = "token-info"`, `serial = "gdo"`, `"cplc" or "token-info"`},
		{"isoapplet", "rotates = false", "rotates = true", `"puk.reference" is missing`},
		{"authentic", "[puk]", "[puk]\npad_with = 0x00", "no meaning for family"},
		{"piv", "[passcode]", "serial = \"cplc\"\n[passcode]", "no meaning for family"},
		{"openpgp", "rotates = false", "rotates = true", "for its administrator alone"},
		{"openpgp", `kind = "reset-code"`, `kind = "puk"`, `"reset-code" or "admin"`},
		{"gids", "length = 48", "length = 32", "48 hex digits"},
		{"nhs-series-4-to-6", "retired = true", "retired = true\nfamily = \"piv\"", "no meaning"},
	} {
		good := text(t, test.profile)
		bad := strings.Replace(good, test.old, test.new, 1)
		if bad == good {
			t.Fatalf("%q is not in %s", test.old, test.profile)
		}
		if p, err := parse(test.profile, bad); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s with %q: %+v, %v; want an error with %q", test.profile, test.new, p, err, test.says)
		}
	}
}

func TestTheProfileThatNamesTheCardComesFirst(t *testing.T) {
	t.Parallel()
	jcop := []byte("\x3B\x6A\x00\xFFJCOP41V221")
	names := func(s Set, atr []byte) (list []string) {
		for _, p := range s.For(atr) {
			list = append(list, p.Name)
		}
		return list
	}
	if got := names(Embedded(), jcop); !slices.Equal(got, []string{"nhs-series-4-to-6"}) {
		t.Errorf("a JCOP 41 card can be %v", got)
	}
	if got := names(Embedded(), []byte{0x3B, 0}); !slices.Equal(got, Embedded().Names()) {
		t.Errorf("a card that nobody names can be %v", got)
	}
	dir := t.TempDir()
	own := strings.Replace(text(t, "piv"), "[passcode]", "atr = [\"3B 6A 00 FF 4A 43 4F 50 34 31 5. .2 32 31\"]\n[passcode]", 1)
	if err := os.WriteFile(filepath.Join(dir, "trust.toml"), []byte(own), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := names(s, jcop); !slices.Equal(got, []string{"trust", "nhs-series-4-to-6"}) {
		t.Errorf("with a profile of the trust's own it can be %v", got)
	}
	if err := os.WriteFile(filepath.Join(dir, "piv.toml"), []byte(own), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), "choose another") {
		t.Errorf("a second profile of one name: %v", err)
	}
	if _, err := Load(t.TempDir()); err == nil || !strings.Contains(err.Error(), "no .toml file") {
		t.Errorf("an empty folder: %v", err)
	}
}

// Of two ways to speak to one card the wrong one could be taken, and cost a try.
func TestProfilesThatNoCardTellsApartAreRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ atr, says string }{
		"no answer to reset":       {"", "trust.toml differs from isoapplet"},
		"an answer of its own":     {`atr = ["3B 0.", "3B 0F 18"]`, ""},
		"an answer that both name": {`atr = ["3B FF .."]`, "trust.toml differs from trust2"},
	} {
		dir := t.TempDir()
		write := func(name, text string) {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		iso := text(t, "isoapplet")
		write("trust.toml", test.atr+"\n"+strings.ReplaceAll(iso, "pad_with = 0x00", "pad_with = 0xFF"))
		write("trust2.toml", "atr = [\"3B F. 18\"]\n"+iso)
		if _, err := Load(dir); (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v, want %q", name, err, test.says)
		}
	}
}

func FuzzParse(f *testing.F) {
	entries, err := files.ReadDir(".")
	if err != nil {
		f.Fatal(err)
	}
	for _, e := range entries {
		b, err := files.ReadFile(e.Name())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b), []byte{0x3B, 0})
	}
	f.Fuzz(func(t *testing.T, text string, atr []byte) {
		p, err := parse("fuzz", text)
		if err != nil {
			return
		}
		Set{[]Profile{p}}.For(atr)
		if !p.Retired && (p.PUK.Length < 1 || p.PUK.Tries < 1 || p.Passcode.Min < 1 || p.Passcode.Max < p.Passcode.Min) {
			t.Fatalf("taken: %+v", p)
		}
	})
}
