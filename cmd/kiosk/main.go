// Command kiosk is the appliance: a touchscreen, a card reader, and a way to central. It wires the packages of firmware,
// ui and card together and decides nothing.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/gdamore/tcell/v2"
	"github.com/spf13/cobra"

	"latchkey/card/profiles"
	"latchkey/firmware/journal"
	"latchkey/firmware/kiosk"
	"latchkey/firmware/link"
	"latchkey/firmware/secret"
	"latchkey/firmware/unlock"
	"latchkey/ui"
)

func main() {
	journal.CheckMain()
	var path string
	cmd := &cobra.Command{
		Use:   "kiosk --config FILE",
		Short: "Unlock smartcards on this terminal, with the card reader that pcscd serves",
		Long: `Unlock smartcards on this terminal, with the card reader that pcscd serves, until SIGTERM.

The configuration is TOML. Relative paths count from its folder; a setting that is not known is an error.

` + example,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serve(cmd.Context(), path)
		},
	}
	cmd.Flags().StringVar(&path, "config", "", "the kiosk's configuration `file`, TOML as above")
	_ = cmd.MarkFlagRequired("config")
	// A kiosk has no user who may stop it from its own keyboard.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	signal.Ignore(os.Interrupt, syscall.SIGTSTP, syscall.SIGQUIT)
	if err := cmd.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "kiosk:", err)
		os.Exit(1)
	}
}

// gcPercent is half of Go's default: a kiosk allocates little and seldom, and small boards have little memory.
const gcPercent = 50

func serve(ctx context.Context, path string) error {
	debug.SetGCPercent(gcPercent)
	if err := secret.ForbidDumps(); err != nil {
		return err
	}
	c, err := readConfig(path)
	if err != nil {
		return err
	}
	logFile, err := os.OpenFile(filepath.Join(c.Data, "kiosk.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	defer logFile.Close()
	log := slog.New(slog.NewTextHandler(logFile, nil))

	central, err := link.New(link.Config{URL: c.Central, Roots: c.roots, Certificate: c.certificate})
	if err != nil {
		return err
	}
	evidence, quarantined, err := journal.Open(filepath.Join(c.Data, "journal.db"), c.identity.ID, c.identity.Key, journal.Config{})
	if err != nil {
		return err
	}
	defer evidence.Close()
	if quarantined != "" {
		log.Error("the journal was damaged; it was set aside and a new one begun", "damaged", quarantined)
	}

	screen, err := tcell.NewScreen()
	if err != nil {
		return fmt.Errorf("open the terminal (is this run on one?): %w", err)
	}
	if err := screen.Init(); err != nil {
		return fmt.Errorf("open the terminal: %w", err)
	}
	defer screen.Fini()
	defer setPalette(os.Stdout)()
	screen.EnableMouse()
	face := &face{face: ui.New(screen, ui.Options{Help: c.Help, Zone: c.zone})}
	watch, stopWatch := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWatch()
	r := watchReaders(watch, log, profiles.Embedded())
	err = kiosk.New(kiosk.Config{
		Identity: c.identity, Machine: c.machine, Central: central, Journal: evidence,
		Reader: r.inputs, Open: r.open,
		Holder: face.inputs(watch, screen), Show: face.show, Log: log,
	}).Run(ctx)
	if err != nil {
		log.Error("kiosk ended", "err", err)
	}
	return err
}

// setPalette gives a Linux console the kiosk's colours, and returns what takes them back.
func setPalette(w io.Writer) (restore func()) {
	if os.Getenv("TERM") != "linux" {
		return func() {}
	}
	ui.SetPalette(w)
	return func() { ui.ResetPalette(w) }
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
