package iso

import (
	"fmt"

	"latchkey/card"
	"latchkey/card/apdu"
	"latchkey/card/profiles"
	"latchkey/firmware/secret"
)

// State reads the passcode's retry counter, and the PUK's where the profile names its reference. A card that demands no
// passcode before one was given in this session has none, which is how IsoApplet is until it gets one; others do not know
// the reference then.
func (c *Card) State() (card.State, error) {
	const op = "read retry counter"
	left, sw, err := apdu.TriesLeft(c.t, op, c.profile.Passcode.Reference, c.profile.Blocked)
	switch {
	case err != nil:
		return card.State{}, err
	case sw == apdu.ReferenceNotFound, sw == apdu.OK && !c.verified:
		return card.State{Uninitialised: true}, nil
	case left < 0 && sw != apdu.OK:
		return card.State{}, &card.StatusError{Op: op, SW: uint16(sw)}
	}
	s := card.State{Locked: left == 0, TriesLeft: left, PUKTriesLeft: -1}
	if c.profile.PUK.Reference != 0 {
		// Whatever else a card answers here, it does not tell.
		s.PUKTriesLeft, _, err = apdu.TriesLeft(c.t, "read PUK retry counter", c.profile.PUK.Reference, c.profile.Blocked)
	}
	return s, err
}

// Challenge is none: a PUK is presented as it is.
func (c *Card) Challenge() ([]byte, error) { return nil, nil }

// Reset is RESET RETRY COUNTER with PUK and new passcode (ISO/IEC 7816-4:2020 §11.6.10): one APDU. IsoApplet was made
// without a PUK if it answers 63C0 to the first one that it is shown: that is card.ErrBlocked, too.
func (c *Card) Reset(puk, passcode secret.Value) error {
	return c.replace("reset passcode", apdu.ResetRetryCounter, c.puk(puk), passcode)
}

// Change is CHANGE REFERENCE DATA on the passcode (ISO/IEC 7816-4:2020 §11.6.7): one APDU.
func (c *Card) Change(present, passcode secret.Value) error {
	return apdu.Refused(c.replace("change passcode", apdu.ChangeReferenceData, c.passcode(present), passcode))
}

// replace sets the passcode by another secret. The profile's rules are kept here, too: a card that gets its passcode
// filled up, as IsoApplet does, cannot tell a short one.
func (c *Card) replace(op string, ins byte, by apdu.Field, passcode secret.Value) error {
	if flaw := c.profile.Passcode.Check(passcode); flaw != card.FlawNone {
		return fmt.Errorf("%s: passcode is %s: %w", op, flaw, card.ErrRefusedPasscode)
	}
	sw, err := apdu.Present(c.t, op, ins, 0, c.profile.Passcode.Reference, by, c.passcode(passcode))
	switch {
	case err != nil:
		return err
	case sw == apdu.WrongData, sw == apdu.WrongLength && c.profile.Passcode.To == 0:
		return fmt.Errorf("%s: status %04X: %w", op, uint16(sw), card.ErrRefusedPasscode)
	}
	return c.verdict(op, sw)
}

// Confirm is VERIFY with the passcode (ISO/IEC 7816-4:2020 §11.6.6): one APDU.
func (c *Card) Confirm(passcode secret.Value) error {
	const op = "confirm passcode"
	sw, err := apdu.Present(c.t, op, apdu.Verify, 0, c.profile.Passcode.Reference, c.passcode(passcode))
	if err != nil {
		return apdu.Refused(err)
	}
	return c.verdict(op, sw)
}

// verdict is apdu.Verdict on a command that can leave the passcode verified.
func (c *Card) verdict(op string, sw apdu.SW) error {
	c.verified = c.verified || sw == apdu.OK
	return apdu.Verdict(op, sw, c.profile.Blocked)
}

// Rotate is CHANGE REFERENCE DATA on the PUK (ISO/IEC 7816-4:2020 §11.6.7): one APDU.
func (c *Card) Rotate(puk, next secret.Value) error {
	const op = "change PUK"
	if !c.profile.PUK.Rotates {
		return fmt.Errorf("%s: %w", op, card.ErrNoPUK)
	}
	sw, err := apdu.Present(c.t, op, apdu.ChangeReferenceData, 0, c.profile.PUK.Reference, c.puk(puk), c.puk(next))
	if err != nil {
		return err
	}
	return apdu.Verdict(op, sw, c.profile.Blocked)
}

func (c *Card) passcode(v secret.Value) apdu.Field { return field(v, c.profile.Passcode.Padding) }

func (c *Card) puk(v secret.Value) apdu.Field { return field(v, c.profile.PUK.Padding) }

func field(v secret.Value, p profiles.Padding) apdu.Field {
	return apdu.Field{Secret: v, To: p.To, With: p.With}
}
