package gids_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"latchkey/card"
	"latchkey/card/cardtest"
	"latchkey/card/gids"
	"latchkey/firmware/secret"
	"latchkey/tools/cardsim"
	simulated "latchkey/tools/cardsim/gids"
)

func virtual(t testing.TB, spec cardsim.Spec) *cardsim.Card {
	t.Helper()
	spec.Profile = profile
	sim, err := cardsim.Create("", spec)
	if err != nil {
		t.Fatal(err)
	}
	return sim
}

const (
	answerCommand = "008700000C7C0A8208A1B2C3D4E5F60718"
	resetCommand  = "002C028006383634323133"
	verifyCommand = "0020008006383634323133"
)

var answer, passcode = value("a1b2c3d4e5f60718"), value("864213")

func TestStatusWordsOfSecrets(t *testing.T) {
	t.Parallel()
	for _, op := range []struct {
		name  string
		first []string // the card's answers before
		sent  []string
		do    func(*gids.Card) error
		wants map[string]string
	}{
		{"the answer", nil, []string{answerCommand}, func(c *gids.Card) error { return c.Reset(answer, passcode) }, map[string]string{
			"6982": "wrong, -1 left", "6300": "wrong, -1 left", "63C2": "wrong, 2 left", "63C0": "blocked", "6983": "blocked",
			"6985": "status 6985", "6984": "status 6984", "6F00": "unknown", "6581": "unknown", "": "removed", "90": "removed", "6C08": "status 6C08",
		}},
		{"reset", []string{"9000"}, []string{answerCommand, resetCommand}, func(c *gids.Card) error { return c.Reset(answer, passcode) }, map[string]string{
			"9000": "done", "6A80": "refused", "6700": "refused", "6982": "status 6982", "63C2": "unknown", "6983": "status 6983",
			"6F00": "unknown", "6581": "unknown", "": "removed",
		}},
		{"confirm", nil, []string{verifyCommand}, func(c *gids.Card) error { return c.Confirm(passcode) }, map[string]string{
			"9000": "done", "63C9": "wrong, 9 left", "63C1": "wrong, 1 left", "63C0": "blocked", "6983": "blocked", "6982": "status 6982",
			"6A88": "status 6A88", "6F00": "unknown", "": "removed",
		}},
		{"the present passcode", nil, []string{verifyCommand}, func(c *gids.Card) error { return c.Change(passcode, value("1357")) }, map[string]string{
			"63C2": "wrong, 2 left", "63C0": "blocked", "6983": "blocked", "6F00": "unknown", "": "removed",
		}},
		{"change", []string{"9000"}, []string{verifyCommand, "002400800A38363432313331333537"}, func(c *gids.Card) error { return c.Change(passcode, value("1357")) }, map[string]string{
			"9000": "done", "6A80": "refused", "6700": "refused", "6982": "status 6982", "6F00": "unknown", "": "removed",
		}},
	} {
		for last, want := range op.wants {
			card := cardtest.Says(t, append(op.first, last)...)
			if got := cardtest.Kind(op.do(gids.New(card, profile))); got != want {
				t.Errorf("%s answered by %q: %s, want %s", op.name, last, got, want)
			}
			if fmt.Sprint(card.Asked) != fmt.Sprint(op.sent) {
				t.Errorf("%s sent %v, want %v", op.name, card.Asked, op.sent)
			}
			for _, b := range card.Kept {
				if len(bytes.Trim(b, "\x00")) > 0 {
					t.Errorf("%s left its command in memory: %X", op.name, b)
				}
			}
		}
	}
}

func TestChallenge(t *testing.T) {
	t.Parallel()
	const name, ask = "002281A403830180", "00870000047C02810000"
	card := cardtest.Says(t, "9000", "7C0A810801020304050607089000")
	got, err := gids.New(card, profile).Challenge()
	if err != nil || !bytes.Equal(got, []byte{1, 2, 3, 4, 5, 6, 7, 8}) || fmt.Sprint(card.Asked) != fmt.Sprint([]string{name, ask}) {
		t.Errorf("%X, %v by %v", got, err, card.Asked)
	}
	for want, list := range map[string][]string{
		"no PUK":      {"6A88"},
		"status 6A81": {"6A81"},
		"status 6985": {"9000", "6985"},
		"removed":     {"9000", ""},
		"ask for a challenge: the card gave one of 16 bytes, want 8": {"9000", "7C128110" + strings.Repeat("AB", 16) + "9000"},
		"ask for a challenge: the card gave one of 0 bytes, want 8":  {"9000", "9000"},
	} {
		if _, err := gids.New(cardtest.Says(t, list...), profile).Challenge(); cardtest.Kind(err) != want {
			t.Errorf("%v: %v, want %s", list, err, want)
		}
	}
}

func TestWhatNoCardTakesIsNotSent(t *testing.T) {
	t.Parallel()
	c := gids.New(cardtest.Says(t), profile) // fails on any command
	for _, bad := range []string{"", "123", "12345678901234567"} {
		for what, err := range map[string]error{"reset to": c.Reset(answer, value(bad)), "change to": c.Change(passcode, value(bad))} {
			if !errors.Is(err, card.ErrRefusedPasscode) {
				t.Errorf("%s %q: %v, want ErrRefusedPasscode", what, bad, err)
			}
		}
		for what, err := range map[string]error{"confirm": c.Confirm(value(bad)), "change from": c.Change(value(bad), passcode)} {
			if !errors.Is(err, card.ErrRefusedPasscode) || errors.Is(err, card.ErrNotSent) {
				t.Errorf("%s %q: %v, want ErrRefusedPasscode alone", what, bad, err)
			}
		}
	}
	for _, bad := range []string{"", "a1b2c3d4e5f607", "a1b2c3d4e5f6071800", "a1b2c3d4e5f6071g"} {
		err := c.Reset(value(bad), passcode)
		if !errors.Is(err, card.ErrNotSent) || bad != "" && strings.Contains(err.Error(), bad[len(bad)-2:]) {
			t.Errorf("reset by %q: %v, want ErrNotSent", bad, err)
		}
	}
	if err := c.Rotate(answer, answer); !errors.Is(err, card.ErrNoPUK) {
		t.Errorf("rotation: %v", err)
	}
	if _, err := c.Prove([32]byte{}); !errors.Is(err, card.ErrNoKey) {
		t.Errorf("proof: %v", err)
	}
}

func TestState(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]card.State{
		"7F71069701039301039000": {TriesLeft: 3, PUKTriesLeft: -1},
		"7F71069701009301039000": {Locked: true, PUKTriesLeft: -1},
		"7F71049F1701029000":     {TriesLeft: 2, PUKTriesLeft: -1}, // GIDS 1.0
		"6A88":                   {Uninitialised: true},
		"6A82":                   {Uninitialised: true},
	} {
		card := cardtest.Says(t, answer)
		if got, err := gids.New(card, profile).State(); err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", answer, got, err, want)
		}
		if card.Asked[0] != "00CB3FFF045C027F7100" {
			t.Errorf("asked by %s", card.Asked[0])
		}
	}
	for answer, want := range map[string]string{
		"6982": "status 6982", "": "removed", "9000": "read retry counter: data object is damaged",
		"7F71039301039000": "read retry counter: the card's answer holds none", "7F7104970200039000": "read retry counter: the card's answer holds none",
	} {
		if _, err := gids.New(cardtest.Says(t, answer), profile).State(); cardtest.Kind(err) != want {
			t.Errorf("%q: %v, want %s", answer, err, want)
		}
	}
}

func TestIdentify(t *testing.T) {
	t.Parallel()
	id := "DF2010" + strings.Repeat("AB", 16) + "9000"
	for name, list := range map[string][]string{
		"plain": {"9000", id}, "template on select": {"61124F0BA00000039742544659020173034001C09000", id},
		"T=0": {"6114", "6115", id}, "T=0, exact length": {"6114", "6C13", id},
	} {
		card := cardtest.Says(t, list...)
		got, err := gids.New(card, profile).Identify()
		if err != nil || got.Family != "gids" || got.Serial != strings.Repeat("ab", 16) || len(card.Left) > 0 {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if card.Asked[0] != "00A4040009A0000003974254465900" || card.Asked[1] != "00CBA012045C02DF2000" {
			t.Errorf("%s: asked by %v", name, card.Asked)
		}
	}
	for want, list := range map[string][]string{
		"no key": {"9000", "6A88"}, "status 6985": {"6985"}, "status 6982": {"9000", "6982"}, "removed": {"9000", ""},
		"read card id: data object is damaged": {"9000", "DF2110" + strings.Repeat("AB", 16) + "9000"},
	} {
		if _, err := gids.New(cardtest.Says(t, list...), profile).Identify(); cardtest.Kind(err) != want {
			t.Errorf("%v: %v, want %s", list, err, want)
		}
	}
	for _, nameless := range []string{"DF2010" + strings.Repeat("00", 16) + "9000", "DF2001AB9000", "DF20009000"} {
		if _, err := gids.New(cardtest.Says(t, "9000", nameless), profile).Identify(); !errors.Is(err, card.ErrNoKey) {
			t.Errorf("%s: %v, want ErrNoKey", nameless, err)
		}
	}
	for _, sw := range []string{"6A82", "6A81", "6A86", "6D00", "6E00", "6999"} {
		if _, err := gids.New(cardtest.Says(t, sw), profile).Identify(); !errors.Is(err, card.ErrNotThisFamily) {
			t.Errorf("select answered by %s: %v, want ErrNotThisFamily", sw, err)
		}
	}
}

func TestACardThatWasNeverGivenAPasscode(t *testing.T) {
	t.Parallel()
	c := gids.New(virtual(t, cardsim.Spec{Uninitialised: true}), profile)
	if _, err := c.Identify(); err != nil {
		t.Fatal(err)
	}
	if s, err := c.State(); err != nil || !s.Uninitialised {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestALyingCardIsCaughtByConfirm(t *testing.T) {
	t.Parallel()
	sim := virtual(t, cardsim.Spec{Blocked: true, Quirks: cardsim.Quirks{Lie: true}})
	cardtest.Lie(t, gids.New(sim, profile), cardtest.Fixture{Answer: administrator, NewPasscode: passcode})
}

// A passcode of which the present one is the beginning is wrong, though the command that carries both has nothing between
// them.
func TestALongerPresentPasscodeIsWrong(t *testing.T) {
	t.Parallel()
	sim := virtual(t, cardsim.Spec{Passcode: value("1234")})
	c := gids.New(sim, profile)
	if _, err := c.Identify(); err != nil {
		t.Fatal(err)
	}
	if got := cardtest.Kind(c.Change(value("123456"), value("9876"))); got != "wrong, 2 left" {
		t.Errorf("change from a longer one: %s", got)
	}
	if !sim.HasPasscode(value("1234")) {
		t.Error("the passcode was replaced")
	}
}

// reset does what the kiosk and central do together.
func reset(c *gids.Card, passcode secret.Value) error {
	asked, err := c.Challenge()
	if err != nil {
		return err
	}
	return c.Reset(administrator(asked), passcode)
}

func TestAPulledCardEndsEveryMethod(t *testing.T) {
	t.Parallel()
	methods := map[string]func(*gids.Card) error{
		"identify":     func(c *gids.Card) error { _, err := c.Identify(); return err },
		"state":        func(c *gids.Card) error { _, err := c.State(); return err },
		"certificates": func(c *gids.Card) error { _, err := c.Certificates(); return err },
		"reset":        func(c *gids.Card) error { return reset(c, passcode) },
		"confirm":      func(c *gids.Card) error { return c.Confirm(value(simulated.DefaultPasscode)) },
		"change":       func(c *gids.Card) error { return c.Change(value(simulated.DefaultPasscode), passcode) },
	}
	for name, method := range methods {
		cardtest.Pull(t, name, func(p *cardtest.Pulled) func() error {
			p.Transport = virtual(t, cardsim.Spec{})
			c := gids.New(p, profile)
			if _, err := c.Identify(); err != nil {
				t.Fatal(err)
			}
			return func() error { return method(c) }
		})
	}
}
