package piv_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"latchkey/card"
	"latchkey/card/apdu"
	"latchkey/card/cardtest"
	"latchkey/card/piv"
	"latchkey/card/profiles"
	"latchkey/firmware/secret"
	"latchkey/tools/cardsim"
)

func value(s string) secret.Value { return secret.New([]byte(s)) }

func virtual(t testing.TB, spec cardsim.Spec) *cardsim.Card {
	t.Helper()
	sim, err := cardsim.Create("", spec)
	if err != nil {
		t.Fatal(err)
	}
	return sim
}

func TestStatusWordsOfSecrets(t *testing.T) {
	t.Parallel()
	puk, passcode := value("12345678"), value("864213")
	for _, op := range []struct {
		name, command string
		do            func(*piv.Card) error
	}{
		{"reset", "002C0080103132333435363738383634323133FFFF", func(c *piv.Card) error { return c.Reset(puk, passcode) }},
		{"confirm", "0020008008383634323133FFFF", func(c *piv.Card) error { return c.Confirm(passcode) }},
		{"rotate", "002400811031323334353637383930383137323633", func(c *piv.Card) error { return c.Rotate(puk, value("90817263")) }},
	} {
		refused := "status 6A80"
		if op.name != "rotate" {
			refused = "refused"
		}
		for answer, want := range map[string]string{
			"9000": "done", "63C9": "wrong, 9 left", "63C1": "wrong, 1 left", "63C0": "blocked", "6983": "blocked",
			"6A80": refused, "6A88": "status 6A88", "6982": "status 6982", "6300": "unknown", "63D2": "unknown", "6C08": "status 6C08",
			"6102": "unknown", "6F00": "unknown", "6581": "unknown", "": "removed", "90": "removed",
		} {
			card := cardtest.Says(t, answer)
			if got := cardtest.Kind(op.do(piv.New(card, strict))); got != want {
				t.Errorf("%s answered by %q: %s, want %s", op.name, answer, got, want)
			}
			if len(card.Asked) != 1 || card.Asked[0] != op.command {
				t.Errorf("%s sent %v, want %s alone", op.name, card.Asked, op.command)
			}
			if len(bytes.Trim(card.Kept[0], "\x00")) > 0 {
				t.Errorf("%s left its command in memory: %X", op.name, card.Kept[0])
			}
		}
	}
}

func TestSecretsThatNoCardHoldsAreNotSent(t *testing.T) {
	t.Parallel()
	c := piv.New(cardtest.Says(t), strict) // fails on any command
	for _, bad := range []string{"", "123456789"} {
		if err := c.Reset(value("12345678"), value(bad)); !errors.Is(err, card.ErrRefusedPasscode) {
			t.Errorf("reset to %q: %v, want ErrRefusedPasscode", bad, err)
		}
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
}

func TestState(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]card.State{
		"9000": {TriesLeft: -1, PUKTriesLeft: -1}, "63C3": {TriesLeft: 3, PUKTriesLeft: -1}, "63CF": {TriesLeft: 15, PUKTriesLeft: -1}, "63C0": {Locked: true, PUKTriesLeft: -1}, "6983": {Locked: true, PUKTriesLeft: -1},
	} {
		card := cardtest.Says(t, answer)
		if got, err := piv.New(card, strict).State(); err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", answer, got, err, want)
		}
		if card.Asked[0] != "00200080" {
			t.Errorf("asked by %s: anything but an empty VERIFY can cost a try", card.Asked[0])
		}
	}
	for answer, want := range map[string]string{"6A88": "status 6A88", "6700": "status 6700", "": "removed"} {
		if _, err := piv.New(cardtest.Says(t, answer), strict).State(); cardtest.Kind(err) != want {
			t.Errorf("%q: %v, want %s", answer, err, want)
		}
	}
}

func TestIdentify(t *testing.T) {
	t.Parallel()
	guid := bytes.Repeat([]byte{0xAB}, 16)
	chuid := func(guid []byte, signature int) []byte {
		b := apdu.Append(apdu.Append(nil, 0x30, make([]byte, 25)...), 0x34, guid...)
		return apdu.Append(nil, 0x53, apdu.Append(b, 0x3E, make([]byte, signature)...)...)
	}
	whole := fmt.Sprintf("%X", chuid(guid, 0))
	for name, answers := range map[string][]string{
		"plain":               {"9000", whole + "9000"},
		"template on select":  {"61114F0600001000010079074F05A0000003089000", whole + "9000"},
		"T=0":                 {"6113", "613D", whole + "9000"},
		"signed, three parts": {"9000", fmt.Sprintf("%X", chuid(guid, 2800)[:256]) + "6100"},
	} {
		card := cardtest.Says(t, answers...)
		id, err := piv.New(card, strict).Identify()
		if err != nil || id.Family != "piv" || id.Serial != strings.Repeat("ab", 16) {
			t.Errorf("%s: %+v, %v", name, id, err)
		}
		if len(card.Left) > 0 {
			t.Errorf("%s: %d answers were not asked for", name, len(card.Left))
		}
	}
	for answer, want := range map[string]string{"6985": "status 6985", "6F00": "status 6F00", "": "removed"} {
		if _, err := piv.New(cardtest.Says(t, answer), strict).Identify(); cardtest.Kind(err) != want {
			t.Errorf("select answered by %q: %v, want %s", answer, err, want)
		}
	}
	for _, answer := range []string{"6A82", "6A81", "6A86", "6D00", "6E00", "6999"} {
		if _, err := piv.New(cardtest.Says(t, answer), strict).Identify(); !errors.Is(err, card.ErrNotThisFamily) {
			t.Errorf("select answered by %s: %v, want ErrNotThisFamily", answer, err)
		}
	}
	if _, err := piv.New(cardtest.Says(t, "9000", "6982"), strict).Identify(); cardtest.Kind(err) != "status 6982" {
		t.Errorf("unreadable CHUID: %v", err)
	}
	if _, err := piv.New(cardtest.Says(t, "9000", "6A82", "6A82"), strict).Identify(); !errors.Is(err, card.ErrNoKey) {
		t.Errorf("neither CHUID nor certificate: %v, want ErrNoKey", err)
	}
}

func TestAGUIDOfZerosNamesNoCard(t *testing.T) {
	t.Parallel()
	sim := virtual(t, cardsim.Spec{Quirks: cardsim.Quirks{NoCHUID: true}})
	zeros := apdu.Append(nil, 0x53, apdu.Append(nil, 0x34, make([]byte, 16)...)...)
	id, err := piv.New(replaced{sim, append(zeros, 0x90, 0x00)}, strict).Identify()
	if err != nil || id.Serial != sim.Serial() {
		t.Fatalf("%+v, %v, want the serial from the certificate, %s", id, err, sim.Serial())
	}
}

// replaced answers the CHUID otherwise than the card.
type replaced struct {
	card.Transport
	answer []byte
}

func (r replaced) Transmit(command []byte) ([]byte, error) {
	if bytes.Contains(command, []byte{0x5F, 0xC1, 0x02}) {
		return r.answer, nil
	}
	return r.Transport.Transmit(command)
}

func TestForeignAndMuteCards(t *testing.T) {
	t.Parallel()
	foreign := virtual(t, cardsim.Spec{Quirks: cardsim.Quirks{Foreign: true}})
	if _, err := piv.New(foreign, strict).Identify(); !errors.Is(err, card.ErrNotThisFamily) {
		t.Errorf("foreign card: %v, want ErrNotThisFamily", err)
	}
	mute := virtual(t, cardsim.Spec{Quirks: cardsim.Quirks{Mute: true}})
	if _, err := piv.New(mute, strict).Identify(); !errors.Is(err, card.ErrHung) {
		t.Errorf("mute card: %v, want ErrHung", err)
	}
}

func TestALyingCardIsCaughtByConfirm(t *testing.T) {
	t.Parallel()
	sim := virtual(t, cardsim.Spec{Blocked: true, Quirks: cardsim.Quirks{Lie: true}})
	cardtest.Lie(t, piv.New(sim, strict), cardtest.Fixture{PUK: value(cardsim.DefaultPUK), NewPasscode: value("864213")})
}

func TestAPulledCardEndsEveryMethod(t *testing.T) {
	t.Parallel()
	methods := map[string]func(*piv.Card) error{
		"identify":     func(c *piv.Card) error { _, err := c.Identify(); return err },
		"state":        func(c *piv.Card) error { _, err := c.State(); return err },
		"certificates": func(c *piv.Card) error { _, err := c.Certificates(); return err },
		"prove":        func(c *piv.Card) error { _, err := c.Prove([32]byte{}); return err },
		"reset":        func(c *piv.Card) error { return c.Reset(value(cardsim.DefaultPUK), value("864213")) },
		"confirm":      func(c *piv.Card) error { return c.Confirm(value(cardsim.DefaultPasscode)) },
		"rotate":       func(c *piv.Card) error { return c.Rotate(value(cardsim.DefaultPUK), value("90817263")) },
	}
	for name, method := range methods {
		cardtest.Pull(t, name, func(p *cardtest.Pulled) func() error {
			p.Transport = virtual(t, cardsim.Spec{})
			c := piv.New(p, strict)
			return func() error { return method(c) }
		})
	}
}

var strict = profiles.Embedded().Must("piv")

func open(t card.Transport) card.Card { return piv.New(t, strict) }
