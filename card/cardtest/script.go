package cardtest

import (
	"encoding/hex"
	"errors"
	"fmt"
	"testing"

	"latchkey/card"
)

// Script is a card that gives these answers, in hex, whatever it is asked, and keeps the questions. A question more than
// it has answers ends the test.
type Script struct {
	Left  []string // answers that nothing asked for yet
	Asked []string // in hex, as they were when they were asked
	Kept  [][]byte // the caller's own bytes, which should be wiped where they held a secret

	t testing.TB
}

// Says returns a card that gives these answers in turn. The empty one is that of a card that was pulled.
func Says(t testing.TB, answers ...string) *Script { return &Script{Left: answers, t: t} }

// Transmit gives the next answer.
func (s *Script) Transmit(command []byte) ([]byte, error) {
	s.Asked, s.Kept = append(s.Asked, fmt.Sprintf("%X", command)), append(s.Kept, command)
	if len(s.Left) == 0 {
		s.t.Fatalf("unexpected command %X", command)
	}
	b, err := hex.DecodeString(s.Left[0])
	if err != nil {
		s.t.Fatal(err)
	}
	s.Left = s.Left[1:]
	return b, nil
}

// Kind names an error as the kiosk would branch on it.
func Kind(err error) string {
	var wrong *card.WrongSecretError
	var status *card.StatusError
	switch {
	case err == nil:
		return "done"
	case errors.Is(err, card.ErrBlocked):
		return "blocked"
	case errors.Is(err, card.ErrRefusedPasscode):
		return "refused"
	case errors.Is(err, card.ErrRemoved):
		return "removed"
	case errors.Is(err, card.ErrUnknown):
		return "unknown"
	case errors.Is(err, card.ErrNoKey):
		return "no key"
	case errors.Is(err, card.ErrNoPUK):
		return "no PUK"
	case errors.Is(err, card.ErrNotThisFamily):
		return "not this family"
	case errors.As(err, &wrong):
		return fmt.Sprintf("wrong, %d left", wrong.TriesLeft)
	case errors.As(err, &status):
		return fmt.Sprintf("status %04X", status.SW)
	}
	return err.Error()
}
