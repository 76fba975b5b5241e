//go:build cgo

package pcsc

import (
	"slices"
	"testing"
	"testing/synctest"

	"github.com/ebfe/scard"
)

// What cannot be had from virtual readers: readers on their way out, and cards swapped faster than pcscd tells.
func TestReadersAreTakenTogether(t *testing.T) {
	t.Parallel()
	const in, mute, empty, gone = scard.StatePresent, scard.StatePresent | scard.StateMute, scard.StateEmpty, scard.StateUnknown
	for _, test := range []struct {
		states []scard.StateFlag
		want   Kind
	}{
		{nil, NoReader},
		{[]scard.StateFlag{gone}, NoReader},
		{[]scard.StateFlag{scard.StateUnavailable}, NoReader},
		{[]scard.StateFlag{empty, gone}, Empty},
		{[]scard.StateFlag{gone, in}, Present},
		{[]scard.StateFlag{empty, in | scard.StateInuse | scard.StateExclusive}, Present},
		{[]scard.StateFlag{mute, empty}, Mute},
		{[]scard.StateFlag{in, mute}, Several},
		{[]scard.StateFlag{in, in, in}, Several},
	} {
		var states []scard.ReaderState
		for _, s := range test.states {
			states = append(states, scard.ReaderState{Reader: "r", EventState: s, Atr: []byte{0x3B, 0x00}})
		}
		if got := summary(states); got.Kind != test.want {
			t.Errorf("%x: %v, want %v", test.states, got.Kind, test.want)
		}
	}
	if got := summary([]scard.ReaderState{{EventState: in}}); got.Kind != Mute {
		t.Errorf("card without ATR: %v, want mute", got.Kind)
	}
}

func TestBetweenTwoCardsStandsAnEmptyReader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := watcher{ctx: t.Context(), events: make(chan Event)}
		first := holding{Event{Kind: Present, Reader: "a"}, 1}
		second := holding{Event{Kind: Present, Reader: "a"}, 3}
		elsewhere := holding{Event{Kind: Present, Reader: "b"}, 1}
		go func() {
			for _, h := range []holding{first, first, second, elsewhere} {
				w.tell(h)
			}
			close(w.events)
		}()
		var got []Kind
		for e := range w.events {
			got = append(got, e.Kind)
		}
		if want := []Kind{Present, Empty, Present, Empty, Present}; !slices.Equal(got, want) {
			t.Errorf("told %v, want %v", got, want)
		}
	})
}

// A reader that stays keeps what is known of it, a new one is asked for, one that left is dropped.
func TestReadersAreFollowed(t *testing.T) {
	t.Parallel()
	states := follow([]scard.ReaderState{{Reader: pnp}, {Reader: "a", CurrentState: scard.StateEmpty}, {Reader: "b"}}, []string{"c", "a"}, 4)
	if len(states) != 3 || states[0].Reader != pnp || states[0].CurrentState != 4<<16 ||
		states[1].Reader != "c" || states[1].CurrentState != scard.StateUnaware ||
		states[2].Reader != "a" || states[2].CurrentState != scard.StateEmpty {
		t.Errorf("got %+v", states)
	}
}

// A reader that was not asked for counts for nothing, not as a second card either.
func TestOneReaderAlone(t *testing.T) {
	t.Parallel()
	readers := func() []string { return []string{"desk 00", "own 00"} }
	if got := (&watcher{only: "desk 00"}).meant(readers()); !slices.Equal(got, []string{"desk 00"}) {
		t.Errorf("watches %v", got)
	}
	if got := (&watcher{only: "gone"}).meant(readers()); len(got) != 0 {
		t.Errorf("watches %v", got)
	}
	if got := (&watcher{}).meant(readers()); len(got) != 2 {
		t.Errorf("watches %v", got)
	}
}
