//go:build cgo

package pcsc

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/ebfe/scard"
)

// patience is how long pcscd may take to list its readers.
const patience = 5 * time.Second

// Slots asks pcscd once what its readers are and hold, in its order. It does not touch the cards. Errors: ErrNoService,
// ErrRefused, ErrSilent. A call into libpcsclite cannot be interrupted: one that hangs is left behind.
func Slots() ([]Slot, error) {
	type result struct {
		slots []Slot
		err   error
	}
	done := make(chan result, 1)
	go func() {
		slots, err := slots()
		done <- result{slots, err}
	}()
	give := time.NewTimer(patience)
	defer give.Stop()
	select {
	case r := <-done:
		return r.slots, r.err
	case <-give.C:
		return nil, ErrSilent
	}
}

func slots() ([]Slot, error) {
	sc, err := scard.EstablishContext()
	if err != nil {
		return nil, serviceError(err)
	}
	defer sc.Release()
	names, err := sc.ListReaders()
	if err != nil && !errors.Is(err, scard.ErrNoReadersAvailable) {
		return nil, serviceError(err)
	}
	if len(names) == 0 {
		return nil, nil
	}
	states := make([]scard.ReaderState, len(names))
	for i, name := range names {
		states[i] = scard.ReaderState{Reader: name, CurrentState: scard.StateUnaware} // answered at once
	}
	if err := sc.GetStatusChange(states, patience); err != nil {
		return nil, serviceError(err)
	}
	var found []Slot
	for _, s := range states {
		if s.EventState&(scard.StateUnknown|scard.StateUnavailable) != 0 {
			continue // on its way out
		}
		in := s.EventState&scard.StatePresent != 0
		found = append(found, Slot{
			Reader: s.Reader, In: in, Mute: in && (s.EventState&scard.StateMute != 0 || len(s.Atr) == 0), ATR: bytes.Clone(s.Atr),
		})
	}
	return found, nil
}

func serviceError(err error) error {
	switch {
	case refused(err):
		return fmt.Errorf("%w (%w)", ErrRefused, err)
	case errors.Is(err, scard.ErrTimeout):
		return fmt.Errorf("%w (%w)", ErrSilent, err)
	}
	return fmt.Errorf("%w (%w)", ErrNoService, err)
}

func refused(err error) bool {
	return errors.Is(err, scard.ErrSecurityViolation) || errors.Is(err, scard.ErrNoAccess)
}
