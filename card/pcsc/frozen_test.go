//go:build cgo

package pcsc

import (
	"context"
	"errors"
	"testing"

	"latchkey/tools/cardsim"
)

// A pcscd that takes connections and answers nothing is told, by who watched before and by who begins now, and so is what
// the readers hold when it wakes.
func TestWatchNoticesAPCSCDThatHangs(t *testing.T) {
	e := watch(t)
	e.until(Empty) // the card of the test before has gone
	insert(t, 0, cardsim.Spec{})
	e.next(Present)

	must(t, stack.FreezeDaemon())
	late := watch(t)
	t.Cleanup(func() { must(t, stack.ThawDaemon()) }) // before the watchers' own
	ctx, cancel := context.WithCancel(t.Context())
	ended := events{t, Watch(ctx)}
	for who, e := range map[string]events{"before": e, "late": late, "ended": ended} {
		if told := e.next(NoService); !errors.Is(told.Err, ErrSilent) {
			t.Errorf("%s: %v, want ErrSilent", who, told.Err)
		}
	}
	cancel()
	for range ended.c { // it ends though its call hangs
	}

	must(t, stack.ThawDaemon())
	e.next(Present)
	late.next(Present)
	pull(t, 0)
	e.next(Empty)
	late.next(Empty)
}
