//go:build !cgo

package pcsc

import (
	"context"
	"errors"
)

// ErrNotBuilt: this program was built without what it needs to reach a card.
var ErrNotBuilt = errors.New("built without smartcard access: build with CGO_ENABLED=1, a C compiler, pkg-config and libpcsclite-dev")

// Watch tells NoService with ErrNotBuilt, and closes the channel when ctx ends.
func Watch(ctx context.Context) <-chan Event { return WatchReader(ctx, "") }

// WatchReader tells what Watch tells.
func WatchReader(ctx context.Context, _ string) <-chan Event {
	events := make(chan Event, 1)
	events <- Event{Kind: NoService, Err: ErrNotBuilt}
	context.AfterFunc(ctx, func() { close(events) })
	return events
}

// Slots returns ErrNotBuilt.
func Slots() ([]Slot, error) { return nil, ErrNotBuilt }

// Session cannot be had in this build.
type Session struct{}

// Connect returns ErrNotBuilt.
func Connect(context.Context, string) (*Session, error) { return nil, ErrNotBuilt }

// ATR is of no card.
func (*Session) ATR() []byte { return nil }

// Transmit returns ErrNotBuilt.
func (*Session) Transmit([]byte) ([]byte, error) { return nil, ErrNotBuilt }

// Close returns ErrNotBuilt.
func (*Session) Close() error { return ErrNotBuilt }
