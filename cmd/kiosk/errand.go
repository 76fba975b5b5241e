package main

import (
	"errors"
	"sync"
	"time"
)

// errand is something that can take as long as it likes, such as writing to a stick. It is done beside the face: the loop waits for the
// face, and the watchdog for the loop.
type errand struct {
	mu      sync.Mutex
	running bool
	said    string // what came of the last; "" if there was none
	failed  bool
}

// errandPatience is how long the face waits for an errand; the watchdog waits longer.
const errandPatience = 2 * time.Second

var errSlow = errors.New("it is still being written, and Facts will tell what came of it; pull out a stick that hangs")

// run does it and says what came of it, or errSlow if that takes longer, or if the last is not done yet.
func (r *errand) run(do func() (string, error)) (string, error) {
	r.mu.Lock()
	if r.running {
		r.mu.Unlock()
		return "", errSlow
	}
	r.running = true
	r.mu.Unlock()
	type answer struct {
		said string
		err  error
	}
	done := make(chan answer, 1)
	go func() {
		said, err := do()
		r.mu.Lock()
		r.running, r.said, r.failed = false, said, err != nil
		if err != nil {
			r.said = err.Error()
		}
		r.mu.Unlock()
		done <- answer{said, err}
	}()
	select {
	case a := <-done:
		return a.said, a.err
	case <-time.After(errandPatience):
		return "", errSlow
	}
}

// came is what came of the last errand, and whether that is bad.
func (r *errand) came() (said string, bad bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.running {
		return errSlow.Error(), true
	}
	return r.said, r.failed
}
