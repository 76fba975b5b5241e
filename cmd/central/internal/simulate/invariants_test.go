package simulate

import (
	"context"
	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/store"
	"slices"
	"time"

	"latchkey/firmware/audit"
	"latchkey/firmware/secret"
	"latchkey/firmware/unlock"
	wires "latchkey/firmware/wire"
)

// The invariants that no fault may break, each with where it is looked after.
const (
	cardIsNotBricked = "a card is not bricked"                      // tried, and every episode's end
	pukIsNotLost     = "a PUK is never lost"                        // look
	nothingTwice     = "nothing is accepted twice"                  // once
	passcodeIsTold   = "a passcode is on the card or not, and told" // told
	harness          = "the simulation itself"
	evidenceIsWhole  = "an audit entry is never lost, doubled, altered" // evidence
)

// tried sees what a command has cost the card's PUK.
func (w *world) tried(c *plastic, stage string, before, after int) {
	if after >= before {
		return
	}
	if before < 2 && !c.strangers {
		w.breaks(cardIsNotBricked, "%s: a kiosk tried a PUK with %d left, at %s", c.name, before, stage)
	}
}

// look looks at a card's PUK: one of central's two candidates is it. Where the card has said that it replaced it, and has not, it is
// the one that was superseded, which central has still.
func (w *world) look(c *plastic) {
	form := c.profile().PUK
	if !form.Rotates {
		if !c.sim.HasPUK(secret.New([]byte(c.puk))) {
			w.breaks(pukIsNotLost, "%s has another than was imported", c.name)
		}
		return
	}
	on, _, err := w.record(c.serial)
	if err != nil {
		w.breaks(harness, "%v", err)
		return
	}
	from := on.Settled
	if c.kept {
		from = max(0, from-1)
	}
	for n := from; n <= on.Settled+1; n++ {
		puk := secret.New([]byte(c.puk))
		if n == 0 {
			if err := w.central.store.View(context.Background(), func(tx *store.Tx) error { _, err := tx.Secret(c.serial, 0); return err }); err != nil {
				w.breaks(pukIsNotLost, "%s: the PUK that was imported: %v", c.name, err)
			}
		} else {
			if puk, err = w.vault.Derive(c.serial, n, form); err != nil {
				w.breaks(harness, "%v", err)
			}
		}
		if c.sim.HasPUK(puk) {
			return
		}
	}
	w.breaks(pukIsNotLost, "%s has neither generation %d nor the next", c.name, on.Settled)
}

// once notes what was accepted, and by which request.
func (w *world) once(seen map[string]string, what, key, name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if before, is := seen[what]; is && before != key {
		w.breaks(nothingTwice, "%s was accepted twice", name)
	}
	seen[what] = key
}

// told holds what the holder is told against the card.
func (w *world) told(k *kiosk, c *plastic, v unlock.View, chosen string) {
	has := c.sim.HasPasscode(secret.New([]byte(chosen)))
	switch {
	case v.Screen == unlock.ScreenUnlocked:
		w.unlocked++
		if !has && c.chosen == chosen { // nobody has changed it since
			w.breaks(passcodeIsTold, "%s says that %s is unlocked, and it is not", k.name, c.name)
		}
	case v.Reason == unlock.ReasonUnknownOutcome, v.Reason == unlock.Reason(wires.CodeCardReferred), v.Screen == unlock.ScreenOutOfService:
	case has:
		w.breaks(passcodeIsTold, "%s says %s %s, and %s has the new passcode", k.name, v.Screen, v.Reason, c.name)
	}
}

// evidence holds what central has of a kiosk's journal against what the kiosk was told to be durable.
func (w *world) evidence(k *kiosk) {
	run, err := w.held(k.name)
	if err != nil {
		w.breaks(harness, "%v", err)
		return
	}
	entries, err := audit.Verify(&k.key.PublicKey, k.name, audit.Point{}, run, k.p.journal.Head())
	if err != nil {
		w.breaks(evidenceIsWhole, "%s: %v", k.name, err)
		return
	}
	var have []string
	for _, e := range entries {
		have = append(have, ackOf(e))
	}
	// What was told to be durable stands there, once and in order; between, only what no answer told.
	at := 0
	for _, want := range k.acked {
		i := slices.Index(have[at:], want)
		if i < 0 {
			w.breaks(evidenceIsWhole, "%s: %q is lost", k.name, want)
			return
		}
		at += i + 1
	}
	if extra := len(have) - len(k.acked); extra > k.doubts {
		w.breaks(evidenceIsWhole, "%s: %d entries that nobody wrote", k.name, extra)
	}
}

// seenFork: where a disk was rolled back behind what central holds or the kiosk has shown it, or copied, central refuses what does not
// lead there, and says so in its ledger. Entries that central has neither held nor been shown, nobody can miss.
func (w *world) seenFork(k *kiosk) {
	for range 200 {
		for o := w.next(); o != nil; o = w.next() {
			w.perform(o)
		}
		if w.alarmed(k.name) {
			return
		}
		time.Sleep(time.Second)
	}
	w.breaks(evidenceIsWhole, "%s was rolled back or copied, and central has not noticed", k.name)
}

func (w *world) alarmed(kiosk string) (is bool) {
	w.update(func(tx *store.Tx) error {
		events, err := tx.Events("")
		for _, e := range events {
			is = is || e.Kiosk == kiosk && e.Kind == ledger.Refused && e.Note == string(wires.CodeEntriesDoNotExtend)
		}
		return err
	})
	return is
}
