package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"latchkey/firmware/journal"
	"latchkey/firmware/kiosk"
	"latchkey/firmware/wire"
)

// evidence is central, and knows what central has not been told yet.
type evidence struct {
	kiosk.Central
	journal *journal.Journal

	mu       sync.Mutex
	answered map[string]bool // cases whose outcome central has answered for good
	ending   int             // cases that are being ended
}

// Outcome notes what central has taken, or will never take.
func (e *evidence) Outcome(ctx context.Context, key, caseID string, body wire.Outcome) (*wire.Settled, error) {
	settled, err := e.Central.Outcome(ctx, key, caseID, body)
	var p *wire.Problem
	if err == nil || errors.As(err, &p) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.answered[caseID] = true
	}
	return settled, err
}

// End counts itself while it is under way.
func (e *evidence) End(ctx context.Context, key, caseID string, body wire.EndRequest) error {
	count := func(n int) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.ending += n
	}
	count(1)
	defer count(-1)
	return e.Central.End(ctx, key, caseID, body)
}

// told tells whether central knows all that the journal does.
func (e *evidence) told() bool {
	batch, _, err := e.journal.Pending(1)
	if err != nil || len(batch) > 0 {
		return false
	}
	unsettled := e.journal.Unsettled()
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, o := range unsettled {
		if !e.answered[o.Case] {
			return false
		}
	}
	return e.ending == 0
}

// lookEvery is how often told is asked.
const lookEvery = 50 * time.Millisecond

// await waits a while until central has been told; a signal ends it.
func (e *evidence) await(out io.Writer, signals <-chan os.Signal, ended chan error) {
	give := time.NewTimer(deliverFor)
	defer give.Stop()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for !e.told() {
		select {
		case <-look.C:
			continue
		case err := <-ended:
			ended <- err
		case <-give.C:
		case <-signals:
		}
		fmt.Fprintln(out, "Central does not have the record of this visit yet. It is kept here and goes with the next run.")
		return
	}
}
