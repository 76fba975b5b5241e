package gids_test

import (
	"fmt"
	"testing"

	"latchkey/card"
	"latchkey/card/cardtest"
	"latchkey/card/families"
	"latchkey/card/gids"
	"latchkey/card/profiles"
	"latchkey/tools/cardsim"
	simulated "latchkey/tools/cardsim/gids"
)

func counted(b *testing.B) (*cardsim.Card, *cardtest.Counter) {
	sim := virtual(b, cardsim.Spec{})
	return sim, &cardtest.Counter{Transport: sim}
}

// BenchmarkState is from insertion until serial and retry counter are known.
func BenchmarkState(b *testing.B) {
	sim, counter := counted(b)
	for b.Loop() {
		sim.Reset()
		c := gids.New(counter, profile)
		if _, err := c.Identify(); err != nil {
			b.Fatal(err)
		}
		if _, err := c.State(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(counter.N)/float64(b.N), "apdus/op")
}

// BenchmarkWrite is from the wish to write, through challenge and answer, until the passcode is set and confirmed.
func BenchmarkWrite(b *testing.B) {
	_, counter := counted(b)
	c := gids.New(counter, profile)
	if _, err := c.Identify(); err != nil {
		b.Fatal(err)
	}
	counter.N = 0
	for b.Loop() {
		write(b, c)
	}
	b.ReportMetric(float64(counter.N)/float64(b.N), "apdus/op")
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
			sim, counter := counted(b)
			for b.Loop() {
				sim.Reset()
				found, err := families.Recognise(counter, sim.ATR(), set)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := found.Card.State(); err != nil {
					b.Fatal(err)
				}
				write(b, found.Card)
			}
			b.ReportMetric(float64(counter.N)/float64(b.N), "apdus/op")
		})
	}
}

// write does what kiosk and central do together.
func write(b *testing.B, c card.Card) {
	asked, err := c.Challenge()
	if err != nil {
		b.Fatal(err)
	}
	if err := c.Reset(answered(b, simulated.DefaultAdminKey, asked), passcode); err != nil {
		b.Fatal(err)
	}
	if err := c.Confirm(passcode); err != nil {
		b.Fatal(err)
	}
}
