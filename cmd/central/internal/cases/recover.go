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
// base is a generation that central had settled. Kiosks' clocks order nothing: among grants of one base since the backup
// nobody knows which came first, so they clear each other's bookings only where any order would. A secret that was imported
// since the backup has to be imported again first.
func Recover(r *Record, evidence []Evidence) {
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
	slices.SortStableFunc(since, func(a, b Evidence) int { return cmp.Or(cmp.Compare(a.Base, b.Base), a.At.Compare(b.At)) })
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
		r.Card.Settled = max(r.Card.Settled, g.Base)
		if o := g.Outcome; o != nil {
			if o.Tries >= 0 {
				g.Booked = o.Tries
			}
			if opened := o.opened(); opened == g.Base+1 || opened == g.Base && o.Rotated == wire.Yes {
				r.Card.Settled = max(r.Card.Settled, g.Base+1)
			}
		}
		r.Grants = append(r.Grants, g)
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
		rotated := o.opened() == g.Base && o.Rotated == wire.Yes
		restored := r.Profile.PUK.Restores && o.opened() >= 0 && o.Passcode == wire.Yes
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
}
