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
		return card.State{TriesLeft: -1}, nil
	case sw == apdu.Blocked || counted && n == 0:
		return card.State{Locked: true}, nil
	case counted:
		return card.State{TriesLeft: n}, nil
	}
	return card.State{}, &card.StatusError{Op: "read retry counter", SW: uint16(sw)}
}

// Reset is RESET RETRY COUNTER (SP 800-73-4 part 2 §3.2.3): one APDU. A passcode that no PIV card can hold is refused
// before it is sent.
func (c *Card) Reset(puk, passcode secret.Value) error {
	if n := passcode.Len(); n < 1 || n > referenceLength {
		return fmt.Errorf("reset passcode: passcode of %d characters, want 1 to %d: %w", n, referenceLength, card.ErrRefusedPasscode)
	}
	sw, err := c.present("reset passcode", insResetRetryCounter, refPasscode, puk, passcode)
	if err == nil && sw == apdu.WrongData {
		err = fmt.Errorf("reset passcode: %w", card.ErrRefusedPasscode)
	}
	return verdict("reset passcode", sw, err)
}

// Confirm is VERIFY with the passcode (SP 800-73-4 part 2 §3.2.1): one APDU.
func (c *Card) Confirm(passcode secret.Value) error {
	sw, err := c.present("confirm passcode", insVerify, refPasscode, passcode)
	return verdict("confirm passcode", sw, err)
}

// Rotate is CHANGE REFERENCE DATA on the PUK (SP 800-73-4 part 2 §3.2.2): one APDU.
func (c *Card) Rotate(puk, next secret.Value) error {
	sw, err := c.present("change PUK", insChangeReferenceData, refPUK, puk, next)
	return verdict("change PUK", sw, err)
}

// present sends secrets, each padded with FF to eight bytes, in one APDU that is wiped whatever happens.
func (c *Card) present(op string, ins, ref byte, secrets ...secret.Value) (apdu.SW, error) {
	data := bytes.Repeat([]byte{0xFF}, referenceLength*len(secrets))
	defer clear(data)
	for i, s := range secrets {
		// An empty secret would be eight times FF, and in VERIFY a try that nobody meant.
		if n := s.Len(); n < 1 || n > referenceLength {
			return 0, fmt.Errorf("%s: secret of %d bytes, want 1 to %d; nothing was sent to the card", op, n, referenceLength)
		}
		copy(data[i*referenceLength:], s.Reveal())
	}
	_, sw, err := apdu.Send(c.t, apdu.Command{INS: ins, P2: ref, Data: data})
	if err != nil {
		return 0, fmt.Errorf("%s: %w", op, err)
	}
	return sw, nil
}

// verdict turns the status word of a command that presents a secret into the errors of package card.
func verdict(op string, sw apdu.SW, err error) error {
	if err != nil {
		return err
	}
	n, counted := sw.Tries()
	switch {
	case sw == apdu.OK:
		return nil
	case sw == apdu.Blocked || counted && n == 0:
		return fmt.Errorf("%s: %w", op, card.ErrBlocked)
	case counted:
		return fmt.Errorf("%s: %w", op, &card.WrongSecretError{TriesLeft: n})
	case sw.Unknown():
		return fmt.Errorf("%s: status %04X: %w", op, uint16(sw), card.ErrUnknown)
	}
	return &card.StatusError{Op: op, SW: uint16(sw)}
}
