// Package board is the box that the kiosk lives in: status light, buzzer, backlight, case and door switches, a button, the
// reader's power, fan, temperature, supply voltage, network link, clock, and the hardware watchdog. What a box has stands in
// a board file (boards/*.toml, or one of your own); boards are data, and this package knows none by name.
//
// Lines are those of the kernel's GPIO character device, by the names that its device tree gives them; the rest is sysfs
// (Documentation/ABI in the kernel's source) and /dev/watchdog (Documentation/watchdog/watchdog-api.rst).
//
// It decides nothing about the kiosk: it shows the State that it is given and tells Events. It kicks the watchdog only when
// it is told that the kiosk's loop has turned. It opens nothing that the board file does not name, so that the board "none"
// opens nothing at all. A case that is opened while there is no power goes unseen, unless the switch latches.
//
// Touch panels, assistive keypads and headphone jacks (Inputs) are the kernel's input devices (Documentation/input). What a panel
// tells becomes Taps of one finger at a time, on the screen as it is seen; interference, palms and drops of water become none.
package board

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"

	"periph.io/x/conn/v3/gpio"
)

// State is what the kiosk shows of itself to somebody across the room.
type State int

// States.
const (
	Ready     State = iota // a card can be put in
	Busy                   // somebody is served, or the kiosk works
	Attention              // somebody has to do something: take the card, or the visit ends
	Fault                  // nobody can be served
	states
)

func (s State) String() string {
	return [states]string{"ready", "busy", "attention", "fault"}[s]
}

// Kind is what an Event is about.
type Kind string

// Kinds of Event.
const (
	Tamper       Kind = "tamper"       // the case or its door is open
	Link         Kind = "link"         // there is a network link
	Undervoltage Kind = "undervoltage" // the supply's voltage is too low
	Overheated   Kind = "overheated"   // the processor is as hot as the board file calls hot
	Button       Kind = "button"       // the button is pressed
)

// Event says that something is so now, or is so no longer.
type Event struct {
	Kind Kind
	On   bool
}

func (e Event) String() string {
	if e.On {
		return string(e.Kind)
	}
	return "no " + string(e.Kind)
}

// Config is what a board is opened with.
type Config struct {
	// Name is that of a board in this build (Names), or the path of a board file: something with a slash or ending in .toml.
	Name string
	// Root is where sys and dev are; "" is /. Tests give a folder.
	Root string
	// Line finds a GPIO line by name; nil: the kernel's. Its errors are told with the line's name and what it is for.
	Line func(name string) (gpio.PinIO, error)
	// Watched: whoever started the program restarts it when it hangs, and so has the hardware's watchdog for itself. It is left alone.
	Watched bool
	Log     *slog.Logger
}

// Board is an open board. Close it.
type Board struct {
	File *File // what it was opened with
	// Lacks says of each thing that the board file names and the box does not give, by name, why; the rest works without.
	Lacks []error

	root     string
	log      *slog.Logger
	events   chan Event
	players  []*player
	cycle    chan struct{}         // the reader's power is to be taken away for a while
	taken    map[gpio.PinIO]string // and what for
	watchdog *watchdog

	stop   context.CancelFunc
	beside sync.WaitGroup
}

// Open reads the board file and takes what it names. A board file that is wrong is an error, and so is a tamper switch whose
// line cannot be had: a kiosk that was given one does not run without. Anything else that is missing is in Lacks.
func Open(c Config) (*Board, error) {
	file, err := Load(c.Name)
	if err != nil {
		return nil, err
	}
	if c.Line == nil {
		c.Line = kernelLine
	}
	ctx, stop := context.WithCancel(context.Background())
	b := &Board{
		File: file, root: filepath.Join("/", c.Root), log: c.Log, events: make(chan Event), taken: map[gpio.PinIO]string{},
		cycle: make(chan struct{}, 1), stop: stop,
	}
	if c.Watched {
		b.File.Watchdog = nil
	}
	if err := b.take(ctx, c.Line); err != nil {
		b.Close(false)
		return nil, fmt.Errorf("board %s: %w", c.Name, err)
	}
	return b, nil
}

// take takes everything that the file names and starts what runs beside.
func (b *Board) take(ctx context.Context, line func(string) (gpio.PinIO, error)) error {
	f := b.File
	take := func(duty, name string, as func(gpio.PinIO) error) (gpio.PinIO, error) {
		pin, err := line(name)
		if other, is := b.taken[pin]; is && err == nil {
			err = fmt.Errorf("it is %s's already, by another name", other)
		}
		if err == nil {
			err = as(pin)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: line %s: %w", duty, name, err)
		}
		b.taken[pin] = duty
		return pin, nil
	}
	out := func(duty, name string, level gpio.Level) gpio.PinIO {
		pin, err := take(duty, name, func(p gpio.PinIO) error { return p.Out(level) })
		b.lacks(err)
		return pin
	}
	in := func(duty, name string, pull gpio.Pull) (gpio.PinIO, error) {
		return take(duty, name, func(p gpio.PinIO) error { return p.In(pull, gpio.BothEdges) })
	}

	var switches []*contact
	if f.Tamper != nil {
		for _, name := range f.Tamper.Lines {
			pin, err := in("tamper", name, f.Tamper.Open.against())
			if err != nil {
				return err
			}
			switches = append(switches, &contact{pin, gpio.Level(f.Tamper.Open)})
		}
	}
	if f.Watchdog != nil {
		w, err := openWatchdog(b.at(f.Watchdog.Device), f.Watchdog.Timeout.d())
		b.watchdog = w // an unknown timeout is one with which it runs all the same
		b.lacks(err)
	}
	if len(switches) > 0 {
		b.watchSwitches(ctx, Tamper, switches)
	}
	if f.Button != nil {
		if pin, err := in("button", f.Button.Line, f.Button.Pressed.against()); err != nil {
			b.lacks(err)
		} else {
			b.watchSwitches(ctx, Button, []*contact{{pin, gpio.Level(f.Button.Pressed)}})
		}
	}
	if f.Light != nil {
		lamps := map[string]gpio.PinIO{}
		for _, lamp := range f.Light.names() {
			if pin := out("light "+lamp, f.Light.Lines[lamp], !gpio.Level(f.Light.On)); pin != nil {
				lamps[lamp] = pin
			}
		}
		b.play(ctx, f.Light.player(lamps))
	}
	if f.Buzzer != nil {
		if pin := out("buzzer", f.Buzzer.Line, !gpio.Level(f.Buzzer.On)); pin != nil {
			b.play(ctx, f.Buzzer.player(pin))
		}
	}
	if f.Backlight != nil {
		if p, err := f.Backlight.player(b.root); err != nil {
			b.lacks(err)
		} else {
			b.play(ctx, p)
		}
	}
	if f.Reader != nil {
		if pin := out("reader", f.Reader.Line, gpio.Level(f.Reader.On)); pin != nil {
			b.beside.Go(func() { b.powerReader(ctx, pin) })
		}
	}
	var fan gpio.PinIO
	if f.Fan != nil {
		fan = out("fan", f.Fan.Line, gpio.Level(f.Fan.On)) // until it is known that it is cool
	}
	if f.senses() {
		b.lacks(errors.Join(b.look().lacks...))
		b.beside.Go(func() { b.sense(ctx, fan) })
	}
	return nil
}

func (b *Board) lacks(err error) {
	// Not errors.As: one that is joined further in belongs to a sentence that says what is missing.
	if several, is := err.(interface{ Unwrap() []error }); is {
		b.Lacks = append(b.Lacks, several.Unwrap()...)
	} else if err != nil {
		b.Lacks = append(b.Lacks, err)
	}
}

// at is where a path of the machine is.
func (b *Board) at(path string) string { return filepath.Join(b.root, path) }

// Events tells what the board's switches and sensors see: once what is so at the start, where that is not the good case, then
// what changes. It is closed by Close. Who does not listen holds up the sensors, and loses nothing.
func (b *Board) Events() <-chan Event { return b.events }

func (b *Board) tell(ctx context.Context, e Event) {
	select {
	case b.events <- e:
	case <-ctx.Done():
	}
}

// Show shows a state by light, buzzer and backlight, which is dimmed in quiet hours. It is for one goroutine, and never waits.
func (b *Board) Show(state State, quiet bool) {
	s := shown{state, quiet}
	for _, p := range b.players {
		select {
		case <-p.states: // which nobody has seen yet
		default:
		}
		p.states <- s
	}
}

// Alive says that the kiosk's loop has turned. It kicks the watchdog, which resets the machine if this is not called for as
// long as the board file says.
func (b *Board) Alive() {
	if b.watchdog == nil {
		return
	}
	if err := b.watchdog.kick(); err != nil {
		b.log.Error("board: watchdog", "err", err)
	}
}

// Close ends the lights and the events. With orderly it stops the watchdog, too; without, the machine is reset unless the
// board is opened again in time.
func (b *Board) Close(orderly bool) error {
	b.stop()
	b.beside.Wait()
	close(b.events)
	for pin := range b.taken {
		if c, can := pin.(interface{ Close() }); can {
			c.Close()
		}
	}
	if b.watchdog == nil {
		return nil
	}
	return b.watchdog.close(orderly)
}
