package main

import (
	"context"
	"log/slog"
	"sync/atomic"

	"latchkey/card"
	"latchkey/card/pcsc"
	"latchkey/firmware/kiosk"
	"latchkey/firmware/unlock"
)

// readers is what package pcsc sees, in the machine's words.
type readers struct {
	inputs chan unlock.Input
	holds  atomic.Pointer[string] // the reader with the one card in it
}

func watchReaders(ctx context.Context, log *slog.Logger) *readers {
	r := &readers{inputs: make(chan unlock.Input)}
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

func (r *readers) open(ctx context.Context) (kiosk.Session, error) {
	name := r.holds.Load()
	if name == nil {
		return nil, card.ErrRemoved
	}
	return pcsc.Connect(ctx, *name)
}
