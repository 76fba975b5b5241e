package cardtest

import (
	"testing"

	"latchkey/card"
)

// BenchState measures from insertion until serial and retry counters are known. reset begins a session of the card, in
// which open speaks to it.
func BenchState(b *testing.B, sim card.Transport, reset func(), open func(card.Transport) card.Card) {
	counter := &Counter{Transport: sim}
	for b.Loop() {
		reset()
		known(b, open(counter))
	}
	b.ReportMetric(float64(counter.N)/float64(b.N), "apdus/op")
}

// BenchWrite measures from the grant until the passcode is set and confirmed, and the PUK replaced where it can be. All
// is written in one session or, if reset is given, each time in a session of its own, in which the state was read before;
// what that takes is not counted. Of the fixture it needs what Write does.
func BenchWrite(b *testing.B, sim card.Transport, reset func(), open func(card.Transport) card.Card, f Fixture) {
	counter := &Counter{Transport: sim}
	c := open(counter)
	identify(b, c)
	written := 0
	for b.Loop() {
		if reset != nil {
			reset()
			c = open(counter)
			known(b, c)
		}
		before := counter.N
		f.Write(b, c)
		written += counter.N - before
		if f.NewPUK.Len() > 0 {
			f.PUK, f.NewPUK = f.NewPUK, f.PUK
		}
	}
	b.ReportMetric(float64(written)/float64(b.N), "apdus/op")
}

func known(b *testing.B, c card.Card) {
	identify(b, c)
	if _, err := c.State(); err != nil {
		b.Fatal(err)
	}
}
