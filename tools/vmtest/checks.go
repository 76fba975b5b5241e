package main

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gdamore/tcell/v2"

	"latchkey/firmware/unlock"
	"latchkey/tools/qemu"
	"latchkey/tools/qemu/letters"
)

// check is one thing that must be so. What it adds to its line is a figure.
type check struct {
	name string
	try  func(context.Context, *lab) (said string, err error)
}

// The checks, each on what those before it left.
var checks = []check{
	{"the machine starts", started},
	{"the kiosk paints its first page, in the console's font and the kiosk's colours, to the pixel", firstPaint},
	{"a tap on the language key turns the page Welsh, with ŵ and ŷ", tapTurnsWelsh},
	{"a tap between the keys does nothing", tapBetween},
	{"a key that is held acts once", heldKey},
	{"blanking and SysRq are off", func(ctx context.Context, l *lab) (string, error) {
		return "", errors.Join(l.holds(ctx, blanking, "0"), l.holds(ctx, sysRq, "0"))
	}},
	{"Alt-F2, Alt-Right and the kernel's VT_ACTIVATE leave the kiosk's terminal on the screen", terminalStays},
	{"Ctrl-C, Ctrl-Z, Ctrl-\\ and Ctrl-D do not end the kiosk", func(ctx context.Context, l *lab) (string, error) {
		return "", l.nothingHappens(ctx, chord{"ctrl", "c"}, chord{"ctrl", "z"}, chord{"ctrl", "backslash"}, chord{"ctrl", "d"})
	}},
	{"Ctrl-Alt-Del does not restart the machine", func(ctx context.Context, l *lab) (string, error) {
		return "", l.nothingHappens(ctx, chord{"ctrl", "alt", "delete"})
	}},
	{"SysRq-b does not restart the machine", func(ctx context.Context, l *lab) (string, error) {
		return "", l.nothingHappens(ctx, chord{"alt", "sysrq", "b"})
	}},
	{"an orderly end gives the console back", func(ctx context.Context, l *lab) (string, error) {
		return "", l.consoleComesBack(ctx, syscall.SIGTERM, "exit status 0")
	}},
	{"kill -9 gives the console back", func(ctx context.Context, l *lab) (string, error) {
		if err := l.start(ctx, "none.toml", noReader); err != nil {
			return "", err
		}
		return "", l.consoleComesBack(ctx, syscall.SIGKILL, "signal: killed")
	}},
	{"the watchdog leaves a kiosk alone that turns", watchdogWaits},
	{"an edge on the case's line puts the kiosk out of service", caseOpened},
	{"an orderly end stops the watchdog", watchdogStops},
	{"the case that was opened and shut is cleared by an engineer's word", caseCleared},
	{"a line that is nowhere and one that has a duty already are told by name", func(ctx context.Context, l *lab) (string, error) {
		log, err := l.Read(ctx, "/etc/latchkey/data/kiosk.log")
		for _, want := range []string{"buzzer: line NOWHERE: this box has no such line", "button: line " + caseChip + "/3: it is tamper's already"} {
			if err == nil && !strings.Contains(log, want) {
				err = fmt.Errorf("the log does not say %q", want)
			}
		}
		return "", err
	}},
	{"an edge on the line by its chip's label and number does the same", func(ctx context.Context, l *lab) (string, error) {
		if err := l.start(ctx, "numbered.toml", noReader); err != nil {
			return "", err
		}
		if _, err := caseOpened(ctx, l); err != nil {
			return "", err
		}
		return watchdogStops(ctx, l)
	}},
	{"the watchdog restarts the machine when the kiosk is stopped", watchdogFires},
	{"without the kiosk, Alt-F2 switches terminals and Ctrl-Alt-Del restarts: the keys did arrive", keysArrive},
}

// largeChecks are made with a newer kernel, on a screen of twice the width and height.
var largeChecks = []check{
	{"a newer kernel starts, with a screen of 1600×960", started},
	{"the kiosk paints its first page there, in 100×30 cells", firstPaint},
	{"the key for large print doubles the font: 50×15 cells, to the pixel", largePrint},
	{"an orderly end gives the console back from large print", func(ctx context.Context, l *lab) (string, error) {
		return "", l.consoleComesBack(ctx, syscall.SIGTERM, "exit status 0")
	}},
	{"kill -9 gives the console back from large print", func(ctx context.Context, l *lab) (string, error) {
		if err := l.start(ctx, "none.toml", noReader); err != nil {
			return "", err
		}
		if _, err := largePrint(ctx, l); err != nil {
			return "", err
		}
		return "", l.consoleComesBack(ctx, syscall.SIGKILL, "signal: killed")
	}},
}

func largePrint(ctx context.Context, l *lab) (string, error) {
	if err := l.press(ctx, "f1", tcell.KeyF1, "help"); err != nil {
		return "", err
	}
	return "", l.tap(ctx, "Large print", "help-large")
}

// Settings of the guest's kernel, and what they are without the kiosk.
const (
	blanking    = "/sys/module/kernel/parameters/consoleblank" // seconds
	blankAfter  = 600
	onScreen    = "/sys/class/tty/tty0/active" // the virtual terminal
	sysRq       = "/proc/sys/kernel/sysrq"
	debianSysRq = "438" // CONFIG_MAGIC_SYSRQ_DEFAULT_ENABLE of Debian's kernels
)

// holds waits until a file of the guest says something.
func (l *lab) holds(ctx context.Context, path, wanted string) error {
	_, err := l.Look(ctx, func(image.Image) error {
		got, err := l.Read(ctx, path)
		if got = strings.TrimSpace(got); err == nil && got != wanted {
			err = fmt.Errorf("%s is %s, not %s", path, got, wanted)
		}
		return err
	})
	return err
}

func started(ctx context.Context, l *lab) (string, error) { return "", l.Booted(ctx) }

func firstPaint(ctx context.Context, l *lab) (string, error) {
	began := time.Now()
	if err := l.start(ctx, "none.toml", noReader); err != nil {
		return "", err
	}
	took := time.Since(began)
	resident, err := l.memory(ctx, l.kiosk, "Rss:")
	if err != nil {
		return "", err
	}
	keeper, err := l.keeper(ctx)
	if err != nil {
		return "", err
	}
	own, err := l.memory(ctx, keeper, "Private_Dirty:")
	return fmt.Sprintf(": %.1f s, resident %s, and %s of the console's keeper", took.Seconds(), resident, own), err
}

// keeper is the process that gives the console back, which the kiosk started as it was started itself.
func (l *lab) keeper(ctx context.Context) (int, error) {
	const among = 64 // threads count, too
	for pid := l.kiosk + 1; pid < l.kiosk+among; pid++ {
		name, err := l.Read(ctx, fmt.Sprintf("/proc/%d/cmdline", pid))
		if err == nil && strings.TrimRight(name, "\x00") == "latchkey-console-keeper" {
			return pid, nil
		}
	}
	return 0, errors.New("the console has no keeper")
}

// memory of a process, of a kind (proc_pid_smaps(5)).
func (l *lab) memory(ctx context.Context, pid int, kind string) (string, error) {
	all, err := l.Read(ctx, fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	_, rest, _ := strings.Cut(all, kind)
	size, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(size), err
}

// start runs a kiosk and waits for its page.
func (l *lab) start(ctx context.Context, config string, v unlock.View) (err error) {
	if l.double, err = newDouble(l.Size.X/letters.CellWidth, l.Size.Y/letters.CellHeight, l.large); err != nil {
		return err
	}
	if l.kiosk, err = l.Run(ctx, "/bin/kiosk", "--config", "/etc/latchkey/"+config); err != nil {
		return err
	}
	l.double.show(v)
	return l.shows(ctx, string(v.Reason))
}

// shows waits until the screen is to the pixel what the kiosk draws now, and keeps the picture under a name.
func (l *lab) shows(ctx context.Context, name string) error {
	p := l.double.page()
	picture, err := l.Look(ctx, func(i image.Image) error { return p.differs(l.font, i) })
	if err != nil {
		return err
	}
	return l.keep(picture, name)
}

// tapsApart is more than lies between two taps of a hand that trembles, of which the kiosk heeds one.
const tapsApart = time.Second

// touch taps at a pixel; the double does not know.
func (l *lab) touch(ctx context.Context, x, y int) error {
	select {
	case <-time.After(time.Until(l.tapped.Add(tapsApart))):
	case <-ctx.Done():
		return ctx.Err()
	}
	return errors.Join(l.Touch(ctx, x, y), l.Lift(ctx))
}

// tap taps on a text of the page, and waits for what the kiosk shows then.
func (l *lab) tap(ctx context.Context, text, name string) error {
	column, row, err := l.double.page().find(text)
	if err != nil {
		return err
	}
	scale := l.double.scale
	l.double.tap(column, row)
	x, y := (2*column+1)*letters.CellWidth*scale/2, (2*row+1)*letters.CellHeight*scale/2
	err = errors.Join(l.touch(ctx, x, y), l.shows(ctx, name))
	l.tapped = time.Now()
	return err
}

// press presses a key, and waits for what the kiosk shows then.
func (l *lab) press(ctx context.Context, key string, is tcell.Key, name string) error {
	l.double.press(is)
	return errors.Join(l.Keys(ctx, key), l.shows(ctx, name))
}

func tapTurnsWelsh(ctx context.Context, l *lab) (string, error) {
	began := time.Now()
	if err := l.tap(ctx, "Cymraeg", "welsh"); err != nil {
		return "", err
	}
	took := time.Since(began)
	for _, letter := range "ŵŷ" {
		if !strings.ContainsRune(l.double.page().String(), letter) {
			return "", fmt.Errorf("the page that was compared has no %c: choose another", letter)
		}
	}
	return fmt.Sprintf(": %d ms", took.Milliseconds()), nil
}

// tapBetween taps on the page, and then on the language key: had the first done anything, the page would be another.
func tapBetween(ctx context.Context, l *lab) (string, error) {
	if err := l.touch(ctx, l.Size.X/2, l.Size.Y*2/3); err != nil {
		return "", err
	}
	return "", l.tap(ctx, "English", "english")
}

// heldFor is far longer than it takes a keyboard to repeat a key.
const heldFor = 2 * time.Second

// lessThanAPage: bytes that a kiosk writes that does nothing, while a page takes more than a thousand.
const lessThanAPage = 500

// heldKey keeps the key of the language down. A page that turns there and back may look as it did, so what is written counts.
func heldKey(ctx context.Context, l *lab) (string, error) {
	l.double.press(tcell.KeyF2)
	if err := errors.Join(l.Hold(ctx, "f2"), l.shows(ctx, "welsh-by-held-key")); err != nil {
		return "", err
	}
	// What the kernel shows it counts a moment later.
	before := -1
	if _, err := l.Look(ctx, func(image.Image) error {
		was := before
		n, err := l.written(ctx)
		if before = n; err == nil && n != was {
			err = errors.New("the kiosk writes and writes")
		}
		return err
	}); err != nil {
		return "", err
	}
	select {
	case <-time.After(heldFor):
	case <-ctx.Done():
		return "", ctx.Err()
	}
	after, err := l.written(ctx)
	if err == nil && after-before > lessThanAPage {
		err = fmt.Errorf("held for %s it had the kiosk write %d bytes more", heldFor, after-before)
	}
	return "", errors.Join(err, l.Release(ctx, "f2"), l.press(ctx, "f2", tcell.KeyF2, "english-again"))
}

// written is how many bytes the kiosk has written, anywhere (proc_pid_io(5)).
func (l *lab) written(ctx context.Context) (n int, err error) {
	io, err := l.Read(ctx, fmt.Sprintf("/proc/%d/io", l.kiosk))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(io, "wchar: ")
	_, err = fmt.Sscan(rest, &n)
	return n, err
}

// chord is keys that are pressed together.
type chord []string

// nothingHappens presses keys that must do nothing, and then changes the language there and back, which shows that those keys have arrived
// and that the kiosk is still there to be used.
func (l *lab) nothingHappens(ctx context.Context, chords ...chord) error {
	restarts := l.Seen("RESET")
	for _, c := range chords {
		if err := l.Keys(ctx, c...); err != nil {
			return err
		}
	}
	if err := l.press(ctx, "f2", tcell.KeyF2, "welsh-by-key"); err != nil {
		return err
	}
	if err := l.tap(ctx, "English", "english"); err != nil {
		return err
	}
	if n := l.Seen("RESET"); n != restarts {
		return errors.New("the machine was restarted")
	}
	return l.onScreen(ctx, 1)
}

func terminalStays(ctx context.Context, l *lab) (string, error) {
	if err := l.Switch(ctx, 2); err != nil && !errors.Is(err, qemu.ErrGuest) {
		return "", err
	}
	return "", l.nothingHappens(ctx, chord{"alt", "f2"}, chord{"ctrl", "alt", "f2"}, chord{"alt", "right"})
}

// consoleComesBack ends the kiosk, and looks whether the console is as the kernel made it: its colours, its font of 8×16, terminals that can be
// switched.
func (l *lab) consoleComesBack(ctx context.Context, s syscall.Signal, ending string) error {
	if err := l.end(ctx, s, ending); err != nil {
		return err
	}
	// Home, clear, and a letter whose size is to be seen.
	if err := l.Write(ctx, "/dev/tty1", "\x1b[0m\x1b[?25l\x1b[H\x1b[JM"); err != nil {
		return err
	}
	if _, err := l.Look(ctx, plainConsole); err != nil {
		return err
	}
	if err := l.echoes(ctx); err != nil {
		return err
	}
	for _, terminal := range []int{2, 1} {
		if err := l.switched(ctx, terminal); err != nil {
			return err
		}
	}
	return errors.Join(l.holds(ctx, blanking, strconv.Itoa(blankAfter)), l.holds(ctx, sysRq, debianSysRq), l.Write(ctx, "/dev/tty1", "\x1b[?25h"))
}

// echoes types a line: the console shows what is typed, and gives whoever reads whole lines.
func (l *lab) echoes(ctx context.Context) error {
	type line struct {
		text string
		err  error
	}
	read := make(chan line, 1)
	go func() {
		text, err := l.Read(ctx, "/dev/tty1")
		read <- line{text, err}
	}()
	// What is typed before anybody reads is lost, so it is typed until it is seen.
	_, err := l.Look(ctx, func(i image.Image) error {
		if plainConsole(i) != nil {
			return nil // more than the one letter
		}
		return errors.Join(errors.New("what is typed is not shown"), l.Keys(ctx, "x"))
	})
	if err == nil {
		err = errors.Join(l.Keys(ctx, "ret"), l.Keys(ctx, "ctrl", "d"))
	}
	if err != nil {
		return err
	}
	select {
	case got := <-read:
		if strings.Trim(got.text, "x") != "\n" {
			return fmt.Errorf("a line of x was read as %q, %w", got.text, got.err)
		}
		return got.err
	case <-ctx.Done():
		return fmt.Errorf("a line that was typed is not read: %w", ctx.Err())
	}
}

// end ends the kiosk by a signal.
func (l *lab) end(ctx context.Context, s syscall.Signal, ending string) error {
	if err := l.Signal(ctx, l.kiosk, int(s)); err != nil {
		return err
	}
	got, err := l.Exited(ctx, l.kiosk)
	if err == nil && got != ending {
		err = fmt.Errorf("the kiosk ended with %q, not %q", got, ending)
	}
	return err
}

// switched has the kernel show a terminal, and waits until it does.
func (l *lab) switched(ctx context.Context, terminal int) error {
	if err := l.Switch(ctx, terminal); err != nil {
		return err
	}
	return l.onScreen(ctx, terminal)
}

func (l *lab) onScreen(ctx context.Context, terminal int) error {
	return l.holds(ctx, onScreen, "tty"+strconv.Itoa(terminal))
}

// plainConsole: one letter in the kernel's font of 8×16 and its grey (drivers/tty/vt/vt.c: default_red …), and nothing else.
func plainConsole(i image.Image) error {
	black, grey := color.RGBA{0, 0, 0, 0xff}, color.RGBA{0xaa, 0xaa, 0xaa, 0xff}
	lit := image.Rectangle{}
	size := i.Bounds().Size()
	for y := range size.Y {
		for x := range size.X {
			switch c := color.RGBAModel.Convert(i.At(x, y)); c {
			case black:
			case grey:
				lit = lit.Union(image.Rect(x, y, x+1, y+1))
			default:
				return fmt.Errorf("pixel %d,%d is %v, which is none of the kernel's black and grey", x, y, c)
			}
		}
	}
	if lit.Empty() || !lit.In(image.Rect(0, 0, 8, 16)) {
		return fmt.Errorf("a letter of the kernel's font is lit within %v", lit)
	}
	return nil
}

// uptime of the guest, in its own seconds.
func (l *lab) uptime(ctx context.Context) (float64, error) {
	text, err := l.Read(ctx, "/proc/uptime")
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(text, " ")
	return strconv.ParseFloat(first, 64)
}

func (l *lab) watchdogIs(ctx context.Context, wanted string) error {
	return l.holds(ctx, "/sys/class/watchdog/watchdog0/state", wanted)
}

// watchdogWaits lets twice the watchdog's time pass.
func watchdogWaits(ctx context.Context, l *lab) (string, error) {
	if err := l.start(ctx, "named.toml", noReader); err != nil {
		return "", err
	}
	if err := l.watchdogIs(ctx, "active"); err != nil {
		return "", err
	}
	from, err := l.uptime(ctx)
	if err != nil {
		return "", err
	}
	_, err = l.Look(ctx, func(image.Image) error {
		now, err := l.uptime(ctx)
		if err == nil && now < from+2*watchdogTime.Seconds() {
			err = errors.New("the machine's clock stands")
		}
		return err
	})
	if err == nil && l.Seen("WATCHDOG") > 0 {
		err = errors.New("the watchdog has fired")
	}
	return "", err
}

func caseOpened(ctx context.Context, l *lab) (string, error) {
	// The page may be there a moment before the line is watched.
	const again = 5 * time.Second
	pulsed := time.Time{}
	l.double.show(opened)
	p := l.double.page()
	picture, err := l.Look(ctx, func(i image.Image) error {
		differs := p.differs(l.font, i)
		if differs == nil || time.Since(pulsed) < again {
			return differs
		}
		pulsed = time.Now()
		return errors.Join(differs, l.Execute(ctx, "system_powerdown", nil, nil))
	})
	if err != nil {
		return "", err
	}
	return "", l.keep(picture, string(opened.Reason))
}

// caseCleared has the kiosk's own command say that the case was looked at, and the kiosk take that when it is started.
func caseCleared(ctx context.Context, l *lab) (string, error) {
	pid, err := l.Run(ctx, "/bin/kiosk", "clear-tamper", "--data", "/etc/latchkey/data")
	if err != nil {
		return "", err
	}
	if got, err := l.Exited(ctx, pid); err != nil || got != "exit status 0" {
		return "", fmt.Errorf("clear-tamper: %s, %w", got, err)
	}
	if err := l.start(ctx, "named.toml", noReader); err != nil {
		return "", err
	}
	return watchdogStops(ctx, l)
}

func watchdogStops(ctx context.Context, l *lab) (string, error) {
	if err := l.end(ctx, syscall.SIGTERM, "exit status 0"); err != nil {
		return "", err
	}
	return "", l.watchdogIs(ctx, "inactive")
}

func watchdogFires(ctx context.Context, l *lab) (string, error) {
	if err := l.start(ctx, "named.toml", opened); err != nil { // it is still opened: nobody has cleared it
		return "", err
	}
	restarts := l.Seen("RESET")
	if err := l.Signal(ctx, l.kiosk, int(syscall.SIGSTOP)); err != nil {
		return "", err
	}
	if err := l.Await(ctx, "WATCHDOG", 1); err != nil {
		return "", err
	}
	return "", errors.Join(l.Await(ctx, "RESET", restarts+1), l.Booted(ctx))
}

func keysArrive(ctx context.Context, l *lab) (string, error) {
	// A terminal that nobody has shown yet is not there to be switched to.
	if err := errors.Join(l.switched(ctx, 2), l.switched(ctx, 1), l.Keys(ctx, "alt", "f2"), l.onScreen(ctx, 2)); err != nil {
		return "", err
	}
	restarts := l.Seen("RESET")
	return "", errors.Join(l.Keys(ctx, "ctrl", "alt", "delete"), l.Await(ctx, "RESET", restarts+1), l.Booted(ctx))
}
