package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// state is what stood before the kiosk took the console, as far as it can be put back.
type state struct {
	Console  int // its number
	Termios  *unix.Termios
	Font     *Font
	Keys     []key
	Blank    int // minutes until the screen goes dark; 0: never
	Settings []setting
}

// setting is a file below /proc/sys, and what it holds.
type setting struct{ Path, Was, Want string }

// wanted are the settings that the kiosk changes (Documentation/admin-guide/sysctl/kernel.rst).
var wanted = []setting{
	{Path: "/proc/sys/kernel/sysrq", Want: "0"},
	{Path: "/proc/sys/kernel/ctrl-alt-del", Want: "0"}, // to init, which decides, and not at once
	{Path: "/proc/sys/kernel/printk", Want: "1"},       // emergencies alone are written over the kiosk
}

func (s setting) change() error { return s.write(s.Want) }

func (s setting) write(value string) error {
	if strings.Fields(s.Was)[0] == s.Want {
		return nil // nothing was changed, and nothing is put back
	}
	f, err := os.OpenFile(s.Path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("setting: %w", err)
	}
	_, err = f.WriteString(value + "\n")
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("setting: %w", err)
	}
	return nil
}

// save reads what is to be put back. What cannot be read is not changed either, and is told.
func save(t *terminal) (was *state, lacks []error) {
	was = &state{Console: t.number}
	lack := func(what string, err error) {
		if err != nil {
			lacks = append(lacks, fmt.Errorf("%s: %w", what, err))
		}
	}
	var err error
	was.Termios, err = unix.IoctlGetTermios(int(t.Fd()), unix.TCGETS)
	lack("terminal", err)
	was.Font, err = t.getFont()
	lack("font", err)
	was.Keys, err = leaving(t.keyAt)
	lack("keymap", err)
	if b, err := os.ReadFile("/sys/module/kernel/parameters/consoleblank"); err == nil {
		seconds, _ := strconv.Atoi(strings.TrimSpace(string(b)))
		was.Blank = seconds / 60
	}
	for _, s := range wanted {
		b, err := os.ReadFile(s.Path)
		if s.Was = strings.TrimSpace(string(b)); err == nil && s.Was == "" {
			err = fmt.Errorf("%s is empty", s.Path)
		}
		if err != nil {
			lack("setting", err)
			continue
		}
		was.Settings = append(was.Settings, s)
	}
	return was, lacks
}

// restore puts everything back that it can.
func (was *state) restore() error {
	var errs []error
	for _, s := range was.Settings {
		errs = append(errs, s.write(s.Was))
	}
	// Opened anew: that of the kiosk was hung up if the kiosk led its session.
	t, err := openTerminal(was.Console)
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	defer t.Close()
	errs = append(errs, t.freeSwitch())
	for _, k := range was.Keys {
		errs = append(errs, t.setKey(k))
	}
	if was.Font != nil {
		errs = append(errs, t.setFont(was.Font))
	}
	errs = append(errs, t.write(closing(was.Blank)))
	// What a holder typed and nobody read is not for who comes next.
	errs = append(errs, unix.IoctlSetInt(int(t.Fd()), unix.TCFLSH, unix.TCIFLUSH))
	if was.Termios != nil {
		errs = append(errs, unix.IoctlSetTermios(int(t.Fd()), unix.TCSETS, was.Termios))
	}
	return errors.Join(errs...)
}

// closing: the kernel's palette, blanking, the cursor; then everything else as new, with a clear screen and nothing to scroll
// back to (console_codes(4)).
func closing(blank int) []byte {
	return fmt.Appendf(nil, "\x1b]R\x1b[9;%d]\x1b[?25h\x1bc\x1b[3J", blank)
}

// keeperName is argument 0 of the keeper: no user types it, and no flag of the program is spent on it.
const keeperName = "latchkey-console-keeper"

// Files that the keeper has beside the standard ones.
const (
	keeperLock  = 3 + iota // the console, locked
	keeperPipe             // breaks when the kiosk ends
	keeperState            // what to put back
)

// keeping: KeepMain was called, so a child of this program keeps and does nothing else.
var keeping atomic.Bool

// KeepMain ends the process here if it is the keeper that Open started. Call it first thing in main.
func KeepMain() {
	keeping.Store(true)
	if len(os.Args) != 1 || os.Args[0] != keeperName {
		return
	}
	// systemd and terminals send these to all that belongs to a service or a session; the keeper ends when it is done.
	signal.Ignore(unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU, unix.SIGPIPE)
	var b [1]byte
	for {
		n, err := unix.Read(keeperPipe, b[:])
		if n == 0 && err == nil {
			break
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err := restoreFrom(os.NewFile(keeperState, "state")); err != nil {
		os.Exit(1)
	}
	os.Exit(0)
}

func restoreFrom(f *os.File) error {
	var was state
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := json.NewDecoder(f).Decode(&was); err != nil {
		return err
	}
	return was.restore()
}

// keeper is the child, as the kiosk sees it. It takes 1.6 MB of its own (make vm-test tells); what more it shows are the program's pages,
// which are there once. A small program for it would take twice that, and an init that did it would leave other systems without.
type keeper struct {
	cmd   *exec.Cmd
	alive *os.File // the pipe's write end
	was   *state
}

// keep starts the keeper. It need not be waited for: it finds the pipe broken if the kiosk has ended before it listens.
func keep(lock *terminal, was *state) (*keeper, error) {
	fd, err := unix.MemfdCreate("console", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("keeper: %w", err)
	}
	memory := os.NewFile(uintptr(fd), "console")
	defer memory.Close()
	if err := json.NewEncoder(memory).Encode(was); err != nil {
		return nil, fmt.Errorf("keeper: %w", err)
	}
	broken, alive, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("keeper: %w", err)
	}
	defer broken.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Args, cmd.Dir = []string{keeperName}, string(filepath.Separator)
	cmd.Env = []string{"GOMAXPROCS=1"}
	cmd.ExtraFiles = []*os.File{lock.File, broken, memory}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("keeper: %w", errors.Join(err, alive.Close()))
	}
	return &keeper{cmd, alive, was}, nil
}

// end has the keeper put everything back; if somebody has killed it, that is done here.
func (k *keeper) end() error {
	if err := errors.Join(k.alive.Close(), k.cmd.Wait()); err == nil {
		return nil
	}
	return k.was.restore()
}
