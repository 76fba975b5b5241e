package iso_test

import (
	"testing"

	"latchkey/card/cardtest"
	"latchkey/card/iso"
	"latchkey/card/profiles"
	"latchkey/firmware/secret"
	"latchkey/tools/cardsim"
)

// kinds are IsoApplet and a card whose PUK is counted aloud and replaced.
func kinds(b *testing.B, run func(*testing.B, profiles.Profile, secret.Value)) {
	b.Run("IsoApplet", func(b *testing.B) { run(b, isoApplet, value("1234567812345678")) })
	b.Run("rotating", func(b *testing.B) { run(b, wardCard(b), value("12345678")) })
}

// BenchmarkState is from insertion until serial and retry counters are known.
func BenchmarkState(b *testing.B) {
	kinds(b, func(b *testing.B, p profiles.Profile, puk secret.Value) {
		sim := virtual(b, cardsim.Spec{Profile: p, PUK: puk})
		counter := &cardtest.Counter{Transport: sim}
		for b.Loop() {
			sim.Reset()
			c := iso.New(counter, p)
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

// BenchmarkWrite is from the grant until the passcode is set and confirmed, and the PUK replaced where it can be.
func BenchmarkWrite(b *testing.B) {
	kinds(b, func(b *testing.B, p profiles.Profile, puk secret.Value) {
		counter := &cardtest.Counter{Transport: virtual(b, cardsim.Spec{Profile: p, PUK: puk})}
		c := iso.New(counter, p)
		if _, err := c.Identify(); err != nil {
			b.Fatal(err)
		}
		counter.N = 0
		passcode, next := value("864213"), value("90817263")
		for b.Loop() {
			if err := c.Reset(puk, passcode); err != nil {
				b.Fatal(err)
			}
			if err := c.Confirm(passcode); err != nil {
				b.Fatal(err)
			}
			if !p.PUK.Rotates {
				continue
			}
			if err := c.Rotate(puk, next); err != nil {
				b.Fatal(err)
			}
			puk, next = next, puk
		}
		b.ReportMetric(float64(counter.N)/float64(b.N), "apdus/op")
	})
}
