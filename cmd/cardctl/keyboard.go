package main

import (
	"bytes"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"latchkey/firmware/secret"
)

// keyboard reads lines from a terminal, termios(3): shown or not. The kernel gives a line whole, so that no copy of a
// passcode is left behind, as term.ReadPassword leaves them when its buffer grows.
type keyboard struct {
	tty    *os.File
	before *term.State
}

// openKeyboard hides what is typed until it is asked for.
func openKeyboard(tty *os.File) (*keyboard, error) {
	before, err := term.GetState(int(tty.Fd()))
	if err != nil {
		return nil, fmt.Errorf("open the terminal: %w", err)
	}
	k := &keyboard{tty, before}
	return k, k.show(false)
}

func (k *keyboard) restore() { term.Restore(int(k.tty.Fd()), k.before) }

// show says whether what is typed is shown.
func (k *keyboard) show(shown bool) error {
	t, err := unix.IoctlGetTermios(int(k.tty.Fd()), unix.TCGETS)
	if err != nil {
		return fmt.Errorf("ask the terminal: %w", err)
	}
	t.Lflag = t.Lflag&^(unix.ECHO|unix.ECHONL) | unix.ICANON | unix.ISIG
	if shown {
		t.Lflag |= unix.ECHO
	}
	if err := unix.IoctlSetTermios(int(k.tty.Fd()), unix.TCSETS, t); err != nil {
		return fmt.Errorf("set the terminal: %w", err)
	}
	return nil
}

// forget drops what was typed before it was asked for.
func (k *keyboard) forget() { unix.IoctlSetInt(int(k.tty.Fd()), unix.TCFLSH, unix.TCIFLUSH) }

// longest is N_TTY's limit for a line.
const longest = 4096

// read hands over each line, which the receiver owns, until the terminal ends.
func (k *keyboard) read(line func(secret.Value), end func() bool) {
	b := make([]byte, longest)
	for {
		n, err := k.tty.Read(b)
		if err != nil {
			end()
			return
		}
		line(secret.New(bytes.Clone(bytes.TrimRight(b[:n], "\r\n"))))
		clear(b[:n])
	}
}
