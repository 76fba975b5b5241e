package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"latchkey/board"
	"latchkey/cmd/internal/device"
	"latchkey/firmware/unlock"
	"latchkey/firmware/wire"
	"latchkey/image"
	"latchkey/ui"
)

// engineer is what stands behind the engineer's page: the facts of this kiosk, and what can be done to it. Nothing of it is about a
// holder, a card or a case.
type engineer struct {
	dev     *device.Device
	box     *box
	inputs  *board.Inputs // nil where the terminal tells of taps
	readers *device.Readers
	faults  *lastFault
	started time.Time

	exported errand

	mu      sync.Mutex
	central struct {
		up    bool
		code  wire.Code
		since time.Time
	}
}

// seen takes from a view what concerns the kiosk.
func (e *engineer) seen(v unlock.View, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := &e.central
	if c.since.IsZero() || c.up != v.CentralUp || c.code != v.NotServed {
		c.up, c.code, c.since = v.CentralUp, v.NotServed, now
	}
}

// A fact is bad from these on.
const (
	certificateSoon = 14 * 24 * time.Hour
	clockOff        = time.Minute
	journalUsed     = 0.75
	diskUsed        = 0.9
)

// facts are what the page tells, the bad ones too.
func (e *engineer) facts() (facts []ui.Fact) {
	now := time.Now()
	zone := e.dev.Zone
	say := func(label string, bad bool, format string, args ...any) {
		facts = append(facts, ui.Fact{Label: label, Value: fmt.Sprintf(format, args...), Bad: bad})
	}
	at := func(t time.Time) string { return t.In(zone).Format("2 Jan 2006 15:04") }

	say("Kiosk", false, "%s", e.dev.Identity.ID)
	say("Version", false, "%s", version())
	if u := e.dev.Unknown; len(u) > 0 {
		say("Settings", true, "a newer version wrote some that this one does not know: %s", strings.Join(u, ", "))
	}
	e.boxFacts(say)

	kept := "nothing keeps the clock right"
	if synchronised() {
		kept = "NTP keeps it right"
	}
	own, known := e.dev.Central.Clock()
	switch off := own.Sub(now); {
	case known && off.Abs() >= clockOff:
		say("Clock", true, "%s; central's differs by %s; %s", at(now), off.Round(time.Second), kept)
	case known:
		say("Clock", false, "%s; central agrees; %s", at(now), kept)
	default:
		say("Clock", true, "%s; not compared with central yet; %s", at(now), kept)
	}
	host := e.dev.Config.Central
	if u, err := url.Parse(host); err == nil {
		host = u.Host
	}
	e.mu.Lock()
	c := e.central
	e.mu.Unlock()
	switch {
	case c.code != "":
		say("Central", true, "%s does not serve this kiosk: %s, since %s", host, c.code, at(c.since))
	case !c.up:
		say("Central", true, "%s does not answer, since %s", host, at(c.since))
	default:
		say("Central", false, "%s answers, since %s", host, at(c.since))
	}
	until := e.dev.CertificateUntil()
	say("Certificate", until.Sub(now) < certificateSoon, "until %s", at(until))
	waiting, used := e.dev.Journal.Waiting()
	say("Journal", used >= journalUsed, "%d entries wait for central; %.0f %% of the room is taken", waiting, 100*used)
	e.historyFacts(say)
	what, reader := e.readers.Holds()
	if reader == "" {
		say("Reader", true, "%s", what)
	} else {
		say("Reader", false, "%s: %s", reader, what)
	}
	e.machineFacts(say)
	if said, bad := e.exported.came(); said != "" {
		say("Export", bad, "%s", said)
	}
	if said := setupSaid(image.SetupSaid); said != "" {
		say("Set-up file", true, "%s", said)
	}
	if fault := e.faults.last.Load(); fault != nil {
		say("Last error", false, "%s", *fault)
	}
	return facts
}

func setupSaid(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// historyFacts are those of central's tree, as this kiosk was shown it.
func (e *engineer) historyFacts(say func(string, bool, string, ...any)) {
	if e.dev.Checkpoints == nil {
		say("History", true, "nothing is kept of central's")
		return
	}
	s := e.dev.Checkpoints.Status()
	if s.Size == 0 {
		say("History", false, "central has shown no checkpoint yet")
	} else {
		say("History", false, "%d records at central, since %s", s.Size, s.At.In(e.dev.Zone).Format("2 Jan 2006 15:04"))
	}
	for _, f := range s.Findings {
		say("History", true, "%s, %s: %d records were known, %d were shown", f.Reason, f.At.In(e.dev.Zone).Format("2 Jan 2006 15:04"), f.Size, f.Now)
	}
}

// boxFacts are those of the board, and of what can be touched.
func (e *engineer) boxFacts(say func(string, bool, string, ...any)) {
	say("Board", false, "%s", e.box.board.File.Title)
	for _, lack := range e.box.board.Lacks {
		say("Missing", true, "%v", lack)
	}
	f, h := e.box.board.File, e.box.board.Health()
	if f.Tamper != nil {
		switch {
		case e.box.open.Load():
			say("Case", true, "open")
		case e.box.wasOpened():
			say("Case", true, "shut; it was opened, and nobody has looked at it")
		default:
			say("Case", false, "shut")
		}
	}
	if f.Temperature != nil {
		slow := ""
		if h.Throttled {
			slow = "; the processor is slowed down"
		}
		if h.FanRPM >= 0 {
			slow += fmt.Sprintf("; fan %d/min", h.FanRPM)
		}
		say("Temperature", h.Throttled || h.Temperature >= f.Temperature.Hot || h.Temperature == 0, "%.0f °C%s", h.Temperature, slow)
	}
	if f.Supply != nil {
		if h.Undervoltage {
			say("Supply", true, "the voltage is too low: look at the power supply and its cable")
		} else {
			say("Supply", false, "voltage is right")
		}
	}
	if f.Network != nil {
		if h.Link {
			say("Network", false, "there is a link")
		} else {
			say("Network", true, "no link: look at the cable, or Wi-Fi")
		}
	}
	if h.Clock {
		say("Clock chip", false, "there is one")
	} else {
		say("Clock chip", false, "none: after a cut of power the time is not known until central or NTP tells it")
	}
	if e.inputs == nil {
		say("Touch", false, "by the terminal")
		return
	}
	if used := e.inputs.Used(); len(used) > 0 {
		say("Touch", false, "%s", strings.Join(used, "; "))
	} else {
		say("Touch", true, "no panel is used")
	}
}

// machineFacts are those of the computer and the program.
func (e *engineer) machineFacts(say func(string, bool, string, ...any)) {
	var s unix.Statfs_t
	if err := unix.Statfs(e.dev.Data, &s); err == nil && s.Blocks > 0 {
		used := 1 - float64(s.Bavail)/float64(s.Blocks)
		say("Disk", used >= diskUsed, "%d MB free for data", s.Bavail*uint64(s.Bsize)>>20)
	}
	var i unix.Sysinfo_t
	if err := unix.Sysinfo(&i); err == nil {
		say("Memory", false, "%s; %d MB of %d free in the machine", resident(), uint64(i.Freeram)*uint64(i.Unit)>>20, uint64(i.Totalram)*uint64(i.Unit)>>20)
		say("Up", false, "kiosk %s, machine %s", time.Since(e.started).Round(time.Second), time.Duration(i.Uptime)*time.Second)
	}
}

// version is that of the program and of the kernel.
func version() string {
	text := "not known"
	if info, ok := debug.ReadBuildInfo(); ok {
		set := map[string]string{}
		for _, s := range info.Settings {
			set[s.Key] = s.Value
		}
		text = info.Main.Version
		if r := set["vcs.revision"]; r != "" {
			text = r[:min(len(r), 12)] + " of " + set["vcs.time"]
		}
		if set["vcs.modified"] == "true" {
			text += ", changed"
		}
		text += "; " + info.GoVersion
	}
	var u unix.Utsname
	if err := unix.Uname(&u); err == nil {
		text += "; Linux " + unix.ByteSliceToString(u.Release[:])
	}
	return text
}

// resident is what the program takes of the memory (proc_pid_status(5)).
func resident() string {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return "not known"
	}
	for line := range strings.Lines(string(status)) {
		if size, is := strings.CutPrefix(line, "VmRSS:"); is {
			return "kiosk " + strings.TrimSpace(size)
		}
	}
	return "not known"
}

// do does what an engineer asks for, and answers in a sentence.
func (e *engineer) do(a ui.Action) (string, error) {
	switch a := a.(type) {
	case ui.ActLights:
		return e.box.try(a.State)
	case ui.ActCalibrate:
		if e.inputs == nil {
			return "", errors.New("the terminal tells of taps, so there is nothing to calibrate")
		}
		var pairs []board.Pair
		for _, p := range a.Points {
			pairs = append(pairs, board.Pair{X: p.WantedX, Y: p.WantedY, RawX: p.RawX, RawY: p.RawY})
		}
		if err := e.inputs.Calibrate(pairs); err != nil {
			return "", err
		}
		return "The panel is calibrated.", nil
	case ui.ActExport:
		facts := e.facts()
		return e.exported.run(func() (string, error) { return e.export(facts, time.Now()) })
	case ui.ActClearCase:
		return e.box.askToClear()
	}
	return "", fmt.Errorf("this kiosk does not know how to do %T", a)
}

// lastFault keeps the newest error that the log was told, for the page.
type lastFault struct {
	slog.Handler
	last *atomic.Pointer[string]
}

func (l *lastFault) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelError {
		text := r.Time.Format("15:04 ") + r.Message
		r.Attrs(func(a slog.Attr) bool {
			if a.Key == "err" {
				text += ": " + a.Value.String()
			}
			return true
		})
		text = impersonal(text)
		l.last.Store(&text)
	}
	return l.Handler.Handle(ctx, r)
}

func (l *lastFault) WithAttrs(a []slog.Attr) slog.Handler {
	return &lastFault{l.Handler.WithAttrs(a), l.last}
}

func (l *lastFault) WithGroup(name string) slog.Handler {
	return &lastFault{l.Handler.WithGroup(name), l.last}
}
