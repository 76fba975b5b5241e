package boardtest

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/gpio/gpiotest"

	"latchkey/board"
)

// Fake is a box with everything that a board file names: its lines, and sysfs and the watchdog as files below Root. It is
// healthy, shut and connected. Make it in a bubble of testing/synctest, since it lets time pass.
type Fake struct {
	Root string
	Name string
	File *board.File

	mu    sync.Mutex
	lines map[string]*Line
}

// Line is a pin that has the level that it is wired to, also after it was made an input.
type Line struct {
	gpiotest.Pin
	wired gpio.Level
}

// In implements gpio.PinIn.
func (l *Line) In(pull gpio.Pull, edge gpio.Edge) error {
	if err := l.Pin.In(pull, edge); err != nil {
		return err
	}
	l.Lock()
	defer l.Unlock()
	l.L = l.wired
	return nil
}

// New makes a fake of the board of this name in a folder.
func New(dir, name string) (*Fake, error) {
	file, err := board.Load(name)
	if err != nil {
		return nil, err
	}
	f := &Fake{Root: dir, Name: name, File: file, lines: map[string]*Line{}}
	files := map[string]string{"sys/class/rtc/rtc0/since_epoch": "1795000000\n"}
	if t := file.Temperature; t != nil {
		files["sys/class/thermal/thermal_zone0/type"] = t.Zone + "\n"
		files["sys/class/thermal/thermal_zone0/temp"] = "48321\n"
		files["sys/class/thermal/cooling_device0/type"] = "cpufreq-cpu0\n"
		files["sys/class/thermal/cooling_device0/cur_state"] = "0\n"
		files["sys/class/hwmon/hwmon0/fan1_input"] = "1980\n"
	}
	if s := file.Supply; s != nil {
		files["sys/class/hwmon/hwmon1/name"] = s.Monitor + "\n"
		files["sys/class/hwmon/hwmon1/in0_lcrit_alarm"] = "0\n"
	}
	if file.Network != nil {
		files["sys/class/net/eth0/carrier"] = "1\n"
		files["sys/class/net/lo/carrier"] = "1\n"
	}
	if file.Backlight != nil {
		files["sys/class/backlight/10-0045/max_brightness"] = "255\n"
		files["sys/class/backlight/10-0045/brightness"] = "255\n"
	}
	if w := file.Watchdog; w != nil {
		files[w.Device] = ""
	}
	for path, text := range files {
		if err := f.Write(path, text); err != nil {
			return nil, err
		}
	}
	for _, l := range file.Lines() {
		f.lines[l] = &Line{Pin: gpiotest.Pin{N: l, EdgesChan: make(chan gpio.Level, 1)}}
	}
	if t := file.Tamper; t != nil {
		for _, l := range t.Lines {
			f.lines[l].wired = !gpio.Level(t.Open)
		}
	}
	if b := file.Button; b != nil {
		f.lines[b.Line].wired = !gpio.Level(b.Pressed)
	}
	return f, nil
}

// Config is what the board is opened with.
func (f *Fake) Config() board.Config {
	return board.Config{Name: f.Name, Root: f.Root, Log: slog.New(slog.DiscardHandler), Line: func(name string) (gpio.PinIO, error) {
		if l := f.Line(name); l != nil {
			return l, nil
		}
		return nil, fmt.Errorf("this box has no line of that name")
	}}
}

// Subject is this box for the suite. A file that stands for the watchdog takes no timeout, and that is all it lacks.
func (f *Fake) Subject() Subject {
	s := Subject{Config: f.Config(), File: f.File, Do: f.Do, Sees: f.Sees, SawReader: f.SawReader}
	if f.File.Watchdog != nil {
		s.Lacks = 1
	}
	return s
}

// Line is the line of this name; nil if there is none.
func (f *Fake) Line(name string) *Line {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lines[name]
}

// Remove takes a line away.
func (f *Fake) Remove(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.lines, name)
}

// Write writes a file below Root, such as one of sysfs.
func (f *Fake) Write(path, text string) error {
	path = filepath.Join(f.Root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o600)
}

// Read reads a file below Root, without the end of its line.
func (f *Fake) Read(path string) (string, error) {
	b, err := os.ReadFile(filepath.Join(f.Root, path))
	return strings.TrimSpace(string(b)), err
}

// Do does what a person would.
func (f *Fake) Do(a Action) error {
	switch a {
	case OpenCase:
		f.Line(f.File.Tamper.Lines[0]).EdgesChan <- gpio.Level(f.File.Tamper.Open)
	case ShutCase:
		f.Line(f.File.Tamper.Lines[0]).EdgesChan <- !gpio.Level(f.File.Tamper.Open)
	case PressButton:
		f.Line(f.File.Button.Line).EdgesChan <- gpio.Level(f.File.Button.Pressed)
	case ReleaseButton:
		f.Line(f.File.Button.Line).EdgesChan <- !gpio.Level(f.File.Button.Pressed)
	case PullCable:
		return f.Write("sys/class/net/eth0/carrier", "0\n")
	case PutCable:
		return f.Write("sys/class/net/eth0/carrier", "1\n")
	default:
		return fmt.Errorf("the fake cannot: %s", a)
	}
	return nil
}

// little is less than any beat, and time enough for whoever was told something.
const little = time.Millisecond

// Sees looks at lamps, buzzer and backlight for two rounds of the state's rhythm, from the moment at which it was shown.
func (f *Fake) Sees(s board.State) bool {
	time.Sleep(little)
	right := true
	if b := f.File.Backlight; b != nil {
		percent := [...]int{b.Ready, b.Busy, b.Attention, b.Fault}[s]
		got, err := f.Read("sys/class/backlight/10-0045/brightness")
		right = right && err == nil && got == fmt.Sprint(255*percent/100)
	}
	if b := f.File.Buzzer; b != nil {
		l := f.Line(b.Line)
		rhythm := [...]int{len(b.Ready), len(b.Busy), len(b.Attention), len(b.Fault)}[s]
		right = right && l.Read() == (gpio.Level(rhythm > 0) == gpio.Level(b.On))
	}
	if l := f.File.Light; l != nil {
		signal := [...]board.Signal{l.Ready, l.Busy, l.Attention, l.Fault}[s]
		lit := func(on bool) bool {
			for lamp, line := range l.Lines {
				want := gpio.Level(on && slices.Contains(signal.Lamps, lamp)) == gpio.Level(l.On)
				if f.Line(line).Read() != gpio.Level(want) {
					return false
				}
			}
			return true
		}
		right = right && lit(true)
		for i := range 2 * len(signal.Rhythm) {
			right = right && lit(i%2 == 0)
			time.Sleep(time.Duration(signal.Rhythm[i%len(signal.Rhythm)]))
		}
	}
	if b := f.File.Buzzer; b != nil {
		time.Sleep(10 * time.Second) // it sounds once
		right = right && f.Line(b.Line).Read() == !gpio.Level(b.On)
	}
	return right
}

// SawReader looks at the line of the reader's power.
func (f *Fake) SawReader() bool {
	r := f.File.Reader
	time.Sleep(little)
	off := f.Line(r.Line).Read() == !gpio.Level(r.On)
	time.Sleep(time.Duration(r.Off))
	return off && f.Line(r.Line).Read() == gpio.Level(r.On)
}
