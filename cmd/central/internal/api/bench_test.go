package api

import (
	"testing"
	"time"

	"latchkey/cmd/central/internal/cases"
)

// BenchmarkFlow is one unlock as central sees it: begin, proof, code, check, release, outcome, with TLS, SQLite on disk
// (synchronous=FULL) and a mail host on this machine.
func BenchmarkFlow(b *testing.B) {
	w := newWorld(b, func(p *cases.Policy) {
		p.CardSends, p.HolderSends, p.AddressSends, p.KioskSends, p.KioskCards = 1<<30, 1<<30, 1<<30, 1<<30, 0
	})
	k := w.kiosk("k1")
	for b.Loop() {
		k.unlock(w.card)
		w.pass(time.Second) // nobody unlocks a card twice in a millisecond
	}
}
