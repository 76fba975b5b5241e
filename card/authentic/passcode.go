package authentic

import (
	"errors"
	"fmt"

	"latchkey/card"
	"latchkey/card/apdu"
	"latchkey/firmware/secret"
)

// resetWithNew is P1 of RESET RETRY COUNTER that carries the new passcode alone (ISO/IEC 7816-4:2020 §11.6.10).
const resetWithNew = 0x02

// pad fills secrets up (card-authentic.c, authentic_pin_get_policy).
const pad = 0xFF

// State reads the retry counters of passcode and PUK: VERIFY without data.
func (c *Card) State() (card.State, error) {
	const op = "read retry counter"
	left, sw, err := apdu.TriesLeft(c.t, op, c.profile.Passcode.Reference, c.profile.Blocked)
	switch {
	case err != nil:
		return card.State{}, err
	case sw == apdu.ReferenceNotFound:
		return card.State{Uninitialised: true}, nil
	case left < 0 && sw != apdu.OK:
		return card.State{}, &card.StatusError{Op: op, SW: uint16(sw)}
	}
	s := card.State{Locked: left == 0, TriesLeft: left}
	ref, err := c.puk()
	if errors.Is(err, card.ErrNoPUK) {
		return s, nil
	}
	if err != nil {
		return card.State{}, err
	}
	s.PUKTriesLeft, _, err = apdu.TriesLeft(c.t, "read PUK retry counter", ref, c.profile.Blocked)
	return s, err
}

// Challenge is none: a PUK is presented as it is.
func (c *Card) Challenge() ([]byte, error) { return nil, nil }

// Reset verifies the PUK and sets the passcode by it: two APDUs, and up to two before them that ask for policies. A
// passcode that the profile or the card's policy forbids is refused before the PUK is presented.
func (c *Card) Reset(puk, passcode secret.Value) error {
	const op = "reset passcode"
	next, err := c.next(op, passcode)
	if err != nil {
		return err
	}
	ref, err := c.puk()
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	by, err := c.field(op, puk, ref)
	if err != nil {
		return err
	}
	sw, err := apdu.Present(c.t, "present PUK", apdu.Verify, 0, ref, by)
	if err != nil {
		return err
	}
	if err := apdu.Verdict("present PUK", sw, c.profile.Blocked); err != nil {
		return err
	}
	// No secret is compared any more, so no word of this answer speaks of tries.
	switch sw, err := apdu.Present(c.t, op, apdu.ResetRetryCounter, resetWithNew, c.profile.Passcode.Reference, next); {
	case err != nil:
		return err
	case sw == apdu.OK:
		return nil
	case sw == apdu.WrongData:
		return fmt.Errorf("%s: %w", op, card.ErrRefusedPasscode)
	case sw.Unknown():
		return fmt.Errorf("%s: status %04X: %w", op, uint16(sw), card.ErrUnknown)
	default:
		return &card.StatusError{Op: op, SW: uint16(sw)}
	}
}

// Change is CHANGE REFERENCE DATA on the passcode (ISO/IEC 7816-4:2020 §11.6.7): one APDU.
func (c *Card) Change(present, passcode secret.Value) error {
	const op = "change passcode"
	next, err := c.next(op, passcode)
	if err != nil {
		return err
	}
	sw, err := apdu.Present(c.t, op, apdu.ChangeReferenceData, 0, c.profile.Passcode.Reference,
		apdu.Field{Secret: present, To: next.To, With: pad}, next)
	switch {
	case err != nil:
		return apdu.Refused(err)
	case sw == apdu.WrongData:
		return fmt.Errorf("%s: %w", op, card.ErrRefusedPasscode)
	}
	return apdu.Verdict(op, sw, c.profile.Blocked)
}

// Confirm is VERIFY with the passcode (ISO/IEC 7816-4:2020 §11.6.6): one APDU.
func (c *Card) Confirm(passcode secret.Value) error {
	const op = "confirm passcode"
	f, err := c.field(op, passcode, c.profile.Passcode.Reference)
	if err != nil {
		return err
	}
	sw, err := apdu.Present(c.t, op, apdu.Verify, 0, c.profile.Passcode.Reference, f)
	if err != nil {
		return apdu.Refused(err)
	}
	return apdu.Verdict(op, sw, c.profile.Blocked)
}

// Rotate is CHANGE REFERENCE DATA on the PUK (ISO/IEC 7816-4:2020 §11.6.7): one APDU.
func (c *Card) Rotate(puk, next secret.Value) error {
	const op = "change PUK"
	if !c.profile.PUK.Rotates {
		return fmt.Errorf("%s: %w", op, card.ErrNoPUK)
	}
	ref, err := c.puk()
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	f, err := c.field(op, puk, ref)
	if err != nil {
		return err
	}
	sw, err := apdu.Present(c.t, op, apdu.ChangeReferenceData, 0, ref, f, apdu.Field{Secret: next, To: f.To, With: pad})
	if err != nil {
		return err
	}
	return apdu.Verdict(op, sw, c.profile.Blocked)
}

// next is the field of a new passcode, if profile and policy allow it.
func (c *Card) next(op string, passcode secret.Value) (apdu.Field, error) {
	if flaw := c.profile.Passcode.Check(passcode); flaw != card.FlawNone {
		return apdu.Field{}, fmt.Errorf("%s: passcode is %s: %w", op, flaw, card.ErrRefusedPasscode)
	}
	f, err := c.field(op, passcode, c.profile.Passcode.Reference)
	if err != nil {
		return apdu.Field{}, err
	}
	if n := passcode.Len(); n > f.To || n < c.policies[c.profile.Passcode.Reference].shortest {
		return apdu.Field{}, fmt.Errorf("%s: the card's policy forbids %d characters: %w", op, n, card.ErrRefusedPasscode)
	}
	return f, nil
}

// field is a secret as it stands in commands on a reference.
func (c *Card) field(op string, v secret.Value, ref byte) (apdu.Field, error) {
	told := c.profile.PUK.To
	if ref == c.profile.Passcode.Reference {
		told = c.profile.Passcode.To
	}
	to, err := c.filling(ref, told)
	if err != nil {
		return apdu.Field{}, fmt.Errorf("%s: %w", op, err)
	}
	return apdu.Field{Secret: v, To: to, With: pad}, nil
}
