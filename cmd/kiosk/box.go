package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"latchkey/board"
	"latchkey/cmd/internal/device"
	"latchkey/firmware/durable"
	"latchkey/firmware/unlock"
)

// box is the board that the kiosk lives in, and what became of its case.
type box struct {
	board *board.Board
	data  string
	quiet func(time.Time) bool // nil: never
	log   *slog.Logger

	noReader time.Time // since when; zero while there is one
	cycled   time.Time // when the reader's power was last taken away

	open   atomic.Bool // the case, now
	noLink atomic.Bool

	mu      sync.Mutex
	tried   board.State // what an engineer wants to see of lights, buzzer and backlight
	tryTill time.Time
}

// Files in the data folder. The case stays opened, whatever is restarted, until both are there and the kiosk has seen that it
// is shut.
const (
	openedFile  = "case-opened"
	clearedFile = "case-cleared"
)

func openBox(c *device.Config, log *slog.Logger) (*box, error) {
	b, err := board.Open(board.Config{Name: c.Board.Name, Watched: signEvery(log) > 0, Log: log})
	if err != nil {
		return nil, err
	}
	for _, lack := range b.Lacks {
		log.Error("board: this is missing, and the rest works without", "err", lack)
	}
	if c.Board.Name != "none" {
		log.Info("board", "title", b.File.Title, "health", b.Health())
	}
	return &box{board: b, data: c.Data, log: log}, nil
}

// close ends lights and events, and with orderly stops the watchdog.
func (b *box) close(orderly bool) {
	if err := b.board.Close(orderly); err != nil {
		b.log.Error("board", "err", err)
	}
}

func (b *box) there(name string) bool {
	_, err := os.Stat(filepath.Join(b.data, name))
	return !errors.Is(err, fs.ErrNotExist) // one that cannot be looked at may be there
}

// wasOpened tells whether the case was opened before, and nobody has cleared that.
func (b *box) wasOpened() bool { return b.there(openedFile) }

// clearedEvery is how often it is looked whether an engineer has cleared an opened case.
const clearedEvery = time.Second

// inputs turns what the box tells into the machine's inputs, until ctx ends.
func (b *box) inputs(ctx context.Context) <-chan unlock.Input {
	inputs := make(chan unlock.Input)
	send := func(in unlock.Input) {
		select {
		case inputs <- in:
		case <-ctx.Done():
		}
	}
	go func() {
		tick := time.NewTicker(clearedEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case e, more := <-b.board.Events():
				if !more {
					return
				}
				b.log.Warn("board", "event", e.String())
				switch {
				case e.Kind == board.Tamper:
					if b.open.Store(e.On); e.On {
						if err := mark(b.data, openedFile); err != nil {
							b.log.Error("board: an opened case will be forgotten when the kiosk is restarted", "err", err)
						}
						send(unlock.CaseOpened{})
					}
				case e.Kind == board.Link:
					b.noLink.Store(!e.On)
				case e.Kind == board.Button && e.On:
					send(unlock.Touched{})
				}
			case <-tick.C:
				if b.there(clearedFile) {
					b.clear(send)
				}
			}
		}
	}()
	return inputs
}

// clear takes the kiosk back into service. The files go when the journal has it: the loop takes the second input only when it is
// done with the first. The engineer's word goes first, and durably: one that outlived the case that it was for would clear the next.
func (b *box) clear(send func(unlock.Input)) {
	open := b.open.Load()
	if open {
		b.log.Error("board: the case was cleared, and is open: shut it and clear it again")
	} else {
		send(unlock.CaseCleared{})
		send(unlock.Tick{})
	}
	err := errors.Join(os.Remove(filepath.Join(b.data, clearedFile)), durable.SyncDir(b.data))
	if err == nil && !open {
		err = os.Remove(filepath.Join(b.data, openedFile))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		b.log.Error("board", "err", err)
	}
}

// mark makes an empty file that survives a power cut.
func mark(dir, name string) error {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return durable.SyncDir(dir)
}

// askToClear is an engineer's word that the case was looked at.
func (b *box) askToClear() (string, error) {
	switch {
	case !b.wasOpened():
		return "", errors.New("the case was not opened")
	case b.open.Load():
		return "", errors.New("the case is open: shut it first")
	}
	if err := mark(b.data, clearedFile); err != nil {
		return "", err
	}
	return "Cleared. The kiosk serves again when you close this page.", nil
}

// tryFor is how long lights, buzzer and backlight show what an engineer wants to see.
const tryFor = 30 * time.Second

// try has them show a state; "" gives them back.
func (b *box) try(state string) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tryTill = time.Time{}
	if state == "" {
		return "The lights are the kiosk's again.", nil
	}
	for s := board.Ready; s <= board.Fault; s++ {
		if s.String() == state {
			b.tried, b.tryTill = s, time.Now().Add(tryFor)
			return fmt.Sprintf("Shown for %.0f seconds: %s", tryFor.Seconds(), state), nil
		}
	}
	return "", fmt.Errorf("there is no state %q", state)
}

// through is a view as the box knows it better: without a network link, central is not there.
func (b *box) through(v unlock.View) unlock.View {
	v.CentralUp = v.CentralUp && !b.noLink.Load()
	return v
}

// show has the box show what the screen shows, and says what that is in a few words that are about nobody. The loop calls it after
// every turn, so it is the watchdog's sign of life.
func (b *box) show(v unlock.View, now time.Time) (status string) {
	b.board.Alive()
	state, quiet := stateOf(v, now), b.quiet != nil && b.quiet(now)
	status = state.String()
	if v.Screen == unlock.ScreenOutOfService && v.Reason != "" {
		status += ": " + string(v.Reason)
	} else if v.Screen == unlock.ScreenAttract && !v.CentralUp {
		status += ": " + string(unlock.ReasonUnreachable)
	}
	b.mu.Lock()
	if now.Before(b.tryTill) && v.Screen == unlock.ScreenEngineer {
		state, quiet = b.tried, false
	}
	b.mu.Unlock()
	b.board.Show(state, quiet)
	b.heedReader(v, now)
	return status
}

// stateOf is what somebody across the room is to know of a screen.
func stateOf(v unlock.View, now time.Time) board.State {
	switch v.Screen {
	case unlock.ScreenAttract:
		if !v.CentralUp {
			return board.Fault
		}
		return board.Ready
	case unlock.ScreenOutOfService:
		if v.Reason == "" {
			return board.Busy // it is starting
		}
		return board.Fault
	case unlock.ScreenStopped, unlock.ScreenUnlocked:
		if v.CardIn {
			return board.Attention
		}
	}
	if !v.EndsAt.IsZero() && !now.Before(v.WarnAt) {
		return board.Attention
	}
	return board.Busy
}

const (
	readerPatience = 30 * time.Second // without a reader, before its power is cycled
	readerAgain    = 10 * time.Minute // and not again before
)

// heedReader takes the power from a reader that has gone missing, or whose card hung, and gives it back.
func (b *box) heedReader(v unlock.View, now time.Time) {
	if v.Screen != unlock.ScreenOutOfService || v.Reason != unlock.ReasonNoReader {
		b.noReader = time.Time{}
	} else if b.noReader.IsZero() {
		b.noReader = now
	}
	missing := !b.noReader.IsZero() && now.Sub(b.noReader) >= readerPatience
	hung := v.Screen == unlock.ScreenStopped && v.Reason == unlock.ReasonHung
	if (missing || hung) && (b.cycled.IsZero() || now.Sub(b.cycled) >= readerAgain) && b.board.CycleReader() {
		b.cycled = now
	}
}

// clearTamperCommand is for the engineer who has looked at a kiosk whose case was opened.
func clearTamperCommand() *cobra.Command {
	var data string
	cmd := &cobra.Command{
		Use:   "clear-tamper --data FOLDER",
		Short: "Take a kiosk whose case was opened back into service, once it is shut",
		Long: `Take a kiosk whose case was opened back into service, once it is shut. The kiosk need not be stopped; its journal keeps when it was
opened and when it was cleared.

Look first whether the card reader and what is in the case are what they were: whoever opens it can put something between card and kiosk.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !(&box{data: data}).wasOpened() {
				return fmt.Errorf("clear-tamper: the case of the kiosk in %s was not opened; is it the right folder?", data)
			}
			if err := mark(data, clearedFile); err != nil {
				return fmt.Errorf("clear-tamper: %w", err)
			}
			fmt.Fprintln(cmd.OutOrStdout(), "cleared; the kiosk goes back into service when it runs and its case is shut")
			return nil
		},
	}
	cmd.Flags().StringVar(&data, "data", "", "the kiosk's data `folder`")
	_ = cmd.MarkFlagRequired("data")
	return cmd
}
