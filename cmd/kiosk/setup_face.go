package main

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"latchkey/ui"
)

// setupFace draws what set-up says, with what is known of the machine, and once a second again: time passes, and cables are plugged in.
type setupFace struct {
	face
	facts string
	view  ui.SetupView
}

func (f *setupFace) set(v ui.SetupView) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.view = v
	f.drawNow()
}

// drawNow's caller has the lock.
func (f *setupFace) drawNow() {
	f.face.face.ShowSetup(readFacts(f.facts).on(f.view), time.Now())
}

// draw returns once the screen stands, and says what it shows.
func (f *setupFace) draw() (status string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.drawNow()
	return strings.TrimSpace("set-up: " + f.view.Stage + " " + f.view.Reason)
}

// keep draws once a second until ctx ends, and gives a sign of life each time, as long as the work goes on, too. The first says that
// set-up is ready: a machine whose screen asks for a file is a good one, whether or not a file ever comes.
func (f *setupFace) keep(ctx context.Context, work *step, turn func(status string, now time.Time)) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		status := f.draw()
		if now := time.Now(); !work.late(now) {
			turn(status, now)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// stepPatience is for anything that set-up does, beside what it waits for on purpose: an answer of central's and a key in a TPM take seconds.
const stepPatience = 2 * time.Minute

// step is what set-up does now, which shall be done by a time. Before the first there is none.
type step struct{ by atomic.Pointer[time.Time] }

// within begins a step.
func (s *step) within(d time.Duration) {
	by := time.Now().Add(d)
	s.by.Store(&by)
}

// late tells that the step hangs.
func (s *step) late(now time.Time) bool {
	by := s.by.Load()
	return by != nil && now.After(*by)
}
