//go:build pkcs11 && cgo

package pkcs11

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/miekg/pkcs11"

	"latchkey/card"
	"latchkey/card/apdu"
	"latchkey/firmware/secret"
)

// Prove is card.ErrNoKey: PKCS#11 shows no key that signs without C_Login.
func (c *Card) Prove([32]byte) ([]byte, error) {
	return nil, fmt.Errorf("prove card: %w", card.ErrNoKey)
}

// Challenge is none: a security officer's PIN is presented as it is.
func (c *Card) Challenge() ([]byte, error) { return nil, nil }

// Reset is C_Login as security officer, C_InitPIN (§5.4, §5.6) and C_Logout. Some modules hold the PUK back until
// C_InitPIN, so its verdict can come from either.
func (c *Card) Reset(puk, passcode secret.Value) error {
	err := c.enter("reset passcode", pkcs11.CKU_SO, puk, passcode, func(_, next string) error {
		return c.m.InitPIN(c.session, next)
	})
	if passcode.Len() == 0 {
		return apdu.Refused(err)
	}
	return err
}

// Confirm is C_Login as user, and C_Logout.
func (c *Card) Confirm(passcode secret.Value) error {
	return apdu.Refused(c.enter("confirm passcode", pkcs11.CKU_USER, passcode, passcode, func(string, string) error { return nil }))
}

// Change is C_Login as user, C_SetPIN and C_Logout: modules differ in whether they take C_SetPIN from nobody. A wrong
// passcode goes no further than C_Login and costs one try.
func (c *Card) Change(present, passcode secret.Value) error {
	return apdu.Refused(c.enter("change passcode", pkcs11.CKU_USER, present, passcode, c.setPIN))
}

// Rotate is C_Login as security officer, C_SetPIN and C_Logout.
func (c *Card) Rotate(puk, next secret.Value) error {
	if !c.profile.PUK.Rotates {
		return fmt.Errorf("change PUK: %w", card.ErrNoPUK)
	}
	return c.enter("change PUK", pkcs11.CKU_SO, puk, next, c.setPIN)
}

func (c *Card) setPIN(by, next string) error { return c.m.SetPIN(c.session, by, next) }

// loginError is what C_Login failed with, so that the presented secret is told from the new one.
type loginError struct{ error }

func (e loginError) Unwrap() error { return e.error }

// enter logs in by a secret, does something with it and a next one, and logs out. The module gets copies that are wiped
// when it comes back.
func (c *Card) enter(op string, user uint, by, next secret.Value, do func(by, next string) error) error {
	if by.Len() == 0 || next.Len() == 0 { // which would ask a reader with keys of its own (§5.6, C_Login)
		return fmt.Errorf("%s: a secret is empty: %w", op, card.ErrNotSent)
	}
	if c.err != nil {
		return fmt.Errorf("%s: %w", op, c.err)
	}
	by, next = by.Clone(), next.Clone()
	_, err := ask(c, func() (_ struct{}, err error) {
		defer by.Wipe()
		defer next.Wipe()
		if err := c.m.Login(c.session, user, text(by)); err != nil {
			return struct{}{}, loginError{err}
		}
		defer c.m.Logout(c.session) // its failure takes nothing back of what was done
		return struct{}{}, do(text(by), text(next))
	})
	return c.verdict(op, user, err)
}

// text is a secret as a string that shares its memory, so that it goes with Wipe: nobody may hold it longer.
func text(v secret.Value) string {
	b := v.Reveal()
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// verdict turns a return value (§5.1) into the errors of package card.
func (c *Card) verdict(op string, user uint, err error) error {
	var code pkcs11.Error
	if err == nil {
		return nil
	}
	if !errors.As(err, &code) || c.err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	switch code {
	case pkcs11.CKR_PIN_LOCKED:
		return fmt.Errorf("%s: %w", op, card.ErrBlocked)
	case pkcs11.CKR_PIN_INCORRECT, pkcs11.CKR_USER_NOT_LOGGED_IN: // so OpenSC has it where the card answers 6982
		return fmt.Errorf("%s: %w", op, c.wrong(user))
	case pkcs11.CKR_PIN_INVALID, pkcs11.CKR_PIN_LEN_RANGE:
		var login loginError
		if errors.As(err, &login) { // of the secret that was presented: whether that cost a try is not told
			return fmt.Errorf("%s: %w", op, c.wrong(user))
		}
		return fmt.Errorf("%s: %w", op, card.ErrRefusedPasscode)
	case pkcs11.CKR_DEVICE_ERROR, pkcs11.CKR_DEVICE_MEMORY, pkcs11.CKR_FUNCTION_FAILED, pkcs11.CKR_GENERAL_ERROR,
		pkcs11.CKR_HOST_MEMORY, pkcs11.CKR_FUNCTION_CANCELED:
		return fmt.Errorf("%s: %w (%w)", op, card.ErrUnknown, code)
	}
	return fmt.Errorf("%s: %w", op, code)
}

// wrong is what a wrong secret left, as the token's flags tell it.
func (c *Card) wrong(user uint) error {
	info, err := c.token()
	if err != nil {
		return &card.WrongSecretError{TriesLeft: -1} // that it was wrong stands, whatever came then
	}
	s := state(info.Flags)
	n := s.TriesLeft
	if user == pkcs11.CKU_SO {
		n = s.PUKTriesLeft
	}
	if n == 0 {
		return card.ErrBlocked
	}
	return &card.WrongSecretError{TriesLeft: n}
}
