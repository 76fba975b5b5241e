package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// terminal is a program on a real pty, with tmux as the terminal: what a person would see, press and tap.
type terminal struct {
	ctx    context.Context
	socket string
}

// patience is how long a person here waits for a screen. No walk waits that long unless something is broken.
const patience = 30 * time.Second

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
	for give := time.Now().Add(patience); ; {
		now := flat(rightOf(t.screen(), column))
		for _, text := range texts {
			if strings.Contains(now, text) {
				return text, nil
			}
		}
		if time.Now().After(give) || t.ctx.Err() != nil {
			return "", fmt.Errorf("waited %s for %q and saw\n%s", patience, texts, t.screen())
		}
		time.Sleep(look)
	}
}

// differs waits until the screen is another than it was.
func (t *terminal) differs(before string) error {
	for give := time.Now().Add(patience); t.screen() == before; time.Sleep(look) {
		if time.Now().After(give) || t.ctx.Err() != nil {
			return fmt.Errorf("waited %s for a change and saw\n%s", patience, before)
		}
	}
	return nil
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

// tap puts a finger on a text of the screen and lifts it: on the lowest if it stands there twice, for buttons stand below
// what is said of them.
func (t *terminal) tap(text string) error {
	rows := strings.Split(t.screen(), "\n")
	for y := len(rows) - 1; y >= 0; y-- {
		if at := strings.Index(rows[y], text); at >= 0 {
			return t.tapAt(len([]rune(rows[y][:at]))+len([]rune(text))/2, y)
		}
	}
	return fmt.Errorf("there is no %q to tap on\n%s", text, t.screen())
}

// tapAt takes cells counted from 0; terminals count from 1 (xterm's SGR mouse mode, 1006).
func (t *terminal) tapAt(x, y int) error {
	return t.write(fmt.Sprintf("\x1b[<0;%d;%dM\x1b[<0;%d;%dm", x+1, y+1, x+1, y+1))
}

// tapDigit taps a digit of the on-screen keypad, which stands in the right half: the place where the digit stands alone
// in a row of three, or the zero between its neighbours.
func (t *terminal) tapDigit(d byte) error {
	for y, row := range strings.Split(t.screen(), "\n") {
		cells := []rune(row)
		alone, at := 0, -1
		for x := len(cells) / 2; x < len(cells); x++ {
			if c := cells[x]; c >= '0' && c <= '9' && bare(cells, x-1) && bare(cells, x+1) {
				alone++
				if byte(c) == d {
					at = x
				}
			}
		}
		if at >= 0 && (alone == 3 || d == '0' && alone == 1) {
			return t.tapAt(at, y)
		}
	}
	return fmt.Errorf("there is no key %c\n%s", d, t.screen())
}

func bare(cells []rune, x int) bool {
	if x < 0 || x >= len(cells) {
		return true
	}
	c := cells[x]
	return c == ' ' || c >= 0x2500 && c < 0x2600
}
