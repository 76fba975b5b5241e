package iso_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"path/filepath"
	"testing"

	"latchkey/card"
	"latchkey/card/cardtest"
	"latchkey/card/iso"
	"latchkey/tools/cardsim"
)

func TestStatusWordsOfSecrets(t *testing.T) {
	t.Parallel()
	ward := wardCard(t)
	const refuses = "refused"
	for _, op := range []struct {
		name, command string
		refused       string // what 6A80 means
		do            func(*iso.Card) error
	}{
		{"reset", "002C0081143132333435363738FFFFFFFF383634323133FFFF", refuses, func(c *iso.Card) error { return c.Reset(value("12345678"), value("864213")) }},
		{"confirm", "0020008108383634323133FFFF", "status 6A80", func(c *iso.Card) error { return c.Confirm(value("864213")) }},
		{"change", "0024008110313233343536FFFF383634323133FFFF", refuses, func(c *iso.Card) error { return c.Change(value("123456"), value("864213")) }},
		{"rotate", "00240082183132333435363738FFFFFFFF3930383137323633FFFFFFFF", "status 6A80", func(c *iso.Card) error { return c.Rotate(value("12345678"), value("90817263")) }},
	} {
		for answer, want := range map[string]string{
			"9000": "done", "63C9": "wrong, 9 left", "63C1": "wrong, 1 left", "63C0": "blocked", "6983": "blocked", "6984": "blocked",
			"6A80": op.refused, "6A88": "status 6A88", "6982": "status 6982", "6300": "unknown", "6C08": "status 6C08", "6102": "unknown",
			"6700": "status 6700", "6F00": "unknown", "6581": "unknown", "": "removed", "90": "removed",
		} {
			said := cardtest.Says(t, answer)
			if got := cardtest.Kind(op.do(iso.New(said, ward))); got != want {
				t.Errorf("%s answered by %q: %s, want %s", op.name, answer, got, want)
			}
			if len(said.Asked) != 1 || said.Asked[0] != op.command {
				t.Errorf("%s sent %v, want %s alone", op.name, said.Asked, op.command)
			}
			if len(bytes.Trim(said.Kept[0], "\x00")) > 0 {
				t.Errorf("%s left its command in memory: %X", op.name, said.Kept[0])
			}
		}
	}
}

func TestSecretsThatTheProfileForbidsAreNotSent(t *testing.T) {
	t.Parallel()
	c := iso.New(cardtest.Says(t), wardCard(t)) // fails on any command
	for _, bad := range []string{"", "12345", "123456789", "12345x"} {
		if err := c.Reset(value("12345678"), value(bad)); !errors.Is(err, card.ErrRefusedPasscode) {
			t.Errorf("reset to %q: %v, want ErrRefusedPasscode", bad, err)
		}
		if err := c.Change(value("123456"), value(bad)); !errors.Is(err, card.ErrRefusedPasscode) {
			t.Errorf("change to %q: %v, want ErrRefusedPasscode", bad, err)
		}
	}
	for _, bad := range []string{"", "1234567890123"} {
		for what, err := range map[string]error{
			"reset by":    c.Reset(value(bad), value("123456")),
			"rotate from": c.Rotate(value(bad), value("12345678")),
			"rotate to":   c.Rotate(value("12345678"), value(bad)),
		} {
			if !errors.Is(err, card.ErrNotSent) {
				t.Errorf("%s %q: %v, want ErrNotSent", what, bad, err)
			}
		}
		for what, err := range map[string]error{"confirm": c.Confirm(value(bad)), "change from": c.Change(value(bad), value("123456"))} {
			if !errors.Is(err, card.ErrRefusedPasscode) || errors.Is(err, card.ErrNotSent) {
				t.Errorf("%s %q: %v, want ErrRefusedPasscode alone", what, bad, err)
			}
		}
	}
	if err := iso.New(cardtest.Says(t), isoApplet).Rotate(value("1"), value("2")); !errors.Is(err, card.ErrNoPUK) {
		t.Errorf("rotation on a card that has none: %v", err)
	}
}

func TestState(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		answers []string
		want    card.State
	}{
		{[]string{"63C5", "63CA"}, card.State{TriesLeft: 5, PUKTriesLeft: 10}},
		{[]string{"63C0", "63C1"}, card.State{Locked: true, PUKTriesLeft: 1}},
		{[]string{"6984", "6983"}, card.State{Locked: true, PUKTriesLeft: 0}},
		{[]string{"63C5", "63C0"}, card.State{TriesLeft: 5, PUKTriesLeft: 0}},
		{[]string{"63C5", "6A88"}, card.State{TriesLeft: 5, PUKTriesLeft: -1}},
		{[]string{"63C5", "9000"}, card.State{TriesLeft: 5, PUKTriesLeft: -1}},
		{[]string{"6A88"}, card.State{Uninitialised: true}},
		{[]string{"9000"}, card.State{Uninitialised: true}},
	} {
		said := cardtest.Says(t, test.answers...)
		if got, err := iso.New(said, wardCard(t)).State(); err != nil || got != test.want {
			t.Errorf("%v: %+v, %v, want %+v", test.answers, got, err, test.want)
		}
		for i, want := range []string{"00200081", "00200082"}[:len(test.answers)] {
			if len(said.Asked) <= i || said.Asked[i] != want {
				t.Errorf("asked %v: anything but an empty VERIFY can cost a try", said.Asked)
			}
		}
	}
	for answer, want := range map[string]string{"6A86": "status 6A86", "6700": "status 6700", "": "removed"} {
		if _, err := iso.New(cardtest.Says(t, answer), wardCard(t)).State(); cardtest.Kind(err) != want {
			t.Errorf("%q: %v, want %s", answer, err, want)
		}
	}
	// After a passcode was taken, a card that tells no number is not one without a passcode.
	c := iso.New(cardtest.Says(t, "9000", "9000", "63CA"), wardCard(t))
	if err := c.Confirm(value("123456")); err != nil {
		t.Fatal(err)
	}
	if got, err := c.State(); err != nil || got != (card.State{TriesLeft: -1, PUKTriesLeft: 10}) {
		t.Errorf("after the passcode: %+v, %v", got, err)
	}
}

func TestIdentify(t *testing.T) {
	t.Parallel()
	const cplc = "9F7F2A" + "000000000000000000000000" + "01020304" + "0506" + "000000000000000000000000000000000000000000000000"
	const token = "3018020100" + "04080102030405060708" + "0C0461626364" + "030100" + "0000"
	ward := wardCard(t)
	for name, test := range map[string]struct {
		applet  bool
		answers []string
		serial  string
	}{
		"chip":                          {false, []string{"9000", cplc + "9000"}, "010203040506"},
		"chip, class of GlobalPlatform": {false, []string{"9000", "6E00", cplc + "9000"}, "010203040506"},
		"chip, exact length":            {false, []string{"9000", "6C2D", cplc + "9000"}, "010203040506"},
		"T=0":                           {false, []string{"6103", "612D", cplc + "9000"}, "010203040506"},
		"token":                         {true, []string{"0006009000", "9000", token + "9000"}, "0102030405060708"},
		"token, end of file":            {true, []string{"0006009000", "9000", token + "6282"}, "0102030405060708"},
		"token in a larger file":        {true, []string{"9000", "9000", token + "0000009000"}, "0102030405060708"},
	} {
		said, p := cardtest.Says(t, test.answers...), ward
		if test.applet {
			p = isoApplet
		}
		id, err := iso.New(said, p).Identify()
		if err != nil || id != (card.Identity{Family: "iso", Serial: test.serial}) {
			t.Errorf("%s: %+v, %v", name, id, err)
		}
		if len(said.Left) > 0 {
			t.Errorf("%s: %d answers were not asked for", name, len(said.Left))
		}
	}
	const none = "no key"
	for _, test := range []struct {
		applet  bool
		answers []string
		want    string
	}{
		{false, []string{"6A82"}, "not this family"},
		{false, []string{"6999"}, "not this family"},
		{false, []string{"6985"}, "status 6985"},
		{false, []string{""}, "removed"},
		{false, []string{"9000", "6A88"}, none},
		{false, []string{"9000", "9000"}, none},
		{false, []string{"9000", "9F7F029000" + "9000"}, none},
		{false, []string{"9000", "9F7F2A" + hex.EncodeToString(make([]byte, 42)) + "9000"}, none},
		{true, []string{"9000", "6A82"}, none},
		{true, []string{"9000", "9000", "9000"}, none},
		{true, []string{"9000", "9000", "3006020100040100" + "9000"}, none},
		{true, []string{"9000", "9000", "3005020100" + "0C00" + "9000"}, none},
		{true, []string{"9000", "9000", "6982"}, "status 6982"},
		{true, []string{"9000", "9000", ""}, "removed"},
	} {
		p := ward
		if test.applet {
			p = isoApplet
		}
		if _, err := iso.New(cardtest.Says(t, test.answers...), p).Identify(); cardtest.Kind(err) != test.want {
			t.Errorf("%v: %v, want %s", test.answers, err, test.want)
		}
	}
}

func TestALyingCardIsCaughtByConfirm(t *testing.T) {
	t.Parallel()
	sim := virtual(t, cardsim.Spec{Profile: wardCard(t), PUK: value("12345678"), Blocked: true, Quirks: cardsim.Quirks{Lie: true}})
	cardtest.Lie(t, iso.New(sim, wardCard(t)), cardtest.Fixture{PUK: value("12345678"), NewPasscode: value("864213")})
}

func TestACardThatWasNeverGivenAPasscode(t *testing.T) {
	t.Parallel()
	sim := virtual(t, cardsim.Spec{Profile: isoApplet, Uninitialised: true})
	c := iso.New(sim, isoApplet)
	if _, err := c.Identify(); err != nil {
		t.Fatal(err)
	}
	if s, err := c.State(); err != nil || s != (card.State{Uninitialised: true}) {
		t.Errorf("state %+v, %v", s, err)
	}
	if err := c.Reset(value("1234567812345678"), value("864213")); err == nil {
		t.Error("it was reset")
	}
}

// Pulled before or after any command, a card holds either what it held or what the command sets, and the other secret
// is as it was.
func TestACardThatIsPulled(t *testing.T) {
	t.Parallel()
	ward := wardCard(t)
	old, next, puk, nextPUK := value(cardsim.DefaultPasscode), value("864213"), value("12345678"), value("90817263")
	for name, method := range map[string]func(*iso.Card) error{
		"identify": func(c *iso.Card) error { _, err := c.Identify(); return err },
		"state":    func(c *iso.Card) error { _, err := c.State(); return err },
		"reset":    func(c *iso.Card) error { return c.Reset(puk, next) },
		"change":   func(c *iso.Card) error { return c.Change(old, next) },
		"confirm":  func(c *iso.Card) error { return c.Confirm(old) },
		"rotate":   func(c *iso.Card) error { return c.Rotate(puk, nextPUK) },
	} {
		cardtest.Pull(t, name, func(p *cardtest.Pulled) func() error {
			path := filepath.Join(t.TempDir(), "card")
			sim, err := cardsim.Create(path, cardsim.Spec{Profile: ward, PUK: puk})
			if err != nil {
				t.Fatal(err)
			}
			p.Transport = sim
			p.Check = func(n int, after bool) {
				found, err := cardsim.Open(path)
				if err != nil {
					t.Fatal(err)
				}
				sets, rotates := after && (name == "reset" || name == "change"), after && name == "rotate"
				if found.HasPasscode(next) != sets || found.HasPasscode(old) == sets || found.HasPUK(nextPUK) != rotates || found.HasPUK(puk) == rotates {
					t.Errorf("%s, pulled at APDU %d, after it: %t: the card holds something else", name, n, after)
				}
			}
			c := iso.New(p, ward)
			if _, err := c.Identify(); err != nil {
				t.Fatal(err)
			}
			return func() error { return method(c) }
		})
	}
}
