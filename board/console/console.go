// Package console takes a Linux virtual terminal for the kiosk and gives it back. While it is taken it has the kiosk's colours
// and font, no cursor, no blanking and no key repeat, its keymap has no key that leaves the kiosk (console switching, Ctrl-Alt-Del, SAK, scroll
// lock, scrollback, the kernel's state), terminals cannot be switched, and SysRq and the kernel's own messages are off. It
// follows linux/kd.h, linux/vt.h, linux/keyboard.h, console_codes(4), and Documentation/admin-guide/sysctl/kernel.rst.
//
// What was there is put back by a keeper: this program started again as a child in a session of its own, with nothing but the
// terminal, the read end of a pipe, and what was there. It does so when the pipe breaks, and a pipe breaks however a program
// ends. It clears the screen, too, so that nothing of a holder stays there.
//
// It refuses anything that is not a Linux console: there it changes nothing. What it may not do, or the kernel cannot, it says by
// name in Lacks, and does the rest. Most of it needs CAP_SYS_TTY_CONFIG; SAK and the settings below /proc/sys need root.
package console

import (
	"errors"
	"fmt"
	"image/color"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNoConsole: the terminal is no Linux console, and was left alone.
var ErrNoConsole = errors.New("this terminal is no Linux console")

// Cells that large print must leave: those of a panel of 800×480 with the font of 16×32. It takes half of either.
const (
	minColumns = 50
	minRows    = 15
)

// Config is how the console is to be.
type Config struct {
	Font    string // path of a PSF font with a Unicode table, gzipped or not; "" keeps the one that is there
	Palette [16]color.RGBA
}

// Console is a taken console. Close it.
type Console struct {
	// Lacks says of each thing that could not be done, by name, why; the rest was done.
	Lacks []error

	tty    *terminal
	keeper *keeper

	mu    sync.Mutex
	font  *Font // nil: could not be loaded
	roomy bool  // large print leaves enough cells
	tall  bool  // the kernel takes fonts of more than 32 rows
}

// patience with an earlier kiosk's keeper, which is putting things back.
const patience = 5 * time.Second

// Open takes the console that f is a terminal of. The error is ErrNoConsole where there is none. The program must call KeepMain
// first thing in main.
func Open(f *os.File, c Config) (*Console, error) {
	if !keeping.Load() {
		return nil, errors.New("the program does not call console.KeepMain first thing in main")
	}
	n, err := consoleNumber(f)
	if err != nil {
		return nil, err
	}
	tty, err := openTerminal(n)
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	if err := tty.lock(patience); err != nil {
		return nil, fmt.Errorf("console: another kiosk has %s, or has not given it back: %w", tty.Name(), errors.Join(err, tty.Close()))
	}
	was, lacks := save(tty)
	k, err := keep(tty, was)
	if err != nil {
		return nil, fmt.Errorf("console: %w", errors.Join(err, tty.Close()))
	}
	con := &Console{tty: tty, keeper: k, Lacks: lacks}
	con.take(c, was)
	return con, nil
}

// take makes the console the kiosk's. What is in was can be put back; nothing else is changed.
func (con *Console) take(c Config, was *state) {
	con.lacks(con.tty.write(opening(c.Palette)))
	con.lacks(con.loadFont(c.Font, was))
	for _, k := range was.Keys {
		if err := con.tty.setKey(key{k.Table, k.Index, keyHole}); err != nil {
			con.lacks(fmt.Errorf("keymap: keys that leave the kiosk stay: %w", err))
			break
		}
	}
	if err := con.tty.lockSwitch(); err != nil {
		con.lacks(fmt.Errorf("switching terminals stays possible: %w", err))
	}
	for _, s := range was.Settings {
		con.lacks(s.change())
	}
}

// opening: UTF-8, the palette, no blanking, no power saving, no cursor, and no repeat of a key that is held, which would choose on
// screens that its holder has not read (console_codes(4): DECARM).
func opening(palette [16]color.RGBA) []byte {
	b := []byte("\x1b%G")
	for n, c := range palette {
		b = fmt.Appendf(b, "\x1b]P%x%02x%02x%02x", n, c.R, c.G, c.B)
	}
	return append(b, "\x1b[9;0]\x1b[14;0]\x1b[?25l\x1b[?8l"...)
}

func (con *Console) loadFont(path string, was *state) error {
	if path == "" || was.Font == nil {
		return nil // not wanted, or save has said why
	}
	f, err := LoadFont(path)
	if err != nil {
		return err
	}
	f.complete()
	if err := con.tty.setFont(f); err != nil {
		return fmt.Errorf("font %s: %w", path, err)
	}
	con.font, con.tall = f, con.tty.tall()
	size, err := unix.IoctlGetWinsize(int(con.tty.Fd()), unix.TIOCGWINSZ)
	con.roomy = err == nil && int(size.Col) >= 2*minColumns && int(size.Row) >= 2*minRows
	return nil
}

// HalfBlocks tells whether the console can draw ▀ and ▄.
func (con *Console) HalfBlocks() bool {
	con.mu.Lock()
	defer con.mu.Unlock()
	return con.font != nil && con.font.Has('▀') && con.font.Has('▄')
}

// CanLargePrint tells whether LargePrint can be had here: enough cells, the kiosk's own font, and Linux 6.3 or newer.
func (con *Console) CanLargePrint() bool { return con.largePrint() == nil }

func (con *Console) largePrint() error {
	con.mu.Lock()
	defer con.mu.Unlock()
	switch {
	case con.font == nil:
		return errors.New("large print: the kiosk's font could not be loaded")
	case !con.roomy:
		return fmt.Errorf("large print: the screen has less than %d×%d characters", 2*minColumns, 2*minRows)
	case !con.tall:
		return errors.New("large print: this kernel has no fonts of more than 32 rows; Linux 6.3 has")
	}
	return nil
}

// LargePrint doubles the console's font, or takes that back. The terminal's size changes with it.
func (con *Console) LargePrint(on bool) error {
	if err := con.largePrint(); err != nil {
		return err
	}
	con.mu.Lock()
	defer con.mu.Unlock()
	f := con.font
	if on {
		f = f.doubled()
	}
	if err := con.tty.setFont(f); err != nil {
		return fmt.Errorf("large print: %w", err)
	}
	return nil
}

// Close gives the console back as it was, with a clear screen. It returns when that is done.
func (con *Console) Close() error {
	con.mu.Lock()
	defer con.mu.Unlock()
	con.font = nil
	if err := errors.Join(con.keeper.end(), con.tty.Close()); err != nil {
		return fmt.Errorf("console: %w", err)
	}
	return nil
}

func (con *Console) lacks(err error) {
	if err != nil {
		con.Lacks = append(con.Lacks, err)
	}
}
