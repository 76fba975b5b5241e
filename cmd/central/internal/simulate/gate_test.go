package simulate

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing/synctest"
	"time"
)

// op is something that a process is about to do and that the adversary has to let happen: a request, or a command to a card.
type op struct {
	p    *process
	step string
	key  string // tells it from others of its process
	say  chan verdict
	raw  *request // of a request
	done bool     // it has had its effect, and the answer is on its way
}

// verdict is what becomes of an op.
type verdict struct {
	err  error // it does not happen, or its answer is lost, and this is what is seen of that
	hold bool  // it happens, and its answer waits for another verdict
	lie  *lie
}

// lie is what a card answers that does not tell what it did.
type lie struct {
	does   bool // what it was asked for
	answer []byte
}

var (
	errKilled = errors.New("the process is gone")
	errNet    = errors.New("no answer")
)

// gate waits for the adversary.
func (w *world) gate(ctx context.Context, o *op) verdict {
	o.say = make(chan verdict, 1)
	w.mu.Lock()
	if o.p.isDead() {
		w.mu.Unlock()
		return verdict{err: errKilled}
	}
	w.parked = append(w.parked, o)
	w.mu.Unlock()
	select {
	case v := <-o.say:
		return v
	case <-o.p.dead:
	case <-ctx.Done():
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if i := slices.Index(w.parked, o); i >= 0 {
		w.parked = slices.Delete(w.parked, i, i+1)
	}
	return verdict{err: errNet}
}

// next takes one of the ops that wait, once nothing else moves; nil if none waits.
func (w *world) next() *op {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.parked) == 0 {
		return nil
	}
	slices.SortStableFunc(w.parked, func(a, b *op) int {
		return strings.Compare(a.p.name()+"\x00"+a.key, b.p.name()+"\x00"+b.key)
	})
	i := 0
	if len(w.parked) > 1 {
		i = w.rng.IntN(len(w.parked))
	}
	o := w.parked[i]
	w.parked = slices.Delete(w.parked, i, i+1)
	return o
}

// repark gives an op back: others come first.
func (w *world) repark(o *op) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.parked = append(w.parked, o)
}

// pass lets the op happen, and waits for what comes of it.
func (o *op) pass() { o.fail(nil) }

// fail keeps it from happening, or keeps its answer back.
func (o *op) fail(err error) {
	o.say <- verdict{err: err}
	synctest.Wait()
}

// lies has the card answer something else than what comes of the op, and waits for what comes of that.
func (o *op) lies(does bool, sw uint16) {
	o.say <- verdict{lie: &lie{does, binary.BigEndian.AppendUint16(nil, sw)}}
	synctest.Wait()
}

// carryOut lets the op have its effect, and waits until it has; its answer is still to come. False if it did not come to that.
func (o *op) carryOut(w *world) bool {
	o.done = false
	o.say <- verdict{hold: true}
	for range 100 {
		synctest.Wait()
		w.mu.Lock()
		for i, q := range w.parked {
			if q == o && o.done {
				w.parked = slices.Delete(w.parked, i, i+1)
				w.mu.Unlock()
				return true
			}
		}
		w.mu.Unlock()
		time.Sleep(10 * time.Millisecond)
	}
	return false
}

func (w *world) say(format string, args ...any) {
	line := fmt.Sprintf("%9s  ", time.Since(w.began).Truncate(time.Millisecond)) + fmt.Sprintf(format, args...)
	w.transcript = append(w.transcript, line)
}
