// Package console is a terminal of its own for a program: a pty, what stands on its screen now, and when each byte of
// that came. It is for benchmarks and tests that must know to the microsecond what tmux would tell to the next look.
//
// It understands what tcell sends to TERM=linux (console_codes(4)) and no more: text, colours are dropped, and what it
// does not know it leaves out. It is no terminal to look at, and answers no questions.
package console

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Console is a running terminal. It is safe for concurrent use.
type Console struct {
	master, tty *os.File
	ended       chan struct{} // closed when nothing is read any more

	mu      sync.Mutex
	screen  screen
	bytes   int           // since Mark
	first   time.Time     // when the first of them came
	last    time.Time     // when the last byte came
	changed chan struct{} // closed with the next byte
}

// Open makes a terminal of this size.
func Open(columns, rows int) (*Console, error) {
	master, tty, err := open(columns, rows)
	if err != nil {
		return nil, fmt.Errorf("open a pty: %w", err)
	}
	c := &Console{master: master, tty: tty, ended: make(chan struct{}), screen: newScreen(columns, rows), changed: make(chan struct{})}
	go c.read()
	return c, nil
}

// open makes both ends of a pty, pts(4).
func open(columns, rows int) (master, tty *os.File, err error) {
	// Not blocking: else Close would wait for a read.
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	master = os.NewFile(uintptr(fd), "/dev/ptmx")
	defer func() {
		if err != nil {
			master.Close()
		}
	}()
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		return nil, nil, err
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return nil, nil, err
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Col: uint16(columns), Row: uint16(rows)}); err != nil {
		return nil, nil, err
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	return master, tty, err
}

// Start starts a program on this terminal, in a session of its own.
func (c *Console) Start(cmd *exec.Cmd) error {
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.tty, c.tty, c.tty
	cmd.Env = append(cmd.Environ(), "TERM=linux", "LC_ALL=C.UTF-8")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Pdeathsig: syscall.SIGKILL}
	return cmd.Start()
}

// Type types keys.
func (c *Console) Type(keys string) error {
	_, err := c.master.WriteString(keys)
	return err
}

// Close ends the terminal; a program that is on it is hung up.
func (c *Console) Close() error {
	err := errors.Join(c.tty.Close(), c.master.Close())
	<-c.ended
	return err
}

func (c *Console) read() {
	defer close(c.ended)
	b := make([]byte, 64<<10)
	for {
		n, err := c.master.Read(b)
		now := time.Now()
		if err != nil {
			return
		}
		c.mu.Lock()
		if c.bytes == 0 {
			c.first = now
		}
		c.last = now
		c.bytes += n
		c.screen.write(b[:n])
		close(c.changed)
		c.changed = make(chan struct{})
		c.mu.Unlock()
	}
}

// Text is what stands on the screen, in one line with single spaces, so that a text that is broken over two rows is found.
func (c *Console) Text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.screen.flat()
}

// Rows are the screen's rows, without the spaces at their ends.
func (c *Console) Rows() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.screen.rows()
}

// Await waits until one of the texts stands on the screen, and tells when its last byte came.
func (c *Console) Await(ctx context.Context, texts ...string) (time.Time, error) {
	for {
		c.mu.Lock()
		now, at, changed := c.screen.flat(), c.last, c.changed
		c.mu.Unlock()
		for _, text := range texts {
			if strings.Contains(now, text) {
				return at, nil
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return at, fmt.Errorf("waited for %q and saw %q: %w", texts, now, ctx.Err())
		}
	}
}

// Mark begins to count bytes anew.
func (c *Console) Mark() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bytes = 0
}

// Settle waits for a first byte after Mark, then until none came for quiet. It tells how many came and when the first did.
func (c *Console) Settle(ctx context.Context, quiet time.Duration) (bytes int, first time.Time, err error) {
	for {
		c.mu.Lock()
		bytes, first = c.bytes, c.first
		rest, changed := quiet-time.Since(c.last), c.changed
		c.mu.Unlock()
		if bytes > 0 && rest <= 0 {
			return bytes, first, nil
		}
		var silent <-chan time.Time
		if bytes > 0 {
			silent = time.After(rest)
		}
		select {
		case <-silent:
		case <-changed:
		case <-ctx.Done():
			return bytes, first, fmt.Errorf("wait for the screen to come to rest after %d bytes: %w", bytes, ctx.Err())
		}
	}
}
