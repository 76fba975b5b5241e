package openpgp_test

import (
	"testing"

	"latchkey/card/cardtest"
	"latchkey/card/profiles"
	"latchkey/tools/cardsim"
	simulated "latchkey/tools/cardsim/openpgp"
)

// BenchmarkState is from insertion until serial and retry counters are known.
func BenchmarkState(b *testing.B) {
	sim := virtual(b, cardsim.Spec{})
	cardtest.BenchState(b, sim, sim.Reset, opens(byCode))
}

// BenchmarkWrite is from the grant until the passcode is set and confirmed, and the PUK replaced if it is the
// administrator's.
func BenchmarkWrite(b *testing.B) {
	for _, p := range []profiles.Profile{byCode, byAdmin} {
		b.Run(p.Name, func(b *testing.B) {
			grant := cardtest.Fixture{PUK: value(simulated.DefaultCode), NewPasscode: value("864213")}
			if p.PUK.Rotates {
				grant.NewPUK = value("908172635441")
			}
			cardtest.BenchWrite(b, virtual(b, cardsim.Spec{Profile: p}), nil, opens(p), grant)
		})
	}
}
