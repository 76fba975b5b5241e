package board

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holoplot/go-evdev"
	"pgregory.net/rapid"
)

// recorded are events as evtest prints them, one report a line: milliseconds, then code and value. Axes go from 0 to 1000.
var codes = map[string][2]uint16{
	"X": {evdev.EV_ABS, evdev.ABS_X}, "Y": {evdev.EV_ABS, evdev.ABS_Y}, "touch": {evdev.EV_KEY, evdev.BTN_TOUCH}, "left": {evdev.EV_KEY, evdev.BTN_LEFT},
	"slot": {evdev.EV_ABS, evdev.ABS_MT_SLOT}, "id": {evdev.EV_ABS, evdev.ABS_MT_TRACKING_ID}, "x": {evdev.EV_ABS, evdev.ABS_MT_POSITION_X},
	"y": {evdev.EV_ABS, evdev.ABS_MT_POSITION_Y}, "major": {evdev.EV_ABS, evdev.ABS_MT_TOUCH_MAJOR}, "tool": {evdev.EV_ABS, evdev.ABS_MT_TOOL_TYPE},
	"dropped": {evdev.EV_SYN, evdev.SYN_DROPPED},
}

func events(t *testing.T, recorded string) (list []*evdev.InputEvent) {
	t.Helper()
	for line := range strings.Lines(strings.TrimSpace(recorded)) {
		words := strings.Fields(line)
		var ms int64
		if _, err := fmt.Sscan(words[0], &ms); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		at := syscall.NsecToTimeval((1_795_000_000_000 + ms) * 1_000_000)
		for _, w := range words[1:] {
			name, value, _ := strings.Cut(w, "=")
			code, is := codes[name]
			if !is {
				t.Fatalf("%q: what is %s?", line, name)
			}
			e := &evdev.InputEvent{Time: at, Type: evdev.EvType(code[0]), Code: evdev.EvCode(code[1])}
			if value != "" {
				if _, err := fmt.Sscan(value, &e.Value); err != nil {
					t.Fatal(err)
				}
			}
			list = append(list, e)
		}
		list = append(list, &evdev.InputEvent{Time: at, Type: evdev.EV_SYN, Code: evdev.SYN_REPORT})
	}
	return list
}

func says(taps []Tap) string {
	var b strings.Builder
	for _, t := range taps {
		what := "up"
		if t.Down {
			what = "down"
		} else if t.Void {
			what = "void"
		}
		fmt.Fprintf(&b, "%s %.2f,%.2f; ", what, t.X, t.Y)
	}
	return strings.TrimSuffix(b.String(), "; ")
}

var thousand = axis{0, 1000}

func TestFingers(t *testing.T) {
	t.Parallel()
	one := panel{x: thousand, y: thousand}
	slots := panel{x: thousand, y: thousand, slots: true}
	for name, c := range map[string]struct {
		panel    panel
		recorded string
		taps     string
	}{
		"one finger": {one, `
			0 X=250 Y=500 touch=1
			10 X=260
			60 touch=0`, "down 0.25,0.50; up 0.26,0.50"},
		"the same place again is not told again": {one, `
			0 X=250 Y=500 touch=1
			60 touch=0
			200 touch=1
			260 touch=0`, "down 0.25,0.50; up 0.25,0.50; down 0.25,0.50; up 0.25,0.50"},
		"a tablet moves without its button, and clicks fast": {one, `
			0 X=100 Y=100
			1 X=900 Y=900
			2 left=1
			3 left=0`, "down 0.90,0.90; up 0.90,0.90"},
		"a tablet jumps with its button down": {one, `
			0 X=100 Y=100 left=1
			1 X=900 Y=900
			2 left=0`, "down 0.10,0.10; up 0.90,0.90"},
		"slots": {slots, `
			0 slot=0 id=7 x=100 y=200 touch=1 X=100 Y=200
			50 x=110 X=110
			90 id=-1 touch=0`, "down 0.10,0.20; up 0.11,0.20"},
		"a slot that is told nothing takes the device's one position": {slots, `
			0 id=7 touch=1 X=300
			50 id=-1 touch=0`, "down 0.30,0.00; up 0.30,0.00"},
		"the second finger does not count": {slots, `
			0 slot=0 id=1 x=100 y=100
			30 slot=1 id=2 x=800 y=800
			60 slot=0 id=-1
			90 slot=1 x=810
			120 id=-1
			200 slot=0 id=3 x=500 y=500
			260 id=-1`, "down 0.10,0.10; up 0.10,0.10; down 0.50,0.50; up 0.50,0.50"},
		"the next finger in the same report": {slots, `
			0 id=1 x=100 y=100
			50 id=-1 id=2 x=800 y=800
			100 id=-1`, "down 0.10,0.10; up 0.10,0.10; down 0.80,0.80; up 0.80,0.80"},
		"interference": {slots, `
			0 id=1 x=100 y=100
			10 id=-1`, "down 0.10,0.10; void 0.10,0.10"},
		"a clock that is set back": {slots, `
			500 id=1 x=100 y=100
			0 id=-1`, "down 0.10,0.10; up 0.10,0.10"},
		"a jump": {slots, `
			0 id=1 x=100 y=100
			10 x=900
			100 id=-1
			200 id=2 x=500
			260 id=-1`, "down 0.10,0.10; void 0.10,0.10; down 0.50,0.10; up 0.50,0.10"},
		"more than three": {slots, `
			0 slot=0 id=1 x=100 y=100
			10 slot=1 id=2 x=200 y=200 slot=2 id=3 x=300 y=300
			20 slot=3 id=4 x=400 y=400
			60 slot=3 id=-1
			70 slot=0 id=-1 slot=1 id=-1 slot=2 id=-1
			200 slot=0 id=5
			260 id=-1`, "down 0.10,0.10; void 0.10,0.10; down 0.10,0.10; up 0.10,0.10"},
		"four at once": {slots, `
			0 slot=0 id=1 slot=1 id=2 slot=2 id=3 slot=3 id=4
			50 slot=3 id=-1
			70 slot=0 id=-1 slot=1 id=-1 slot=2 id=-1`, ""},
		"a palm": {slots, `
			0 id=1 x=100 y=100 major=60
			20 major=300
			90 id=-1`, "down 0.10,0.10; void 0.10,0.10"},
		"a palm that the device knows": {slots, `
			0 id=1 x=100 y=100 tool=2
			90 id=-1
			200 id=2 tool=0
			260 id=-1`, "down 0.10,0.10; up 0.10,0.10"},
		"a drop of water stays, and a finger counts": {slots, `
			0 slot=0 id=1 x=100 y=100
			60000 x=101
			60100 slot=1 id=2 x=700 y=700
			60200 id=-1
			60300 slot=0 id=-1
			60400 slot=0 id=3 x=300 y=300
			60500 id=-1`, "down 0.10,0.10; void 0.10,0.10; down 0.70,0.70; up 0.70,0.70; down 0.30,0.30; up 0.30,0.30"},
		"events were lost": {slots, `
			0 id=1 x=100 y=100
			50 dropped x=900 id=-1
			60 x=500
			100 id=2 x=600
			160 id=-1`, "down 0.10,0.10; void 0.10,0.10; down 0.60,0.00; up 0.60,0.00"},
		"it was touched when it was opened": {slots, `
			0 x=100
			10 id=-1
			50 id=2 x=600
			160 id=-1`, "down 0.60,0.00; up 0.60,0.00"},
		"a slot that no device has": {slots, `
			0 slot=-5 id=1 x=100
			50 slot=70000 id=1 x=100
			100 slot=0 id=2 x=600
			160 id=-1`, "down 0.60,0.00; up 0.60,0.00"},
	} {
		f := newFingers(c.panel)
		var taps []Tap
		for _, e := range events(t, c.recorded) {
			taps = append(taps, f.take(e)...)
		}
		if got := says(taps); got != c.taps {
			t.Errorf("%s:\n%s\nis not\n%s", name, got, c.taps)
		}
	}
}

// A contact that nothing more is heard of is let go when time is told.
func TestAStuckFingerIsLetGo(t *testing.T) {
	t.Parallel()
	f := newFingers(panel{x: thousand, y: thousand, slots: true})
	for _, e := range events(t, "0 id=1 x=100 y=100") {
		f.take(e)
	}
	start := time.UnixMilli(1_795_000_000_000)
	if got := says(f.heed(start.Add(stuckAfter - time.Millisecond))); got != "" {
		t.Error("too soon:", got)
	}
	if got := says(f.heed(start.Add(stuckAfter))); got != "void 0.10,0.10" {
		t.Error(got)
	}
}

// Whatever a device tells, each press has one release after it, and none is left when the device is gone.
func TestEveryPressHasOneRelease(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		f := newFingers(panel{x: thousand, y: thousand, slots: rapid.Bool().Draw(t, "slots")})
		at := int64(0)
		var taps []Tap
		for range rapid.IntRange(1, 200).Draw(t, "events") {
			e := &evdev.InputEvent{Type: evdev.EV_SYN, Code: evdev.SYN_REPORT}
			if rapid.IntRange(0, 2).Draw(t, "report") > 0 {
				code := codes[rapid.SampledFrom(sortedNames).Draw(t, "code")]
				e = &evdev.InputEvent{Type: evdev.EvType(code[0]), Code: evdev.EvCode(code[1]), Value: rapid.Int32Range(-1, 5).Draw(t, "value")}
			}
			at += rapid.Int64Range(-5, 200).Draw(t, "passed")
			e.Time = syscall.NsecToTimeval(at * 1_000_000)
			taps = append(taps, f.take(e)...)
		}
		paired(t, append(taps, f.lost()...))
	})
}

var sortedNames = sorted(codes)

func paired(t interface{ Fatalf(string, ...any) }, taps []Tap) {
	down := false
	for _, tap := range taps {
		if tap.Down == down {
			t.Fatalf("%s", says(taps))
		}
		down = tap.Down
	}
	if down {
		t.Fatalf("left down: %s", says(taps))
	}
}

// Whatever bytes a device sends.
func FuzzFingers(f *testing.F) {
	f.Add(true, []byte("\x03\x35\x09\x03\x36\x09\x03\x39\x01\x00\x00\x00\x03\x39\xff\x00\x00\x00"))
	f.Add(false, []byte("\x01\x4a\x01\x00\x00\x00\x01\x4a\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, slots bool, b []byte) {
		f := newFingers(panel{x: axis{-2147483648, 2147483647}, y: axis{0, 1}, slots: slots})
		var taps []Tap
		for ; len(b) >= 3; b = b[3:] {
			e := &evdev.InputEvent{Type: evdev.EvType(b[0]), Code: evdev.EvCode(b[1]), Value: int32(int8(b[2])) * 16909320}
			if e.Type == evdev.EV_KEY {
				e.Code += 0x100 // where buttons begin
			}
			taps = append(taps, f.take(e)...)
		}
		paired(t, append(taps, f.lost()...))
	})
}

func TestRotation(t *testing.T) {
	t.Parallel()
	// The panel's top left corner, and a point right of it.
	for degrees, want := range map[int][4]float64{0: {0, 0, 1, 0}, 90: {1, 0, 1, 1}, 180: {1, 1, 0, 1}, 270: {0, 1, 0, 0}} {
		m := rotated(degrees)
		x, y := m.apply(0, 0)
		rx, ry := m.apply(1, 0)
		if got := [4]float64{x, y, rx, ry}; got != want {
			t.Errorf("%d: %v, not %v", degrees, got, want)
		}
	}
}

func TestCalibration(t *testing.T) {
	t.Parallel()
	crosses := [][2]float64{{.1, .1}, {.9, .1}, {.9, .9}, {.1, .9}}
	pairs := func(from affine, noise float64) (list []Pair) {
		for i, c := range crosses {
			x, y := from.apply(c[0], c[1])
			list = append(list, Pair{c[0], c[1], x + noise*float64(i%2), y - noise*float64(i/2)})
		}
		return list
	}
	for name, panelOf := range map[string]affine{
		"as it is": rotated(0), "turned": rotated(90), "mirrored": {-1, 0, 1, 0, 1, 0}, "smaller, shifted and slanted": {.8, .05, .1, -.04, .9, .02},
	} {
		m, err := calibration(pairs(panelOf, .01))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, c := range [][2]float64{{0, 0}, {.5, .5}, {1, .3}} {
			x, y := m.apply(panelOf.apply(c[0], c[1]))
			if apart(x, c[0]) > .02 || apart(y, c[1]) > .02 {
				t.Errorf("%s: a tap at %v is taken for one at %.3f,%.3f", name, c, x, y)
			}
		}
	}
	missed := pairs(rotated(0), 0)
	missed[2].RawX = .3
	for name, c := range map[string]struct {
		pairs []Pair
		says  string
	}{
		"two":       {pairs(rotated(0), 0)[:2], "three points at least"},
		"one place": {[]Pair{{.1, .1, .5, .5}, {.9, .1, .5, .5}, {.9, .9, .5, .5}, {.1, .9, .5, .5}}, "not touched one after the other"},
		"a line":    {[]Pair{{.1, .1, .1, .1}, {.9, .1, .9, .9}, {.9, .9, .9, .9}, {.1, .9, .1, .1}}, "not touched one after the other"},
		"missed":    {missed, "one of the points was missed"},
	} {
		if _, err := calibration(c.pairs); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v does not say %q", name, err, c.says)
		}
	}
}

// Whatever stands in the file, it is refused or takes the panel's points to ones of this world.
func FuzzCalibrations(f *testing.F) {
	f.Add([]byte("[[panel]]\nname = \"FT5406\"\nmatrix = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]\n"))
	f.Add([]byte("[[panel]]\nname = \"FT5406\"\nmatrix = [nan, 0.0, 0.0, 0.0, inf, 0.0]\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		all, err := parseCalibrations(b)
		if err != nil {
			return
		}
		for name, m := range all {
			if x, y := m.apply(.5, .5); !(x > -1000 && x < 1000 && y > -1000 && y < 1000) {
				t.Errorf("%q: %v", name, m)
			}
		}
	})
}
