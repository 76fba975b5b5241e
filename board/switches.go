package board

import (
	"context"
	"time"

	"periph.io/x/conn/v3/gpio"
)

// contact is a switch on a line.
type contact struct {
	pin gpio.PinIO
	on  gpio.Level // when the event is so
}

const (
	// edgeWait is how long an edge is waited for before the level is looked at without one: one may be lost.
	edgeWait = 250 * time.Millisecond
	// bounce is how long a contact can chatter.
	bounce = 20 * time.Millisecond
)

// watchSwitches tells when the first of several contacts is on, and when the last is off.
func (b *Board) watchSwitches(ctx context.Context, kind Kind, contacts []*contact) {
	changed := make(chan bool) // one contact more, or one less, is on
	for _, c := range contacts {
		b.beside.Go(func() {
			on := false
			for ctx.Err() == nil {
				if now := c.pin.Read() == c.on; now != on {
					on = now
					select {
					case changed <- on:
					case <-ctx.Done():
						return
					}
				}
				if c.pin.WaitForEdge(edgeWait) {
					select {
					case <-time.After(bounce):
					case <-ctx.Done():
					}
				}
			}
		})
	}
	b.beside.Go(func() {
		on := 0
		for {
			select {
			case <-ctx.Done():
				return
			case more := <-changed:
				if more {
					on++
				} else {
					on--
				}
				if more && on == 1 || !more && on == 0 {
					b.tell(ctx, Event{kind, more})
				}
			}
		}
	})
}
