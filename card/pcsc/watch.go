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
// outlives pcscd stopping and starting, or hanging and waking, and readers that come and go. Between two Present events stands always
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
		l := begin(w.ctx)
		err := w.watch(l)
		close(l.calls)
		if w.ctx.Err() == nil {
			w.tell(holding{Event: Event{Kind: NoService, Err: fmt.Errorf("pcscd: %w", err)}})
			select {
			case <-l.over:
				w.pause(servicePoll)
			case <-w.ctx.Done():
			}
			continue
		}
		select { // nobody receives any more: whoever waits for the channel's end may count on the rest
		case <-l.over:
		case <-time.After(patience):
		}
	}
}

func (w *watcher) pause(d time.Duration) {
	select {
	case <-w.ctx.Done():
	case <-time.After(d):
	}
}

// life is what is asked of pcscd in one life of it, in a goroutine of its own, since a call into libpcsclite cannot be
// interrupted: one that hangs is left behind, and the context with it, which is released when the call comes back. While
// that is out no other is begun, so a pcscd that hangs holds one thread of ours.
type life struct {
	ctx   context.Context
	calls chan func(*scard.Context)
	begun chan error    // how the context was had
	over  chan struct{} // closed when nothing is left of it
}

func begin(ctx context.Context) *life {
	l := &life{ctx: ctx, calls: make(chan func(*scard.Context)), begun: make(chan error, 1), over: make(chan struct{})}
	go func() {
		defer close(l.over)
		sc, err := scard.EstablishContext()
		l.begun <- err
		if err != nil {
			return
		}
		defer sc.Release()
		// A cancel that comes just before the wait begins is lost; then statusWait ends it.
		defer context.AfterFunc(ctx, func() { sc.Cancel() })()
		for call := range l.calls {
			call(sc)
		}
	}()
	return l
}

// ask makes a call that takes at most so long, and patience. After ErrSilent, and after the end of ctx, it is still out: what
// it was to write belongs to it, and no other may follow.
func (l *life) ask(long time.Duration, call func(*scard.Context) error) error {
	done := make(chan error, 1)
	l.calls <- func(sc *scard.Context) { done <- call(sc) }
	return l.answer(done, long)
}

// answer is what comes within so long, and patience; else ErrSilent, or ctx's error.
func (l *life) answer(done <-chan error, long time.Duration) error {
	give := time.NewTimer(long + patience)
	defer give.Stop()
	select {
	case err := <-done:
		return err
	case <-give.C:
		return ErrSilent
	case <-l.ctx.Done():
		return l.ctx.Err()
	}
}

// watch follows one life of pcscd and returns how it ended.
func (w *watcher) watch(l *life) error {
	if err := l.answer(l.begun, 0); err != nil {
		return err
	}
	states := []scard.ReaderState{{Reader: pnp}}
	for w.ctx.Err() == nil {
		var all []string
		err := l.ask(0, func(sc *scard.Context) (err error) {
			all, err = sc.ListReaders()
			return err
		})
		if err != nil && !errors.Is(err, scard.ErrNoReadersAvailable) {
			return err
		}
		names := w.meant(all)
		if len(names) == 0 {
			w.tell(holding{Event: Event{Kind: NoReader}})
		}
		states = follow(states, names, len(all))
		err = l.ask(statusWait, func(sc *scard.Context) error { return sc.GetStatusChange(states, statusWait) })
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
			h.Kind, h.Reader = Empty, s.Reader
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
