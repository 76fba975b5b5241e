// Package ui is the kiosk's face: it draws what the machine's View says and turns keys and taps into the machine's
// Inputs. It is the only importer of tcell.
//
// The face decides nothing. It owns what is being typed until that is submitted, and which key has the focus; all else
// is the machine's. It is made for one Linux console with a touch panel of 50×15 cells or more, and for fingers in
// gloves: every screen can be used by taps alone, by keys alone, and by an assistive keypad of four keys. It speaks English,
// and Welsh for a walk whose holder chooses it, by its key or by F2; or the other way round, where the house says so. F1 is
// help, which offers high contrast and, where the console can, large print and a voice; F5 is the voice alone. Text and what
// marks it have a contrast of 7:1 in every theme (WCAG 2.2, 1.4.6), and nothing is said by colour alone. It draws only
// characters of the font Lat38-TerminusBold32x16 (console-setup) and only the first eight colours. It reads no clock and
// starts no goroutine.
//
// It refuses to say or to keep a passcode: on the screen there are dots but while the holder holds the key that shows it.
package ui

import (
	"strings"
	"time"

	"github.com/gdamore/tcell/v2"

	"latchkey/card"
	"latchkey/firmware/unlock"
)

// Options are what differs from one house to the next.
type Options struct {
	Name      string         // of the service, in the title bar; "" is "Smartcard Unlock", or "Datgloi Cerdyn" in Welsh
	Help      string         // who helps, after "Need help?", such as "x4050 or the walk-in centre"; "" shows no such line
	HelpWelsh string         // the same in Welsh; "" is Help
	Zone      *time.Location // of the clock times; nil is UTC
	Language  string         // that a walk begins in; Welsh, or else English

	NextKiosk      string // where the next kiosk is, such as "by the main entrance"; "" says nothing of it
	NextKioskWelsh string // the same in Welsh; "" is NextKiosk
	Kiosk          string // name of this kiosk, for the engineer who asks for a one-time code
	Fingerprint    string // of this kiosk's key, in 16 groups, shown while the RA has not confirmed it
	Debug          bool   // the image is not for use, and every title bar says so
	// Quiet tells the hours in which the first screen is calm; nil has none.
	Quiet func(time.Time) bool

	// Say speaks in a language, English or Welsh; nil has no voice. With interrupt, what is being said is cut off; no text is
	// only that. It must not block, and nothing of a text may be kept.
	Say func(text, language string, interrupt bool)
	// LargePrint doubles the console's font or gives it back; the new size comes as a resize. nil cannot.
	LargePrint func(on bool) error
	// HalfBlocks says that the console's font has ▀ and ▄.
	HalfBlocks bool

	// Engineer is what the engineer's page tells; nil tells nothing.
	Engineer func() []Fact
	// Do does what the engineer asks for, and answers in one sentence; nil offers nothing.
	Do func(Action) (string, error)
	// Touch is where the panel was touched last, as it tells by itself, from 0 to 1; nil where there is no such panel.
	Touch func() (x, y float64, ok bool)
}

// Face is the screen of one kiosk. It is for one goroutine.
type Face struct {
	screen tcell.Screen
	canvas canvas
	opts   Options

	view   unlock.View
	setup  *SetupView // in place of view, before there is a machine
	now    time.Time
	page   *page
	words  *words    // in the language of this walk
	chosen time.Time // when that was chosen

	typed   field
	hint    string // why the last key was not taken; "" after the next
	layer   layer
	channel int    // first channel that is shown
	keys    bool   // the holder uses keys, so the focus shows
	focus   string // id of a target; "" is the page's first
	held    bool   // a finger is down
	pressed string // the target under it
	last    tap    // the one before

	service servicePage // what an engineer looks at

	senses
	said     spokenState // what speech has told last
	speaking bool        // texts are made for speech
}

// New makes a face on a screen that has been initialised. Nothing is drawn before the first Show.
func New(screen tcell.Screen, opts Options) *Face {
	if opts.Zone == nil {
		opts.Zone = time.UTC
	}
	f := &Face{screen: screen, opts: opts, typed: newField()}
	f.words = f.first()
	f.page = &page{}
	return f
}

// Show draws a view. What was typed is wiped when the screen or the case changes.
func (f *Face) Show(v unlock.View, now time.Time) {
	if f.forget(v, now) {
		f.asBefore()
	}
	if v.Screen != f.view.Screen || v.Reference != f.view.Reference {
		f.typed.wipe()
		f.hint, f.layer, f.channel, f.focus, f.pressed = "", layerLower, 0, "", ""
		f.helping, f.shown, f.taps = false, time.Time{}, 0
		f.last.before = true
	}
	if v.Screen != f.view.Screen {
		f.leaveEngineer()
	}
	if v.Screen == unlock.ScreenAttract && f.view.Screen != v.Screen {
		f.canvas.whole = true // whatever else wrote to the console is gone for the next holder
	}
	f.view, f.now = v, now
	f.draw()
	f.voice()
}

// Handle takes one event of the terminal. It returns nil if the event is nothing to the machine, and unlock.Touched for
// any sign of life that is no more than that.
func (f *Face) Handle(ev tcell.Event, now time.Time) unlock.Input {
	f.now = now
	var in unlock.Input
	switch ev := ev.(type) {
	case *tcell.EventResize:
		f.draw()
		return nil
	case *tcell.EventKey:
		in = f.key(ev)
	case *tcell.EventMouse:
		in = f.mouse(ev)
	}
	if in != nil {
		f.draw()
		f.voice()
	}
	return in
}

// tap is where and when a finger was lifted.
type tap struct {
	x, y   int
	first  time.Time // when it acted
	at     time.Time // of its last echo
	before bool      // on a screen that has gone
}

// Another tap so soon, and no further away, is the same finger's, of a hand that trembles. The cells are about 12 mm.
const (
	bounce        = 400 * time.Millisecond
	trembling     = time.Second // for no longer: who taps on and on means it
	bounceColumns = 4
	bounceRows    = 2
)

// bounced tells that a touch is no more than the echo of the last tap. Only keys that type are meant twice.
func (f *Face) bounced(t *target, x, y int) bool {
	around := rect{f.last.x - bounceColumns, f.last.y - bounceRows, 2*bounceColumns + 1, 2*bounceRows + 1}
	if !around.has(x, y) || f.now.Sub(f.last.at) >= bounce {
		return false
	}
	return f.last.before || t == nil || !t.types()
}

// mouse makes a tap of a press and a release on the same target. A finger may slip over its edge by a cell.
func (f *Face) mouse(ev *tcell.EventMouse) unlock.Input {
	x, y := ev.Position()
	switch {
	case ev.Buttons()&tcell.Button1 != 0:
		if f.held { // the finger moves
			if t := f.page.at(x, y); f.pressed == showID && (t == nil || t.id != showID) {
				f.shown = time.Time{}
				f.draw()
			}
			return nil
		}
		f.held = true
		f.keys, f.pad, f.focus, f.shown = false, false, "", time.Time{}
		if t := f.page.at(x, y); t != nil && !f.bounced(t, x, y) {
			f.pressed = t.id
			if t.id == showID {
				f.shown = f.now.Add(showFor)
			}
		}
		return unlock.Touched{}
	case f.held:
		f.held = false
		was := f.page.find(f.pressed)
		f.pressed, f.shown = "", time.Time{}
		switch {
		case was != nil && was.r.near(x, y):
			f.last = tap{x: x, y: y, first: f.now, at: f.now}
			if was.id != showID {
				return was.act()
			}
		case was == nil && f.page.at(x, y) == nil:
			return f.tapBeside(y)
		case f.now.Sub(f.last.first) < trembling:
			f.last.at = f.now
		}
		return unlock.Touched{}
	case ev.Buttons() != tcell.ButtonNone:
		return unlock.Touched{}
	}
	return nil
}

func (f *Face) key(ev *tcell.EventKey) unlock.Input {
	f.shown = time.Time{}
	if f.pad {
		f.chosen = f.now
	}
	switch ev.Key() {
	case tcell.KeyTab:
		f.move(1)
	case tcell.KeyBacktab:
		f.move(-1)
	case tcell.KeyRight:
		f.pad = false
		f.steer(1, 0)
	case tcell.KeyLeft:
		f.pad = false
		f.steer(-1, 0)
	case tcell.KeyDown:
		if f.pad {
			f.move(1)
		} else {
			f.steer(0, 1)
		}
	case tcell.KeyUp:
		if f.pad {
			f.move(-1)
		} else {
			f.steer(0, -1)
		}
	case tcell.KeyEnter:
		return f.choose()
	case tcell.KeyF1, tcell.KeyF2, tcell.KeyF5, tcell.KeyF12:
		if ev.Modifiers()&(tcell.ModCtrl|tcell.ModAlt|tcell.ModMeta) != 0 {
			return nil
		}
		return f.function(ev)
	case tcell.KeyEscape:
		if f.page.escape != nil {
			return f.page.escape()
		}
	case tcell.KeyBackspace, tcell.KeyBackspace2, tcell.KeyDelete:
		if _, typing := f.rules(); typing {
			f.typed.back()
		}
		f.hint, f.focus, f.keys = "", "", true
	case tcell.KeyRune:
		if ev.Modifiers()&(tcell.ModCtrl|tcell.ModAlt|tcell.ModMeta) != 0 {
			return nil
		}
		return f.character(ev.Rune())
	default:
		if ev.Key() < tcell.KeyRune || ev.Modifiers()&(tcell.ModCtrl|tcell.ModAlt|tcell.ModMeta) != 0 {
			return nil // Ctrl-C and its like
		}
	}
	return unlock.Touched{}
}

// character is typed into the field if there is one. Space chooses, but where digits are typed it does so only after the
// focus was moved: a code that is typed in two groups must not go off half.
func (f *Face) character(r rune) unlock.Input {
	rules, typing := f.rules()
	f.pad = false
	switch {
	case f.view.Screen == unlock.ScreenRating && r >= '1' && r <= '5':
		return unlock.Rated{Stars: int(r - '0')}
	case typing && r >= '0' && r <= '9', typing && !rules.DigitsOnly && r >= 0x20 && r <= 0x7e,
		typing && f.view.Screen == unlock.ScreenComment && strings.ContainsRune(accents, r):
		f.focus, f.keys = "", true
		f.typeRune(r)
	case r == ' ' && (!typing || f.focus != ""):
		return f.choose()
	case r == ' ':
	case typing && rules.DigitsOnly:
		f.hint = f.say("only-digits")
	case typing && feedback(f.view.Screen):
		f.hint = f.say("no-accents")
	case typing && f.view.Screen == unlock.ScreenServiceCode: // there is no such character in a code
	case typing:
		f.hint = f.filled(f.words.tell(unlock.Reason(card.FlawNotASCII), f.view.Errand).note)
	}
	return unlock.Touched{}
}

// secretive screens show and say of what is typed only how much it is.
func secretive(s unlock.Screen) bool {
	return s == unlock.ScreenPresent || s == unlock.ScreenPasscode || s == unlock.ScreenRepeat
}

// rules of what can be typed on this screen; typing is false if nothing can.
func (f *Face) rules() (r card.Rules, typing bool) {
	if f.helping {
		return r, false
	}
	switch f.view.Screen {
	case unlock.ScreenCode:
		if f.view.Code != nil {
			return card.Rules{Min: f.view.Code.Digits, Max: f.view.Code.Digits, DigitsOnly: true}, f.page.first != ""
		}
	case unlock.ScreenPresent, unlock.ScreenPasscode, unlock.ScreenRepeat:
		return f.view.Rules, f.page.first != ""
	case unlock.ScreenComment, unlock.ScreenContact, unlock.ScreenServiceCode:
		return card.Rules{Max: f.most()}, f.page.first != ""
	}
	return card.Rules{}, false
}

func (f *Face) typeRune(c rune) {
	f.hint = ""
	if f.view.Screen == unlock.ScreenServiceCode {
		if c = serviceSymbol(c); c == 0 {
			return
		}
	}
	f.typed.add(c, f.most())
}

// most characters that can be typed on this screen.
func (f *Face) most() int {
	switch f.view.Screen {
	case unlock.ScreenCode:
		return f.view.Code.Digits // its boxes show that no more are taken
	case unlock.ScreenServiceCode:
		return serviceSymbols
	case unlock.ScreenComment:
		return maxComment
	case unlock.ScreenContact:
		return maxContact
	}
	return maxTyped
}

// choose does what has the focus.
func (f *Face) choose() unlock.Input {
	f.keys = true
	if t := f.focused(); t != nil {
		return t.act()
	}
	return unlock.Touched{}
}

// focused is the target that Enter would do; nil if there is none.
func (f *Face) focused() *target {
	if t := f.page.find(f.focus); t != nil {
		return t
	}
	if f.pad && len(f.page.targets) > 0 {
		return &f.page.targets[0]
	}
	return f.page.find(f.page.first)
}

// unseen tells that the focus was not seen until now. Where Enter does nothing, it begins on the first target.
func (f *Face) unseen() bool {
	hidden := !f.keys
	f.keys = true
	if f.focused() == nil && len(f.page.targets) > 0 {
		f.focus, hidden = f.page.targets[0].id, true
	}
	return hidden
}

// move passes the focus on. The first such key only shows where it is.
func (f *Face) move(step int) {
	if f.unseen() {
		return
	}
	n := len(f.page.targets)
	for i := range f.page.targets {
		if t := f.focused(); t != nil && f.page.targets[i].id == t.id {
			f.focus = f.page.targets[(i+step+n)%n].id
			return
		}
	}
}

func (f *Face) steer(dx, dy int) {
	if f.unseen() {
		return
	}
	if t := f.focused(); t != nil {
		f.focus = f.page.towards(t, dx, dy).id
	}
}

func (f *Face) draw() {
	f.canvas.turn(f.theme())
	f.canvas.clear(f.screen, style(ink, paper))
	p := newPage(&f.canvas)
	f.page = p
	f.screen.HideCursor()
	if p.w < minWidth || p.h < minHeight {
		p.text(rect{0, 0, p.w, p.h}, f.say("too-small"), style(ink, paper))
		f.canvas.show(f.screen)
		return
	}
	switch {
	case f.setup != nil:
		f.title(p)
		f.setUp(p)
	case f.helping:
		f.title(p)
		f.helpPage(p)
	default:
		f.build(p)
	}
	f.warn(p)
	focus := ""
	if t := f.focused(); t != nil && f.keys {
		focus = t.id
	}
	p.paintTargets(focus, f.pressed)
	f.canvas.show(f.screen)
}
