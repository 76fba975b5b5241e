//go:build cgo

package pcsc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ebfe/scard"

	"latchkey/card"
)

const (
	// hungAfter is when a card, or the driver before it, is given up. The longest command of a card that works is a
	// signature of an old RSA card, about 2 s.
	hungAfter = 10 * time.Second
	// busyFor is how long Connect waits for another program to let the card go.
	busyFor  = 2 * time.Second
	busyPoll = 50 * time.Millisecond

	minAPDU = 4 // CLA INS P1 P2, ISO/IEC 7816-4 §5.1
)

// Session is a card to oneself: while it is open no other program can reach the card. It is a card.Transport, for one
// goroutine.
//
// libpcsclite serialises each context, and a call that hangs can neither be timed nor interrupted. So every session has
// a context of its own, and every call runs in a goroutine that is left behind when it does not come back; should it
// come back later, it frees what it holds.
type Session struct {
	sc       *scard.Context
	card     *scard.Card
	atr      []byte
	patience time.Duration
	err      error         // what ended the session
	stuck    chan struct{} // of the call that was left behind: closed when it comes back
}

var _ card.Transport = (*Session)(nil)

// Connect opens a session with the card in a reader. While another program holds the card it waits a little. Errors:
// ErrBusy, ErrRefused, card.ErrRemoved (no card there, or no reader, or no pcscd), card.ErrHung (the card is mute), or ctx's.
func Connect(ctx context.Context, reader string) (*Session, error) {
	s, err := connect(ctx, reader, hungAfter)
	if err != nil {
		return nil, fmt.Errorf("connect to the card: %w", err)
	}
	return s, nil
}

func connect(ctx context.Context, reader string, patience time.Duration) (*Session, error) {
	type result struct {
		s   *Session
		err error
	}
	done := make(chan result)
	gone := make(chan struct{})
	go func() {
		s, err := open(reader, patience, gone)
		select {
		case done <- result{s, err}:
		case <-gone:
			if s != nil {
				s.free()
			}
		}
	}()
	give := time.NewTimer(busyFor + patience)
	defer give.Stop()
	select {
	case r := <-done:
		return r.s, r.err
	case <-give.C:
		close(gone)
		return nil, card.ErrHung
	case <-ctx.Done():
		close(gone)
		return nil, ctx.Err()
	}
}

// open waits for the card as long as nobody has closed gone.
func open(reader string, patience time.Duration, gone <-chan struct{}) (*Session, error) {
	sc, err := scard.EstablishContext()
	if err != nil {
		return nil, sessionError(err)
	}
	deadline := time.Now().Add(busyFor)
	for {
		c, err := sc.Connect(reader, scard.ShareExclusive, scard.ProtocolAny)
		if err == nil {
			status, err := c.Status()
			if err != nil {
				c.Disconnect(scard.ResetCard)
				sc.Release()
				return nil, sessionError(err)
			}
			return &Session{sc: sc, card: c, atr: status.Atr, patience: patience}, nil
		}
		busy := errors.Is(err, scard.ErrSharingViolation)
		if busy && time.Now().Before(deadline) {
			select {
			case <-time.After(busyPoll):
				continue
			case <-gone:
			}
		}
		sc.Release()
		switch {
		case busy:
			return nil, ErrBusy
		case refused(err):
			return nil, fmt.Errorf("%w (%w)", ErrRefused, err)
		case errors.Is(err, scard.ErrUnpoweredCard): // it did not answer to reset
			return nil, fmt.Errorf("%w (%w)", card.ErrHung, err)
		}
		return nil, sessionError(err)
	}
}

// ATR is the card's answer to reset.
func (s *Session) ATR() []byte { return s.atr }

// Transmit implements card.Transport. The first error of the card ends the session and is the answer to every later
// call. A command of fewer than four bytes is refused and not sent: it is none, and vpcd would take a single byte for a
// control code of its own.
func (s *Session) Transmit(command []byte) ([]byte, error) {
	if s.err != nil {
		return nil, s.err
	}
	if len(command) < minAPDU {
		return nil, fmt.Errorf("transmit: %d bytes are not a command APDU", len(command))
	}
	response, err := s.transmit(command)
	if err != nil {
		s.err = fmt.Errorf("transmit: %w", err)
		return nil, s.err
	}
	return response, nil
}

func (s *Session) transmit(command []byte) ([]byte, error) {
	command = bytes.Clone(command) // the caller may wipe its own while a hung call still reads
	var response []byte
	var err error
	if !s.call(func() {
		var buf []byte
		buf, err = s.card.Transmit(command)
		clear(command)
		response = bytes.Clone(buf)
		clear(buf)
	}) {
		return nil, card.ErrHung
	}
	if err != nil {
		return nil, sessionError(err)
	}
	if len(response) < 2 { // a card that vanishes within a command can come back as an empty answer and no error
		return nil, card.ErrRemoved
	}
	return response, nil
}

// call runs f, and leaves it behind if it hangs. It tells whether f has come back.
func (s *Session) call(f func()) bool {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	give := time.NewTimer(s.patience)
	defer give.Stop()
	select {
	case <-done:
		return true
	case <-give.C:
		s.stuck = done
		return false
	}
}

// Close resets the card, so that nothing that was verified stays so, and lets it go for other programs. After it the
// session is over. If the card or its driver hangs, it returns card.ErrHung and the card stays taken until it comes
// back or this process ends. Closing twice is harmless.
func (s *Session) Close() error {
	if s.sc == nil {
		return nil
	}
	defer func() { s.sc = nil }()
	if s.err == nil {
		s.err = errors.New("session is closed")
	}
	if stuck := s.stuck; stuck != nil {
		left := *s
		go func() {
			<-stuck
			left.free()
		}()
		return fmt.Errorf("close the session: %w", card.ErrHung)
	}
	held := *s
	if !s.call(held.free) {
		return fmt.Errorf("close the session: %w", card.ErrHung)
	}
	return nil
}

// free gives back what the session holds. A card that has been removed needs no reset, and pcscd resets the card of a
// client that leaves: an error here changes nothing.
func (s *Session) free() {
	s.card.Disconnect(scard.ResetCard)
	s.sc.Release()
}

// sessionError says in card's terms why a session ended or did not begin. What PC/SC itself says is kept for the log.
func sessionError(err error) error {
	kind := card.ErrRemoved // card, reader or pcscd gone, or the contact is bad: take it out and put it in
	switch {
	case errors.Is(err, scard.ErrResetCard), errors.Is(err, scard.ErrUnpoweredCard):
		kind = card.ErrReset
	case errors.Is(err, scard.ErrUnresponsiveCard), errors.Is(err, scard.ErrTimeout):
		kind = card.ErrHung
	}
	return fmt.Errorf("%w (%w)", kind, err)
}
