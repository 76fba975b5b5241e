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
// secret anew.
//
// Evidence that comes later is taken together with what was recovered in the same epoch: all of it happened before the restore,
// so it stands before the grants that left since, whatever their numbers were.
//
// Kiosks' clocks order nothing: among grants of one base since the backup nobody knows which came first, so they clear each
// other's bookings only where any order would. But those that found the card open to their base came before it was rotated,
// or rotated it themselves. A secret that was imported since the backup has to be imported again first.
func Recover(r *Record, evidence []Evidence) Why {
	var before, recovered, after []Grant
	for _, g := range r.Grants {
		switch {
		case g.Epoch < r.Epoch:
			before = append(before, g)
		case g.Recovered:
			recovered = append(recovered, g)
		default:
			after = append(after, g)
		}
	}
	var since []Evidence
	booked := map[string]int{} // of those recovered before
	for _, g := range recovered {
		since = append(since, Evidence{Case: g.Case, Kiosk: g.Kiosk, At: g.IssuedAt, Base: g.Base, First: g.First, Outcome: g.Outcome})
		booked[g.Case] = g.Booked
	}
	for _, e := range evidence {
		place := slices.IndexFunc(since, func(s Evidence) bool { return s.Case == e.Case })
		known := slices.IndexFunc(r.Grants, func(g Grant) bool { return g.Case == e.Case && (g.Epoch < r.Epoch || !g.Recovered) })
		switch {
		case known >= 0 && e.Outcome != nil:
			Settle(r, known, *e.Outcome)
		case known >= 0:
		case place < 0:
			since = append(since, e)
		case since[place].Outcome == nil:
			since[place].Outcome = e.Outcome
		}
	}
	slices.SortStableFunc(since, func(a, b Evidence) int {
		return cmp.Or(cmp.Compare(a.Base, b.Base), cmp.Compare(a.place(), b.place()), a.At.Compare(b.At))
	})
	settled := func(g Grant) Grant { // as Settle has left it
		return r.Grants[slices.IndexFunc(r.Grants, func(h Grant) bool { return h.Case == g.Case })]
	}
	number := 0
	grants := make([]Grant, 0, len(r.Grants)+len(since))
	for _, g := range before {
		number = max(number, g.Number)
		grants = append(grants, settled(g))
	}
	for _, e := range since {
		number++
		wanted := 1 // as Release has it
		if e.First != e.Base {
			wanted = 2
		}
		g := Grant{
			Case: e.Case, Card: r.Card.Serial, Number: number, Kiosk: e.Kiosk, Base: e.Base, First: e.First, Tries: wanted, Booked: wanted,
			IssuedAt: e.At, ExpiresAt: e.At, Outcome: e.Outcome, Epoch: r.Epoch, Recovered: true,
		}
		if o := g.Outcome; o != nil && o.Tries >= 0 {
			g.Booked = o.Tries
		}
		if was, is := booked[e.Case]; is {
			g.Booked = min(g.Booked, was)
		}
		grants = append(grants, g)
	}
	last := len(grants)
	openedSince := false
	for _, g := range after {
		g = settled(g)
		number++
		g.Number = number
		openedSince = openedSince || g.opened() >= 0
		grants = append(grants, g)
	}
	r.Grants = grants
	for r.Profile.PUK.Rotates && slices.ContainsFunc(r.Grants, func(g Grant) bool { return g.settles(r.Card.Settled) }) {
		r.Card.Settled++
	}
	for i := range last {
		if r.Grants[i].Base < r.Card.Settled-1 { // the card was given a new PUK after them
			r.Grants[i].Booked = 0
		}
	}
	for i := len(before); i < last; i++ {
		g := &r.Grants[i]
		o := g.Outcome
		if o == nil || g.Base < r.Card.Settled-1 {
			continue
		}
		known := g.Base <= r.Card.Settled
		rotated := known && o.opened() == g.Base && o.Rotated == wire.Yes
		restored := known && r.Profile.PUK.Restores && o.opened() >= 0 && o.Passcode == wire.Yes
		if rotated || restored {
			for j := range len(before) {
				r.Grants[j].Booked = 0
			}
		}
		if rotated || restored && o.Tries >= 0 {
			g.Booked = 0
		}
		if o.PUKBlocked && !openedSince {
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
