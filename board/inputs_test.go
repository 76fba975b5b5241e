package board_test

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holoplot/go-evdev"
	"go.uber.org/goleak"

	"latchkey/board"
)

// plug is a device that somebody plugs in: a file in the folder, and what stands behind it.
type plug struct {
	device  board.Device
	refuse  error
	events  chan *evdev.InputEvent
	gone    chan struct{}
	close   sync.Once
	grabbed chan struct{}
}

type folder struct {
	t    *testing.T
	dir  string
	log  syncBuffer
	mu   sync.Mutex
	here map[string]*plug
}

// syncBuffer is a log that can be read meanwhile.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func newFolder(t *testing.T) *folder {
	return &folder{t: t, dir: filepath.Join(t.TempDir(), "input"), here: map[string]*plug{}}
}

func (f *folder) config() board.InputConfig {
	return board.InputConfig{
		Panels: []string{"*"}, Calibration: filepath.Join(filepath.Dir(f.dir), "touch.toml"), Keypad: "EZ-*",
		Keys:   map[board.Key]string{board.KeyDown: "KEY_F13", board.KeySelect: "KEY_F14"},
		Folder: f.dir, Open: f.open, Log: slog.New(slog.NewTextHandler(&f.log, nil)),
	}
}

func (f *folder) open(path string) (*board.Device, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.here[filepath.Base(path)]
	if p == nil {
		return nil, fs.ErrNotExist
	}
	if p.refuse != nil {
		return nil, p.refuse
	}
	return &p.device, nil
}

// plugIn makes the device and then its file, as the kernel does.
func (f *folder) plugIn(name string, d board.Device) *plug {
	f.t.Helper()
	p := &plug{device: d, events: make(chan *evdev.InputEvent), gone: make(chan struct{}), grabbed: make(chan struct{}, 1)}
	p.device.Grab = func() error { p.grabbed <- struct{}{}; return nil }
	p.device.Read = func() (*evdev.InputEvent, error) {
		select {
		case e := <-p.events:
			return e, nil
		case <-p.gone:
			return nil, errors.New("no such device")
		}
	}
	p.device.Close = func() error { p.pull(); return nil }
	f.mu.Lock()
	f.here[name] = p
	f.mu.Unlock()
	f.touch(name)
	return p
}

func (p *plug) pull() { p.close.Do(func() { close(p.gone) }) }

func (f *folder) touch(name string) {
	f.t.Helper()
	if err := os.WriteFile(filepath.Join(f.dir, name), nil, 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func (f *folder) unplug(name string) {
	f.t.Helper()
	f.mu.Lock()
	p := f.here[name]
	delete(f.here, name)
	f.mu.Unlock()
	if err := os.Remove(filepath.Join(f.dir, name)); err != nil {
		f.t.Fatal(err)
	}
	p.pull()
}

func (p *plug) send(t *testing.T, events ...evdev.InputEvent) {
	t.Helper()
	for _, e := range append(events, evdev.InputEvent{Type: evdev.EV_SYN, Code: evdev.SYN_REPORT}) {
		select {
		case p.events <- &e:
		case <-time.After(time.Minute):
			t.Fatal("nobody reads the device")
		}
	}
}

var thousand = evdev.AbsInfo{Maximum: 1000}

// tablet is a touch screen whose clicks are a button's, so that the test needs no time.
func tablet(name string) board.Device {
	return board.Device{Name: name, Keys: []evdev.EvCode{evdev.BTN_LEFT}, Axes: map[evdev.EvCode]evdev.AbsInfo{evdev.ABS_X: thousand, evdev.ABS_Y: thousand}}
}

func at(x, y int32) []evdev.InputEvent {
	return []evdev.InputEvent{{Type: evdev.EV_ABS, Code: evdev.ABS_X, Value: x}, {Type: evdev.EV_ABS, Code: evdev.ABS_Y, Value: y}}
}

func button(down int32) evdev.InputEvent {
	return evdev.InputEvent{Type: evdev.EV_KEY, Code: evdev.BTN_LEFT, Value: down}
}

func next[T comparable](t *testing.T, from <-chan T, want T) {
	t.Helper()
	select {
	case got := <-from:
		if got != want {
			t.Errorf("told %v, not %v", got, want)
		}
	case <-time.After(time.Minute):
		t.Fatalf("not told %v", want)
	}
}

func (f *folder) openInputs(change func(*board.InputConfig)) *board.Inputs {
	f.t.Helper()
	c := f.config()
	if change != nil {
		change(&c)
	}
	in, err := board.OpenInputs(c)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(in.Close)
	return in
}

// A panel that comes later is used, is taken from others, is let go when it is pulled out with a finger on it, and comes back.
func TestPanelsComeAndGo(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	in := f.openInputs(nil) // there is no such folder yet
	if err := os.Mkdir(f.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	p := f.plugIn("event3", tablet("panel"))
	<-p.grabbed
	p.send(t, append(at(250, 500), button(1))...)
	next(t, in.Taps(), board.Tap{X: .25, Y: .5, Down: true})
	f.unplug("event3")
	next(t, in.Taps(), board.Tap{X: .25, Y: .5, Void: true})
	p = f.plugIn("event3", tablet("panel"))
	<-p.grabbed
	p.send(t, append(at(0, 1000), button(1))...)
	next(t, in.Taps(), board.Tap{Y: 1, Down: true})
	p.send(t, button(0))
	next(t, in.Taps(), board.Tap{Y: 1})
}

// While one panel is touched, another does not count.
func TestOneFingerAtATime(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	if err := os.Mkdir(f.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	a, b := f.plugIn("event0", tablet("a")), f.plugIn("event1", tablet("b"))
	in := f.openInputs(nil)
	a.send(t, append(at(100, 100), button(1))...)
	next(t, in.Taps(), board.Tap{X: .1, Y: .1, Down: true})
	b.send(t, append(at(900, 900), button(1))...)
	b.send(t, button(0))
	a.send(t, button(0))
	next(t, in.Taps(), board.Tap{X: .1, Y: .1})
	b.send(t, button(1))
	next(t, in.Taps(), board.Tap{X: .9, Y: .9, Down: true})
	b.send(t, button(0))
	next(t, in.Taps(), board.Tap{X: .9, Y: .9})
}

// A panel that may not be opened yet is opened when it may; one that nobody named, a touchpad and a keyboard are left to others.
func TestWhatIsUsed(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	if err := os.Mkdir(f.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	pad := tablet("FT5406 pad")
	pad.Pointing = true
	broken := tablet("FT5406 broken")
	broken.Axes = map[evdev.EvCode]evdev.AbsInfo{evdev.ABS_X: {}, evdev.ABS_Y: {}}
	others := []*plug{
		f.plugIn("event0", tablet("Wacom")), f.plugIn("event1", pad), f.plugIn("event2", broken),
		f.plugIn("event4", board.Device{Name: "keyboard", Keys: []evdev.EvCode{evdev.KEY_A}}),
	}
	late := f.plugIn("event3", tablet("FT5406 memory based driver"))
	late.refuse = fs.ErrPermission
	in := f.openInputs(func(c *board.InputConfig) { c.Panels = []string{"FT5406*"} })
	f.mu.Lock()
	late.refuse = nil
	f.mu.Unlock()
	if err := os.Chmod(filepath.Join(f.dir, "event3"), 0o660); err != nil {
		t.Fatal(err)
	}
	<-late.grabbed
	late.send(t, append(at(500, 500), button(1))...)
	next(t, in.Taps(), board.Tap{X: .5, Y: .5, Down: true})
	for _, o := range others {
		select {
		case <-o.gone:
		default:
			t.Errorf("%s is kept open", o.device.Name)
		}
		select {
		case <-o.grabbed:
			t.Errorf("%s was taken from others", o.device.Name)
		default:
		}
	}
	if !strings.Contains(f.log.String(), "FT5406 broken: its axes have no range") {
		t.Errorf("the log does not say why a panel is not used: %s", f.log.String())
	}
}

// The keypad's keys are what the configuration says, and its other keys nothing; headphones are told when they were in before.
func TestKeypadAndHeadphones(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	if err := os.Mkdir(f.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	key := func(code evdev.EvCode, value int32) evdev.InputEvent {
		return evdev.InputEvent{Type: evdev.EV_KEY, Code: code, Value: value}
	}
	pad := f.plugIn("event0", board.Device{Name: "EZ-Access keypad", Keys: []evdev.EvCode{evdev.KEY_F13, evdev.KEY_F14}})
	jack := f.plugIn("event1", board.Device{Name: "bcm2835 jack", Switch: evdev.StateMap{evdev.SW_HEADPHONE_INSERT: true}})
	in := f.openInputs(nil)
	next(t, in.Events(), board.Event{Kind: board.Headphones, On: true})
	<-pad.grabbed
	pad.send(t, key(evdev.KEY_F13, 1))
	next(t, in.Keys(), board.KeyDown)
	pad.send(t, key(evdev.KEY_F13, 2), key(evdev.KEY_F13, 0), key(evdev.KEY_A, 1))
	pad.send(t, key(evdev.KEY_F14, 1))
	next(t, in.Keys(), board.KeySelect)
	jack.send(t, evdev.InputEvent{Type: evdev.EV_SW, Code: evdev.SW_HEADPHONE_INSERT})
	next(t, in.Events(), board.Event{Kind: board.Headphones})
	jack.send(t, evdev.InputEvent{Type: evdev.EV_SW, Code: evdev.SW_HEADPHONE_INSERT, Value: 1})
	next(t, in.Events(), board.Event{Kind: board.Headphones, On: true})
	f.unplug("event1")
	next(t, in.Events(), board.Event{Kind: board.Headphones})
	select {
	case <-jack.grabbed:
		t.Error("the jack's device was taken from others")
	default:
	}
}

// A panel that is turned is calibrated, and stays so when the kiosk is started again.
func TestACalibrationIsKept(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	if err := os.Mkdir(f.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	p := f.plugIn("event0", tablet("panel"))
	in := f.openInputs(func(c *board.InputConfig) { c.Rotation = 180 })
	if _, _, ok := in.Raw(); ok {
		t.Error("touched, before it was")
	}
	var no *board.CalibrationError
	if err := in.Calibrate([]board.Pair{{X: 0, Y: 0, RawX: 0, RawY: 0}, {X: 1, Y: 0, RawX: 1, RawY: 0}, {X: 1, Y: 1, RawX: 1, RawY: 1}}); !errors.As(err, &no) {
		t.Errorf("a panel that nobody touched was calibrated: %v", err)
	}
	var pairs []board.Pair
	for _, c := range [][4]float64{{.1, .1, .9, .1}, {.9, .1, .9, .9}, {.9, .9, .1, .9}, {.1, .9, .1, .1}} { // turned by 90°
		p.send(t, append(at(int32(1000*c[2]), int32(1000*c[3])), button(1))...)
		next(t, in.Taps(), board.Tap{X: 1 - c[2], Y: 1 - c[3], Down: true})
		x, y, ok := in.Raw()
		if x != c[2] || y != c[3] || !ok {
			t.Fatalf("touched at %g,%g, %t", x, y, ok)
		}
		pairs = append(pairs, board.Pair{X: c[0], Y: c[1], RawX: x, RawY: y})
		p.send(t, button(0))
		<-in.Taps()
	}
	if err := in.Calibrate(pairs); err != nil {
		t.Fatal(err)
	}
	check := func(in *board.Inputs, p *plug) {
		t.Helper()
		p.send(t, append(at(750, 250), button(1))...)
		select {
		case got := <-in.Taps():
			if got.X < .24 || got.X > .26 || got.Y < .24 || got.Y > .26 {
				t.Errorf("the tap is at %+v", got)
			}
		case <-time.After(time.Minute):
			t.Fatal("no tap")
		}
	}
	check(in, p)
	in.Close()
	p = f.plugIn("event0", tablet("panel"))
	check(f.openInputs(nil), p)
}

func TestInputsThatCannotBe(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	c := f.config()
	c.Keys[board.KeyUp] = "KEY_UPP"
	if _, err := board.OpenInputs(c); err == nil || !strings.Contains(err.Error(), `keypad: up: there is no key "KEY_UPP"`) {
		t.Error(err)
	}
	c = f.config()
	if err := os.WriteFile(c.Calibration, []byte("[[panel]]\nname = \"x\"\nmatrix = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := board.OpenInputs(c); err == nil || !strings.Contains(err.Error(), "makes no picture of it; remove the file, and calibrate again") {
		t.Error(err)
	}
}

// Close ends all that was started, also while nobody listens.
func TestInputsEnd(t *testing.T) {
	f := newFolder(t)
	before := goleak.IgnoreCurrent()
	if err := os.Mkdir(f.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	p := f.plugIn("event0", tablet("panel"))
	in, err := board.OpenInputs(f.config())
	if err != nil {
		t.Fatal(err)
	}
	p.send(t, append(at(100, 100), button(1))...)
	in.Close()
	if _, more := <-in.Taps(); more {
		t.Error("a tap after Close")
	}
	goleak.VerifyNone(t, before)
}
