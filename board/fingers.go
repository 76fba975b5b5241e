package board

import (
	"time"

	"github.com/holoplot/go-evdev"
)

// Tap is a finger that comes down on a touch panel, or leaves it. Each Down is followed by one that is not, before the next.
type Tap struct {
	X, Y float64 // from 0, the screen's left and top, to 1
	Down bool
	Void bool // of one that leaves: it was no finger's tap, and is to do nothing
}

// What is no tap of a finger's.
const (
	// leastTouch is less than any finger stays; interference comes and goes within one scan of a panel.
	leastTouch = 20 * time.Millisecond
	// farthest is how far a finger gets between two reports of a panel, as a share of its width or height.
	farthest = 0.3
	// mostFingers at once are a hand that slips; more are a palm, or water.
	mostFingers = 3
	// stuckAfter is longer than anybody holds a key: dirt, or a drop.
	stuckAfter = time.Minute
	// palm is the share of the panel's longer side that a finger does not cover.
	palm = 0.25
)

// axis is the range of a device's values.
type axis struct{ min, max int32 }

// part is where in its range a value lies, from 0 to 1 if it lies there at all.
func (a axis) part(v int32) float64 {
	return float64(int64(v)-int64(a.min)) / float64(int64(a.max)-int64(a.min))
}

// panel is what a touch device says of itself.
type panel struct {
	x, y axis
	slot int // that its next events are about
	// slots: it tells fingers apart (protocol B of Documentation/input/multi-touch-protocol.rst); else it has one position and a key.
	slots bool
	at    [2]int32 // its one position now
}

// finger is one contact.
type finger struct {
	down, fresh bool
	stuck       bool // and is not looked at until it is gone
	palm        bool
	button      bool // it is a mouse's, or a tablet's, which does not ghost
	x, y        int32
	known       [2]bool // whether x and y were told since the device was opened
	since       time.Time
}

// fingers makes taps of the events of one device. It is pure: what it is told in the same order gives the same taps.
//
// The first finger that comes down on a free panel is the one that counts, until all have left; what else touches is ignored.
type fingers struct {
	panel
	all     map[int]*finger
	dropped bool // until the next report, events were lost
	first   int  // slot of the finger that counts; -1 if none does
	ignored bool // what touches now counts for nothing
	x, y    float64
}

func newFingers(p panel) *fingers { return &fingers{panel: p, all: map[int]*finger{}, first: -1} }

// maxSlots bounds what a device can make us keep.
const maxSlots = 64

func (f *fingers) of(slot int) *finger {
	if f.all[slot] == nil {
		f.all[slot] = &finger{}
	}
	return f.all[slot]
}

// take takes one event of the device. What it returns is in parts of the panel, not of the screen.
func (f *fingers) take(e *evdev.InputEvent) []Tap {
	at := time.Unix(int64(e.Time.Sec), int64(e.Time.Usec)*1000)
	switch {
	case e.Type == evdev.EV_SYN && e.Code == evdev.SYN_DROPPED:
		f.dropped = true
	case e.Type == evdev.EV_SYN && e.Code == evdev.SYN_REPORT:
		if f.dropped {
			f.dropped = false
			return f.lost()
		}
		return f.report(at)
	case f.dropped:
	case e.Type == evdev.EV_KEY:
		f.key(e, at)
	case e.Type == evdev.EV_ABS:
		f.moved(e, at)
	}
	return nil
}

func (f *fingers) key(e *evdev.InputEvent, at time.Time) {
	if f.slots || e.Value > 1 || e.Code != evdev.BTN_TOUCH && e.Code != evdev.BTN_LEFT {
		return
	}
	one := f.of(0)
	if e.Value == 1 && !one.down {
		*one = finger{down: true, fresh: true, button: e.Code == evdev.BTN_LEFT, since: at}
	} else if e.Value == 0 {
		one.down = false
	}
}

func (f *fingers) moved(e *evdev.InputEvent, at time.Time) {
	switch e.Code {
	case evdev.ABS_X:
		f.at[0] = e.Value
	case evdev.ABS_Y:
		f.at[1] = e.Value
	}
	if !f.slots {
		return
	}
	if e.Code == evdev.ABS_MT_SLOT {
		f.slot = int(e.Value)
	}
	if f.slot < 0 || f.slot >= maxSlots {
		return
	}
	one := f.of(f.slot)
	switch e.Code {
	case evdev.ABS_MT_TRACKING_ID:
		one.down = e.Value >= 0
		if one.down {
			one.fresh, one.stuck, one.palm, one.since = true, false, false, at
		}
	case evdev.ABS_MT_POSITION_X:
		one.x, one.known[0] = e.Value, true
	case evdev.ABS_MT_POSITION_Y:
		one.y, one.known[1] = e.Value, true
	case evdev.ABS_MT_TOUCH_MAJOR: // in units of the panel's surface
		one.palm = one.palm || float64(e.Value) > palm*float64(max(int64(f.panel.x.max)-int64(f.panel.x.min), int64(f.panel.y.max)-int64(f.panel.y.min)))
	case evdev.ABS_MT_TOOL_TYPE:
		one.palm = one.palm || e.Value == evdev.MT_TOOL_PALM
	}
}

// position of a finger; what a slot was not told yet is the device's one position, since only changes are told.
func (f *fingers) position(one *finger) (x, y float64) {
	at := [2]int32{one.x, one.y}
	for i, known := range one.known {
		if !known {
			at[i] = f.at[i]
		}
	}
	return f.panel.x.part(at[0]), f.panel.y.part(at[1])
}

// report looks at what touches now that the device has told all that changed at once.
func (f *fingers) report(at time.Time) (taps []Tap) {
	if one := f.all[f.first]; f.first >= 0 && (!one.down || one.fresh) {
		replaced := one.down // the next finger got its slot at once, and counts
		taps = append(taps, f.leave(!one.button && !replaced && short(at.Sub(one.since))))
		f.ignored = f.ignored && !replaced
	}
	taps = append(taps, f.heed(at)...)
	touching, lowest := 0, -1
	for slot, one := range f.all {
		if one.down && !one.stuck {
			touching++
			if lowest < 0 || slot < lowest {
				lowest = slot
			}
		}
	}
	spoilt := touching > mostFingers
	for _, one := range f.all {
		spoilt = spoilt || one.down && !one.stuck && one.palm
		one.fresh = false
	}
	switch {
	case touching == 0:
		f.ignored = false
	case f.first >= 0:
		one := f.all[f.first]
		x, y := f.position(one)
		jumped := !one.button && (apart(x, f.x) > farthest || apart(y, f.y) > farthest)
		if spoilt || jumped {
			taps = append(taps, f.leave(true))
		} else {
			f.x, f.y = x, y
		}
	case f.ignored:
	case spoilt:
		f.ignored = true
	default:
		f.first, f.ignored = lowest, true
		f.x, f.y = f.position(f.all[lowest])
		taps = append(taps, Tap{X: f.x, Y: f.y, Down: true})
	}
	return taps
}

// short: it was too short for a finger. A clock that was set back meanwhile says nothing.
func short(d time.Duration) bool { return d >= 0 && d < leastTouch }

func apart(a, b float64) float64 { return max(a-b, b-a) }

// heed looks for contacts that stay too long.
func (f *fingers) heed(at time.Time) (taps []Tap) {
	for slot, one := range f.all {
		if one.down && !one.stuck && at.Sub(one.since) >= stuckAfter {
			one.stuck = true
			if slot == f.first {
				taps = append(taps, f.leave(true))
			}
		}
	}
	return taps
}

// lost: events were lost, or the device is gone. What touches now is not known until it comes down again.
func (f *fingers) lost() (taps []Tap) {
	if f.first >= 0 {
		taps = []Tap{f.leave(true)}
	}
	f.all, f.ignored = map[int]*finger{}, false
	return taps
}

func (f *fingers) leave(void bool) Tap {
	f.first = -1
	return Tap{X: f.x, Y: f.y, Void: void}
}
