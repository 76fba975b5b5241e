package authentic_test

import (
	"testing"

	"latchkey/card/cardtest"
	"latchkey/card/profiles"
	"latchkey/tools/cardsim"
)

// kinds are the embedded profile, which asks the card for its policies, and one that gives them.
func kinds(b *testing.B, run func(*testing.B, *cardsim.Card, profiles.Profile)) {
	for name, p := range map[string]profiles.Profile{"asked": embedded, "told": fixed} {
		b.Run(name, func(b *testing.B) { run(b, virtual(b, cardsim.Spec{Profile: p}), p) })
	}
}

// BenchmarkState is from insertion until serial and retry counters are known.
func BenchmarkState(b *testing.B) {
	kinds(b, func(b *testing.B, sim *cardsim.Card, p profiles.Profile) {
		cardtest.BenchState(b, sim, sim.Reset, opens(p))
	})
}

// BenchmarkWrite is from the grant until the passcode is set and confirmed, and the PUK replaced where it can be. What
// the card was asked before, for its state, it is not asked again.
func BenchmarkWrite(b *testing.B) {
	kinds(b, func(b *testing.B, sim *cardsim.Card, p profiles.Profile) {
		grant := cardtest.Fixture{PUK: value(cardsim.DefaultPUK), NewPasscode: value("864213")}
		if p.PUK.Rotates {
			grant.NewPUK = value("90817263")
		}
		cardtest.BenchWrite(b, sim, sim.Reset, opens(p), grant)
	})
}
