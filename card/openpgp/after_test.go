package openpgp_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"latchkey/card"
	"latchkey/card/cardtest"
	"latchkey/card/openpgp"
	"latchkey/card/profiles"
)

// VERIFY was answered by 9000, so the secret that was presented is right and its counter full. What the card says to the
// command that sets the new one is never that a secret was wrong or is blocked, in whatever words.
func TestAfterVerifyNoSecretIsWrong(t *testing.T) {
	t.Parallel()
	puk, passcode := value("12345678"), value("864213")
	for _, op := range []struct {
		name           string
		profile        profiles.Profile
		verify, second string
		form           string // what 6A80 and 6700 come to
		do             func(*openpgp.Card) error
	}{
		{"reset", byAdmin, verifyAdmin, "002C028106383634323133", "refused",
			func(c *openpgp.Card) error { return c.Reset(puk, passcode) }},
		{"change", byCode, verifyPasscode, "002400810C383634323133393735333130", "refused",
			func(c *openpgp.Card) error { return c.Change(passcode, value("975310")) }},
		{"rotate", byAdmin, verifyAdmin, "002400831031323334353637383930383137323633", "",
			func(c *openpgp.Card) error { return c.Rotate(puk, value("90817263")) }},
	} {
		for answer, want := range map[string]string{
			"9000": "done", "6A80": op.form, "6700": op.form, "6982": "status 6982", "6983": "status 6983", "6985": "status 6985",
			"6A88": "status 6A88", "6581": "unknown", "6F00": "unknown", "": "removed", "90": "removed",
			"63C0": "any", "63C1": "any", "63C9": "any", "6300": "any",
		} {
			if want == "" {
				want = "status " + answer
			}
			wire := cardtest.Says(t, "9000", answer)
			err := op.do(openpgp.New(wire, op.profile))
			var wrong *card.WrongSecretError
			if errors.As(err, &wrong) || errors.Is(err, card.ErrBlocked) || err == nil != (answer == "9000") {
				t.Errorf("%s answered by %q: %v", op.name, answer, err)
			}
			if got := kind(err); want != "any" && got != want {
				t.Errorf("%s answered by %q: %s, want %s", op.name, answer, got, want)
			}
			if sent := []string{op.verify, op.second}; fmt.Sprint(wire.Asked) != fmt.Sprint(sent) {
				t.Errorf("%s answered by %q: sent %v, want %v", op.name, answer, wire.Asked, sent)
			}
			for _, kept := range wire.Kept {
				if len(bytes.Trim(kept, "\x00")) > 0 {
					t.Errorf("%s left its command in memory: %X", op.name, kept)
				}
			}
		}
	}
}
