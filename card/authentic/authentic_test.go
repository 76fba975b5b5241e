package authentic_test

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"latchkey/card"
	"latchkey/card/authentic"
	"latchkey/card/cardtest"
	"latchkey/tools/cardsim"
)

// Policies: the passcode's, which the credentials of a mask may reset; a PIN's and a key's.
func passcodePolicy(how, mask string) string {
	return "5F011A" + "800100" + "860A" + "0000" + how + mask + "0001FF00FF00" + "910103" + "A106" + "830108" + "840104" + "0000" + "9000"
}

const (
	pinPolicy = "08" + "800100" + "A103" + "83010A" + "9000"
	keyPolicy = "08" + "800104" + "A103" + "83010A" + "9000"
	noPUK     = "no PUK"
)

func TestStatusWordsOfSecrets(t *testing.T) {
	t.Parallel()
	const refuses = "refused"
	ops := []struct {
		name, command string
		before        []string // answers to what goes before
		refused       string   // what 6A80 means
		compares      bool     // a secret
		do            func(*authentic.Card) error
	}{
		{"present", "002000030A3132333435363738FFFF", nil, "status 6A80", true,
			func(c *authentic.Card) error { return c.Reset(value("12345678"), value("864213")) }},
		{"reset", "002C020210383634323133FFFFFFFFFFFFFFFFFFFF", []string{"9000"}, refuses, false,
			func(c *authentic.Card) error { return c.Reset(value("12345678"), value("864213")) }},
		{"confirm", "0020000210383634323133FFFFFFFFFFFFFFFFFFFF", nil, "status 6A80", true,
			func(c *authentic.Card) error { return c.Confirm(value("864213")) }},
		{"change", "0024000220313233343536FFFFFFFFFFFFFFFFFFFF383634323133FFFFFFFFFFFFFFFFFFFF", nil, refuses, true,
			func(c *authentic.Card) error { return c.Change(value("123456"), value("864213")) }},
		{"rotate", "00240003143132333435363738FFFF3930383137323633FFFF", nil, "status 6A80", true,
			func(c *authentic.Card) error { return c.Rotate(value("12345678"), value("90817263")) }},
	}
	for _, op := range ops {
		want := map[string]string{
			"6A80": op.refused, "6A88": "status 6A88", "6982": "status 6982", "6700": "status 6700", "6C08": "status 6C08",
			"6F00": "unknown", "6581": "unknown", "": "removed", "90": "removed",
			"63C1": "unknown", "63C0": "unknown", "6983": "status 6983",
		}
		if op.compares {
			want["63C1"], want["63C0"], want["6983"] = "wrong, 1 left", "blocked", "blocked"
		}
		if op.name != "present" {
			want["9000"] = "done"
		}
		for answer, want := range want {
			said := cardtest.Says(t, append(op.before, answer)...)
			if got := cardtest.Kind(op.do(authentic.New(said, fixed))); got != want {
				t.Errorf("%s answered by %q: %s, want %s", op.name, answer, got, want)
			}
			if n := len(said.Asked); n != len(op.before)+1 || said.Asked[n-1] != op.command {
				t.Errorf("%s sent %v, want %s last and once", op.name, said.Asked, op.command)
			}
			for _, k := range said.Kept {
				if len(bytes.Trim(k, "\x00")) > 0 {
					t.Errorf("%s left its command in memory: %X", op.name, k)
				}
			}
		}
	}
}

// The card says which credential resets the passcode, and to which length secrets are filled up.
func TestTheCardTellsItsPUK(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		answers []string
		want    string
		asked   []string
	}{
		{"one", []string{passcodePolicy("00", "04"), "5F03" + pinPolicy, "9000", "9000"}, "done",
			[]string{"00CA5F0100", "00CA5F0300", "002000030A3132333435363738FFFF", "002C020108383634323133FFFF"}},
		{"in the class of GlobalPlatform", []string{"6E00", passcodePolicy("00", "04"), "5F03" + pinPolicy, "9000", "9000"}, "done",
			[]string{"00CA5F0100", "80CA5F0100", "00CA5F0300", "002000030A3132333435363738FFFF", "002C020108383634323133FFFF"}},
		{"a key before it", []string{passcodePolicy("00", "0A"), "5F02" + keyPolicy, "5F04" + pinPolicy, "9000", "9000"}, "done",
			[]string{"00CA5F0100", "00CA5F0200", "00CA5F0400", "002000040A3132333435363738FFFF", "002C020108383634323133FFFF"}},
		{"a key alone", []string{passcodePolicy("00", "02"), "5F02" + keyPolicy}, noPUK, nil},
		{"nobody", []string{passcodePolicy("FF", "00")}, noPUK, nil},
		{"everybody", []string{passcodePolicy("00", "00")}, noPUK, nil},
		{"over a secure channel", []string{passcodePolicy("40", "04")}, noPUK, nil},
		{"not told", []string{"6A88"}, "status 6A88", nil},
		{"not told of the PUK", []string{passcodePolicy("00", "04"), "6A88"}, "status 6A88", nil},
		{"nonsense", []string{"5F0100" + "9000"}, "reset passcode: read policy of credential 1: answer of 3 bytes is none", nil},
		{"pulled", []string{""}, "removed", nil},
	} {
		said := cardtest.Says(t, test.answers...)
		if got := cardtest.Kind(authentic.New(said, embedded).Reset(value("12345678"), value("864213"))); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
		if test.asked != nil && fmt.Sprint(said.Asked) != fmt.Sprint(test.asked) {
			t.Errorf("%s: sent %v, want %v", test.name, said.Asked, test.asked)
		}
		if len(said.Left) > 0 {
			t.Errorf("%s: %d answers were not asked for", test.name, len(said.Left))
		}
	}
}

// What the profile or the card forbids costs no try of the PUK.
func TestForbiddenSecretsAreNotSent(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "123", "12345678901234567"} {
		c := authentic.New(cardtest.Says(t), fixed) // fails on any command
		if err := c.Reset(value("12345678"), value(bad)); !errors.Is(err, card.ErrRefusedPasscode) {
			t.Errorf("reset to %q: %v, want ErrRefusedPasscode", bad, err)
		}
		if err := c.Change(value("123456"), value(bad)); !errors.Is(err, card.ErrRefusedPasscode) {
			t.Errorf("change to %q: %v, want ErrRefusedPasscode", bad, err)
		}
	}
	said := cardtest.Says(t, passcodePolicy("00", "04"))
	if err := authentic.New(said, embedded).Reset(value("12345678"), value("123456789")); !errors.Is(err, card.ErrRefusedPasscode) {
		t.Errorf("longer than the card's policy: %v, want ErrRefusedPasscode", err)
	}
	for _, bad := range []string{"", "12345678901"} {
		c := authentic.New(cardtest.Says(t), fixed)
		for what, err := range map[string]error{
			"reset by":    c.Reset(value(bad), value("123456")),
			"rotate from": c.Rotate(value(bad), value("12345678")),
			"rotate to":   c.Rotate(value("12345678"), value(bad)),
		} {
			if !errors.Is(err, card.ErrNotSent) {
				t.Errorf("%s %q: %v, want ErrNotSent", what, bad, err)
			}
		}
	}
	for _, bad := range []string{"", "12345678901234567"} {
		c := authentic.New(cardtest.Says(t), fixed)
		for what, err := range map[string]error{"confirm": c.Confirm(value(bad)), "change from": c.Change(value(bad), value("123456"))} {
			if !errors.Is(err, card.ErrRefusedPasscode) || errors.Is(err, card.ErrNotSent) {
				t.Errorf("%s %q: %v, want ErrRefusedPasscode alone", what, bad, err)
			}
		}
	}
	if err := authentic.New(cardtest.Says(t), embedded).Rotate(value("1"), value("2")); !errors.Is(err, card.ErrNoPUK) {
		t.Errorf("rotation by the embedded profile: %v, want ErrNoPUK", err)
	}
}

func TestState(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		answers []string
		want    card.State
	}{
		{[]string{"63C3", passcodePolicy("00", "04"), "63CA"}, card.State{TriesLeft: 3, PUKTriesLeft: 10}},
		{[]string{"63C0", passcodePolicy("00", "04"), "6983"}, card.State{Locked: true}},
		{[]string{"6983", passcodePolicy("00", "04"), "6982"}, card.State{Locked: true, PUKTriesLeft: -1}},
		{[]string{"9000", passcodePolicy("00", "04"), "9000"}, card.State{TriesLeft: -1, PUKTriesLeft: -1}},
		{[]string{"63C3", passcodePolicy("FF", "00")}, card.State{TriesLeft: 3}}, // no PUK
		{[]string{"6A88"}, card.State{Uninitialised: true}},
	} {
		said := cardtest.Says(t, test.answers...)
		if got, err := authentic.New(said, embedded).State(); err != nil || got != test.want {
			t.Errorf("%v: %+v, %v, want %+v", test.answers, got, err, test.want)
		}
		for i, want := range []string{"00200001", "00CA5F0100", "00200003"}[:len(test.answers)] {
			if said.Asked[i] != want {
				t.Errorf("asked %v: anything but an empty VERIFY can cost a try", said.Asked)
			}
		}
	}
	for _, answers := range [][]string{{"6A86"}, {"63C3", "6A86"}} {
		if _, err := authentic.New(cardtest.Says(t, answers...), embedded).State(); cardtest.Kind(err) != "status 6A86" {
			t.Errorf("%v: %v", answers, err)
		}
	}
}

func TestIdentify(t *testing.T) {
	t.Parallel()
	const cplc = "9F7F2A" + "000000000000000000000000" + "01020304" + "0506" + "000000000000000000000000000000000000000000000000" + "9000"
	said := cardtest.Says(t, "9000", cplc)
	id, err := authentic.New(said, embedded).Identify()
	if err != nil || id != (card.Identity{Family: "authentic", Serial: "01020304"}) {
		t.Errorf("%+v, %v", id, err)
	}
	if want := []string{"00A4040010A000000077010070" + "0A1000F100000100" + "00", "00CA9F7F2D"}; fmt.Sprint(said.Asked) != fmt.Sprint(want) {
		t.Errorf("sent %v, want %v", said.Asked, want)
	}
	for _, test := range []struct {
		answers []string
		want    string
	}{
		{[]string{"6A82"}, "not this family"},
		{[]string{"6F00"}, "status 6F00"},
		{[]string{"9000", "6A88"}, "no key"},
		{[]string{"9000", ""}, "removed"},
	} {
		if _, err := authentic.New(cardtest.Says(t, test.answers...), embedded).Identify(); cardtest.Kind(err) != test.want {
			t.Errorf("%v: %v, want %s", test.answers, err, test.want)
		}
	}
}

func TestALyingCardIsCaughtByConfirm(t *testing.T) {
	t.Parallel()
	sim := virtual(t, cardsim.Spec{Profile: embedded, Blocked: true, Quirks: cardsim.Quirks{Lie: true}})
	cardtest.Lie(t, authentic.New(sim, embedded), cardtest.Fixture{PUK: value(cardsim.DefaultPUK), NewPasscode: value("864213")})
}

func TestACardThatWasNeverGivenAPasscode(t *testing.T) {
	t.Parallel()
	c := authentic.New(virtual(t, cardsim.Spec{Profile: embedded, Uninitialised: true}), embedded)
	if _, err := c.Identify(); err != nil {
		t.Fatal(err)
	}
	if s, err := c.State(); err != nil || s != (card.State{Uninitialised: true}) {
		t.Errorf("state %+v, %v", s, err)
	}
}

// Pulled before or after any command, a card holds what it held or what the last command sets, and its PUK lost no try.
func TestACardThatIsPulled(t *testing.T) {
	t.Parallel()
	old, next, puk, nextPUK := value(cardsim.DefaultPasscode), value("864213"), value(cardsim.DefaultPUK), value("90817263")
	for name, method := range map[string]struct {
		do   func(*authentic.Card) error
		last int // the command that changes something
	}{
		"reset":  {func(c *authentic.Card) error { return c.Reset(puk, next) }, 2},
		"change": {func(c *authentic.Card) error { return c.Change(old, next) }, 1},
		"rotate": {func(c *authentic.Card) error { return c.Rotate(puk, nextPUK) }, 1},
	} {
		commands := cardtest.Pull(t, name, func(p *cardtest.Pulled) func() error {
			path := filepath.Join(t.TempDir(), "card")
			sim, err := cardsim.Create(path, cardsim.Spec{Profile: fixed})
			if err != nil {
				t.Fatal(err)
			}
			p.Transport = sim
			p.Check = func(n int, after bool) {
				found, err := cardsim.Open(path)
				if err != nil {
					t.Fatal(err)
				}
				changed := after && n == method.last
				sets, rotates := changed && name != "rotate", changed && name == "rotate"
				if found.HasPasscode(next) != sets || found.HasPasscode(old) == sets || found.HasPUK(nextPUK) != rotates || found.HasPUK(puk) == rotates {
					t.Errorf("%s, pulled at APDU %d, after it: %t: the card holds something else", name, n, after)
				}
				if _, tries := found.TriesLeft(); tries != fixed.PUK.Tries {
					t.Errorf("%s, pulled at APDU %d: %d tries of the PUK left", name, n, tries)
				}
			}
			c := authentic.New(p, fixed)
			if _, err := c.Identify(); err != nil {
				t.Fatal(err)
			}
			return func() error { return method.do(c) }
		})
		if commands != method.last {
			t.Errorf("%s sends %d commands, want %d", name, commands, method.last)
		}
	}
}
