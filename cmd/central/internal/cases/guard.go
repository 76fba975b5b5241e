package cases

import (
	"time"

	"latchkey/firmware/wire"
)

// What counts against a kiosk, a network address or a holder is a strike. Strikes are booked with refusals and with the
// ends of visits, never on a good walk, and judged when one is booked.

// StrikeWindow is over which the strikes of kiosks and networks are counted.
const StrikeWindow = time.Hour

// Over which visits of a holder without success are counted, and lockouts.
const (
	VisitWindow   = 24 * time.Hour
	LockoutWindow = 30 * 24 * time.Hour
)

// Lockouts of a holder within LockoutWindow until quarantine: somebody goes on guessing after the RA has forgiven.
const Lockouts = 2

// Strikes says whether a refusal counts against the kiosk: it answers what no good kiosk asks again and again.
//
// That no authority vouches for a genuine card is no fault of theirs.
func Strikes(r *Refusal) bool {
	if r.Why != "" {
		return false
	}
	switch r.Code {
	case wire.CodeSignatureInvalid, wire.CodeCardNotGenuine, wire.CodeIdempotencyConflict, wire.CodeEntriesDoNotExtend, wire.CodeCardUnknown:
		return true
	}
	return false
}

// Fruitless says whether a case that is over counts as a visit of the card's holder without success. One of a card that
// cannot prove itself does not: whoever copies its number should not keep the holder out. Nor does one that a freeze ended,
// which was the holder's, or one that ended because central is being put right or wants the RA's approval: nothing was sent, and
// nobody could do better.
func (c *Case) Fruitless(card Card) bool {
	if !c.State.Over() || c.ProvedAt.IsZero() || !card.Proves() {
		return false
	}
	switch c.Reason {
	case ReasonUnlocked, ReasonUnknown, ReasonEpoch, Reason(wire.CodeCardFrozen), Reason(wire.CodeCardRecovering), Reason(wire.CodeApprovalNeeded):
		return false
	}
	return true
}

// VisitsSince is from when on fruitless visits count: the last unlock, or the window's begin.
func (r Record) VisitsSince(now time.Time) time.Time {
	since := now.Add(-VisitWindow)
	for _, g := range r.Grants {
		if o := g.Outcome; o != nil && o.Passcode == wire.Yes && o.At.After(since) {
			since = o.At
		}
	}
	return since
}
