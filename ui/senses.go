package ui

import (
	"time"

	"github.com/gdamore/tcell/v2"

	"latchkey/firmware/unlock"
)

// How the face is perceived and moved by those who cannot see it well, hear it or reach it. All of this is for one walk, as
// the language is.
//
// An assistive keypad has four keys: up, down, select and help, in this order or as F1, Up, Down and Enter of a keyboard. Tab
// and Shift-Tab always lead through all targets in turn. Up and Down of a keyboard seek the nearest target there instead;
// F1 makes them lead in turn, too, from the first target of each screen on. Left, Right, a typed character or a tap, which
// no such keypad has, takes that back.
type senses struct {
	pad        bool // Up and Down lead through all targets in turn
	contrast   bool
	large      bool
	aloud      bool      // screens are read out
	headphones bool      // are in
	helping    bool      // the page of help lies over the screen
	shown      time.Time // until when a passcode can be read; zero: dots
	taps       int       // on the title bar
	tapped     time.Time // the first of these
}

// asBefore ends what one holder has chosen.
func (f *Face) asBefore() {
	if f.large {
		f.enlarge(false)
	}
	if f.aloud && !f.headphones {
		f.hush()
	}
	f.pad, f.contrast, f.helping, f.aloud = false, false, false, f.headphones
}

// theme of what is shown now.
func (f *Face) theme() theme {
	switch {
	case f.contrast:
		return contrastTheme
	case f.view.Screen == unlock.ScreenAttract && f.opts.Quiet != nil && f.opts.Quiet(f.now):
		return quietTheme
	}
	return plainTheme
}

// enlarge changes the size of the console's font. That it cannot be done is said.
func (f *Face) enlarge(on bool) {
	if err := f.opts.LargePrint(on); err != nil {
		f.hint = f.say("no-large")
		return
	}
	f.large = on
}

// function does what a function key stands for.
func (f *Face) function(ev *tcell.EventKey) unlock.Input {
	if f.setup != nil && ev.Key() != tcell.KeyF2 {
		return unlock.Touched{} // there is no machine to ask
	}
	switch ev.Key() {
	case tcell.KeyF1:
		f.pad, f.keys, f.chosen = true, true, f.now
		return f.turnHelp()
	case tcell.KeyF2:
		return f.turn()
	case tcell.KeyF5:
		return f.turnAloud()
	case tcell.KeyF12:
		if vacant(f.view.Screen) {
			return unlock.ServiceAsked{}
		}
	}
	return unlock.Touched{}
}

// Five taps on the title bar within three seconds ask for the engineer's page, as F12 does, where no holder is served.
const (
	serviceTaps   = 5
	serviceWithin = 3 * time.Second
	titleRows     = 3 // as high as a key, so that a finger hits them
)

// tapBeside is a tap on no target.
func (f *Face) tapBeside(y int) unlock.Input {
	if y >= titleRows || !vacant(f.view.Screen) || f.helping {
		f.taps = 0
		return unlock.Touched{}
	}
	if f.taps == 0 || f.now.Sub(f.tapped) > serviceWithin {
		f.taps, f.tapped = 0, f.now
	}
	if f.taps++; f.taps < serviceTaps {
		return unlock.Touched{}
	}
	f.taps = 0
	return unlock.ServiceAsked{}
}

// showFor is how long a passcode can be read at a time.
const showFor = 5 * time.Second

const showID = "show"

// showKey shows the passcode while a finger is on it. A key has no release: then until the next key. In neither case for longer
// than showFor.
func (f *Face) showKey(r rect) target {
	return target{id: showID, label: f.say("show"), r: r, act: func() unlock.Input {
		f.shown = f.now.Add(showFor)
		return unlock.Touched{}
	}}
}

// reveals tells that the passcode is shown. When nobody seems to be there any more, it is not.
func (f *Face) reveals() bool { return f.now.Before(f.shown) && !f.warned() }

// warned tells that the warning of the end is shown.
func (f *Face) warned() bool {
	return !f.view.WarnAt.IsZero() && !f.now.Before(f.view.WarnAt) && f.now.Before(f.view.EndsAt)
}
