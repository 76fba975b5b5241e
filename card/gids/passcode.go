package gids

import (
	"encoding/hex"
	"fmt"

	"latchkey/card"
	"latchkey/card/apdu"
	"latchkey/firmware/secret"
)

// References of passcode and administrator's key, which are of different kinds and so may be the same (Windows Inbox Smart
// Card Minidriver, "PIN Creation", "Create EF for Admin Key").
const (
	refPasscode = 0x80
	refAdminKey = 0x80
)

// Length of a passcode in bytes; it is sent as it is, without padding.
const (
	minPasscode = 4
	maxPasscode = 16
)

// MANAGE SECURITY ENVIRONMENT: set for external authentication, the template for authentication, a key reference
// (ISO/IEC 7816-4:2020 §11.6.11).
const (
	p1SetExternal     = 0x81
	templateAuth      = 0xA4
	tagSymmetricKey   = 0x83
	tagDynamicAuth    = 0x7C // ISO/IEC 7816-4:2020 §11.6.5, with the two below
	tagChallenge      = 0x81
	tagResponse       = 0x82
	p1NewPasscodeOnly = 0x02 // RESET RETRY COUNTER, §11.6.10: the right to do so was shown before
)

const blockLength = 8 // of 3DES, and of a challenge and its answer

// Status words of an answer to a challenge that is wrong and of which the card tells no count.
const (
	swWrongAnswer      apdu.SW = 0x6982 // security status not satisfied
	swWrongAnswerPlain apdu.SW = 0x6300 // authentication failed
)

// Challenge names the administrator's key and asks for a challenge of eight bytes: two APDUs. There are cards that give a
// challenge with no key named, and then fail within the answer.
func (c *Card) Challenge() ([]byte, error) {
	_, sw, err := apdu.Send(c.t, apdu.Command{INS: insManageSecurity, P1: p1SetExternal, P2: templateAuth,
		Data: apdu.Append(nil, tagSymmetricKey, refAdminKey)})
	switch {
	case err != nil:
		return nil, fmt.Errorf("select administrator's key: %w", err)
	case notThere(sw):
		return nil, fmt.Errorf("select administrator's key: status %04X: %w", uint16(sw), card.ErrNoPUK)
	case sw != apdu.OK:
		return nil, &card.StatusError{Op: "select administrator's key", SW: uint16(sw)}
	}
	ask := apdu.Append(nil, tagDynamicAuth, apdu.Append(nil, tagChallenge)...)
	b, sw, err := apdu.Exchange(c.t, apdu.Command{INS: insGeneralAuthenticate, Data: ask, Le: apdu.MaxShort})
	switch {
	case err != nil:
		return nil, fmt.Errorf("ask for a challenge: %w", err)
	case sw != apdu.OK:
		return nil, &card.StatusError{Op: "ask for a challenge", SW: uint16(sw)}
	}
	challenge, ok := apdu.Find(b, tagDynamicAuth, tagChallenge)
	if !ok || len(challenge) != blockLength {
		return nil, fmt.Errorf("ask for a challenge: the card gave one of %d bytes, want %d", len(challenge), blockLength)
	}
	return challenge, nil
}

// Reset presents the answer to the last challenge, in hex as central sends it, and then sets the passcode: two APDUs, of
// which the first alone can cost a try. With ErrRefusedPasscode for a passcode that no GIDS card can hold nothing was sent,
// and the answer is still good.
func (c *Card) Reset(answer, passcode secret.Value) error {
	if err := wellFormed("reset passcode", passcode); err != nil {
		return err
	}
	if err := c.answer(answer); err != nil {
		return err
	}
	sw, err := c.present("reset passcode", apdu.ResetRetryCounter, p1NewPasscodeOnly, passcode)
	if err != nil {
		return err
	}
	return replaced("reset passcode", sw)
}

// answer proves to the card that somebody has the administrator's key: GENERAL AUTHENTICATE, one APDU that is wiped.
func (c *Card) answer(hexed secret.Value) error {
	const op = "answer the challenge"
	var b [blockLength]byte
	defer clear(b[:])
	if n := hexed.Len(); n != hex.EncodedLen(blockLength) {
		return fmt.Errorf("%s: answer of %d hex digits, want %d: %w", op, n, hex.EncodedLen(blockLength), card.ErrNotSent)
	}
	if _, err := hex.Decode(b[:], hexed.Reveal()); err != nil {
		// What hex.Decode says would tell a digit.
		return fmt.Errorf("%s: answer is not in hex: %w", op, card.ErrNotSent)
	}
	data := append(make([]byte, 0, 4+blockLength), tagDynamicAuth, 2+blockLength, tagResponse, blockLength)
	data = append(data, b[:]...)
	defer clear(data)
	_, sw, err := apdu.Send(c.t, apdu.Command{INS: insGeneralAuthenticate, Data: data})
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", op, err)
	case sw == swWrongAnswer || sw == swWrongAnswerPlain:
		return fmt.Errorf("%s: %w", op, &card.WrongSecretError{TriesLeft: -1})
	}
	return apdu.Verdict(op, sw, c.profile.Blocked)
}

// Confirm is VERIFY: one APDU.
func (c *Card) Confirm(passcode secret.Value) error {
	return c.verify("confirm passcode", passcode)
}

// Change is VERIFY and then CHANGE REFERENCE DATA, which carries both passcodes with nothing between them: if the present
// one were presented there for the first time, a card would take a longer one that begins with it for right, and what is
// too much for the beginning of the new one. Two APDUs, of which the first alone can cost a try.
func (c *Card) Change(present, passcode secret.Value) error {
	const op = "change passcode"
	if err := wellFormed(op, passcode); err != nil {
		return err
	}
	if err := c.verify(op, present); err != nil {
		return err
	}
	sw, err := c.present(op, apdu.ChangeReferenceData, 0, present, passcode)
	if err != nil {
		return err
	}
	return replaced(op, sw)
}

// Rotate is refused: the administrator's key stays as it is.
func (c *Card) Rotate(_, _ secret.Value) error {
	return fmt.Errorf("change PUK: %w", card.ErrNoPUK)
}

func (c *Card) verify(op string, passcode secret.Value) error {
	if err := wellFormed(op, passcode); err != nil {
		return err
	}
	sw, err := c.present(op, apdu.Verify, 0, passcode)
	if err != nil {
		return err
	}
	return apdu.Verdict(op, sw, c.profile.Blocked)
}

// wellFormed refuses a passcode that no GIDS card can hold.
func wellFormed(op string, passcode secret.Value) error {
	if n := passcode.Len(); n < minPasscode || n > maxPasscode {
		return fmt.Errorf("%s: passcode of %d characters, want %d to %d: %w", op, n, minPasscode, maxPasscode, card.ErrRefusedPasscode)
	}
	return nil
}

// replaced is the verdict on a command that sets a passcode once the right to do so was shown: it counts no tries.
func replaced(op string, sw apdu.SW) error {
	switch {
	case sw == apdu.OK:
		return nil
	case sw == apdu.WrongData || sw == apdu.WrongLength:
		return fmt.Errorf("%s: %w", op, card.ErrRefusedPasscode)
	case sw.Unknown():
		return fmt.Errorf("%s: status %04X: %w", op, uint16(sw), card.ErrUnknown)
	}
	return &card.StatusError{Op: op, SW: uint16(sw)}
}

// present sends well-formed passcodes, one after the other, in one APDU that is wiped whatever happens.
func (c *Card) present(op string, ins, p1 byte, passcodes ...secret.Value) (apdu.SW, error) {
	var fields []apdu.Field
	for _, p := range passcodes {
		fields = append(fields, apdu.Field{Secret: p})
	}
	return apdu.Present(c.t, op, ins, p1, refPasscode, fields...)
}
