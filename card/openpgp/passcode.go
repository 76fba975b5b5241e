package openpgp

import (
	"errors"
	"fmt"

	"latchkey/card"
	"latchkey/card/apdu"
	"latchkey/card/profiles"
	"latchkey/firmware/secret"
)

// Key references (§7.2.2 to §7.2.4). PW1 has another, 82, for everything but signatures, with the same value and counter.
// 81 is taken throughout: resetting and changing know no other, so what is confirmed is what was set, and of the two it
// opens less, one signature.
const (
	refPasscode      = 0x81
	refAdministrator = 0x83
)

// P1 of RESET RETRY COUNTER (§7.2.4).
const (
	byResettingCode = 0x00
	byAdministrator = 0x02
)

// Places of the three in the PW status bytes (§4.4.1, DO C4).
const (
	pw1 = 1
	rc  = 2
	pw3 = 3
)

// Lengths of secrets (§4.3). The card tells the most that it takes.
const (
	minPasscode = 6
	minPUK      = 8
	maxLength   = 0x7F
)

// status is the PW status bytes.
type status struct {
	lengths [4]int // the longest PW1, RC and PW3
	left    [4]int // tries of them
	blocks  bool   // PIN block format 2 is wanted
}

// parseStatus reads the PW status bytes (§4.4.1, DO C4): validity of PW1, three lengths, three counters.
func parseStatus(b []byte) (status, bool) {
	if len(b) != 7 {
		return status{}, false
	}
	s := status{blocks: (b[pw1]|b[pw3])&0x80 != 0}
	for place := pw1; place <= pw3; place++ {
		s.lengths[place], s.left[place] = int(b[place]&maxLength), int(b[place+3])
	}
	return s, true
}

// readStatus reads the PW status bytes, which costs no try.
func (c *Card) readStatus() (status, error) {
	const op = "read PW status bytes"
	b, sw, err := apdu.Exchange(c.t, getData(objectStatus))
	if err != nil {
		return status{}, fmt.Errorf("%s: %w", op, err)
	}
	if sw != apdu.OK {
		return status{}, &card.StatusError{Op: op, SW: uint16(sw)}
	}
	s, ok := parseStatus(b)
	if !ok {
		return status{}, fmt.Errorf("%s: %d bytes, want 7", op, len(b))
	}
	return s, nil
}

// State tells the retry counters. Right after Identify they are those that it read: nobody else is in the session.
func (c *Card) State() (card.State, error) {
	s := c.fresh
	if c.fresh = nil; s == nil {
		read, err := c.readStatus()
		if err != nil {
			return card.State{}, err
		}
		s = &read
	}
	return card.State{Locked: s.left[pw1] == 0, TriesLeft: s.left[pw1], PUKTriesLeft: s.left[c.puk()]}, nil
}

// puk is the place of what resets the passcode.
func (c *Card) puk() int {
	if c.profile.PUK.Kind == profiles.Admin {
		return pw3
	}
	return rc
}

// Challenge is none: both kinds of PUK are presented as they are.
func (c *Card) Challenge() ([]byte, error) { return nil, nil }

// Reset is RESET RETRY COUNTER (§7.2.4): by the resetting code in one APDU; by the administrator's PIN in two, VERIFY
// (§7.2.2) first. A passcode that the card cannot hold is refused before anything is sent.
//
// A card whose resetting code is shorter than the given one, and begins alike, takes the rest of it for the beginning of
// the passcode and answers 9000. Nothing presents a resetting code alone; Confirm is what finds this out.
func (c *Card) Reset(puk, passcode secret.Value) error {
	const op = "reset passcode"
	if err := c.fits(op, pw1, minPasscode, passcode); err != nil {
		return err
	}
	if err := c.fits(op, c.puk(), minPUK, puk); err != nil {
		return err
	}
	if c.puk() == rc {
		sw, err := c.present(op, insResetRetryCounter, byResettingCode, refPasscode, puk, passcode)
		if err != nil {
			return err
		}
		if refuses(sw) {
			return fmt.Errorf("%s: %w", op, card.ErrRefusedPasscode)
		}
		return c.verdict(op, sw, rc)
	}
	if err := c.verify(op, refAdministrator, pw3, puk); err != nil {
		return err
	}
	sw, err := c.present(op, insResetRetryCounter, byAdministrator, refPasscode, passcode)
	if err != nil {
		return err
	}
	return replaced(op, sw, pw1)
}

// Confirm is VERIFY (§7.2.2): one APDU, and another without a try if the card refuses it and does not say how many are
// left.
func (c *Card) Confirm(passcode secret.Value) error {
	const op = "confirm passcode"
	if err := c.fits(op, pw1, minPasscode, passcode); err != nil {
		return err
	}
	return c.verify(op, refPasscode, pw1, passcode)
}

// Change is VERIFY and CHANGE REFERENCE DATA on the passcode (§7.2.2, §7.2.3). A passcode that the card cannot hold is
// refused before anything is sent.
func (c *Card) Change(present, passcode secret.Value) error {
	const op = "change passcode"
	if err := c.fits(op, pw1, minPasscode, passcode); err != nil {
		return err
	}
	return c.change(op, refPasscode, pw1, minPasscode, present, passcode)
}

// Rotate is VERIFY and CHANGE REFERENCE DATA on the administrator's PIN (§7.2.2, §7.2.3). A resetting code can be replaced
// by the administrator alone (§4.3.4).
func (c *Card) Rotate(puk, next secret.Value) error {
	const op = "change PUK"
	if c.puk() == rc || !c.profile.PUK.Rotates {
		return fmt.Errorf("%s: %w", op, card.ErrNoPUK)
	}
	if err := c.fits(op, pw3, minPUK, next); err != nil {
		return err
	}
	return c.change(op, refAdministrator, pw3, minPUK, puk, next)
}

// change replaces a secret by another. VERIFY comes first, because only it compares the whole of what is presented: of
// old and new in a row the card takes for the old as many bytes as it holds.
func (c *Card) change(op string, ref byte, place, least int, old, next secret.Value) error {
	if err := c.fits(op, place, least, old); err != nil {
		return err
	}
	if err := c.verify(op, ref, place, old); err != nil {
		return err
	}
	sw, err := c.present(op, insChangeReferenceData, 0, ref, old, next)
	if err != nil {
		return err
	}
	return replaced(op, sw, place)
}

func (c *Card) verify(op string, ref byte, place int, s secret.Value) error {
	sw, err := c.present(op, insVerify, 0, ref, s)
	if err != nil {
		return err
	}
	return c.verdict(op, sw, place)
}

// fits says whether the card can hold a secret at all: card.ErrRefusedPasscode or card.ErrNotSent. An empty one would
// make VERIFY another command.
func (c *Card) fits(op string, place, least int, s secret.Value) error {
	if n := s.Len(); n < least || n > c.lengths[place] {
		err := fmt.Errorf("%s: secret of %d bytes, want %d to %d: %w", op, n, least, c.lengths[place], card.ErrNotSent)
		if place == pw1 {
			return apdu.Refused(err)
		}
		return err
	}
	return nil
}

// present sends secrets one after the other in one APDU that is wiped whatever happens.
func (c *Card) present(op string, ins, p1, ref byte, secrets ...secret.Value) (apdu.SW, error) {
	c.fresh = nil
	data := make([]byte, 0, maxLength*len(secrets)) // append must not leave a copy behind
	for _, s := range secrets {
		data = append(data, s.Reveal()...)
	}
	defer clear(data)
	_, sw, err := apdu.Send(c.t, apdu.Command{INS: ins, P1: p1, P2: ref, Data: data})
	if err != nil {
		return 0, fmt.Errorf("%s: %w", op, err)
	}
	return sw, nil
}

// refuses says whether a status word is about the form of a new secret.
func refuses(sw apdu.SW) bool { return sw == apdu.WrongData || sw == apdu.WrongLength }

// replaced is the verdict on a command that sets a secret once VERIFY took what gives the right to: whatever it answers, no
// secret was wrong and none is known to be blocked.
func replaced(op string, sw apdu.SW, place int) error {
	switch {
	case sw == apdu.OK:
		return nil
	case refuses(sw) && place == pw1:
		return fmt.Errorf("%s: %w", op, card.ErrRefusedPasscode)
	case sw.Unknown():
		return fmt.Errorf("%s: status %04X: %w", op, uint16(sw), card.ErrUnknown)
	}
	return &card.StatusError{Op: op, SW: uint16(sw)}
}

// verdict tells what a status word says of the secret that was presented. Many cards answer 6982 to a wrong one, which
// says neither how many tries are left nor whether there are any: the PW status bytes do.
func (c *Card) verdict(op string, sw apdu.SW, place int) error {
	if sw != apdu.SecurityNotSatisfied {
		return apdu.Verdict(op, sw, c.profile.Blocked)
	}
	s, err := c.readStatus()
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", op, errors.Join(&card.WrongSecretError{TriesLeft: -1}, err))
	case s.left[place] == 0:
		return fmt.Errorf("%s: %w", op, card.ErrBlocked)
	}
	return fmt.Errorf("%s: %w", op, &card.WrongSecretError{TriesLeft: s.left[place]})
}
