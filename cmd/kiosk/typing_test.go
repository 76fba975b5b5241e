package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gdamore/tcell/v2"
)

// keys are what terminals send for them, in the pieces in which it can come.
var keys = map[string][]string{
	"passcode":                 {"13", "5790", "\r"},
	"letters":                  {"pA~ 0o", "\x7f", "\t"},
	"Welsh":                    {"Llŵ\xc5", "\xb7?"},
	"two of one":               {"00\x1b[A00"},
	"arrows and a tap":         {"1\x1b[A\x1b[B2\x1b[<0;12;", "7M\x1b[<0;12;7m3"},
	"function keys":            {"\x1bOP\x1b[15~\x1b[[A4"},
	"with Alt":                 {"\x1bx", "7"},
	"a string and its end":     {"\x1b]52;c;aGVsbG8=\a8\x1b]0;x\x1b\\9"},
	"of another character set": {"\xff1"},
}

// Whatever is typed, the kiosk gets the events that tcell makes of it alone, and tcell is given no character.
func TestTyping(t *testing.T) {
	t.Parallel()
	for name, pieces := range keys {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var given []string
			got := events(pieces, func(ty *typing, came string) string {
				g := string(ty.placed(nil, []byte(came), time.Unix(0, 0)))
				given = append(given, g)
				return g
			})
			want := events([]string{strings.Join(pieces, "")}, func(_ *typing, came string) string { return strings.ReplaceAll(came, "\xff", "") })
			if !slices.Equal(got, want) {
				t.Errorf("got %q, want %q; tcell was given %q", got, want, given)
			}
			if all := strings.Join(given, ""); strings.Contains(all, "35790") || strings.Contains(all, "pA~") || strings.Contains(all, "ŵ") {
				t.Errorf("tcell was given %q", all)
			}
		})
	}
}

// events are what tcell makes of what it is given for pieces.
func events(pieces []string, give func(*typing, string) string) (said []string) {
	queue := make(chan tcell.Event, 100)
	ty := new(typing)
	in := tcell.NewInputProcessor(queue)
	for _, p := range pieces {
		in.ScanUTF8([]byte(give(ty, p)))
		for len(queue) > 0 {
			switch e := ty.typed(<-queue).(type) {
			case *tcell.EventKey:
				said = append(said, e.Name())
			case *tcell.EventMouse:
				x, y := e.Position()
				said = append(said, fmt.Sprint(x, y, e.Buttons()))
			default:
				said = append(said, fmt.Sprintf("%T", e))
			}
		}
	}
	if ty.places != [places]rune{} || strings.Trim(string(ty.part[:cap(ty.part)]), "\x00") != "" {
		said = append(said, "something is kept")
	}
	return said
}

// An escape that nothing follows at once is the key of that name, and what is typed afterwards is no part of it.
func TestTypingAfterEscape(t *testing.T) {
	t.Parallel()
	ty := new(typing)
	began := time.Unix(0, 0)
	ty.placed(nil, []byte("\x1b"), began)
	if got := ty.placed(nil, []byte("[12"), began.Add(escapeAlone+1)); string(got) != "012" || ty.places[0] != '[' || ty.places[2] != '2' {
		t.Errorf("tcell was given %q", got)
	}
}

// once is a terminal that says something once.
type once struct {
	tcell.Tty
	says string
}

func (o *once) Read(b []byte) (int, error) {
	n := copy(b, o.says)
	if o.says = o.says[n:]; n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// Reading goes on until there is something for tcell, and what was read is not kept.
func TestTypingReads(t *testing.T) {
	t.Parallel()
	ty := &typing{Tty: &once{says: "\xc5\xb7" + "1"}}
	b := make([]byte, 1)
	for _, want := range []rune{'ŷ', '1'} {
		if n, err := ty.Read(b); n != 1 || err != nil || ty.places[b[0]-firstPlace] != want {
			t.Errorf("%d %q, %v", n, b, err)
		}
	}
	if n, err := ty.Read(b); n != 0 || err != io.EOF || ty.raw != [len(ty.raw)]byte{} {
		t.Errorf("%d %v; kept %q", n, err, ty.raw)
	}
}

func FuzzTyping(f *testing.F) {
	for _, pieces := range keys {
		f.Add(strings.Join(pieces, ""), "")
		f.Add(pieces[0], strings.Join(pieces[1:], ""))
	}
	f.Fuzz(func(t *testing.T, first, then string) {
		ty := new(typing)
		for _, p := range []string{first, then} {
			if out := ty.placed(nil, []byte(p), time.Unix(0, 0)); len(out) > len(p) || len(ty.part) > 3 {
				t.Errorf("%q of %q; %q is kept", out, p, ty.part)
			}
		}
	})
}
