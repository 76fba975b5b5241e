package simulate

import (
	"errors"
	"slices"

	"latchkey/card"
)

// fault is one that happens in a visit.
type fault struct {
	kind string
	step string
	skip int // times that the step's op passes before
	card *plastic
}

// cell of the matrix.
type cell struct{ step, fault, kind string }

// steps of a visit at which something can happen.
var (
	cardSteps    = []string{"read", "prove", "reprove", "reset", "confirm", "rotate"}
	netSteps     = []string{"begin", "proof", "code", "check", "release", "outcome", "entries"}
	journalSteps = []string{"noting", "intent", "closing"}
	allSteps     = slices.Concat(cardSteps, netSteps, journalSteps)
)

// faults by name: at which steps, and what is done instead of letting the op pass.
var faults map[string]struct {
	at []string
	do func(*world, *op, *fault) error
}

func init() {
	faults = map[string]struct {
		at []string
		do func(*world, *op, *fault) error
	}{
		"pulled before": {cardSteps, func(w *world, o *op, f *fault) error {
			f.spoils()
			err := o.p.k.insert(nil)
			o.fail(card.ErrRemoved)
			return err
		}},
		"pulled after": {cardSteps, func(w *world, o *op, f *fault) error {
			f.spoils()
			o.carryOut(w)
			err := o.p.k.insert(nil)
			o.fail(card.ErrRemoved)
			return err
		}},
		"killed before": {allSteps, func(w *world, o *op, f *fault) error {
			f.spoils()
			if !slices.Contains(journalSteps, o.step) {
				return o.p.k.kill()
			}
			w.dying = append(w.dying, o.p.k)
			return errors.Join(o.p.k.die(), errKilled)
		}},
		"killed after": {slices.Concat(cardSteps, netSteps), func(w *world, o *op, f *fault) error {
			f.spoils()
			o.carryOut(w)
			return o.p.k.kill()
		}},
		"request lost": {netSteps, func(w *world, o *op, f *fault) error {
			o.fail(errNet)
			return nil
		}},
		"answer lost": {netSteps, func(w *world, o *op, f *fault) error {
			o.carryOut(w)
			o.fail(errNet)
			return nil
		}},
	}
}

// spoils: whether the card was written is not known; two of that, and only the RA can go on.
func (f *fault) spoils() {
	if slices.Contains([]string{"release", "intent", "reset", "confirm", "rotate", "closing", "outcome"}, f.step) {
		f.card.spoilt++
	}
}
