package piv_test

import (
	"testing"

	"latchkey/card/cardtest"
	"latchkey/tools/cardsim"
)

// BenchmarkState is from insertion until serial and retry counter are known.
func BenchmarkState(b *testing.B) {
	sim := virtual(b, cardsim.Spec{})
	cardtest.BenchState(b, sim, sim.Reset, open)
}

// BenchmarkWrite is from the grant until the passcode is set and confirmed and the PUK replaced.
func BenchmarkWrite(b *testing.B) {
	cardtest.BenchWrite(b, virtual(b, cardsim.Spec{}), nil, open,
		cardtest.Fixture{NewPasscode: value("864213"), PUK: value(cardsim.DefaultPUK), NewPUK: value("90817263")})
}
