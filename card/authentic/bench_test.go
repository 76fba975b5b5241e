package authentic_test

import (
	"testing"

	"latchkey/card/authentic"
	"latchkey/card/cardtest"
	"latchkey/card/profiles"
	"latchkey/tools/cardsim"
)

// kinds are the embedded profile, which asks the card for its policies, and one that gives them.
func kinds(b *testing.B, run func(*testing.B, profiles.Profile)) {
	b.Run("asked", func(b *testing.B) { run(b, embedded) })
	b.Run("told", func(b *testing.B) { run(b, fixed) })
}

// BenchmarkState is from insertion until serial and retry counters are known.
func BenchmarkState(b *testing.B) {
	kinds(b, func(b *testing.B, p profiles.Profile) {
		sim := virtual(b, cardsim.Spec{Profile: p})
		counter := &cardtest.Counter{Transport: sim}
		for b.Loop() {
			sim.Reset()
			c := authentic.New(counter, p)
			if _, err := c.Identify(); err != nil {
				b.Fatal(err)
			}
			if _, err := c.State(); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(counter.N)/float64(b.N), "apdus/op")
	})
}

// BenchmarkWrite is from the grant until the passcode is set and confirmed, and the PUK replaced where it can be. What
// the card was asked before, for its state, it is not asked again.
func BenchmarkWrite(b *testing.B) {
	kinds(b, func(b *testing.B, p profiles.Profile) {
		sim := virtual(b, cardsim.Spec{Profile: p})
		counter := &cardtest.Counter{Transport: sim}
		passcode, puk, next := value("864213"), value(cardsim.DefaultPUK), value("90817263")
		written := 0
		for b.Loop() {
			sim.Reset()
			c := authentic.New(counter, p)
			if _, err := c.Identify(); err != nil {
				b.Fatal(err)
			}
			if _, err := c.State(); err != nil {
				b.Fatal(err)
			}
			before := counter.N
			if err := c.Reset(puk, passcode); err != nil {
				b.Fatal(err)
			}
			if err := c.Confirm(passcode); err != nil {
				b.Fatal(err)
			}
			if p.PUK.Rotates {
				if err := c.Rotate(puk, next); err != nil {
					b.Fatal(err)
				}
				puk, next = next, puk
			}
			written += counter.N - before
		}
		b.ReportMetric(float64(written)/float64(b.N), "apdus/op")
	})
}
