package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/gdamore/tcell/v2"

	"latchkey/board"
	"latchkey/cmd/internal/device"
)

// openInputs opens touch panels, keypad and headphone jacks where the kiosk has the machine's own screen: on a Linux console. Elsewhere,
// such as in a window, the terminal tells of taps, and the devices are somebody's. It returns nil there.
func openInputs(c *device.Config, log *slog.Logger) (*board.Inputs, error) {
	k := c.Keypad
	config := board.InputConfig{
		Panels: c.Touch.Panels, Rotation: c.Touch.Rotation, Calibration: filepath.Join(c.Data, "touch.toml"),
		Keypad: k.Device,
		Keys: map[board.Key]string{
			board.KeyUp: k.Up, board.KeyDown: k.Down, board.KeySelect: k.Select, board.KeyHelp: k.Help, board.KeySpeech: k.Speech,
		},
		Log: log,
	}
	if os.Getenv("TERM") != "linux" {
		return nil, config.Check()
	}
	return board.OpenInputs(config)
}

// padKeys are what the keypad's keys are to the face.
var padKeys = map[board.Key]tcell.Key{
	board.KeyUp: tcell.KeyBacktab, board.KeyDown: tcell.KeyTab, board.KeySelect: tcell.KeyEnter, board.KeyHelp: tcell.KeyF1, board.KeySpeech: tcell.KeyF5,
}

// frame is how long a picture of the panel's stands.
const frame = 16 * time.Millisecond

// feed gives the screen what the inputs tell, each as it comes, until ctx ends or the inputs are closed.
func feed(ctx context.Context, in *board.Inputs, screen tcell.Screen, headphones func(bool)) {
	for {
		var event tcell.Event
		select {
		case <-ctx.Done():
			return
		case t, more := <-in.Taps():
			if !more {
				return
			}
			w, h := screen.Size()
			event = mouse(t, w, h)
		case k, more := <-in.Keys():
			if !more {
				return
			}
			event = tcell.NewEventKey(padKeys[k], 0, tcell.ModNone)
		case e, more := <-in.Events():
			if !more {
				return
			}
			headphones(e.On)
			continue
		}
		for screen.PostEvent(event) != nil { // its queue is full; and a release must not be lost
			select {
			case <-time.After(frame):
			case <-ctx.Done():
				return
			}
		}
	}
}

// mouse is a tap as a terminal of so many cells would tell it. A finger that was none leaves beside the screen, where no key is.
func mouse(t board.Tap, w, h int) *tcell.EventMouse {
	x, y := min(int(t.X*float64(w)), w-1), min(int(t.Y*float64(h)), h-1)
	switch {
	case t.Down:
		return tcell.NewEventMouse(x, y, tcell.Button1, tcell.ModNone)
	case t.Void:
		x, y = -1, -1
	}
	return tcell.NewEventMouse(x, y, tcell.ButtonNone, tcell.ModNone)
}
