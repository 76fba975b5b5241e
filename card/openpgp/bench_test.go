package openpgp_test

import (
	"testing"

	"latchkey/card/cardtest"
	"latchkey/card/openpgp"
	"latchkey/card/profiles"
	"latchkey/tools/cardsim"
	simulated "latchkey/tools/cardsim/openpgp"
)

// BenchmarkState is from insertion until serial and retry counters are known.
func BenchmarkState(b *testing.B) {
	sim := virtual(b, cardsim.Spec{})
	counter := &cardtest.Counter{Transport: sim}
	for b.Loop() {
		sim.Reset()
		c := openpgp.New(counter, byCode)
		if _, err := c.Identify(); err != nil {
			b.Fatal(err)
		}
		if _, err := c.State(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(counter.N)/float64(b.N), "apdus/op")
}

// BenchmarkWrite is from the grant until the passcode is set and confirmed, and the PUK replaced if it is the
// administrator's.
func BenchmarkWrite(b *testing.B) {
	for _, p := range []profiles.Profile{byCode, byAdmin} {
		b.Run(p.Name, func(b *testing.B) {
			counter := &cardtest.Counter{Transport: virtual(b, cardsim.Spec{Profile: p})}
			c := openpgp.New(counter, p)
			if _, err := c.Identify(); err != nil {
				b.Fatal(err)
			}
			counter.N = 0
			passcode, puk, next := value("864213"), value(simulated.DefaultCode), value("908172635441")
			for b.Loop() {
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
			}
			b.ReportMetric(float64(counter.N)/float64(b.N), "apdus/op")
		})
	}
}
