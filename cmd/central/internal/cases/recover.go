package cases

import (
	"cmp"
	"slices"
	"time"

	"latchkey/firmware/wire"
)

// Evidence is what a kiosk's journal says of one grant: the card was about to be written with it, and what became of that.
type Evidence struct {
	Case, Kiosk string
	At          time.Time // of the intent, by the kiosk's clock
	Base, First int64
	Outcome     *Outcome // nil if the journal has none
}

// Recover brings the record of a card, as a backup has it, up to what happened since. It takes the evidence of all kiosks
// that were served since the backup, when every grant that left before has run out; evidence that the record has already
// is harmless.
//
// An intent is durable before a card is touched, so the evidence names every grant that can have changed the card, and its
// base is a generation that central had settled. One kiosk's word is not taken for more than a step: from the backup's
// generation on, each has to be settled by an outcome or by an intent of the next base. If a step is missing, and there is
// an intent beyond it, the card must be referred: Recover says why, as every release will until the RA has given the card a
// secret anew. More evidence is then taken together with this, by the backup's record.
//
// Kiosks' clocks order nothing: among grants of one base since the backup nobody knows which came first, so they clear each
// other's bookings only where any order would. But those that found the card open to their base came before it was rotated,
// or rotated it themselves. A secret that was imported since the backup has to be imported again first.
func Recover(r *Record, evidence []Evidence) Why {
	var since []Evidence
	for _, e := range evidence {
		place := slices.IndexFunc(r.Grants, func(g Grant) bool { return g.Case == e.Case })
		switch {
		case place < 0:
			since = append(since, e)
		case e.Outcome != nil:
			Settle(r, place, *e.Outcome)
		}
	}
	slices.SortStableFunc(since, func(a, b Evidence) int {
		return cmp.Or(cmp.Compare(a.Base, b.Base), cmp.Compare(a.place(), b.place()), a.At.Compare(b.At))
	})
	before := len(r.Grants)
	number := 0
	for _, g := range r.Grants {
		number = max(number, g.Number)
	}
	for _, e := range since {
		number++
		wanted := 1 // as Release has it
		if e.First != e.Base {
			wanted = 2
		}
		g := Grant{
			Case: e.Case, Card: r.Card.Serial, Number: number, Kiosk: e.Kiosk, Base: e.Base, First: e.First, Tries: wanted, Booked: wanted,
			IssuedAt: e.At, ExpiresAt: e.At, Outcome: e.Outcome,
		}
		if o := g.Outcome; o != nil && o.Tries >= 0 {
			g.Booked = o.Tries
		}
		r.Grants = append(r.Grants, g)
	}
	for r.Profile.PUK.Rotates && slices.ContainsFunc(r.Grants, func(g Grant) bool { return g.settles(r.Card.Settled) }) {
		r.Card.Settled++
	}
	for i := range r.Grants {
		if r.Grants[i].Base < r.Card.Settled-1 { // the card was given a new PUK after them
			r.Grants[i].Booked = 0
		}
	}
	for i := before; i < len(r.Grants); i++ {
		g := &r.Grants[i]
		o := g.Outcome
		if o == nil || g.Base < r.Card.Settled-1 {
			continue
		}
		known := g.Base <= r.Card.Settled
		rotated := known && o.opened() == g.Base && o.Rotated == wire.Yes
		restored := known && r.Profile.PUK.Restores && o.opened() >= 0 && o.Passcode == wire.Yes
		if rotated || restored {
			for j := range before {
				r.Grants[j].Booked = 0
			}
		}
		if rotated || restored && o.Tries >= 0 {
			g.Booked = 0
		}
		if o.PUKBlocked {
			r.Card.PUKBlocked = true
		}
	}
	if r.ahead() {
		return WhyGeneration
	}
	return ""
}

// place orders the evidence of one base, as far as its order is known.
func (e Evidence) place() int {
	switch {
	case e.Outcome == nil || e.Outcome.opened() != e.Base:
		return 2
	case e.Outcome.Rotated != wire.No:
		return 1
	}
	return 0
}

// settles says whether the grant shows that central had settled generation n+1, or was about to.
func (g Grant) settles(n int64) bool {
	return g.Base == n+1 || g.Base == n && (g.opened() == n+1 || g.opened() == n && g.Outcome.Rotated == wire.Yes)
}
