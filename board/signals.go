package board

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"periph.io/x/conn/v3/gpio"
)

// Light is a status light: lamps, each on a line, and what they do in each state. A state that is left out is dark.
type Light struct {
	Lines     map[string]string `toml:"lines"` // name of the lamp: its line
	On        level             `toml:"on"`    // of a line whose lamp is lit
	Ready     Signal            `toml:"ready"`
	Busy      Signal            `toml:"busy"`
	Attention Signal            `toml:"attention"`
	Fault     Signal            `toml:"fault"`
}

// Signal is which lamps are lit, and their rhythm: lit, dark, lit, dark, and from the beginning. Without one they stay lit. A
// rhythm for each state tells them apart for those who do not see the colours.
type Signal struct {
	Lamps  []string   `toml:"lamps"`
	Rhythm []duration `toml:"rhythm"`
}

// Buzzer sounds its rhythm once when a state begins: sound, silence, sound …
type Buzzer struct {
	Line      string     `toml:"line"`
	On        level      `toml:"on"` // of the line while it sounds
	Ready     []duration `toml:"ready"`
	Busy      []duration `toml:"busy"`
	Attention []duration `toml:"attention"`
	Fault     []duration `toml:"fault"`
}

// Backlight is the screen's brightness in each state, in per cent. Device is a name in /sys/class/backlight, or a pattern.
type Backlight struct {
	Device    string `toml:"device"`
	Ready     int    `toml:"ready"`
	Busy      int    `toml:"busy"`
	Attention int    `toml:"attention"`
	Fault     int    `toml:"fault"`
	Quiet     int    `toml:"quiet"` // ready and fault in quiet hours; 0 is as ever
}

// names of the lamps, sorted.
func (l *Light) names() []string { return sorted(l.Lines) }

func (l *Light) of(s State) Signal { return [states]Signal{l.Ready, l.Busy, l.Attention, l.Fault}[s] }

func (b *Buzzer) of(s State) []duration {
	return [states][]duration{b.Ready, b.Busy, b.Attention, b.Fault}[s]
}

func (b *Backlight) of(s State) int {
	return [states]int{b.Ready, b.Busy, b.Attention, b.Fault}[s]
}

// leastBeat keeps a typing mistake from turning the light into a load; three flashes a second are the most that WCAG 2.2
// (2.3.1) allows, so a lit and a dark beat take at least a third of a second together.
const (
	leastBeat  = 20 * time.Millisecond
	leastFlash = time.Second / 3
)

func (l *Light) check() (wrong []error) {
	if len(l.Lines) == 0 {
		wrong = append(wrong, errors.New("light has no lines; name one, or remove the section"))
	}
	for s := range states {
		signal := l.of(s)
		for _, lamp := range signal.Lamps {
			if _, is := l.Lines[lamp]; !is {
				wrong = append(wrong, fmt.Errorf("light %s: there is no lamp %q among lines; mend its name", s, lamp))
			}
		}
		if len(signal.Rhythm)%2 != 0 {
			wrong = append(wrong, fmt.Errorf("light %s: a rhythm is lit and dark in turn, so it has an even number of beats", s))
			continue
		}
		for i := 0; i < len(signal.Rhythm); i += 2 {
			if signal.Rhythm[i].d() < leastBeat || signal.Rhythm[i+1].d() < leastBeat || signal.Rhythm[i].d()+signal.Rhythm[i+1].d() < leastFlash {
				wrong = append(wrong, fmt.Errorf("light %s: more than three flashes a second can cause seizures; make the beats longer", s))
				break
			}
		}
	}
	return wrong
}

func (b *Buzzer) check() (wrong []error) {
	for s := range states {
		for _, beat := range b.of(s) {
			if beat.d() < leastBeat {
				wrong = append(wrong, fmt.Errorf("buzzer %s: a beat is at least %s", s, leastBeat))
			}
		}
	}
	return wrong
}

func (b *Backlight) check() (wrong []error) {
	if _, err := filepath.Match(b.Device, ""); err != nil || b.Device == "" || strings.ContainsRune(b.Device, '/') {
		wrong = append(wrong, fmt.Errorf("backlight: device %q is neither a name in /sys/class/backlight nor a pattern such as *", b.Device))
	}
	for s := range states {
		if v := b.of(s); v < 5 || v > 100 {
			wrong = append(wrong, fmt.Errorf("backlight %s: say between 5 and 100 per cent: a dark screen looks broken", s))
		}
	}
	if b.Quiet != 0 && (b.Quiet < 5 || b.Quiet > 100) {
		wrong = append(wrong, errors.New("backlight quiet: say between 5 and 100 per cent: a dark screen looks broken"))
	}
	return wrong
}

// player plays the rhythm of the newest state.
type player struct {
	what   string
	states chan shown // the newest; room for one
	rhythm func(State) []duration
	again  bool // from the beginning; else once
	steady bool // without a rhythm it is on
	set    func(s shown, on bool) error
}

// shown is a state, and whether it is shown in a quiet hour.
type shown struct {
	State
	quiet bool
}

func (l *Light) player(lamps map[string]gpio.PinIO) *player {
	return &player{
		what: "light", rhythm: func(s State) []duration { return l.of(s).Rhythm }, again: true, steady: true,
		set: func(s shown, on bool) (err error) {
			for name, pin := range lamps {
				lit := on && slices.Contains(l.of(s.State).Lamps, name)
				err = errors.Join(err, pin.Out(gpio.Level(lit) == gpio.Level(l.On)))
			}
			return err
		},
	}
}

func (b *Buzzer) player(pin gpio.PinIO) *player {
	return &player{
		what: "buzzer", rhythm: b.of,
		set: func(_ shown, on bool) error { return pin.Out(gpio.Level(on) == gpio.Level(b.On)) },
	}
}

// player of the backlight: it has no rhythm, and is bright when the kiosk ends.
func (b *Backlight) player(root string) (*player, error) {
	found, err := filepath.Glob(filepath.Join(root, "sys/class/backlight", b.Device))
	if err != nil || len(found) == 0 {
		return nil, fmt.Errorf("backlight: there is no %s in /sys/class/backlight", b.Device)
	}
	most, err := number(filepath.Join(found[0], "max_brightness"))
	if err != nil {
		return nil, fmt.Errorf("backlight: %w", err)
	}
	return &player{
		what: "backlight", rhythm: func(State) []duration { return nil }, steady: true,
		set: func(s shown, on bool) error {
			percent := 100
			if on {
				percent = b.of(s.State)
			}
			if on && s.quiet && b.Quiet != 0 && (s.State == Ready || s.State == Fault) { // somebody who is served sees the screen as ever
				percent = min(percent, b.Quiet)
			}
			return os.WriteFile(filepath.Join(found[0], "brightness"), strconv.AppendInt(nil, int64(max(1, most*percent/100)), 10), 0)
		},
	}, nil
}

// play starts a player.
func (b *Board) play(ctx context.Context, p *player) {
	p.states = make(chan shown, 1)
	b.players = append(b.players, p)
	b.beside.Go(func() {
		current, beat := shown{State: states}, 0 // none yet
		var next <-chan time.Time
		var failed string
		for {
			select {
			case <-ctx.Done():
				_ = p.set(shown{State: current.State % states}, false) // nobody is left to be told
				return
			case s := <-p.states:
				if s == current {
					continue
				}
				if s.State == current.State { // the hour changed, and no rhythm begins again
					current = s
					break
				}
				current, beat = s, 0
			case <-next:
				beat++
			}
			on, rhythm := p.steady, p.rhythm(current.State)
			next = nil
			if n := len(rhythm); n > 0 && (p.again || beat < n) {
				on = beat%2 == 0
				next = time.After(rhythm[beat%n].d())
			}
			switch err := p.set(current, on); {
			case err == nil:
				failed = ""
			case err.Error() != failed: // once, not with every beat
				failed = err.Error()
				b.log.Error("board: "+p.what, "err", err)
			}
		}
	})
}

// CycleReader takes the card reader's power away for a while and gives it back. It does not wait; it returns false where the
// board cannot.
func (b *Board) CycleReader() bool {
	if b.File.Reader == nil {
		return false
	}
	select {
	case b.cycle <- struct{}{}:
	default: // it is being done
	}
	return true
}

func (b *Board) powerReader(ctx context.Context, pin gpio.PinIO) {
	on := gpio.Level(b.File.Reader.On)
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.cycle:
		}
		err := pin.Out(!on)
		select {
		case <-ctx.Done():
		case <-time.After(b.File.Reader.Off.d()):
		}
		b.log.Info("board: the reader was without power", "for", b.File.Reader.Off.d(), "err", errors.Join(err, pin.Out(on)))
	}
}
