// Package boardtest has the suite that every box passes, and a box that is not there (Fake), which passes it too. The fake
// is gpiotest's pins and a folder with what the kernel shows of a machine; it opens no device.
package boardtest

import (
	"testing"
	"time"

	"latchkey/board"
)

// Action is something that has to be done to the box, in words for a person.
type Action string

// Actions.
const (
	OpenCase      Action = "Open the case, or its door."
	ShutCase      Action = "Shut the case and its door."
	PressButton   Action = "Press the button and keep it pressed."
	ReleaseButton Action = "Let the button go."
	PullCable     Action = "Pull out the network cable, and switch Wi-Fi off."
	PutCable      Action = "Put the network cable back in."
)

// Subject is a box, and somebody who stands before it.
type Subject struct {
	Config board.Config
	File   *board.File
	// Do does something, and returns when it is done.
	Do func(Action) error
	// Comes says which state is shown next, to somebody who has to look and listen from its first moment; nil if nobody has.
	Comes func(board.State)
	// Sees tells whether light, buzzer and backlight have been as the board file says since the state was shown. It may take its time.
	Sees func(board.State) bool
	// SawReader tells whether the card reader lost its power and has it again; asked just after it was to.
	SawReader func() bool
	// Lacks is how many things are missing that the board file names.
	Lacks int
}

// patience is how long after an action its event may come.
const patience = 10 * time.Second

// Run runs the suite.
func Run(t *testing.T, s Subject) {
	t.Helper()
	b, err := board.Open(s.Config)
	if err != nil {
		t.Fatal(err)
	}
	open := true
	defer func() {
		if open {
			b.Close(true)
		}
	}()
	if len(b.Lacks) != s.Lacks {
		t.Errorf("the board lacks %d things, not %d: %v", len(b.Lacks), s.Lacks, b.Lacks)
	}

	// waited does something that takes its time, as the kiosk's loop would: the watchdog must not bite meanwhile.
	waited := func(do func()) {
		done := make(chan struct{})
		go func() { do(); close(done) }()
		for {
			b.Alive()
			select {
			case <-done:
				return
			case <-time.After(time.Second):
			}
		}
	}
	act := func(a Action, want board.Event) {
		t.Helper()
		waited(func() {
			if err := s.Do(a); err != nil {
				t.Errorf("%s %v", a, err)
			}
		})
		late := time.After(patience)
		for {
			b.Alive()
			select {
			case got := <-b.Events():
				if got == want {
					return
				}
				t.Logf("%s was told, too", got)
			case <-time.After(time.Second):
			case <-late:
				t.Errorf("%s The board did not tell: %s", a, want)
				return
			}
		}
	}
	if s.File.Tamper != nil {
		act(OpenCase, board.Event{Kind: board.Tamper, On: true})
		act(ShutCase, board.Event{Kind: board.Tamper})
	}
	if s.File.Button != nil {
		act(PressButton, board.Event{Kind: board.Button, On: true})
		act(ReleaseButton, board.Event{Kind: board.Button})
	}
	if s.File.Network != nil {
		act(PullCable, board.Event{Kind: board.Link})
		act(PutCable, board.Event{Kind: board.Link, On: true})
	}
	// Fault last but one, so that every state is entered from another.
	for _, state := range []board.State{board.Ready, board.Busy, board.Attention, board.Fault, board.Ready} {
		if s.Comes != nil {
			waited(func() { s.Comes(state) })
		}
		b.Show(state, false)
		waited(func() {
			if !s.Sees(state) {
				t.Errorf("light, buzzer or backlight do not show %s as the board file says", state)
			}
		})
	}
	if b.CycleReader() != (s.File.Reader != nil) {
		t.Error("the board file and the board disagree on whether the reader's power is switched")
	} else if s.File.Reader != nil {
		waited(func() {
			if !s.SawReader() {
				t.Error("the reader's power did not go away and come back")
			}
		})
	}
	h := b.Health()
	t.Logf("it says: %.0f °C; slowed down by heat: %t; fan %d/min (-1: none tells); voltage too low: %t; clock chip: %t; network link: %t",
		h.Temperature, h.Throttled, h.FanRPM, h.Undervoltage, h.Clock, h.Link)
	if s.File.Temperature != nil && !(h.Temperature > 0 && h.Temperature < s.File.Temperature.Hot) {
		t.Errorf("it is %g °C", h.Temperature)
	}
	if h.Undervoltage {
		t.Error("the supply's voltage is too low")
	}
	open = false
	if err := b.Close(true); err != nil {
		t.Error(err)
	}
	for range b.Events() {
		t.Error("an event after Close")
	}
}
