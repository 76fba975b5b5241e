//go:build cgo

package pcsc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ebfe/scard"
)

const (
	// pnp is the pseudo reader that changes when readers come or go (pcsc-lite, SCardGetStatusChange).
	pnp = `\\?PnP?\Notification`
	// statusWait bounds how long a notification that was lost stays unseen.
	statusWait = time.Second
	// servicePoll is how often pcscd is looked for while it is away.
	servicePoll = 250 * time.Millisecond
)

// Watch tells at once what the readers hold and then every change, until ctx ends; then it closes the channel. It
// outlives pcscd stopping and starting, and readers that come and go. Between two Present events stands always
// another, even if one card was swapped for another faster than we could look.
//
// Whoever does not receive loses what came and went meanwhile, never what stands.
func Watch(ctx context.Context) <-chan Event { return WatchReader(ctx, "") }

// WatchReader is Watch for the reader of this name alone, as if there were no other; "" is all.
func WatchReader(ctx context.Context, only string) <-chan Event {
	w := watcher{ctx: ctx, only: only, events: make(chan Event)}
	go w.run()
	return w.events
}

type watcher struct {
	ctx    context.Context
	only   string // the one reader that counts; "" for all
	events chan Event
	told   holding
}

// holding is an event and the card's number of insertion, which tells two cards with one ATR apart.
type holding struct {
	Event
	insertion uint16
}

func (w *watcher) run() {
	defer close(w.events)
	for w.ctx.Err() == nil {
		err := w.watch()
		if w.ctx.Err() != nil {
			return
		}
		w.tell(holding{Event: Event{Kind: NoService, Err: fmt.Errorf("pcscd: %w", err)}})
		w.pause(servicePoll)
	}
}

func (w *watcher) pause(d time.Duration) {
	select {
	case <-w.ctx.Done():
	case <-time.After(d):
	}
}

// watch follows one life of pcscd and returns how it ended.
func (w *watcher) watch() error {
	sc, err := scard.EstablishContext()
	if err != nil {
		return err
	}
	defer sc.Release()
	// A cancel that comes just before the wait begins is lost; then statusWait ends it.
	defer context.AfterFunc(w.ctx, func() { sc.Cancel() })()

	states := []scard.ReaderState{{Reader: pnp}}
	for w.ctx.Err() == nil {
		all, err := sc.ListReaders()
		if err != nil && !errors.Is(err, scard.ErrNoReadersAvailable) {
			return err
		}
		names := w.meant(all)
		if len(names) == 0 {
			w.tell(holding{Event: Event{Kind: NoReader}})
		}
		states = follow(states, names, len(all))
		err = sc.GetStatusChange(states, statusWait)
		switch {
		case errors.Is(err, scard.ErrTimeout):
			continue
		case errors.Is(err, scard.ErrUnknownReader), errors.Is(err, scard.ErrReaderUnavailable):
			w.pause(servicePoll / 10) // a reader has just left: list anew
			states = states[:1]
			continue
		case err != nil:
			return err
		}
		for i := range states {
			states[i].CurrentState = states[i].EventState &^ scard.StateChanged
		}
		if len(names) > 0 {
			w.tell(summary(states[1:]))
		}
	}
	return w.ctx.Err()
}

func (w *watcher) meant(readers []string) []string {
	if w.only == "" {
		return readers
	}
	return slices.DeleteFunc(readers, func(name string) bool { return name != w.only })
}

// follow makes the list to wait on: what is known of the readers that stay, and the new ones as unknown. The high word
// of the pseudo reader's state is the number of readers that we know of, meant or not.
func follow(old []scard.ReaderState, names []string, all int) []scard.ReaderState {
	next := []scard.ReaderState{{Reader: pnp, CurrentState: scard.StateFlag(all << 16)}}
	for _, name := range names {
		s := scard.ReaderState{Reader: name, CurrentState: scard.StateUnaware}
		for _, o := range old {
			if o.Reader == name {
				s.CurrentState = o.CurrentState
			}
		}
		next = append(next, s)
	}
	return next
}

// summary takes the readers together.
func summary(states []scard.ReaderState) holding {
	h := holding{Event: Event{Kind: NoReader}}
	for _, s := range states {
		if s.EventState&(scard.StateUnknown|scard.StateUnavailable) != 0 {
			continue // on its way out
		}
		if h.Kind == NoReader {
			h.Kind = Empty
		}
		if s.EventState&scard.StatePresent == 0 {
			continue
		}
		if h.Kind != Empty {
			return holding{Event: Event{Kind: Several}}
		}
		h.Reader, h.insertion = s.Reader, uint16(s.EventState>>16)
		if s.EventState&scard.StateMute != 0 || len(s.Atr) == 0 {
			h.Kind = Mute
		} else {
			h.Kind, h.ATR = Present, bytes.Clone(s.Atr)
		}
	}
	return h
}

// tell sends what is news.
func (w *watcher) tell(h holding) {
	last := w.told
	if h.Kind == last.Kind && h.Reader == last.Reader && h.insertion == last.insertion {
		return
	}
	if h.Kind == Present && last.Kind == Present {
		w.send(holding{Event: Event{Kind: Empty}})
	}
	w.send(h)
}

func (w *watcher) send(h holding) {
	select {
	case w.events <- h.Event:
		w.told = h
	case <-w.ctx.Done():
	}
}
