package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/board"
	"latchkey/board/boardtest"
	"latchkey/firmware/unlock"
)

func testBox(t *testing.T, dir string) (*boardtest.Fake, *box) {
	t.Helper()
	f, err := boardtest.New(dir, "pi4")
	if err != nil {
		t.Fatal(err)
	}
	c := f.Config()
	b, err := board.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	return f, &box{board: b, data: dir, log: c.Log}
}

func do(t *testing.T, f *boardtest.Fake, actions ...boardtest.Action) {
	t.Helper()
	for _, a := range actions {
		if err := f.Do(a); err != nil {
			t.Fatal(err)
		}
	}
}

// An opened case outlives a restart, and is cleared by an engineer alone, when it is shut.
func TestAnOpenedCaseStaysSoUntilItIsCleared(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f, b := testBox(t, dir)
		ctx, stop := context.WithCancel(t.Context())
		inputs := b.inputs(ctx)
		expect := func(want unlock.Input) {
			t.Helper()
			select {
			case got := <-inputs:
				if got != want {
					t.Errorf("the machine is told %T, not %T", got, want)
				}
			case <-time.After(time.Minute):
				t.Errorf("the machine is not told %T", want)
			}
		}
		nothing := func(what string) {
			t.Helper()
			select {
			case got := <-inputs:
				t.Errorf("%s: the machine is told %T", what, got)
			case <-time.After(time.Minute):
			}
		}
		clear := func() {
			t.Helper()
			cmd := clearTamperCommand()
			cmd.SetArgs([]string{"--data", dir})
			cmd.SetOut(t.Output())
			if err := cmd.Execute(); err != nil {
				t.Error(err)
			}
		}
		if b.wasOpened() {
			t.Error("opened, before anybody did")
		}
		do(t, f, boardtest.PressButton)
		expect(unlock.Touched{})
		do(t, f, boardtest.OpenCase)
		expect(unlock.CaseOpened{})
		if !b.wasOpened() {
			t.Error("a restart would forget that it was opened")
		}
		clear()
		nothing("cleared while it is open")
		do(t, f, boardtest.ShutCase)
		nothing("shut")
		if !b.wasOpened() {
			t.Error("shutting it is enough")
		}
		clear()
		expect(unlock.CaseCleared{})
		if !b.wasOpened() {
			t.Error("it is forgotten before the journal has it")
		}
		expect(unlock.Tick{})
		synctest.Wait()
		if b.wasOpened() || b.there(clearedFile) {
			t.Error("it was cleared, and is not")
		}
		stop()
		b.close(true)
	})
}

// The word of an engineer that cannot be taken away would clear the next opening, too: then the case stays opened.
func TestAClearedCaseStaysOpenedAsLongAsTheWordIsThere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		_, b := testBox(t, dir)
		defer b.close(true)
		if err := mark(dir, openedFile); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(dir, clearedFile, "stuck"), 0o700); err != nil { // os.Remove takes no folder that holds something
			t.Fatal(err)
		}
		b.clear(func(unlock.Input) {})
		if !b.wasOpened() {
			t.Error("the case is no longer opened, and the word is still there")
		}
	})
}

func TestWhatIsSeenAcrossTheRoom(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 14, 0, 0, 0, time.UTC)
	for want, views := range map[board.State][]unlock.View{
		board.Ready: {{Screen: unlock.ScreenAttract, CentralUp: true}},
		board.Busy: {
			{Screen: unlock.ScreenOutOfService}, {Screen: unlock.ScreenWriting, CardIn: true}, {Screen: unlock.ScreenStopped},
			{Screen: unlock.ScreenCode, CardIn: true, WarnAt: now.Add(1), EndsAt: now.Add(2)},
		},
		board.Attention: {
			{Screen: unlock.ScreenUnlocked, CardIn: true}, {Screen: unlock.ScreenStopped, CardIn: true},
			{Screen: unlock.ScreenCode, CardIn: true, WarnAt: now, EndsAt: now.Add(2)},
		},
		board.Fault: {{Screen: unlock.ScreenAttract}, {Screen: unlock.ScreenOutOfService, Reason: unlock.ReasonCaseOpened}},
	} {
		for _, v := range views {
			if got := stateOf(v, now); got != want {
				t.Errorf("%+v is shown as %s, not %s", v, got, want)
			}
		}
	}
}

// A reader that stays away loses its power for a while, and not over and over; every turn of the loop feeds the watchdog.
func TestAReaderThatIsGoneIsCycled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f, b := testBox(t, dir)
		defer b.close(true)
		power, times, was := f.Line(f.File.Reader.Line), 0, true
		turns := func(v unlock.View, n int) {
			for range n {
				b.show(v, time.Now())
				time.Sleep(time.Second)
				if now := bool(power.Read()); now != was {
					if was = now; !now {
						times++
					}
				}
			}
		}
		turns(unlock.View{Screen: unlock.ScreenOutOfService, Reason: unlock.ReasonNoReader}, 29)
		turns(unlock.View{Screen: unlock.ScreenAttract, CentralUp: true}, 5)
		if times != 0 {
			t.Error("a reader that was away for a moment lost its power")
		}
		turns(unlock.View{Screen: unlock.ScreenOutOfService, Reason: unlock.ReasonNoReader}, 120)
		if times != 1 || !was {
			t.Errorf("in two minutes it lost its power %d times; has it now: %t", times, was)
		}
		if got, err := f.Read("dev/watchdog"); err != nil || len(got) != 29+5+120 {
			t.Errorf("the watchdog was kicked %d times, %v", len(got), err)
		}
	})
}
