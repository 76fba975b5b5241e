package main

import (
	"context"
	"log/slog"
	"sync/atomic"

	"latchkey/card"
	"latchkey/card/families"
	"latchkey/card/pcsc"
	"latchkey/card/profiles"
	"latchkey/firmware/kiosk"
	"latchkey/firmware/unlock"
)

// readers is what package pcsc sees, in the machine's words.
type readers struct {
	inputs chan unlock.Input
	known  profiles.Set
	holds  atomic.Pointer[string] // the reader with the one card in it
}

func watchReaders(ctx context.Context, log *slog.Logger, known profiles.Set) *readers {
	r := &readers{inputs: make(chan unlock.Input), known: known}
	go func() {
		defer close(r.inputs)
		for event := range pcsc.Watch(ctx) {
			log.Info("reader", "holds", event.Kind.String(), "err", event.Err)
			r.holds.Store(nil)
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
			case r.inputs <- in:
			case <-ctx.Done():
				return
			}
		}
	}()
	return r
}

func (r *readers) open(ctx context.Context) (*kiosk.Session, error) {
	name := r.holds.Load()
	if name == nil {
		return nil, card.ErrRemoved
	}
	session, err := pcsc.Connect(ctx, *name)
	if err != nil {
		return nil, err
	}
	found, err := families.Recognise(session, session.ATR(), r.known)
	if err != nil {
		session.Close() // what ended it is the first error
		return nil, err
	}
	return &kiosk.Session{Card: found.Card, Identity: found.Identity, Rules: found.Rules, Present: found.Present, Closer: session}, nil
}
