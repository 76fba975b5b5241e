//go:build realboard

// Package realboard runs the suite of every board on a real one, with a person before it: "make board-smoke BOARD=pi5".
// It says what to do and asks what is to be seen. The kiosk must not run meanwhile: lines and watchdog have one user.
package realboard

import (
	"bufio"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"latchkey/board"
	"latchkey/board/boardtest"
)

var name = flag.String("board", "", "the board's `name`, or the path of its file")

func TestBoard(t *testing.T) {
	if *name == "" {
		t.Fatalf("say which board this is: make board-smoke BOARD=, one of %s, or the path of a board file", strings.Join(board.Names(), ", "))
	}
	file, err := board.Load(*name)
	if err != nil {
		t.Fatal(err)
	}
	typed := bufio.NewScanner(os.Stdin)
	ask := func(question string) string {
		fmt.Print(question)
		typed.Scan()
		return strings.ToLower(strings.TrimSpace(typed.Text()))
	}
	sees := func(what string) bool { return strings.HasPrefix(ask(what+" [y/n] "), "y") }
	fmt.Printf("This is a %s, shut, with its network cable in.\n", file.Title)
	boardtest.Run(t, boardtest.Subject{
		Config: board.Config{Name: *name, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))},
		File:   file,
		Do: func(a boardtest.Action) error {
			ask(string(a) + " Then press Enter. ")
			return nil
		},
		Sees: func(s board.State) bool {
			if file.Light == nil && file.Buzzer == nil && file.Backlight == nil {
				return true
			}
			return sees(fmt.Sprintf("It shows %s. Is that what light, buzzer and backlight do?\n%s", s, says(file, s)))
		},
		SawReader: func() bool { return sees("Did the card reader's lamp go out, and come back?") },
	})
}

// says is what the board file has for a state, for a person.
func says(f *board.File, s board.State) string {
	var b strings.Builder
	if l := f.Light; l != nil {
		signal := [...]board.Signal{l.Ready, l.Busy, l.Attention, l.Fault}[s]
		fmt.Fprintf(&b, "  lamps %v, lit and dark for %v (steady if empty)\n", signal.Lamps, spans(signal.Rhythm))
	}
	if z := f.Buzzer; z != nil {
		rhythm := [...][]time.Duration{spans(z.Ready), spans(z.Busy), spans(z.Attention), spans(z.Fault)}[s]
		fmt.Fprintf(&b, "  buzzer once: sound and silence for %v\n", rhythm)
	}
	if l := f.Backlight; l != nil {
		fmt.Fprintf(&b, "  backlight at %d per cent\n", [...]int{l.Ready, l.Busy, l.Attention, l.Fault}[s])
	}
	return b.String()
}

func spans[D ~int64](list []D) (spans []time.Duration) {
	for _, d := range list {
		spans = append(spans, time.Duration(d))
	}
	return spans
}
