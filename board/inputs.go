package board

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/holoplot/go-evdev"
)

// Key is what a key of an assistive keypad is for.
type Key string

// Keys.
const (
	KeyUp     Key = "up"     // the choice before
	KeyDown   Key = "down"   // the next choice
	KeySelect Key = "select" // take it
	KeyHelp   Key = "help"
	KeySpeech Key = "speech" // read aloud, or no longer
)

// Headphones: a plug is in a jack that tells it. A kind of Event, which Inputs tells.
const Headphones Kind = "headphones"

// InputConfig is what the inputs are opened with.
type InputConfig struct {
	// Panels are names of touch panels, or patterns of path.Match. Rotation is that of a panel that was not calibrated, in degrees
	// clockwise against the screen. Calibration is the file of those that were.
	Panels      []string
	Rotation    int
	Calibration string
	// Keypad is the name of an assistive keypad, or a pattern; "" for none. Keys are the names of its keys
	// (linux/input-event-codes.h).
	Keypad string
	Keys   map[Key]string

	// Folder of the devices; "" is /dev/input.
	Folder string
	// Open opens one of them; nil: the kernel's.
	Open func(path string) (*Device, error)
	Log  *slog.Logger
}

// Device is an open input device and what it says of itself. Its fields are set by who opens it.
type Device struct {
	Name   string
	Types  []evdev.EvType
	Keys   []evdev.EvCode
	Switch evdev.StateMap // where it has switches
	Axes   map[evdev.EvCode]evdev.AbsInfo
	// Pointing: it moves a pointer, such as a laptop's touchpad, and is not touched where something is seen.
	Pointing bool

	Grab  func() error                      // nobody else gets its events
	Read  func() (*evdev.InputEvent, error) // waits for the next
	Close func() error                      // and ends Read
}

// Inputs are the touch panels, the assistive keypad and the headphone jacks of the machine, whichever are there: they come and go.
// What is used is taken from everybody else, the console among them.
type Inputs struct {
	config InputConfig
	keys   map[evdev.EvCode]Key
	taps   chan Tap
	pushed chan Key
	events chan Event
	read   chan reading
	stop   context.CancelFunc
	beside sync.WaitGroup
	said   map[string]string // what was last wrong with a path; said once

	mu         sync.Mutex
	calibrated calibrations
	used       []string
	last       struct {
		panel string
		x, y  float64
	}
}

// source is a device that is used.
type source struct {
	*Device
	path   string
	panel  *fingers // nil if it is none
	keypad bool
	jack   bool
	in     bool // headphones
}

type reading struct {
	from  *source
	event *evdev.InputEvent
	err   error
}

// Check says whether keys of the keypad do not exist.
func (c InputConfig) Check() error {
	_, err := c.keys()
	return err
}

func (c InputConfig) keys() (map[evdev.EvCode]Key, error) {
	keys := map[evdev.EvCode]Key{}
	for _, key := range slices.Sorted(maps.Keys(c.Keys)) {
		code, is := evdev.KEYFromString[c.Keys[key]]
		if !is {
			return nil, fmt.Errorf("keypad: %s: there is no key %q; write a name of linux/input-event-codes.h, such as KEY_UP", key, c.Keys[key])
		}
		keys[code] = key
	}
	return keys, nil
}

// OpenInputs opens what is there, and from here on what comes. A calibration that cannot be read and keys that do not exist are errors.
func OpenInputs(c InputConfig) (*Inputs, error) {
	if c.Folder == "" {
		c.Folder = "/dev/input"
	}
	if c.Open == nil {
		c.Open = openDevice
	}
	keys, err := c.keys()
	if err != nil {
		return nil, err
	}
	in := &Inputs{
		config: c, keys: keys, taps: make(chan Tap), pushed: make(chan Key), events: make(chan Event),
		read: make(chan reading), said: map[string]string{},
	}
	if in.calibrated, err = readCalibrations(c.Calibration); err != nil {
		return nil, err
	}
	changes, err := watchFolder(c.Folder)
	if err != nil {
		return nil, fmt.Errorf("input devices: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	in.stop = stop
	in.beside.Go(func() { in.run(ctx, changes) })
	return in, nil
}

// Taps of all panels, one finger at a time. Closed by Close, as are the others.
func (in *Inputs) Taps() <-chan Tap { return in.taps }

// Keys of the keypad, as they are pressed.
func (in *Inputs) Keys() <-chan Key { return in.pushed }

// Events tells of Headphones.
func (in *Inputs) Events() <-chan Event { return in.events }

// Close lets all devices go.
func (in *Inputs) Close() {
	in.stop()
	in.beside.Wait()
}

// Raw is where a panel was touched last, as itself says it: in parts of the panel, before rotation and calibration; false if none was.
func (in *Inputs) Raw() (x, y float64, ok bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.last.x, in.last.y, in.last.panel != ""
}

// Used are the names of the devices that are used now, and what for.
func (in *Inputs) Used() []string {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.used
}

// Calibrate learns how the panel that was touched last lies on the screen, and keeps it. A *CalibrationError says that the points do
// not fit together; then all is as before.
func (in *Inputs) Calibrate(pairs []Pair) error {
	m, err := calibration(pairs)
	if err != nil {
		return err
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.last.panel == "" {
		return &CalibrationError{"no touch panel was touched"}
	}
	was, had := in.calibrated[in.last.panel]
	in.calibrated[in.last.panel] = m
	if err := in.calibrated.write(in.config.Calibration); err != nil {
		delete(in.calibrated, in.last.panel)
		if had {
			in.calibrated[in.last.panel] = was
		}
		return fmt.Errorf("calibrate: keep it: %w", err)
	}
	return nil
}

// stuckEvery is how often it is looked for contacts that stay: nothing tells of them.
const stuckEvery = time.Second

func (in *Inputs) run(ctx context.Context, changes *folderWatch) {
	open := map[string]*source{}
	var down *source // has the finger that counts
	defer func() {
		for _, s := range open {
			s.Close()
		}
		changes.close()
		for range len(open) { // each reader says that its device is gone, and ends
			for r := range in.read {
				if r.err != nil {
					break
				}
			}
		}
		close(in.taps)
		close(in.pushed)
		close(in.events)
	}()
	tap := func(s *source, taps []Tap) {
		for _, t := range taps {
			switch {
			case t.Down && down != nil, !t.Down && down != s:
				continue // another panel's finger counts
			case t.Down:
				down = s
			default:
				down = nil
			}
			select {
			case in.taps <- in.onScreen(s.Name, t):
			case <-ctx.Done():
			}
		}
	}
	tick := time.NewTicker(stuckEvery)
	defer tick.Stop()
	in.look(ctx, open)
	for {
		select {
		case <-ctx.Done():
			return
		case <-changes.changed:
			in.look(ctx, open)
		case now := <-tick.C:
			for _, s := range open {
				if s.panel != nil {
					tap(s, s.panel.heed(now))
				}
			}
		case r := <-in.read:
			s := r.from
			switch {
			case r.err != nil:
				delete(open, s.path)
				s.Close()
				in.config.Log.Info("input: gone", "device", s.Name, "err", r.err)
				if s.panel != nil {
					tap(s, s.panel.lost())
				}
				if s.jack && s.in {
					in.tell(ctx, false)
				}
				in.look(ctx, open) // its path may be another's already
			case s.panel != nil:
				tap(s, s.panel.take(r.event))
			case s.keypad && r.event.Type == evdev.EV_KEY && r.event.Value == 1:
				if key, is := in.keys[r.event.Code]; is {
					select {
					case in.pushed <- key:
					case <-ctx.Done():
					}
				}
			case s.jack && r.event.Type == evdev.EV_SW && r.event.Code == evdev.SW_HEADPHONE_INSERT:
				s.in = r.event.Value != 0
				in.tell(ctx, s.in)
			}
		}
	}
}

func (in *Inputs) tell(ctx context.Context, headphones bool) {
	select {
	case in.events <- Event{Headphones, headphones}:
	case <-ctx.Done():
	}
}

// look opens what is new in the folder and of use.
func (in *Inputs) look(ctx context.Context, open map[string]*source) {
	paths, err := filepath.Glob(filepath.Join(in.config.Folder, "event*"))
	if err != nil {
		in.config.Log.Error("input", "err", err)
	}
	for _, p := range paths {
		if open[p] != nil {
			continue
		}
		s, err := in.open(p)
		if err != nil {
			if in.said[p] != err.Error() {
				in.said[p] = err.Error()
				in.config.Log.Warn("input: this device is not used", "path", p, "err", err)
			}
			continue
		}
		delete(in.said, p)
		if s == nil {
			continue
		}
		open[p] = s
		in.config.Log.Info("input", "device", s.Name, "path", p, "panel", s.panel != nil, "keypad", s.keypad, "headphones", s.jack)
		in.beside.Go(func() { in.follow(s) })
		if s.in {
			in.tell(ctx, true)
		}
	}
	in.note(open)
}

// note keeps what Used tells.
func (in *Inputs) note(open map[string]*source) {
	var used []string
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, s := range open {
		what := "headphones"
		if s.keypad {
			what = "keypad"
		}
		if s.panel != nil {
			what = "touch"
			if _, is := in.calibrated[s.Name]; is {
				what = "touch, calibrated"
			}
		}
		used = append(used, s.Name+" ("+what+")")
	}
	slices.Sort(used)
	in.used = used
}

// follow hands on what a device tells, until it is gone. Its last reading is an error.
func (in *Inputs) follow(s *source) {
	for {
		event, err := s.Read()
		in.read <- reading{s, event, err}
		if err != nil {
			return
		}
	}
}

var errRange = errors.New("its axes have no range")

// open opens a device; nil if it is none of ours.
func (in *Inputs) open(p string) (*source, error) {
	d, err := in.config.Open(p)
	if err != nil {
		return nil, err
	}
	s := &source{Device: d, path: p}
	if s.panel, err = panelOf(d); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", d.Name, err), d.Close())
	}
	if s.panel != nil && !matchesAny(in.config.Panels, d.Name) {
		s.panel = nil
	}
	s.keypad = in.config.Keypad != "" && len(d.Keys) > 0 && matchesAny([]string{in.config.Keypad}, d.Name)
	s.in, s.jack = d.Switch[evdev.SW_HEADPHONE_INSERT]
	if s.panel != nil || s.keypad {
		if err := d.Grab(); err != nil {
			in.config.Log.Warn("input: others hear this device, too", "device", d.Name, "err", err)
		}
	} else if !s.jack {
		return nil, d.Close()
	}
	return s, nil
}

func matchesAny(patterns []string, name string) bool {
	for _, p := range patterns {
		if is, err := path.Match(p, name); err == nil && is || p == name {
			return true
		}
	}
	return false
}

// panelOf is the touch panel that a device is; nil if it is none.
func panelOf(d *Device) (*fingers, error) {
	has := map[evdev.EvCode]bool{}
	for _, k := range d.Keys {
		has[k] = true
	}
	slot, slots := d.Axes[evdev.ABS_MT_SLOT]
	codes := [2]evdev.EvCode{evdev.ABS_X, evdev.ABS_Y}
	if _, is := d.Axes[evdev.ABS_MT_POSITION_X]; slots && is {
		codes = [2]evdev.EvCode{evdev.ABS_MT_POSITION_X, evdev.ABS_MT_POSITION_Y}
	} else {
		slots = false
	}
	x, hasX := d.Axes[codes[0]]
	y, hasY := d.Axes[codes[1]]
	if !hasX || !hasY || d.Pointing || !slots && !has[evdev.BTN_TOUCH] && !has[evdev.BTN_LEFT] {
		return nil, nil
	}
	if x.Minimum >= x.Maximum || y.Minimum >= y.Maximum {
		return nil, errRange
	}
	return newFingers(panel{
		x: axis{x.Minimum, x.Maximum}, y: axis{y.Minimum, y.Maximum}, slots: slots, slot: int(slot.Value),
		at: [2]int32{d.Axes[evdev.ABS_X].Value, d.Axes[evdev.ABS_Y].Value},
	}), nil
}

// onScreen is where a tap of a panel is on the screen.
func (in *Inputs) onScreen(panel string, t Tap) Tap {
	in.mu.Lock()
	defer in.mu.Unlock()
	if t.Down {
		in.last.panel, in.last.x, in.last.y = panel, t.X, t.Y
	}
	m, is := in.calibrated[panel]
	if !is {
		m = rotated(in.config.Rotation)
	}
	t.X, t.Y = m.apply(t.X, t.Y)
	t.X, t.Y = min(max(t.X, 0), 1), min(max(t.Y, 0), 1)
	return t
}
