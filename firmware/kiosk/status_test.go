package kiosk

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/firmware/unlock"
	"latchkey/firmware/wire"
)

// absent is a central that answers with err until a moment, and well from then on.
type absent struct {
	central
	err   error
	until time.Time
	asked int
}

func (c *absent) Status(context.Context) error {
	c.asked++
	if time.Now().Before(c.until) {
		return c.err
	}
	return nil
}

// A kiosk's network may come up a little later than the kiosk: its first screen does not say for long that nobody is reached, and
// a central that stays away is not pestered.
func TestCentralIsSoonSeen(t *testing.T) {
	t.Parallel()
	unconfirmed := wire.NewProblem(wire.CodeKioskUnconfirmed)
	for name, c := range map[string]struct {
		err          error
		away, within time.Duration
		asked        int
	}{
		"the network comes up late":     {errors.New("no route"), 2500 * time.Millisecond, time.Second, 3},
		"central is away for an hour":   {errors.New("nobody answers"), time.Hour, statusEvery, 246},
		"it answers and does not serve": {&unconfirmed, time.Minute, statusEvery, 5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				back := time.Now().Add(c.away)
				central := &absent{err: c.err, until: back}
				k := New(Config{Central: central, Log: slog.New(slog.DiscardHandler)})
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				k.stopping = ctx
				go k.watchCentral(ctx)
				for _, up := range []bool{false, true} {
					if is := (<-k.results).(unlock.CentralSeen); is.Up != up {
						t.Fatalf("central was seen as %+v", is)
					}
				}
				if late := time.Since(back); late > c.within {
					t.Errorf("it was seen %v after it was back", late)
				}
				if central.asked > c.asked {
					t.Errorf("it was asked %d times", central.asked)
				}
			})
		})
	}
}
