package delivery

import (
	"errors"
	"time"

	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/store"
)

// Returned books that a message came back after it had been taken, and says whether that was news. why names nobody. A
// message that nobody knows is store.ErrNotFound.
func Returned(tx *store.Tx, id, why string, at time.Time) (news bool, err error) {
	m, err := tx.Message(id)
	if err != nil {
		return false, err
	}
	if m.State != store.MessageSent && m.State != store.MessageSending {
		return false, nil
	}
	over(&m, store.MessageFailed, why)
	return true, errors.Join(tx.SetMessage(m), tell(tx, m, at, true))
}

// tell books what follows from a message that did not arrive: the ledger says so, and so does the case, if its code is still out. For all
// that is counted by the hour one that somebody was asked to take was sent: an address that is refused, or sends everything back, would
// have no limit.
func tell(tx *store.Tx, m store.Message, at time.Time, asked bool) error {
	e := ledger.Event{At: at, Kind: ledger.MessageFailed, Case: m.Case, Card: m.Card, Note: string(m.Kind) + ": " + m.Failure}
	if m.Kind == store.MessageCode {
		c, err := tx.Case(m.Case)
		if err != nil {
			return err
		}
		e.Kiosk = c.Kiosk
		if c.Undelivered(m.MadeAt) {
			if err = tx.SetCase(c); err == nil && !asked {
				err = tx.RemoveSend(c, m.MadeAt)
			}
			if err != nil {
				return err
			}
		}
	}
	return tx.AppendEvent(e)
}
