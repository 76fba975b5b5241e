package device

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"

	"latchkey/card"
	"latchkey/card/families"
	"latchkey/card/pcsc"
	"latchkey/card/pkcs11"
	"latchkey/card/profiles"
	"latchkey/firmware/kiosk"
	"latchkey/firmware/unlock"
)

// Readers is what package pcsc sees, in the machine's words.
type Readers struct {
	Inputs chan unlock.Input
	known  profiles.Set
	holds  atomic.Pointer[string] // the reader with the one card in it
	seen   atomic.Pointer[pcsc.Event]
}

// Holds is what the readers hold, in a word, and the name of the reader that tells it, or of one of several; both are empty before
// that is known.
func (r *Readers) Holds() (what, reader string) {
	e := r.seen.Load()
	if e == nil {
		return "", ""
	}
	return e.Kind.String(), e.Reader
}

// Watch watches the readers until ctx ends; then it closes Inputs. only is the name of the one reader that counts; empty
// for all.
func Watch(ctx context.Context, log *slog.Logger, known profiles.Set, only string) *Readers {
	r := &Readers{Inputs: make(chan unlock.Input), known: known}
	go func() {
		defer close(r.Inputs)
		for event := range pcsc.WatchReader(ctx, only) {
			log.Info("reader", "holds", event.Kind.String(), "err", event.Err)
			r.holds.Store(nil)
			r.seen.Store(&pcsc.Event{Kind: event.Kind, Reader: event.Reader})
			var in unlock.Input
			switch event.Kind {
			case pcsc.NoService:
				in = unlock.ReaderGone{Reason: unlock.ReasonNoDaemon}
			case pcsc.NoReader:
				in = unlock.ReaderGone{Reason: unlock.ReasonNoReader}
			case pcsc.Empty:
				in = unlock.CardOut{}
			case pcsc.Present:
				r.holds.Store(&event.Reader)
				in = unlock.CardIn{}
			case pcsc.Mute:
				in = unlock.CardMute{}
			case pcsc.Several:
				in = unlock.TwoCards{}
			}
			select {
			case r.Inputs <- in:
			case <-ctx.Done():
				return
			}
		}
	}()
	return r
}

// Open opens a session with the one card that is in.
func (r *Readers) Open(ctx context.Context) (*kiosk.Session, error) {
	name := r.holds.Load()
	if name == nil {
		return nil, card.ErrRemoved
	}
	found, session, err := OpenCard(ctx, *name, r.known, func(t card.Transport) card.Transport { return t })
	if err != nil {
		return nil, err
	}
	return &kiosk.Session{Card: found.Card, Identity: found.Identity, Rules: found.Rules, Present: found.Present, As: found.As, Doubtful: found.Doubtful,
		Closer: session}, nil
}

// OpenCard opens an exclusive session with the card in a reader, over what wrap makes of it, and recognises the card. A
// card for its maker's PKCS#11 module is opened through that. Errors are those of pcsc.Connect and families.Recognise.
// Closing the session resets the card.
func OpenCard(ctx context.Context, reader string, known profiles.Set, wrap func(card.Transport) card.Transport) (families.Found, io.Closer, error) {
	session, err := pcsc.Connect(ctx, reader)
	if err != nil {
		return families.Found{}, nil, err
	}
	found, err := families.Recognise(wrap(session), session.ATR(), known)
	if err == nil {
		return found, session, nil
	}
	session.Close() // what ended it is the first error
	var module *families.ModuleError
	if errors.As(err, &module) {
		return openModule(module.Profile, reader)
	}
	return families.Found{}, nil, err
}

// openModule reaches a card through its maker's module, which wants the card to itself.
func openModule(p profiles.Profile, reader string) (families.Found, io.Closer, error) {
	c, err := pkcs11.Open(p, reader)
	if err != nil {
		return families.Found{}, nil, fmt.Errorf("%s: %w", p.Title, err)
	}
	session := module{c, reader}
	id, err := c.Identify()
	if err != nil {
		session.Close() // what ended it is the first error
		return families.Found{}, nil, fmt.Errorf("%s: %w", p.Title, err)
	}
	return families.Through(c, id, p), session, nil
}

// module is a session that does not reset the card by itself.
type module struct {
	c      *pkcs11.Card
	reader string
}

// Close ends the session and resets the card, so that nothing that was verified stays so.
func (m module) Close() error {
	if err := m.c.Close(); err != nil {
		return err
	}
	s, err := pcsc.Connect(context.Background(), m.reader)
	if err != nil {
		return nil // the card is gone, or another program has it and resets it
	}
	return s.Close()
}
