package openpgp_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"latchkey/card"
	"latchkey/card/cardtest"
	"latchkey/card/openpgp"
	"latchkey/card/profiles"
	"latchkey/firmware/secret"
	"latchkey/tools/cardsim"
	simulated "latchkey/tools/cardsim/openpgp"
)

// kind is cardtest.Kind, which does not know this family's own error.
func kind(err error) string {
	if errors.Is(err, openpgp.ErrForm) {
		return "other form"
	}
	return cardtest.Kind(err)
}

// usual is how a widespread card (a YubiKey of firmware 5.4) answers GET DATA 6E: in two parts, with objects of its maker
// between those of the specification, and without a resetting code. Its KDF-DO says "none".
func usual() string {
	const head = "6E8201374F10D27600012401030400060123456700005F520800730000E00590007F740381012073820110C00A7D000BFE080000FF0000" +
		"C106010800001100C206010800001100C306010800001100DA06010800001100C407017F7F7F030003C550"
	return head + strings.Repeat("00", 256-len(head)/2) + "613B"
}

const usualKDF = "8101009000"

func TestIdentifyAUsualCard(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		profile profiles.Profile
		want    card.State
	}{
		"by resetting code, of which none was set": {byCode, card.State{TriesLeft: 3}},
		"by administrator":                         {byAdmin, card.State{TriesLeft: 3, PUKTriesLeft: 3}},
	} {
		wire := cardtest.Says(t, "9000", usual(), usualKDF)
		c := openpgp.New(wire, test.profile)
		id, err := c.Identify()
		if want := (card.Identity{Family: "openpgp", Serial: "000601234567"}); err != nil || id != want {
			t.Fatalf("%s: %+v, %v, want %+v", name, id, err, want)
		}
		if got, err := c.State(); err != nil || got != test.want {
			t.Errorf("%s: state %+v, %v, want %+v", name, got, err, test.want)
		}
		if want := []string{"00A4040006D2760001240100", "00CA006E00", "00CA00F900"}; fmt.Sprint(wire.Asked) != fmt.Sprint(want) {
			t.Errorf("%s: sent %v, want %v", name, wire.Asked, want)
		}
		// What it knew then is told once.
		wire.Left = []string{"017F7F7F0201029000"}
		if got, err := c.State(); err != nil || got.TriesLeft != 2 || wire.Asked[3] != "00CA00C400" {
			t.Errorf("%s: second state %+v, %v, asked by %s", name, got, err, wire.Asked[3])
		}
	}
}

// relatedData makes application related data of these bytes.
func relatedData(version, abilities, status string) string {
	discrete := fmt.Sprintf("C00A%s000BFE080000FF0000C407%s", abilities, status)
	inner := fmt.Sprintf("4F10D27600012401%s0006012345670000"+"73%02X%s", version, len(discrete)/2, discrete)
	return fmt.Sprintf("6E%02X%s", len(inner)/2, inner)
}

func TestIdentify(t *testing.T) {
	t.Parallel()
	sound := relatedData("0304", "7C", "01202020030303") + "9000"
	hashing := relatedData("0304", "7D", "01202020030303") + "9000"
	const salted = "81010382010883040310000084083031323334353637" + "9000"
	for name, test := range map[string]struct {
		answers []string
		want    string
	}{
		"version 3.4":                      {[]string{"9000", sound}, "done"},
		"version 2.0":                      {[]string{"9000", relatedData("0200", "7C", "00202020030303") + "9000"}, "done"},
		"version 1.1":                      {[]string{"9000", relatedData("0101", "7C", "00202020030303") + "9000"}, "not this family"},
		"template on select":               {[]string{"611A", sound}, "done"},
		"T=0":                              {[]string{"9000", "6140", sound}, "done"},
		"in two parts":                     {[]string{"9000", sound[:60] + "6120", sound[60:]}, "done"},
		"never whole":                      {[]string{"9000", sound[:60] + "6120", "006101", "006101", "006101"}, "read application related data: AID, extended capabilities or PW status bytes are not there"},
		"no KDF-DO":                        {[]string{"9000", hashing, "6A88"}, "done"},
		"empty KDF-DO":                     {[]string{"9000", hashing, "9000"}, "done"},
		"KDF-DO says none":                 {[]string{"9000", hashing, "8101009000"}, "done"},
		"KDF-DO says salted and iterated":  {[]string{"9000", hashing, salted}, "other form"},
		"KDF-DO says nothing that is read": {[]string{"9000", hashing, "F9038101009000"}, "other form"},
		"KDF-DO is not told":               {[]string{"9000", hashing, "6982"}, "status 6982"},
		"PIN blocks":                       {[]string{"9000", relatedData("0304", "7C", "01A02020030303") + "9000"}, "other form"},
		"PIN blocks for administrators":    {[]string{"9000", relatedData("0304", "7C", "012020A0030303") + "9000"}, "other form"},
		"terminated":                       {[]string{"6285"}, "status 6285"},
		"another application":              {[]string{"6A82"}, "not this family"},
		"no applications at all":           {[]string{"6D00"}, "not this family"},
		"failing":                          {[]string{"6F00"}, "status 6F00"},
		"no related data":                  {[]string{"9000", "6A88"}, "status 6A88"},
		"pulled":                           {[]string{"9000", ""}, "removed"},
	} {
		wire := cardtest.Says(t, test.answers...)
		if _, err := openpgp.New(wire, byCode).Identify(); kind(err) != test.want {
			t.Errorf("%s: %v, want %s", name, err, test.want)
		}
		if len(wire.Left) > 0 {
			t.Errorf("%s: %d answers were not asked for", name, len(wire.Left))
		}
	}
}

func TestState(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		status   string
		by, from card.State // by resetting code, by administrator
	}{
		{"01202020030303", card.State{TriesLeft: 3, PUKTriesLeft: 3}, card.State{TriesLeft: 3, PUKTriesLeft: 3}},
		{"01202020000201", card.State{Locked: true, PUKTriesLeft: 2}, card.State{Locked: true, PUKTriesLeft: 1}},
		{"00202020010003", card.State{TriesLeft: 1}, card.State{TriesLeft: 1, PUKTriesLeft: 3}},
		{"00202020010300", card.State{TriesLeft: 1, PUKTriesLeft: 3}, card.State{TriesLeft: 1}},
	} {
		for _, p := range []struct {
			profile profiles.Profile
			want    card.State
		}{{byCode, test.by}, {byAdmin, test.from}} {
			wire := cardtest.Says(t, test.status+"9000")
			if got, err := openpgp.New(wire, p.profile).State(); err != nil || got != p.want {
				t.Errorf("%s of %s: %+v, %v, want %+v", test.status, p.profile.Name, got, err, p.want)
			}
			if wire.Asked[0] != "00CA00C400" {
				t.Errorf("asked by %s: anything but GET DATA can cost a try", wire.Asked[0])
			}
		}
	}
	for answer, want := range map[string]string{
		"6A88": "status 6A88", "": "removed", "0120202003039000": "read PW status bytes: 6 bytes, want 7",
	} {
		if _, err := openpgp.New(cardtest.Says(t, answer), byCode).State(); kind(err) != want {
			t.Errorf("%q: %v, want %s", answer, err, want)
		}
	}
}

const (
	verifyPasscode = "0020008106383634323133"
	verifyAdmin    = "00200083083132333435363738"
	readStatus     = "00CA00C400"
)

// TestStatusWordsOfSecrets: what a card answers to the one command that presents a secret, and what follows from it. The
// PW status bytes say 5 for the passcode, 4 for the resetting code and 2 for the administrator.
func TestStatusWordsOfSecrets(t *testing.T) {
	t.Parallel()
	puk, passcode := value("12345678"), value("864213")
	for _, op := range []struct {
		name     string
		profile  profiles.Profile
		command  string
		left     int  // of what is presented, as the PW status bytes have it
		passcode bool // it sets one
		do       func(*openpgp.Card) error
	}{
		{"reset by code", byCode, "002C00810E3132333435363738383634323133", 4, true,
			func(c *openpgp.Card) error { return c.Reset(puk, passcode) }},
		{"verify before reset", byAdmin, verifyAdmin, 2, false,
			func(c *openpgp.Card) error { return c.Reset(puk, passcode) }},
		{"confirm", byCode, verifyPasscode, 5, false,
			func(c *openpgp.Card) error { return c.Confirm(passcode) }},
		{"verify before change", byCode, verifyPasscode, 5, false,
			func(c *openpgp.Card) error { return c.Change(passcode, value("975310")) }},
		{"verify before rotation", byAdmin, verifyAdmin, 2, false,
			func(c *openpgp.Card) error { return c.Rotate(puk, value("90817263")) }},
	} {
		for answer, want := range map[string]string{
			"63C9": "wrong, 9 left", "63C1": "wrong, 1 left", "63C0": "blocked", "6983": "blocked", "6982": fmt.Sprintf("wrong, %d left", op.left),
			"6A88": "status 6A88", "6300": "unknown", "63D2": "unknown", "6102": "unknown", "6C08": "status 6C08",
			"6F00": "unknown", "6581": "unknown", "": "removed", "90": "removed", "6A80": "status 6A80", "6700": "status 6700",
		} {
			if op.passcode && (answer == "6A80" || answer == "6700") {
				want = "refused"
			}
			list, sent := []string{answer}, []string{op.command}
			if answer == "6982" {
				list, sent = append(list, "012020200504029000"), append(sent, readStatus)
			}
			wire := cardtest.Says(t, list...)
			if got := kind(op.do(openpgp.New(wire, op.profile))); got != want {
				t.Errorf("%s answered by %q: %s, want %s", op.name, answer, got, want)
			}
			if fmt.Sprint(wire.Asked) != fmt.Sprint(sent) {
				t.Errorf("%s answered by %q: sent %v, want %v", op.name, answer, wire.Asked, sent)
			}
			for i, kept := range wire.Kept {
				if sent[i] != readStatus && len(bytes.Trim(kept, "\x00")) > 0 {
					t.Errorf("%s left its command in memory: %X", op.name, kept)
				}
			}
		}
		for status, want := range map[string]string{
			"012020200000009000": "blocked", "6A88": "wrong, -1 left", "": "removed",
		} {
			wire := cardtest.Says(t, "6982", status)
			if got := kind(op.do(openpgp.New(wire, op.profile))); got != want {
				t.Errorf("%s answered by 6982, counters by %q: %s, want %s", op.name, status, got, want)
			}
		}
	}
}

func TestSecretsThatTheCardDoesNotHoldAreNotSent(t *testing.T) {
	t.Parallel()
	// It tells that it holds at most 10, 12 and 14 characters.
	wire := cardtest.Says(t, "9000", relatedData("0304", "7C", "010A0C0E030303")+"9000", "9000", relatedData("0304", "7C", "010A0C0E030303")+"9000")
	c, admin := openpgp.New(wire, byCode), openpgp.New(wire, byAdmin)
	for _, c := range []*openpgp.Card{c, admin} {
		if _, err := c.Identify(); err != nil {
			t.Fatal(err)
		}
	}
	good, goodPUK := value("864213"), value("90817263")
	for _, bad := range []string{"", "12345", "12345678901"} {
		for what, err := range map[string]error{
			"reset to":  c.Reset(goodPUK, value(bad)),
			"admin's":   admin.Reset(goodPUK, value(bad)),
			"change to": c.Change(good, value(bad)),
		} {
			if !errors.Is(err, card.ErrRefusedPasscode) {
				t.Errorf("%s %q: %v, want ErrRefusedPasscode", what, bad, err)
			}
		}
		for what, err := range map[string]error{"confirm": c.Confirm(value(bad)), "change from": c.Change(value(bad), good)} {
			if !errors.Is(err, card.ErrRefusedPasscode) || errors.Is(err, card.ErrNotSent) {
				t.Errorf("%s %q: %v, want ErrRefusedPasscode alone", what, bad, err)
			}
		}
	}
	for _, bad := range []string{"", "1234567", "123456789012345"} {
		for what, err := range map[string]error{
			"reset by":    c.Reset(value(bad), good),
			"admin's":     admin.Reset(value(bad), good),
			"rotate from": admin.Rotate(value(bad), goodPUK),
			"rotate to":   admin.Rotate(goodPUK, value(bad)),
		} {
			if !errors.Is(err, card.ErrNotSent) || errors.Is(err, card.ErrRefusedPasscode) {
				t.Errorf("%s %q: %v, want ErrNotSent", what, bad, err)
			}
		}
	}
	if c.Reset(value("1234567890123"), good) == nil {
		t.Error("a resetting code of more than the card holds was sent")
	}
	if len(wire.Asked) != 4 {
		t.Errorf("sent %v", wire.Asked[4:])
	}
}

// A card that holds a shorter secret than it is given takes the rest for the new one. Nobody would know the new one.
func TestAShorterSecretOnTheCardIsNotMistaken(t *testing.T) {
	t.Parallel()
	sim := virtual(t, cardsim.Spec{Profile: byAdmin, Passcode: value("123456"), PUK: value("12345678")})
	c := identified(t, sim, byAdmin)
	if err := c.Change(value("12345699"), value("864213")); kind(err) != "wrong, 2 left" {
		t.Errorf("change by a passcode that begins like the right one: %v", err)
	}
	if err := c.Rotate(value("123456789999"), value("908172635441")); kind(err) != "wrong, 2 left" {
		t.Errorf("rotation by a PUK that begins like the right one: %v", err)
	}
	if !sim.HasPasscode(value("123456")) || !sim.HasPUK(value("12345678")) {
		t.Fatal("the card has secrets that nobody chose")
	}
	// Of a resetting code it cannot be known beforehand. Confirm finds it out.
	sim = virtual(t, cardsim.Spec{Profile: byCode, PUK: value("12345678")})
	c = identified(t, sim, byCode)
	if err := c.Reset(value("123456789999"), value("864213")); err != nil {
		t.Fatalf("the card did not mistake it: %v", err)
	}
	if err := c.Confirm(value("864213")); kind(err) != "wrong, 2 left" {
		t.Errorf("confirm: %v, want a wrong passcode", err)
	}
	if err := errors.Join(c.Reset(value("12345678"), value("864213")), c.Confirm(value("864213"))); err != nil {
		t.Errorf("with the right resetting code: %v", err)
	}
}

func identified(t *testing.T, sim card.Transport, p profiles.Profile) *openpgp.Card {
	t.Helper()
	c := openpgp.New(sim, p)
	if _, err := c.Identify(); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestALyingCardIsCaughtByConfirm(t *testing.T) {
	t.Parallel()
	for _, p := range []profiles.Profile{byCode, byAdmin} {
		sim := virtual(t, cardsim.Spec{Profile: p, Blocked: true, Quirks: cardsim.Quirks{Lie: true}})
		t.Run(p.Name, func(t *testing.T) {
			cardtest.Lie(t, openpgp.New(sim, p), cardtest.Fixture{PUK: value(simulated.DefaultCode), NewPasscode: value("864213")})
		})
	}
}

func TestACardWithoutResettingCode(t *testing.T) {
	t.Parallel()
	// Made for its administrator, so it has none.
	c := identified(t, virtual(t, cardsim.Spec{Profile: byAdmin, Blocked: true}), byCode)
	if s, err := c.State(); err != nil || s != (card.State{Locked: true}) {
		t.Fatalf("state %+v, %v, want no tries of the resetting code", s, err)
	}
	if err := c.Reset(value("12345678"), value("864213")); !errors.Is(err, card.ErrBlocked) {
		t.Fatalf("reset: %v, want ErrBlocked", err)
	}
	if _, err := c.Prove([32]byte{}); !errors.Is(err, card.ErrNoKey) {
		t.Fatalf("proof: %v, want ErrNoKey", err)
	}
}

func TestForeignAndMuteCards(t *testing.T) {
	t.Parallel()
	foreign := virtual(t, cardsim.Spec{Quirks: cardsim.Quirks{Foreign: true}})
	if _, err := openpgp.New(foreign, byCode).Identify(); !errors.Is(err, card.ErrNotThisFamily) {
		t.Errorf("foreign card: %v, want ErrNotThisFamily", err)
	}
	mute := virtual(t, cardsim.Spec{Quirks: cardsim.Quirks{Mute: true}})
	if _, err := openpgp.New(mute, byCode).Identify(); !errors.Is(err, card.ErrHung) {
		t.Errorf("mute card: %v, want ErrHung", err)
	}
}

func TestCertificates(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"none": "9000", "no such object": "6A88", "no such file": "6A82", "something else than a certificate": "0102039000",
	} {
		got, err := openpgp.New(cardtest.Says(t, answer), byCode).Certificates()
		if err != nil || got.Authentication != nil || got.Card != nil || !got.Expires.IsZero() {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for answer, want := range map[string]string{"6982": "status 6982", "": "removed"} {
		if _, err := openpgp.New(cardtest.Says(t, answer), byCode).Certificates(); kind(err) != want {
			t.Errorf("%q: %v, want %s", answer, err, want)
		}
	}
}

func TestAPulledCardEndsEveryMethod(t *testing.T) {
	t.Parallel()
	puk, passcode := value(simulated.DefaultAdmin), value(simulated.DefaultPasscode)
	methods := map[string]func(*openpgp.Card) error{
		"identify":     func(c *openpgp.Card) error { _, err := c.Identify(); return err },
		"state":        func(c *openpgp.Card) error { _, err := c.State(); return err },
		"certificates": func(c *openpgp.Card) error { _, err := c.Certificates(); return err },
		"reset":        func(c *openpgp.Card) error { return c.Reset(puk, value("864213")) },
		"confirm":      func(c *openpgp.Card) error { return c.Confirm(passcode) },
		"change":       func(c *openpgp.Card) error { return c.Change(passcode, value("864213")) },
		"rotate":       func(c *openpgp.Card) error { return c.Rotate(puk, value("90817263")) },
		"wrong PUK": func(c *openpgp.Card) error {
			err := c.Rotate(value("87654321"), value("90817263"))
			if kind(err) == "wrong, 2 left" {
				return nil
			}
			return err
		},
	}
	for name, method := range methods {
		cardtest.Pull(t, name, func(p *cardtest.Pulled) func() error {
			p.Transport = virtual(t, cardsim.Spec{Profile: byAdmin})
			identified(t, p.Transport, byAdmin) // the application is selected
			c := openpgp.New(p, byAdmin)
			return func() error { return method(c) }
		})
	}
}

// FuzzAnswers: no answer of a card breaks anything, and a serial is only ever what the card said.
func FuzzAnswers(f *testing.F) {
	for _, s := range []string{usual()[:512], relatedData("0304", "7C", "01202020030303"), "6E00", "6E81", "C407017F7F7F030003"} {
		b, err := hex.DecodeString(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, []byte{1, 32, 32, 32, 3, 3, 3})
	}
	f.Fuzz(func(t *testing.T, relatedData, status []byte) {
		c := openpgp.New(fixed{relatedData, status}, byCode)
		id, err := c.Identify()
		if err == nil {
			if raw, err := hex.DecodeString(id.Serial); err != nil || len(raw) != 6 || !bytes.Contains(relatedData, raw) {
				t.Fatalf("%X: serial %s", relatedData, id.Serial)
			}
		}
		for range 2 {
			s, err := c.State()
			if err == nil && (s.TriesLeft < 0 || s.PUKTriesLeft < 0 || s.Locked != (s.TriesLeft == 0) || s.Uninitialised) {
				t.Fatalf("%X, %X: state %+v", relatedData, status, s)
			}
		}
	})
}

// fixed is a card that answers GET DATA alone, always alike.
type fixed struct{ related, status []byte }

func (f fixed) Transmit(command []byte) ([]byte, error) {
	ok := []byte{0x90, 0x00}
	switch {
	case command[1] == 0xA4 || command[1] == 0xC0:
		return ok, nil
	case command[3] == 0x6E:
		return append(bytes.Clone(f.related), ok...), nil
	case command[3] == 0xC4:
		return append(bytes.Clone(f.status), ok...), nil
	}
	return []byte{0x6A, 0x88}, nil
}

func TestErrorsSayWhatToDo(t *testing.T) {
	t.Parallel()
	hashing := relatedData("0304", "7D", "01202020030303") + "9000"
	_, err := openpgp.New(cardtest.Says(t, "9000", hashing, "8101039000"), byCode).Identify()
	if err == nil || !strings.Contains(err.Error(), "its administrator can switch that off") {
		t.Errorf("%v", err)
	}
	var empty secret.Value
	if err := openpgp.New(cardtest.Says(t), byCode).Rotate(empty, empty); !errors.Is(err, card.ErrNoPUK) {
		t.Errorf("rotation of a resetting code: %v, want ErrNoPUK", err)
	}
}
