package apdu

import (
	"fmt"
	"slices"

	"latchkey/card"
)

// Verdict turns the status word of a command that presents a secret into the errors of package card. blocked are the
// words by which such cards say so; 63C0 always does.
func Verdict(op string, sw SW, blocked []uint16) error {
	n, counted := sw.Tries()
	switch {
	case sw == OK:
		return nil
	case IsBlocked(sw, blocked):
		return fmt.Errorf("%s: %w", op, card.ErrBlocked)
	case counted:
		return fmt.Errorf("%s: %w", op, &card.WrongSecretError{TriesLeft: n})
	case sw.Unknown():
		return fmt.Errorf("%s: status %04X: %w", op, uint16(sw), card.ErrUnknown)
	}
	return &card.StatusError{Op: op, SW: uint16(sw)}
}

// IsBlocked says whether a status word says that a secret is blocked.
func IsBlocked(sw SW, blocked []uint16) bool {
	n, counted := sw.Tries()
	return counted && n == 0 || slices.Contains(blocked, uint16(sw))
}

// Absent says whether SELECT found no such application, in any of the ways in which cards say so.
func (s SW) Absent() bool {
	switch s {
	case NotFound, FunctionNotSupported, WrongParameters, AppletSelectionFailed, InsNotSupported, ClassNotSupported:
		return true
	}
	return false
}
