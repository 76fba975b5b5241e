package cases

import (
	"math"
	"time"

	"latchkey/firmware/wire"
)

// What is unusual about a visit does not pass, and does not end in doubt either: it steps up. The Registration Authority
// sees who stands there and approves the card, for a while and for one unlock.

// Reasons of approval-needed, for the ledger alone: who is at the kiosk should not learn what would pass.
const (
	WhyChannelChanged Why = "channel-changed" // of late: every channel that the holder has
	WhyBusyKiosk      Why = "busy-kiosk"      // many different cards were proved there
	WhyDistantKiosk   Why = "distant-kiosk"   // the card was proved elsewhere, and cannot have come from there
)

// Place is a point on the earth, degrees, WGS 84.
type Place struct{ Latitude, Longitude float64 }

// Seen is a card's proof at another kiosk.
type Seen struct {
	At    time.Time
	Place *Place // nil if not known
}

// Surroundings are what is on record about where and when a card is proved.
type Surroundings struct {
	Place      *Place // of the kiosk; nil if not known
	OtherCards int    // that were proved at the kiosk within the last BusyWindow
	Elsewhere  []Seen // proofs of this card at other kiosks within the last TravelWindow
}

// BusyWindow is over which cards at a kiosk are counted, and TravelWindow how far back a card's ways are looked at.
const (
	BusyWindow   = time.Hour
	TravelWindow = 24 * time.Hour
)

// Approved says whether the RA lets the card pass what steps up.
func (c Card) Approved(now time.Time) bool { return now.Before(c.ApprovedUntil) }

// Offered lists the channels that the holder may choose from: those that were not changed of late, or all if the RA has
// approved the card.
func (r Record) Offered(p Policy, now time.Time) (list []Channel) {
	for _, ch := range r.Channels {
		if r.Card.Approved(now) || r.Holder.settled(p, now, ch) {
			list = append(list, ch)
		}
	}
	return list
}

func (h Holder) settled(p Policy, now time.Time, ch Channel) bool {
	changed := h.MobileChangedAt
	if ch.Kind == wire.Email {
		changed = h.EmailChangedAt
	}
	return p.ChannelSettles == 0 || changed.IsZero() || !now.Before(changed.Add(p.ChannelSettles))
}

// offers says whether a channel is among those that are offered.
func (r Record) offers(p Policy, now time.Time, channel Channel) bool {
	return r.Card.Approved(now) || r.Holder.settled(p, now, channel)
}

// stepUp is why the RA has to approve the card first; empty if it need not. returned: the holder comes back to a case, and is none
// of those who made the kiosk busy.
func (r Record) stepUp(p Policy, now time.Time, returned bool) Why {
	switch {
	case r.Card.Approved(now):
		return ""
	case len(r.Offered(p, now)) == 0:
		return WhyChannelChanged
	case p.KioskCards > 0 && !returned && r.Around.OtherCards >= p.KioskCards:
		return WhyBusyKiosk
	}
	for _, seen := range r.Around.Elsewhere {
		if p.TravelKMH > 0 && tooFar(r.Around.Place, seen.Place, now.Sub(seen.At), p.TravelKMH) {
			return WhyDistantKiosk
		}
	}
	return ""
}

// near is a distance that is not judged, km: places are those of sites, and who carries a card across one is not slow.
const near = 2

// tooFar says whether nobody gets from one place to the other in that time. Unknown places are not judged.
func tooFar(from, to *Place, in time.Duration, kmh int) bool {
	if from == nil || to == nil {
		return false
	}
	d := from.distance(*to)
	return d > near && d > float64(kmh)*in.Hours()
}

const earthRadius = 6371.0088 // km; mean radius R1 of IUGG, GRS 80

// distance is that of the great circle, km, by the haversine formula.
func (p Place) distance(q Place) float64 {
	rad := func(deg float64) float64 { return deg * math.Pi / 180 }
	sin2 := func(x float64) float64 { s := math.Sin(x / 2); return s * s }
	h := sin2(rad(q.Latitude-p.Latitude)) + math.Cos(rad(p.Latitude))*math.Cos(rad(q.Latitude))*sin2(rad(q.Longitude-p.Longitude))
	return 2 * earthRadius * math.Asin(math.Sqrt(min(1, h)))
}
