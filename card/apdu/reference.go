package apdu

import (
	"bytes"
	"errors"
	"fmt"

	"latchkey/card"
	"latchkey/firmware/secret"
)

// Instructions that name a secret by its reference in P2 (ISO/IEC 7816-4:2020 §11.6.6, §11.6.7, §11.6.10).
const (
	Verify              = 0x20
	ChangeReferenceData = 0x24
	ResetRetryCounter   = 0x2C
)

// Field is a secret as it stands in a command: filled up with With to To bytes; as it is if To is 0.
type Field struct {
	Secret secret.Value
	To     int
	With   byte
}

// Present sends secrets, one after the other, in exactly one APDU that is wiped whatever happens. A secret that is empty
// or too long for its field is card.ErrNotSent.
func Present(t card.Transport, op string, ins, p1, ref byte, fields ...Field) (SW, error) {
	size := 0
	for _, f := range fields {
		n := f.Secret.Len()
		// An empty field would be a question for the counter, or a try that nobody meant.
		if n < 1 || f.To != 0 && n > f.To {
			return 0, fmt.Errorf("%s: secret of %d bytes, the field has %d: %w", op, n, f.To, card.ErrNotSent)
		}
		size += max(n, f.To)
	}
	if size > MaxShortData {
		return 0, fmt.Errorf("%s: %d bytes of secrets, at most %d fit: %w", op, size, MaxShortData, card.ErrNotSent)
	}
	data := make([]byte, 0, size) // exact: append must not leave a copy behind
	defer func() { clear(data) }()
	for _, f := range fields {
		data = append(data, f.Secret.Reveal()...)
		data = append(data, bytes.Repeat([]byte{f.With}, max(0, f.To-f.Secret.Len()))...)
	}
	_, sw, err := Send(t, Command{INS: ins, P1: p1, P2: ref, Data: data})
	if err != nil {
		return 0, fmt.Errorf("%s: %w", op, err)
	}
	return sw, nil
}

// Refused is err, except that a passcode that was not sent is a refused one: card.ErrRefusedPasscode in the place of
// card.ErrNotSent, which speaks of the other secrets.
func Refused(err error) error {
	if errors.Is(err, card.ErrNotSent) {
		return fmt.Errorf("%v: %w", err, card.ErrRefusedPasscode) // %v: not both
	}
	return err
}

// TriesLeft asks for a secret's retry counter: VERIFY without data, which costs no try (ISO/IEC 7816-4:2020 §11.6.6). It
// is 0 when the secret is blocked and -1 when the card does not tell; the status word says more.
func TriesLeft(t card.Transport, op string, ref byte, blocked []uint16) (int, SW, error) {
	_, sw, err := Send(t, Command{INS: Verify, P2: ref})
	if err != nil {
		return 0, 0, fmt.Errorf("%s: %w", op, err)
	}
	if IsBlocked(sw, blocked) {
		return 0, sw, nil
	}
	if n, counted := sw.Tries(); counted {
		return n, sw, nil
	}
	return -1, sw, nil
}

// Select makes an application the current one (ISO/IEC 7816-4:2020 §11.2.2). What it answers is not needed, so 61XX is
// left alone. card.ErrNotThisFamily if it is not there.
func Select(t card.Transport, aid []byte) error {
	_, sw, err := Send(t, Command{INS: 0xA4, P1: 0x04, Data: aid, Le: MaxShort})
	if err != nil {
		return fmt.Errorf("select application: %w", err)
	}
	if sw.Absent() {
		return fmt.Errorf("select application: status %04X: %w", uint16(sw), card.ErrNotThisFamily)
	}
	if _, more := sw.More(); sw != OK && !more {
		return &card.StatusError{Op: "select application", SW: uint16(sw)}
	}
	return nil
}
