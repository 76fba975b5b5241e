package iso_test

import (
	"testing"

	"latchkey/card"
	"latchkey/card/cardtest"
	"latchkey/card/profiles"
	"latchkey/tools/cardsim"
)

// kinds are IsoApplet and a card whose PUK is counted aloud and replaced.
func kinds(b *testing.B, run func(*testing.B, *cardsim.Card, func(card.Transport) card.Card, cardtest.Fixture)) {
	for _, kind := range []struct {
		name    string
		profile profiles.Profile
		grant   cardtest.Fixture
	}{
		{"IsoApplet", isoApplet, cardtest.Fixture{PUK: value("1234567812345678"), NewPasscode: value("864213")}},
		{"rotating", wardCard(b), cardtest.Fixture{PUK: value("12345678"), NewPasscode: value("864213"), NewPUK: value("90817263")}},
	} {
		b.Run(kind.name, func(b *testing.B) {
			sim := virtual(b, cardsim.Spec{Profile: kind.profile, PUK: kind.grant.PUK})
			run(b, sim, opens(kind.profile), kind.grant)
		})
	}
}

// BenchmarkState is from insertion until serial and retry counters are known.
func BenchmarkState(b *testing.B) {
	kinds(b, func(b *testing.B, sim *cardsim.Card, open func(card.Transport) card.Card, _ cardtest.Fixture) {
		cardtest.BenchState(b, sim, sim.Reset, open)
	})
}

// BenchmarkWrite is from the grant until the passcode is set and confirmed, and the PUK replaced where it can be.
func BenchmarkWrite(b *testing.B) {
	kinds(b, func(b *testing.B, sim *cardsim.Card, open func(card.Transport) card.Card, grant cardtest.Fixture) {
		cardtest.BenchWrite(b, sim, nil, open, grant)
	})
}
