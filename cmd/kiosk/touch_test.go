package main

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gdamore/tcell/v2"
	"github.com/holoplot/go-evdev"

	"latchkey/board"
	"latchkey/firmware/unlock"
	"latchkey/ui"
)

// From a panel's events to the screen: a finger on the language key turns the kiosk to Welsh, one that slides off it and a contact
// that was none do not.
func TestAFingerPressesAKey(t *testing.T) {
	t.Parallel()
	screen := tcell.NewSimulationScreen("")
	if err := screen.Init(); err != nil {
		t.Fatal(err)
	}
	defer screen.Fini()
	screen.SetSize(50, 15)
	face := &face{face: ui.New(screen, ui.Options{})}
	face.show(unlock.View{Screen: unlock.ScreenAttract, CentralUp: true}, time.Now())
	x, y := find(t, face, screen, "Cymraeg")

	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "event0"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	events := make(chan evdev.InputEvent)
	gone := make(chan struct{})
	defer close(gone)
	at := time.Now()
	cells := func(n int32) evdev.AbsInfo { return evdev.AbsInfo{Maximum: 100 * n} }
	inputs, err := board.OpenInputs(board.InputConfig{
		Panels: []string{"*"}, Calibration: filepath.Join(dir, "touch.toml"), Folder: dir, Log: slog.New(slog.DiscardHandler),
		Open: func(string) (*board.Device, error) {
			return &board.Device{
				Name: "panel", Keys: []evdev.EvCode{evdev.BTN_TOUCH},
				Axes: map[evdev.EvCode]evdev.AbsInfo{evdev.ABS_X: cells(50), evdev.ABS_Y: cells(15)},
				Grab: func() error { return nil }, Close: func() error { return nil },
				Read: func() (*evdev.InputEvent, error) {
					select {
					case e := <-events:
						return &e, nil
					case <-gone:
						return nil, errors.New("gone")
					}
				},
			}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	go feed(t.Context(), inputs, screen, func(bool) {})
	touched := face.inputs(t.Context(), screen)
	report := func(after time.Duration, x, y int, down int32) {
		at = at.Add(after)
		for _, e := range []evdev.InputEvent{
			{Type: evdev.EV_ABS, Code: evdev.ABS_X, Value: int32(100*x + 50)}, {Type: evdev.EV_ABS, Code: evdev.ABS_Y, Value: int32(100*y + 50)},
			{Type: evdev.EV_KEY, Code: evdev.BTN_TOUCH, Value: down}, {Type: evdev.EV_SYN, Code: evdev.SYN_REPORT},
		} {
			e.Time.Sec, e.Time.Usec = at.Unix(), int64(at.Nanosecond()/1000)
			events <- e
		}
	}
	// tap is what the face is told of one finger: a press, and a release.
	tap := func(stays time.Duration, toX, toY int) {
		t.Helper()
		report(time.Second, x, y, 1)
		if in := <-touched; in != (unlock.Touched{}) {
			t.Errorf("the press is %T", in)
		}
		if toX != x || toY != y {
			report(stays, toX, toY, 1)
		}
		report(stays, toX, toY, 0)
		<-touched
	}
	welsh := func() bool { return strings.Contains(shownOn(face, screen), "English") }
	tap(10*time.Millisecond, x, y)
	if welsh() {
		t.Error("interference pressed the key")
	}
	tap(80*time.Millisecond, x-12, y-4)
	if welsh() {
		t.Error("a finger that slid off pressed the key")
	}
	tap(80*time.Millisecond, x, y)
	if !welsh() {
		t.Errorf("the key was not pressed:\n%s", shownOn(face, screen))
	}
}

// shownOn is the text of the screen.
func shownOn(f *face, screen tcell.SimulationScreen) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	cells, w, _ := screen.GetContents()
	var b strings.Builder
	for i, c := range cells {
		if i > 0 && i%w == 0 {
			b.WriteByte('\n')
		}
		b.WriteString(string(c.Runes))
	}
	return b.String()
}

// find is the cell in which a text begins.
func find(t *testing.T, f *face, screen tcell.SimulationScreen, text string) (x, y int) {
	t.Helper()
	for y, line := range strings.Split(shownOn(f, screen), "\n") {
		if before, _, is := strings.Cut(line, text); is {
			return len([]rune(before)), y
		}
	}
	t.Fatalf("%q is not on the screen", text)
	return 0, 0
}
