package gids_test

import (
	"fmt"
	"testing"

	"latchkey/card/cardtest"
	"latchkey/card/families"
	"latchkey/card/profiles"
	"latchkey/tools/cardsim"
)

// grant is what is written, time and again.
var grant = cardtest.Fixture{Answer: administrator, NewPasscode: passcode}

// BenchmarkState is from insertion until serial and retry counter are known.
func BenchmarkState(b *testing.B) {
	sim := virtual(b, cardsim.Spec{})
	cardtest.BenchState(b, sim, sim.Reset, open)
}

// BenchmarkWrite is from the wish to write, through challenge and answer, until the passcode is set and confirmed.
func BenchmarkWrite(b *testing.B) {
	cardtest.BenchWrite(b, virtual(b, cardsim.Spec{}), nil, open, grant)
}

// BenchmarkTotal is from insertion until the new passcode is confirmed. A card that a profile names by its answer to reset
// is asked for its own application at once; one that no profile names is asked for PIV first, as Windows does.
func BenchmarkTotal(b *testing.B) {
	sim := virtual(b, cardsim.Spec{})
	atr, err := profiles.ParseATR(fmt.Sprintf("%X", sim.ATR()))
	if err != nil {
		b.Fatal(err)
	}
	named := profile
	named.ATRs = []profiles.ATR{atr}
	for name, set := range map[string]profiles.Set{"named": profiles.Of(named), "unnamed": profiles.Embedded()} {
		b.Run(name, func(b *testing.B) {
			sim := virtual(b, cardsim.Spec{})
			counter := &cardtest.Counter{Transport: sim}
			for b.Loop() {
				sim.Reset()
				found, err := families.Recognise(counter, sim.ATR(), set)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := found.Card.State(); err != nil {
					b.Fatal(err)
				}
				grant.Write(b, found.Card)
			}
			b.ReportMetric(float64(counter.N)/float64(b.N), "apdus/op")
		})
	}
}
