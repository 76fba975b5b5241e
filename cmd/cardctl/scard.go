//go:build cgo

package main

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/ebfe/scard"
)

// slots asks pcscd once what its readers are and hold. It does not touch the cards.
func slots() ([]slot, error) {
	sc, err := scard.EstablishContext()
	if err != nil {
		return nil, daemonError(err)
	}
	defer sc.Release()
	names, err := sc.ListReaders()
	if err != nil && !errors.Is(err, scard.ErrNoReadersAvailable) {
		return nil, daemonError(err)
	}
	if len(names) == 0 {
		return nil, nil
	}
	states := make([]scard.ReaderState, len(names))
	for i, name := range names {
		states[i] = scard.ReaderState{Reader: name, CurrentState: scard.StateUnaware} // answered at once
	}
	if err := sc.GetStatusChange(states, patience); err != nil {
		return nil, daemonError(err)
	}
	var found []slot
	for _, s := range states {
		if s.EventState&(scard.StateUnknown|scard.StateUnavailable) != 0 {
			continue // on its way out
		}
		in := s.EventState&scard.StatePresent != 0
		found = append(found, slot{
			name: s.Reader, in: in, mute: in && (s.EventState&scard.StateMute != 0 || len(s.Atr) == 0), atr: bytes.Clone(s.Atr),
		})
	}
	return found, nil
}

func daemonError(err error) error {
	switch {
	case refused(err):
		return fmt.Errorf("%w (%w)", errRefused, err)
	case errors.Is(err, scard.ErrTimeout):
		return fmt.Errorf("%w (%w)", errSilent, err)
	}
	return fmt.Errorf("%w (%w)", errNoDaemon, err)
}

// refused tells that polkit or the socket's mode keeps this user from pcscd or from the card.
func refused(err error) bool {
	return errors.Is(err, scard.ErrSecurityViolation) || errors.Is(err, scard.ErrNoAccess)
}
