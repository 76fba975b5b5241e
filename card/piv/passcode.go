package piv

import (
	"bytes"
	"fmt"

	"latchkey/card"
	"latchkey/card/apdu"
	"latchkey/firmware/secret"
)

// Key references of passcode and PUK, and their padded length (SP 800-73-4 part 1 §5, table 4; §2.4.3).
const (
	refPasscode     = 0x80
	refPUK          = 0x81
	referenceLength = 8
)

// State reads the passcode's retry counter: VERIFY without data (SP 800-73-4 part 2 §3.2.1). Where the passcode has been
// verified in this session the card tells no number.
func (c *Card) State() (card.State, error) {
	_, sw, err := apdu.Send(c.t, apdu.Command{INS: insVerify, P2: refPasscode})
	if err != nil {
		return card.State{}, fmt.Errorf("read retry counter: %w", err)
	}
	n, counted := sw.Tries()
	switch {
	case sw == apdu.OK:
		return card.State{TriesLeft: -1, PUKTriesLeft: -1}, nil
	case apdu.IsBlocked(sw, c.profile.Blocked):
		return card.State{Locked: true, PUKTriesLeft: -1}, nil
	case counted:
		return card.State{TriesLeft: n, PUKTriesLeft: -1}, nil
	}
	return card.State{}, &card.StatusError{Op: "read retry counter", SW: uint16(sw)}
}

// Challenge is none: a PUK is presented as it is.
func (c *Card) Challenge() ([]byte, error) { return nil, nil }

// Reset is RESET RETRY COUNTER (SP 800-73-4 part 2 §3.2.3): one APDU. A passcode that no PIV card can hold is refused
// before it is sent.
func (c *Card) Reset(puk, passcode secret.Value) error {
	return c.replace("reset passcode", insResetRetryCounter, puk, passcode)
}

// Change is CHANGE REFERENCE DATA on the passcode (SP 800-73-4 part 2 §3.2.2): one APDU.
func (c *Card) Change(present, passcode secret.Value) error {
	return apdu.Refused(c.replace("change passcode", insChangeReferenceData, present, passcode))
}

// replace sets the passcode by another secret.
func (c *Card) replace(op string, ins byte, by, passcode secret.Value) error {
	if n := passcode.Len(); n < 1 || n > referenceLength {
		return fmt.Errorf("%s: passcode of %d characters, want 1 to %d: %w", op, n, referenceLength, card.ErrRefusedPasscode)
	}
	sw, err := c.present(op, ins, refPasscode, by, passcode)
	switch {
	case err != nil:
		return err
	case sw == apdu.WrongData:
		return fmt.Errorf("%s: %w", op, card.ErrRefusedPasscode)
	}
	return apdu.Verdict(op, sw, c.profile.Blocked)
}

// Confirm is VERIFY with the passcode (SP 800-73-4 part 2 §3.2.1): one APDU. A card that minds the form (6A80) has not
// counted it.
func (c *Card) Confirm(passcode secret.Value) error {
	const op = "confirm passcode"
	sw, err := c.present(op, insVerify, refPasscode, passcode)
	switch {
	case err != nil:
		return apdu.Refused(err)
	case sw == apdu.WrongData:
		return fmt.Errorf("%s: status %04X: %w", op, uint16(sw), card.ErrRefusedPasscode)
	}
	return apdu.Verdict(op, sw, c.profile.Blocked)
}

// Rotate is CHANGE REFERENCE DATA on the PUK (SP 800-73-4 part 2 §3.2.2): one APDU.
func (c *Card) Rotate(puk, next secret.Value) error {
	if !c.profile.PUK.Rotates {
		return fmt.Errorf("change PUK: %w", card.ErrNoPUK)
	}
	sw, err := c.present("change PUK", insChangeReferenceData, refPUK, puk, next)
	if err != nil {
		return err
	}
	return apdu.Verdict("change PUK", sw, c.profile.Blocked)
}

// present sends secrets, each padded with FF to eight bytes, in one APDU that is wiped whatever happens.
func (c *Card) present(op string, ins, ref byte, secrets ...secret.Value) (apdu.SW, error) {
	data := bytes.Repeat([]byte{0xFF}, referenceLength*len(secrets))
	defer clear(data)
	for i, s := range secrets {
		// An empty secret would be eight times FF, and in VERIFY a try that nobody meant.
		if n := s.Len(); n < 1 || n > referenceLength {
			return 0, fmt.Errorf("%s: secret of %d bytes, want 1 to %d: %w", op, n, referenceLength, card.ErrNotSent)
		}
		copy(data[i*referenceLength:], s.Reveal())
	}
	_, sw, err := apdu.Send(c.t, apdu.Command{INS: ins, P2: ref, Data: data})
	if err != nil {
		return 0, fmt.Errorf("%s: %w", op, err)
	}
	return sw, nil
}
