// Command run shows Latchkey on one machine, with nothing to configure: the kiosk in the terminal, and beside it "You",
// the person who walks up to it, with a hand of virtual cards, the mail, and an independent client that says what is true
// of a card. Package rig makes the rest: reader stack, mailbox, central.
//
// It is for development and for looking; production code never imports it. Everything lives in one temporary folder and
// ends with it: by Ctrl-C, by SIGTERM, or when the terminal closes.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"

	"golang.org/x/term"

	"latchkey/tools/reader"
	"latchkey/tools/rig"
)

const help = `Shows Latchkey in this terminal, with nothing to configure: the kiosk, and beside it "You", with virtual cards, the mail,
and an independent client that says what is true of a card. Ctrl-C ends everything that it started.
It takes no arguments. ("run you --socket FILE" is its right-hand pane.)
`

func main() {
	reader.Main()
	var err error
	switch args := os.Args[1:]; {
	case len(args) == 0:
		if err = run(); err == nil {
			fmt.Fprintln(os.Stderr, "run: everything that was started has ended")
		}
	case len(args) == 1 && (args[0] == "--help" || args[0] == "-h"):
		fmt.Print(help)
	case len(args) == 3 && args[0] == "you" && args[1] == "--socket":
		err = you(args[2])
	default:
		err = errors.New("it takes no arguments")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "run:", err)
		os.Exit(1)
	}
}

func run() error {
	if !term.IsTerminal(int(os.Stdin.Fd())) || !term.IsTerminal(int(os.Stdout.Fd())) {
		return errors.New("this is something to look at: start it on a terminal")
	}
	if _, err := exec.LookPath("tmux"); err != nil {
		return errors.New("tmux is not installed: apt-get install tmux")
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	dir, err := os.MkdirTemp("", "latchkey-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)

	fmt.Fprintln(os.Stderr, "run: starting the reader, central and the mailbox")
	said := &log{to: os.Stderr}
	system, err := rig.Start(ctx, rig.Config{Dir: dir, Bin: filepath.Dir(program), Issues: issues(), Log: said})
	if err != nil {
		if ctx.Err() != nil {
			return errors.New("stopped before it had started")
		}
		return err
	}
	defer system.Close()
	if err := spoil(system.Card); err != nil {
		return err
	}
	t, err := newTable(ctx, system, filepath.Join(dir, "you"))
	if err != nil {
		return err
	}
	defer t.close()
	said.table.Store(t)

	screen, err := newScreen(ctx, dir)
	if err != nil {
		return err
	}
	defer screen.close()
	kiosk, env := system.Kiosk()
	if err := screen.show(env, kiosk, []string{program, "you", "--socket", t.addr()}); err != nil {
		return err
	}
	return screen.attach()
}

// log is what the rig says while it works: on the terminal until the panes are there, then in the pane.
type log struct {
	to    io.Writer
	table atomic.Pointer[table]
}

func (l *log) Write(b []byte) (int, error) {
	if t := l.table.Load(); t != nil {
		t.change(func(s *state) { s.Notice = strings.TrimSpace(string(b)) })
		return len(b), nil
	}
	return l.to.Write(b)
}
