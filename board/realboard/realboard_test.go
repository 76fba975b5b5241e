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
	sees := func(question string) bool { return strings.HasPrefix(ask(question+" [y/n] "), "y") }
	fmt.Printf("Board file %s: %s.\n", *name, file.Title)
	if file.Tamper != nil {
		ask("Shut the case, then press Enter. ")
	}
	if file.Network != nil {
		ask("Put the network cable in, then press Enter. ")
	}
	shows := file.Light != nil || file.Buzzer != nil || file.Backlight != nil
	boardtest.Run(t, boardtest.Subject{
		Config: board.Config{Name: *name, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))},
		File:   file,
		Do: func(a boardtest.Action) error {
			ask(string(a) + " Then press Enter. ")
			return nil
		},
		Comes: func(s board.State) {
			if shows {
				ask(fmt.Sprintf("Next the box shows %q:\n%sLook and listen, and press Enter. ", s, says(file, s)))
			}
		},
		Sees:      func(board.State) bool { return !shows || sees("Does it?") },
		SawReader: func() bool { return sees("Did the card reader's lamp go out, and come back?") },
	})
}

// says is what the board file has for a state, for a person.
func says(f *board.File, s board.State) string {
	var b strings.Builder
	if l := f.Light; l != nil {
		signal := of(s, l.Ready, l.Busy, l.Attention, l.Fault)
		lamps := "no lamp"
		if len(signal.Lamps) > 0 {
			lamps = strings.Join(signal.Lamps, " and ")
		}
		if len(signal.Rhythm) > 0 {
			lamps += ", lit and dark in turn for " + spans(signal.Rhythm)
		}
		fmt.Fprintf(&b, "  light: %s\n", lamps)
	}
	if z := f.Buzzer; z != nil {
		sound := "silent"
		if rhythm := of(s, z.Ready, z.Busy, z.Attention, z.Fault); len(rhythm) > 0 {
			sound = "once, sound and silence in turn for " + spans(rhythm)
		}
		fmt.Fprintf(&b, "  buzzer: %s\n", sound)
	}
	if l := f.Backlight; l != nil {
		fmt.Fprintf(&b, "  backlight: %d per cent\n", of(s, l.Ready, l.Busy, l.Attention, l.Fault))
	}
	return b.String()
}

// of is what belongs to a state.
func of[T any](s board.State, ready, busy, attention, fault T) T {
	return [...]T{ready, busy, attention, fault}[s]
}

func spans[D ~int64](rhythm []D) string {
	var words []string
	for _, d := range rhythm {
		words = append(words, time.Duration(d).String())
	}
	return strings.Join(words, ", ")
}
