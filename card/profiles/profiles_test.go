package profiles

import (
	"slices"
	"strings"
	"testing"

	"latchkey/card"
)

func TestTheProfilesThatAreThere(t *testing.T) {
	t.Parallel()
	if allErr != nil {
		t.Fatal(allErr)
	}
	if got, want := Names(), []string{"piv", "piv-any"}; !slices.Equal(got, want) {
		t.Fatalf("profiles %v, want %v", got, want)
	}
	puk := PUK{Length: 8, DigitsOnly: true, Tries: 3}
	for _, want := range []Profile{
		{Name: "piv", Family: "piv", Passcode: card.Rules{Min: 6, Max: 8, DigitsOnly: true}, PUK: puk},
		{Name: "piv-any", Family: "piv", Passcode: card.Rules{Min: 4, Max: 8}, PUK: puk},
	} {
		if got, err := Named(want.Name); err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", want.Name, got, err, want)
		}
	}
	if _, err := Named("pvi"); err == nil || !strings.Contains(err.Error(), "piv, piv-any") {
		t.Errorf("unknown profile: %v, want an error that lists the known ones", err)
	}
}

func TestProfilesAreReadStrictly(t *testing.T) {
	t.Parallel()
	b, err := files.ReadFile("piv.toml")
	if err != nil {
		t.Fatal(err)
	}
	good := string(b)
	if _, err := parse("piv", good); err != nil {
		t.Fatal(err)
	}
	for _, change := range [][2]string{
		{"digits_only = true", "digitsonly = true"},
		{"tries = 3", "tries = 3\nretries = 3"},
		{"tries = 3", ""},
		{"digits_only = true", ""},
		{"tries = 3", "tries = 0"},
		{"tries = 3", `tries = "3"`},
		{`family = "piv"`, `family = ""`},
		{`family = "piv"`, ""},
		{"min = 6", "min = 0"},
		{"min = 6", "min = 9"},
		{"[puk]", "[puk"},
	} {
		text := strings.Replace(good, change[0], change[1], 1)
		if text == good {
			t.Fatalf("%q is not in the profile", change[0])
		}
		if p, err := parse("piv", text); err == nil {
			t.Errorf("%q instead of %q: read as %+v", change[1], change[0], p)
		}
	}
}
