package cases

import (
	"slices"
	"time"

	"latchkey/card/profiles"
	"latchkey/firmware/wire"
)

// Grant is what left central for one card: the PUKs of generations Base and Base+1, of Base alone where the card's does not
// rotate, or one answer to a challenge.
type Grant struct {
	Case      string
	Card      string
	Number    int // of this card, from 1
	Kiosk     string
	Base      int64
	First     int64 // candidate to try first
	Tries     int   // wrong PUKs that it may cost
	Booked    int   // wrong PUKs that the card is taken to have counted for it
	IssuedAt  time.Time
	ExpiresAt time.Time
	Outcome   *Outcome // nil until the kiosk has reported
	Epoch     int64    // in which central recorded it
	Recovered bool     // central had forgotten it, and learnt of it from a kiosk's journal
}

// Outcome is what a kiosk reported of a grant.
type Outcome struct {
	At       time.Time
	Passcode wire.Fact
	Opened   *int64
	Rotated  wire.Fact
	Tries    int // -1 if not known
	// PUKBlocked: the card says that its PUK, or the administrator's key, is blocked.
	PUKBlocked bool
}

// mayHaveRotated says whether a PUK of Base+1 may be on the card because of a grant, of a kind of card whose PUK rotates. A
// grant without an outcome may, unless a later one found that the card still had Base.
func (r *Record) mayHaveRotated(g Grant) bool {
	return (g.Outcome == nil || g.Outcome.Rotated != wire.No) && !slices.ContainsFunc(r.Grants, func(later Grant) bool {
		return later.Number > g.Number && later.Base == g.Base && later.opened() == g.Base
	})
}

// newest says whether no other grant of the card is later.
func (r *Record) newest(number int) bool {
	return !slices.ContainsFunc(r.Grants, func(g Grant) bool { return g.Number > number })
}

// ahead says whether a grant left for a generation that central, as it is restored, does not know to be settled.
func (r *Record) ahead() bool {
	return slices.ContainsFunc(r.Grants, func(g Grant) bool { return g.Base > r.Card.Settled })
}

// remaining is how many wrong PUKs the card can still take, at worst. Where the card told its own count for this case, that
// is the truth of then, and tries booked since count besides; otherwise all that are booked count against the kind's limit.
func (c *Case) remaining(r Record) int {
	left := r.Profile.PUK.Tries
	if !c.PUKReadAt.IsZero() {
		left = c.PUKTriesLeft
	}
	for _, g := range r.Grants {
		if !g.IssuedAt.Before(c.PUKReadAt) {
			left -= g.Booked
		}
	}
	return left
}

// referral is why only the RA can go on with the card; empty if a grant may leave.
func (c *Case) referral(r Record) Why {
	switch {
	case r.Card.PUKBlocked, !c.PUKReadAt.IsZero() && c.PUKTriesLeft == 0:
		return WhyPUKBlocked
	case !r.Card.HasSecret:
		return WhySecretUnknown
	case r.ahead():
		return WhyGeneration
	case c.remaining(r) < 2:
		return WhyTriesUsedUp
	}
	return ""
}

// ChallengeLength is that of a challenge of the family gids, bytes (Microsoft GIDS 2.0, one block of 3DES).
const ChallengeLength = 8

// Challenges says whether cards of the profile are unlocked by an answer to their challenge: their secret leaves central
// for nobody.
func Challenges(p profiles.Profile) bool { return p.Family == "gids" }

// Release judges the second proof and makes the grant: which generations, which first, how many tries.
//
// Tries are booked here, before anybody can spend them, and no grant leaves for a card that may have fewer than two: its last
// try is never given. Generation base+1 can only be on the card if a grant of base left and nobody can say that it was not
// rotated; until then one try is enough, because base is right. After that two are booked, also where two are all that is
// left: the kiosk tries the second candidate only if the card, having counted the first, says that two or more remain. So one
// lost outcome does not send a holder to the RA. A secret that does not rotate is the one candidate, and one try is enough.
func (c *Case) Release(p Policy, now time.Time, r Record, kiosk string, proof, challenge []byte) (Grant, error) {
	if err := c.at(now, Accepted); err != nil {
		return Grant{}, err
	}
	want := 0
	if Challenges(r.Profile) {
		want = ChallengeLength
	}
	if len(challenge) != want {
		return Grant{}, Refuse(wire.CodeMalformed)
	}
	if r.Card.Proves() && !signed(r.Card.Certificate, wire.ProofDigest(c.Nonce, c.ID, kiosk, c.HPKE), proof) {
		return Grant{}, c.end(wire.CodeCardNotGenuine)
	}
	if err := c.stillEligible(p, now, r); err != nil {
		return Grant{}, err
	}
	if err := c.vouchedFor(p, now, r); err != nil {
		return Grant{}, err
	}
	base := r.Card.Settled
	first, wanted, number := base, 1, 1
	for _, g := range r.Grants {
		number = max(number, g.Number+1)
		if g.Outcome == nil && now.Before(g.ExpiresAt) && g.Kiosk != kiosk {
			return Grant{}, Refuse(wire.CodeGrantUnsettled)
		}
		if r.Profile.PUK.Rotates && g.Base == base && r.mayHaveRotated(g) {
			first, wanted = base+1, 2
		}
	}
	if why := c.referral(r); why != "" {
		return Grant{}, c.endFor(wire.CodeCardReferred, why)
	}
	c.State, c.Nonce = Granted, nil
	return Grant{
		Case: c.ID, Card: c.Card, Number: number, Kiosk: kiosk, Base: base, First: first, Tries: wanted, Booked: wanted,
		IssuedAt: now, ExpiresAt: now.Add(p.GrantValidity), Epoch: r.Epoch,
	}, nil
}

// NeverArrived is the base of an outcome of a grant that the kiosk asked for and did not get.
const NeverArrived = -1

// Sane says whether an outcome can be one of the grant at all, of a card of the profile. The zero Grant is for a case that
// has none: only that it never arrived can be said of it.
func (g Grant) Sane(p profiles.Profile, base int64, o Outcome) bool {
	newest := g.Base
	if p.PUK.Rotates {
		newest++
	}
	never := base == NeverArrived && o.Opened == nil && !o.PUKBlocked && o.Passcode == wire.No && o.Rotated == wire.No
	return (base == g.Base || never) && o.Tries >= -1 && o.Tries <= g.Tries &&
		(o.Opened == nil || *o.Opened >= g.Base && *o.Opened <= newest) &&
		o.Passcode.Valid() && o.Rotated.Valid() && (o.Rotated != wire.Yes || p.PUK.Rotates && !o.PUKBlocked)
}

// reason is why a case with this outcome is over.
func (o Outcome) reason() Reason {
	switch o.Passcode {
	case wire.Yes:
		return ReasonUnlocked
	case wire.No:
		return ReasonNotUnlocked
	}
	return ReasonUnknown
}

// Settle records what became of a grant: grant is its place in r.Grants. It may change the card, the holder and the bookings
// of r. A second outcome of a grant is evidence, and so is any of a generation that is settled past, but that it says how
// many tries the grant has cost: what else was booked for it is taken back.
//
//   - Rotated: the card has base+1 and, having been given a new PUK, its full count of tries; bookings made until this
//     grant are cleared. A later grant's may have been spent since and stay.
//   - Opened by base+1: the card has base+1, and this grant did not write it: an earlier one of this base did. Bookings made
//     until the first that can have been it are cleared.
//   - Opened, where the right PUK restores its own count: bookings made until this grant are cleared. If the card counted a
//     wrong one afterwards, when it was to be replaced, the grant's own stay.
//   - The PUK is blocked: nobody is given a grant until the RA has given the card a secret anew. If a later grant opened
//     the card, it is not so, and evidence.
//   - Anything else leaves both candidates standing.
//
// The wrong codes are cleared, and an approval is used up, by the newest grant alone: those that were counted, or given, on the way
// to a later one came after this unlock.
func Settle(r *Record, grant int, o Outcome) {
	g := &r.Grants[grant]
	if g.Outcome != nil {
		return
	}
	g.Outcome = &o
	openedLater := slices.ContainsFunc(r.Grants, func(later Grant) bool { return later.Number > g.Number && later.opened() >= 0 })
	if o.PUKBlocked && !openedLater && g.Base+1 >= r.Card.Settled { // else the card was given a secret anew since
		r.Card.PUKBlocked = true
	}
	if g.Base != r.Card.Settled {
		if o.Tries >= 0 {
			g.Booked = min(g.Booked, o.Tries)
		}
		return
	}
	if o.Tries >= 0 {
		g.Booked = o.Tries
	}
	opened := o.opened()
	switch {
	case opened == g.Base && o.Rotated == wire.Yes:
		r.Card.Settled = g.Base + 1
		r.clear(g.Number)
	case opened == g.Base+1:
		r.Card.Settled = g.Base + 1
		for _, before := range r.Grants { // oldest first
			if before.Base == g.Base && before.Number < g.Number && r.mayHaveRotated(before) {
				r.clear(before.Number)
				break
			}
		}
	}
	if r.Profile.PUK.Restores && opened >= 0 && o.Passcode == wire.Yes {
		last := g.Number
		if o.Tries < 0 {
			last--
		}
		r.clear(last)
	}
	if o.Passcode == wire.Yes && r.newest(g.Number) {
		r.Card.WrongCodes, r.Holder.WrongCodes = 0, 0
		r.Card.ApprovedUntil = time.Time{}
	}
}

// opened is the generation that the card accepted; -1 if none did or it is not known.
func (o Outcome) opened() int64 {
	if o.Opened == nil {
		return -1
	}
	return *o.Opened
}

// opened is the generation that the card accepted by the grant; -1 if none did or it is not known.
func (g Grant) opened() int64 {
	if g.Outcome == nil {
		return -1
	}
	return g.Outcome.opened()
}

// clear takes back the bookings of grants up to a number: the card's count was full after them.
func (r *Record) clear(last int) {
	for i := range r.Grants {
		if r.Grants[i].Number <= last {
			r.Grants[i].Booked = 0
		}
	}
}
