package piv_test

import (
	"testing"

	"latchkey/card/cardtest"
	"latchkey/card/piv"
	"latchkey/tools/cardsim"
)

func counted(b *testing.B) (*cardsim.Card, *cardtest.Counter) {
	sim, err := cardsim.Create("", cardsim.Spec{})
	if err != nil {
		b.Fatal(err)
	}
	return sim, &cardtest.Counter{Transport: sim}
}

// BenchmarkState is from insertion until serial and retry counter are known.
func BenchmarkState(b *testing.B) {
	sim, counter := counted(b)
	for b.Loop() {
		sim.Reset()
		c := piv.New(counter, strict)
		if _, err := c.Identify(); err != nil {
			b.Fatal(err)
		}
		if _, err := c.State(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(counter.N)/float64(b.N), "apdus/op")
}

// BenchmarkWrite is from the grant until the passcode is set and confirmed and the PUK replaced.
func BenchmarkWrite(b *testing.B) {
	_, counter := counted(b)
	c := piv.New(counter, strict)
	if _, err := c.Identify(); err != nil {
		b.Fatal(err)
	}
	counter.N = 0
	passcode, puk, next := value("864213"), value(cardsim.DefaultPUK), value("90817263")
	for b.Loop() {
		for _, step := range []func() error{
			func() error { return c.Reset(puk, passcode) },
			func() error { return c.Confirm(passcode) },
			func() error { return c.Rotate(puk, next) },
		} {
			if err := step(); err != nil {
				b.Fatal(err)
			}
		}
		puk, next = next, puk
	}
	b.ReportMetric(float64(counter.N)/float64(b.N), "apdus/op")
}
