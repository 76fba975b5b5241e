package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"latchkey/tools/keypad"
)

// terminal is a program on a real pty, with tmux as the terminal: what a person would see, press and tap.
type terminal struct {
	ctx    context.Context
	socket string
}

// patience is how long a person here waits for a screen. No walk waits that long unless something is broken.
const patience = 2 * time.Minute

// look is how often a screen is looked at while it is waited for.
const look = 30 * time.Millisecond

func openTerminal(ctx context.Context, dir string, columns, rows int, argv, env []string) (*terminal, error) {
	t := &terminal{ctx: ctx, socket: filepath.Join(dir, "tmux")}
	config := filepath.Join(dir, "tmux.conf")
	if err := os.WriteFile(config, []byte("set -g status off\nset -g default-terminal screen-256color\nset -s escape-time 0\nset -g remain-on-exit on\n"), 0o600); err != nil {
		return nil, err
	}
	args := []string{"-u", "-f", config, "-S", t.socket, "new-session", "-d", "-x", strconv.Itoa(columns), "-y", strconv.Itoa(rows)}
	for _, e := range env {
		args = append(args, "-e", e)
	}
	args = append(args, argv...)
	cmd := exec.CommandContext(ctx, "tmux", args...)
	cmd.Env = append(os.Environ(), "LANG=C.UTF-8")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("tmux: %w: %s", err, out)
	}
	return t, nil
}

func (t *terminal) tmux(args ...string) (string, error) {
	out, err := exec.CommandContext(t.ctx, "tmux", append([]string{"-S", t.socket}, args...)...).Output()
	return string(out), err
}

func (t *terminal) close() { exec.Command("tmux", "-S", t.socket, "kill-server").Run() }

// screen is the text that stands on the terminal now, a line a row.
func (t *terminal) screen() string {
	out, err := t.tmux("capture-pane", "-p")
	if err != nil {
		return ""
	}
	return out
}

// await waits until a screen holds one of the texts, and returns which.
func (t *terminal) await(texts ...string) (string, error) { return t.awaitFrom(0, texts...) }

// awaitFrom looks only at what stands right of a column.
func (t *terminal) awaitFrom(column int, texts ...string) (string, error) {
	found := ""
	_, err := t.until(fmt.Sprintf("%q", texts), func(screen string) bool {
		now := flat(rightOf(screen, column))
		i := slices.IndexFunc(texts, func(text string) bool { return strings.Contains(now, text) })
		if i >= 0 {
			found = texts[i]
		}
		return i >= 0
	})
	return found, err
}

// until waits for a screen that is as it should be, and returns it.
func (t *terminal) until(what string, is func(screen string) bool) (string, error) {
	for give := time.Now().Add(patience); ; time.Sleep(look) {
		screen := t.screen()
		if is(screen) {
			return screen, nil
		}
		if time.Now().After(give) || t.ctx.Err() != nil {
			return "", fmt.Errorf("waited %s for %s and saw\n%s", patience, what, screen)
		}
	}
}

// ended waits until the terminal's program has ended; of what that started it says nothing. It asks tmux, since tmux 3.3a
// writes "Pane is dead" only once it has fetched the exit status, and sometimes it never does.
func (t *terminal) ended() error {
	for give := time.Now().Add(patience); ; {
		dead, err := t.tmux("display-message", "-p", "#{pane_dead}")
		if err != nil {
			return fmt.Errorf("ask tmux whether the program has ended: %w", err)
		}
		if strings.TrimSpace(dead) == "1" {
			return nil
		}
		if time.Now().After(give) || t.ctx.Err() != nil {
			return fmt.Errorf("waited %s for the program to end and saw\n%s", patience, t.screen())
		}
		time.Sleep(look)
	}
}

func rightOf(screen string, column int) string {
	rows := strings.Split(screen, "\n")
	for i, row := range rows {
		cells := []rune(row)
		rows[i] = string(cells[min(column, len(cells)):])
	}
	return strings.Join(rows, "\n")
}

// flat joins the rows, so that a text that is broken over two of them is found.
func flat(screen string) string { return strings.Join(strings.Fields(screen), " ") }

// press sends keys by tmux's names: Enter, Tab, Escape, BSpace, C-c.
func (t *terminal) press(keys ...string) error {
	_, err := t.tmux(append([]string{"send-keys"}, keys...)...)
	return err
}

// write types text.
func (t *terminal) write(text string) error {
	_, err := t.tmux("send-keys", "-l", text)
	return err
}

// tap puts a finger on the first of the texts that the screen holds and lifts it, as soon as one stands there.
func (t *terminal) tap(texts ...string) error {
	return t.tapWhat(fmt.Sprintf("%q", texts), func(rows []string) (int, int, bool) { return find(rows, texts) })
}

// tapDigit taps a digit of the on-screen keypad.
func (t *terminal) tapDigit(d byte) error {
	return t.tapWhat(fmt.Sprintf("key %c", d), func(rows []string) (int, int, bool) { return keypad.Find(rows, rune(d)) })
}

func (t *terminal) tapWhat(what string, find func(rows []string) (column, row int, found bool)) error {
	x, y := 0, 0
	_, err := t.until(what+" to tap on", func(screen string) (found bool) {
		x, y, found = find(strings.Split(screen, "\n"))
		return found
	})
	if err != nil {
		return err
	}
	return t.tapAt(x, y)
}

// find is the middle of a text, the lowest if it stands there twice: buttons stand below what is said of them.
func find(rows, texts []string) (column, row int, found bool) {
	for _, text := range texts {
		for y := len(rows) - 1; y >= 0; y-- {
			if before, _, is := strings.Cut(rows[y], text); is {
				return utf8.RuneCountInString(before) + utf8.RuneCountInString(text)/2, y, true
			}
		}
	}
	return 0, 0, false
}

// tapAt takes cells counted from 0; terminals count from 1 (xterm's SGR mouse mode, 1006).
func (t *terminal) tapAt(x, y int) error {
	return t.write(fmt.Sprintf("\x1b[<0;%d;%dM\x1b[<0;%d;%dm", x+1, y+1, x+1, y+1))
}
