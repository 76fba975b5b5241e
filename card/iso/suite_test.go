package iso_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"latchkey/card"
	"latchkey/card/cardtest"
	"latchkey/card/families"
	"latchkey/card/iso"
	"latchkey/card/profiles"
	"latchkey/firmware/secret"
	"latchkey/tools/cardsim"
)

func value(s string) secret.Value { return secret.New([]byte(s)) }

var isoApplet = profiles.Embedded().Must("isoapplet")

// ward is a series of cards that nobody has heard of: what it is stands here, and nowhere in code.
const ward = `
title = "Ward card"
family = "iso"
aid = "A000000001FF01"
serial = "cplc"
blocked = ["6984", "6983"]

[passcode]
min = 6
max = 8
digits_only = true
tries = 5
reference = 0x81
pad_to = 8
pad_with = 0xFF

[puk]
length = 8
digits_only = true
tries = 10
rotates = true
restores = true
reference = 0x82
pad_to = 12
pad_with = 0xFF
`

// configured is the profile as the kiosk gets it, from a folder, with a change.
func configured(t testing.TB, old, next string) profiles.Set {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "ward.toml"), []byte(strings.Replace(ward, old, next, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	set, err := profiles.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func wardCard(t testing.TB) profiles.Profile { return configured(t, "", "").Must("ward") }

func opens(p profiles.Profile) func(card.Transport) card.Card {
	return func(t card.Transport) card.Card { return iso.New(t, p) }
}

func TestConformance(t *testing.T) {
	t.Parallel()
	unfilled := configured(t, "pad_to = 8\npad_with = 0xFF", "pad_to = 0\npad_with = 0x00").Must("ward")
	for name, test := range map[string]struct {
		spec    cardsim.Spec
		fixture cardtest.Fixture
	}{
		"IsoApplet": {
			cardsim.Spec{Profile: isoApplet},
			cardtest.Fixture{PUK: value("1234567812345678"), NewPasscode: value("a-Z 9"), Refused: value("123"), WriteAPDUs: 2},
		},
		"tries of its own": {
			cardsim.Spec{Profile: isoApplet, PasscodeTries: 6, PUKTries: 10},
			cardtest.Fixture{PUK: value("1234567812345678"), NewPasscode: value("a-Z 9"), Refused: value("123"), WriteAPDUs: 2},
		},
		"a series that nobody knows": {
			cardsim.Spec{Profile: wardCard(t)},
			cardtest.Fixture{PUK: value("12345678"), NewPUK: value("90817263"), NewPasscode: value("864213"), Refused: value("86421x"), TellsPUKTries: true, WriteAPDUs: 3},
		},
		"blocked is 63C0": {
			cardsim.Spec{Profile: wardCard(t), Quirks: cardsim.Quirks{Blocked63C0: true}},
			cardtest.Fixture{PUK: value("12345678"), NewPUK: value("90817263"), NewPasscode: value("864213"), Refused: value("12345"), TellsPUKTries: true, WriteAPDUs: 3},
		},
		"passcodes that are not filled up": {
			cardsim.Spec{Profile: unfilled},
			cardtest.Fixture{PUK: value("12345678"), NewPUK: value("90817263"), NewPasscode: value("8642135"), Refused: value("123456789"), TellsPUKTries: true, WriteAPDUs: 3},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cardtest.Run(t, func(t *testing.T) (card.Card, cardtest.Fixture) {
				spec, f := test.spec, test.fixture
				spec.PUK = f.PUK
				sim := virtual(t, spec)
				f.Identity = card.Identity{Family: "iso", Serial: sim.Serial()}
				f.Passcode = value(cardsim.DefaultPasscode)
				f.PasscodeTries, f.PUKTries = sim.TriesLeft()
				f.StateAPDUs = 4
				return f.Over(sim, sim.Reset, opens(spec.Profile))
			})
		})
	}
}

// A trust writes a profile, and its cards are served.
func TestANewSeriesNeedsNoCode(t *testing.T) {
	t.Parallel()
	set := configured(t, "family = ", "atr = [\"3B .. 80 01 80 57 69 73 6F 61 70 70 6C 65 74 ..\"]\nfamily = ")
	p := set.Must("ward")
	sim := virtual(t, cardsim.Spec{Profile: p, PUK: value("12345678"), Blocked: true})
	counter := &cardtest.Counter{Transport: sim}
	found, err := families.Recognise(counter, sim.ATR(), set)
	if err != nil {
		t.Fatal(err)
	}
	if len(found.Profiles) != 1 || found.Profiles[0].Name != "ward" || found.Rules != (card.Rules{Min: 6, Max: 8, DigitsOnly: true}) {
		t.Errorf("recognised as %+v", found.Profiles)
	}
	if found.Identity != (card.Identity{Family: "iso", Serial: sim.Serial()}) || len(sim.Serial()) != 12 {
		t.Errorf("identity %+v, want the chip's, %s", found.Identity, sim.Serial())
	}
	s, err := found.Card.State()
	if err != nil || s != (card.State{Locked: true, PUKTriesLeft: 10}) {
		t.Errorf("state %+v, %v", s, err)
	}
	if counter.N > 4 {
		t.Errorf("%d APDUs until it was known", counter.N)
	}
	if err := found.Card.Reset(value("12345678"), value("864213")); err != nil {
		t.Error(err)
	}
	if err := found.Card.Rotate(value("12345678"), value("90817263")); err != nil {
		t.Error(err)
	}
	if !sim.HasPasscode(value("864213")) || !sim.HasPUK(value("90817263")) {
		t.Error("the card has other secrets than it was given")
	}
}

func virtual(t testing.TB, spec cardsim.Spec) *cardsim.Card {
	t.Helper()
	sim, err := cardsim.Create("", spec)
	if err != nil {
		t.Fatal(err)
	}
	return sim
}

// Without an answer to reset that names them, IsoApplet cards are found by asking for every family.
func TestAnIsoAppletIsFoundAmongAllThatAreKnown(t *testing.T) {
	t.Parallel()
	sim := virtual(t, cardsim.Spec{Profile: isoApplet})
	found, err := families.Recognise(sim, sim.ATR(), profiles.Embedded())
	if err != nil || found.Identity != (card.Identity{Family: "iso", Serial: sim.Serial()}) || found.Profiles[0].Name != "isoapplet" {
		t.Errorf("%+v, %v", found, err)
	}
}
