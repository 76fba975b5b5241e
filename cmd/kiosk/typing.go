package main

import (
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gdamore/tcell/v2"
)

// typing is the terminal as tcell reads it. What tcell reads it copies from buffer to buffer, and wipes none: a passcode that was
// typed would stand in the memory of the kiosk until something else came to lie there. So tcell is given the numbers of places for the
// characters that were typed, and typed puts them in again. Keys that are no characters, and taps, go to tcell as they are.
type typing struct {
	tcell.Tty
	raw   [128]byte
	state keyState
	since time.Time // when an escape was the last that came
	part  []byte    // of a character that has not wholly come

	mu     sync.Mutex
	places [places]rune // 0 where none waits
	next   int
}

// places is how many characters can wait in tcell. Their numbers are printed characters of ASCII from firstPlace on, which tcell makes
// an event each of, whatever the terminal's character set.
const (
	places     = 64
	firstPlace = '0'
)

// keyState is how far a key's sequence is (ECMA-48 §5.4).
type keyState int

const (
	ground   keyState = iota
	escaped           // after ESC
	control           // CSI: up to a byte of 0x40 and more
	function          // SS3, or what else is one more byte
	str               // a string, up to ESC \ or BEL
)

// escapeAlone is after how long an escape was the key of that name, as tcell has it.
const escapeAlone = 50 * time.Millisecond

// openTerminal opens the terminal that this process runs on.
func openTerminal() (tcell.Screen, error) {
	tty, err := tcell.NewDevTty()
	if err != nil {
		return nil, err
	}
	t := &typing{Tty: tty}
	screen, err := tcell.NewTerminfoScreenFromTty(t)
	if err != nil {
		return nil, err
	}
	return &typedScreen{screen, t}, nil
}

// typedScreen is a screen whose keys are those that were typed.
type typedScreen struct {
	tcell.Screen
	typing *typing
}

// PollEvent is the next event; nil after the last.
func (s *typedScreen) PollEvent() tcell.Event { return s.typing.typed(s.Screen.PollEvent()) }

// Read gives tcell what came, with places for characters.
func (t *typing) Read(b []byte) (int, error) {
	for {
		got, err := t.Tty.Read(t.raw[:min(len(b), len(t.raw))])
		n := len(t.placed(b[:0], t.raw[:got], time.Now()))
		clear(t.raw[:got])
		if n > 0 || got == 0 || err != nil {
			return n, err
		}
	}
}

// placed appends to out what tcell is given for what came: never more bytes than those.
func (t *typing) placed(out, came []byte, now time.Time) []byte {
	if t.state == escaped && now.Sub(t.since) > escapeAlone {
		t.state = ground
	}
	for _, c := range came {
		was := t.state
		t.state = ground
		switch {
		case c == '\x1b':
			t.state, t.since = escaped, now
		case was == escaped && c == '[', was == control && (c < 0x40 || c == '['):
			t.state = control
		case was == escaped && (c == 'O' || c == 'N'):
			t.state = function
		case was == escaped && (c == ']' || c == 'P' || c == 'X' || c == '^' || c == '_'), was == str && c != '\a':
			t.state = str
		case was == control, was == function, was == str, was == escaped && c == '\\', c < ' ', c == 0x7f:
		case c < utf8.RuneSelf:
			t.part = clean(t.part)
			out = append(out, t.place(rune(c)))
			continue
		default:
			t.part = append(t.part, c)
			if !utf8.FullRune(t.part) {
				continue
			}
			if r, _ := utf8.DecodeRune(t.part); r != utf8.RuneError {
				out = append(out, t.place(r))
			}
			t.part = clean(t.part)
			continue
		}
		out = append(out, c)
	}
	return out
}

func clean(b []byte) []byte {
	clear(b)
	return b[:0]
}

// place keeps a character until its event comes, and returns the number of its place.
func (t *typing) place(r rune) byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := t.next
	t.places[at] = r
	t.next = (at + 1) % places
	return byte(firstPlace + at)
}

// typed is an event with the character that was typed.
func (t *typing) typed(e tcell.Event) tcell.Event {
	k, is := e.(*tcell.EventKey)
	if !is || k.Key() != tcell.KeyRune || k.Rune() < firstPlace || k.Rune() >= firstPlace+places {
		return e
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.places[k.Rune()-firstPlace]
	if r == 0 {
		return e
	}
	t.places[k.Rune()-firstPlace] = 0
	return tcell.NewEventKey(tcell.KeyRune, r, k.Modifiers())
}
