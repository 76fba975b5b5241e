package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"latchkey/card/pcsc"
	"latchkey/cmd/internal/device"
	"latchkey/firmware/kiosk"
	"latchkey/firmware/secret"
	"latchkey/firmware/unlock"
)

// deliverFor is how long central has at the end to take the evidence; what it does not take goes with the next run.
const deliverFor = 10 * time.Second

func unblockCommand(reader *string) *cobra.Command {
	var config string
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "unblock --config FILE",
		Short: "At an attended desk: unlock a card, or set a new passcode, as a kiosk does",
		Long: `Serve one card at an attended desk: unlock it, or change the passcode of a card that is not locked. The holder has to
be there: a code goes to the holder, and the holder types the passcodes, which are not shown.

To central the desk is an enrolled device like a kiosk: the same code, the same release, the same evidence. There is no
other way to a release. The configuration is a kiosk's ("central kiosk add NAME --cert FILE --kind desk" enrols it), TOML:

` + device.Example + `

It needs a terminal. Ctrl-C ends it; a card that is being written is finished first. With --reader only that reader
counts, so that your own card can stay in another. The exit code is 0 only if the passcode was set.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return unblock(cmd.Context(), config, *reader, wait, os.Stdin, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&config, "config", "", "the desk's configuration `file`, TOML as above")
	cmd.Flags().DurationVar(&wait, "wait", 2*time.Minute, "how long to wait for a card")
	_ = cmd.MarkFlagRequired("config")
	return cmd
}

var errNoTerminal = errors.New("unblock needs a terminal: passcodes are typed by the holder, and not shown")

func unblock(ctx context.Context, path, want string, wait time.Duration, in *os.File, out io.Writer) error {
	if !term.IsTerminal(int(in.Fd())) {
		return errNoTerminal
	}
	if err := secret.ForbidDumps(); err != nil {
		return err
	}
	c, err := device.ReadConfig(path, "cardctl unblock --help")
	if err != nil {
		return err
	}
	only, err := onlyReader(want)
	if err != nil {
		return err
	}
	dev, err := device.Open(c, "desk.log")
	if err != nil {
		return err
	}
	defer dev.Close()
	keys, err := openKeyboard(in)
	if err != nil {
		return err
	}
	defer keys.restore()
	signal.Ignore(syscall.SIGTSTP, syscall.SIGQUIT) // a stopped program would hold the card, and the echo is off
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)

	d := newDesk(out, keys, c.Zone, c.Help)
	watch, stopWatch := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWatch()
	record := &evidence{Central: dev.Central, journal: dev.Journal, answered: map[string]bool{}}
	loop := dev.Kiosk(device.Watch(watch, dev.Log, c.Profiles, only))
	loop.Reader = d.oneVisit(loop.Reader)
	loop.Central, loop.Holder, loop.Show = record, d.inputs, d.show
	running, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- kiosk.New(loop).Run(running) }()
	go keys.read(d.typed, d.cancel)

	d.wait(wait, signals, ended, stop)
	if d.visited() {
		record.await(out, signals, ended)
	}
	stop()
	if err := d.loopEnd(ended); err != nil {
		dev.Log.Error("desk ended", "err", err)
		return err
	}
	return d.verdict()
}

// onlyReader is the full name of the reader that --reader means; "" for all. It also tells whether pcscd is there at all.
func onlyReader(want string) (string, error) {
	slots, err := pcsc.Slots()
	switch {
	case err != nil:
		return "", thisMachine().unreachable(err)
	case len(slots) == 0:
		return "", noReader
	case want == "":
		return "", nil
	}
	meant, err := named(slots, want)
	if err != nil {
		return "", err
	}
	return meant[0].Reader, nil
}

// wait returns when the visit is over, or did not begin in time, or the loop has ended.
func (d *desk) wait(patience time.Duration, signals <-chan os.Signal, ended chan error, stop context.CancelFunc) {
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		select {
		case <-d.finished:
			return
		case <-late.C:
			if d.giveUp(patience) {
				return
			}
		case <-signals:
			if !d.cancel() {
				stop() // the second time, or nobody is served: at once, unless the card is being written
			}
		case err := <-ended:
			ended <- err
			return
		}
	}
}

// loopEnd waits for the loop and tells how it ended; a loop that was told to stop ended well.
func (d *desk) loopEnd(ended <-chan error) error {
	err := <-ended
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// oneVisit passes on what the reader tells until the visit is over: a card that is put in while central is still told of
// the last one begins none.
func (d *desk) oneVisit(reader <-chan unlock.Input) <-chan unlock.Input {
	passed := make(chan unlock.Input)
	go func() {
		for in := range reader {
			select {
			case passed <- in:
			case <-d.finished:
			}
		}
	}()
	return passed
}
