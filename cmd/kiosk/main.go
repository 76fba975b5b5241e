// Command kiosk is the appliance: a touchscreen, a card reader, and a way to central. It wires the packages of firmware,
// ui and card together and decides nothing.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gdamore/tcell/v2"
	"github.com/spf13/cobra"

	"latchkey/board/console"
	"latchkey/cmd/internal/device"
	"latchkey/firmware/journal"
	"latchkey/firmware/kiosk"
	"latchkey/firmware/secret"
	"latchkey/firmware/unlock"
	"latchkey/ui"
)

func main() {
	console.KeepMain()
	journal.CheckMain()
	var path string
	cmd := &cobra.Command{
		Use:   "kiosk --config FILE",
		Short: "Unlock smartcards on this terminal, with the card reader that pcscd serves",
		Long: `Unlock smartcards on this terminal, with the card reader that pcscd serves, until SIGTERM.

The configuration is TOML. Relative paths count from its folder. A setting that is not known is an error; but where "kiosk setup" has
written the file (provisioned.sha256 is set), a newer version of it may know more than the kiosk of the slot that the machine went back
to: such settings do nothing, and the log and the engineer's page name them.

` + device.Example,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serve(cmd.Context(), path)
		},
	}
	cmd.Flags().StringVar(&path, "config", "", "the kiosk's configuration `file`, TOML as above")
	_ = cmd.MarkFlagRequired("config")
	cmd.AddCommand(enrolCommand(), setupCommand(), clearTamperCommand())
	// A kiosk has no user who may stop it from its own keyboard.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	signal.Ignore(os.Interrupt, syscall.SIGTSTP, syscall.SIGQUIT)
	if err := cmd.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "kiosk:", err)
		if refused := (*refusedFile)(nil); errors.As(err, &refused) {
			os.Exit(exitRefused)
		}
		os.Exit(1)
	}
}

// logName is the log's, in the data folder.
const logName = "kiosk.log"

// gcPercent is half of Go's default: a kiosk allocates little and seldom, and small boards have little memory.
const gcPercent = 50

func serve(ctx context.Context, path string) error {
	started := time.Now()
	debug.SetGCPercent(gcPercent)
	if err := secret.ForbidDumps(); err != nil {
		return err
	}
	c, err := device.ReadConfig(path, "kiosk --help")
	if err != nil {
		return err
	}
	d, err := device.Open(c, logName)
	if err != nil {
		return err
	}
	defer d.Close()
	if len(c.Unknown) > 0 {
		d.Log.Warn("a newer version wrote settings that this one does not know", "settings", strings.Join(c.Unknown, " "))
	}
	faults := &lastFault{d.Log.Handler(), &atomic.Pointer[string]{}}
	d.Log = slog.New(faults)
	slog.SetDefault(d.Log) // what libraries say belongs into the log, not onto the screen
	box, err := openBox(c, d.Log)
	if err != nil {
		return err
	}
	orderly := true // until the loop runs: who starts the kiosk learns that it did not start
	defer func() { box.close(orderly) }()
	inputs, err := openInputs(c, d.Log)
	if err != nil {
		return err
	}

	options := ui.Options{
		Help: c.Help, HelpWelsh: c.HelpWelsh, Zone: c.Zone, NextKiosk: c.NextKiosk, NextKioskWelsh: c.NextKioskWelsh, Kiosk: c.Identity.ID,
		Language: c.Language, Fingerprint: c.Fingerprint(), Debug: debugImage(),
	}
	chip := box.board.Health().Clock
	known := clock{d.Central.Clock, func() bool { return chip || synchronised() }}
	box.quiet = known.in(c.QuietAt)
	options.Quiet = box.quiet
	defer openConsole(c.Console.Font, d.Log, &options)() // before the screen, which asks for its size
	screen, err := openTerminal()
	if err != nil {
		return fmt.Errorf("open the terminal (is this run on one?): %w", err)
	}
	if err := screen.Init(); err != nil {
		return fmt.Errorf("open the terminal: %w", err)
	}
	defer screen.Fini()
	screen.EnableMouse()
	if inputs != nil {
		defer inputs.Close()
		options.Touch = inputs.Raw
	}
	watch, stopWatch := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWatch()
	go secret.Forget(watch)
	readers := device.Watch(watch, d.Log, c.Profiles, "")
	engineer := &engineer{dev: d, box: box, inputs: inputs, readers: readers, faults: faults, started: started}
	options.Engineer, options.Do = engineer.facts, engineer.do
	if voice := openSpeech(c.Speech.Program, d.Log); voice != nil {
		options.Say = voice.say
		go voice.run(watch)
	}
	face := &face{face: ui.New(screen, options)}
	if inputs != nil {
		go feed(watch, inputs, screen, face.headphones)
	}
	if isLost(d.Data) {
		go func() {
			for range face.inputs(watch, screen) {
			}
		}()
		notifier := newNotifier(d.Log)
		orderly = false
		err := serveLost(ctx, d, func(v unlock.View, now time.Time) {
			face.show(v, now)
			notifier.turn(box.show(v, now), now)
		})
		notifier.stopping()
		orderly = err == nil
		return err
	}
	codes := openService(d)
	go codes.keep(watch)
	loop, notifier := d.Kiosk(readers), newNotifier(d.Log)
	loop.Service = codes.store
	loop.Holder, loop.Box, loop.CaseOpened = face.inputs(watch, screen), box.inputs(watch), box.wasOpened()
	loop.Show = func(v unlock.View, now time.Time) {
		v = box.through(v)
		codes.seen(v)
		engineer.seen(v, now)
		face.show(v, now)
		notifier.turn(box.show(v, now), now) // last: a face that stands is no sign of life
	}
	orderly = false
	err = kiosk.New(loop).Run(ctx)
	notifier.stopping()
	orderly = err == nil
	if err != nil {
		d.Log.Error("kiosk ended", "err", err)
	}
	return err
}

// face is shared by the loop, which shows, and the terminal's goroutine, which types.
type face struct {
	mu   sync.Mutex
	face *ui.Face
}

func (f *face) show(v unlock.View, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.face.Show(v, now)
}

func (f *face) headphones(in bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.face.Headphones(in, time.Now())
}

// inputs turns what the terminal tells into the machine's inputs, until ctx ends.
func (f *face) inputs(ctx context.Context, screen tcell.Screen) <-chan unlock.Input {
	inputs := make(chan unlock.Input)
	go func() {
		for {
			event := screen.PollEvent()
			if event == nil {
				return
			}
			f.mu.Lock()
			in := f.face.Handle(event, time.Now())
			f.mu.Unlock()
			if in == nil {
				continue
			}
			select {
			case inputs <- in:
			case <-ctx.Done():
				return
			}
		}
	}()
	return inputs
}
