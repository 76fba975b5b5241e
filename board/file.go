package board

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
	"periph.io/x/conn/v3/gpio"
)

// File is a board file. A section that is left out is something that the box does not have.
type File struct {
	Title string `toml:"title"`

	Light  *Light  `toml:"light"`
	Buzzer *Buzzer `toml:"buzzer"`
	// Tamper: switches of case and door. Open is the level of a line whose switch is open; the line is pulled that way, so that
	// a cut wire counts as an open case.
	Tamper *struct {
		Lines []string `toml:"lines"`
		Open  level    `toml:"open"`
	} `toml:"tamper"`
	Button *struct {
		Line    string `toml:"line"`
		Pressed level  `toml:"pressed"`
	} `toml:"button"`
	// Reader: what switches the card reader's power.
	Reader *struct {
		Line string   `toml:"line"`
		On   level    `toml:"on"`
		Off  duration `toml:"off"` // how long it stays without power when it is cycled
	} `toml:"reader"`
	// Fan runs from the one temperature until the other, °C. One that the kernel drives is not named here.
	Fan *struct {
		Line  string  `toml:"line"`
		On    level   `toml:"on"`
		From  float64 `toml:"from"`
		Until float64 `toml:"until"`
	} `toml:"fan"`
	// Temperature: the type of the kernel's thermal zone, and what is too hot, °C.
	Temperature *struct {
		Zone string  `toml:"zone"`
		Hot  float64 `toml:"hot"`
	} `toml:"temperature"`
	// Supply: the name of the hwmon device that raises an alarm when the voltage is too low.
	Supply *struct {
		Monitor string `toml:"monitor"`
	} `toml:"supply"`
	// Network: interfaces, as patterns of path.Match; one with a carrier is a link.
	Network *struct {
		Interfaces []string `toml:"interfaces"`
	} `toml:"network"`
	Backlight *Backlight `toml:"backlight"`
	Watchdog  *struct {
		Device  string   `toml:"device"`
		Timeout duration `toml:"timeout"` // whole seconds
	} `toml:"watchdog"`
}

//go:embed boards/*.toml
var boards embed.FS

// Names are the boards of this build.
func Names() (names []string) {
	files, err := fs.Glob(boards, "boards/*.toml")
	if err != nil {
		panic(err) // the pattern is a constant
	}
	for _, f := range files {
		names = append(names, strings.TrimSuffix(path.Base(f), ".toml"))
	}
	return names
}

// Load reads a board file of this build, or one at a path: something with a slash or ending in .toml.
func Load(name string) (*File, error) {
	var b []byte
	var err error
	if strings.ContainsRune(name, '/') || strings.HasSuffix(name, ".toml") {
		b, err = os.ReadFile(name)
	} else if b, err = boards.ReadFile("boards/" + name + ".toml"); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("board %q is not known: write one of %s, or the path of a board file", name, strings.Join(Names(), ", "))
	}
	if err != nil {
		return nil, fmt.Errorf("board: %w", err)
	}
	f, err := Parse(b)
	if err != nil {
		return nil, fmt.Errorf("board %s: %w", name, err)
	}
	return f, nil
}

// Parse reads a board file and says everything that is wrong with it.
func Parse(b []byte) (*File, error) {
	f := &File{}
	meta, err := toml.Decode(string(b), f)
	if err != nil {
		return nil, err
	}
	var wrong []error
	for _, extra := range meta.Undecoded() {
		wrong = append(wrong, fmt.Errorf("there is no setting %q; remove it or mend its name", extra))
	}
	if err := errors.Join(append(wrong, f.check()...)...); err != nil {
		return nil, err
	}
	return f, nil
}

// use is a line and what it is for.
type use struct{ line, duty string }

// uses of lines, in the order of the file.
func (f *File) uses() (list []use) {
	if f.Light != nil {
		for _, lamp := range f.Light.names() {
			list = append(list, use{f.Light.Lines[lamp], "light " + lamp})
		}
	}
	if f.Buzzer != nil {
		list = append(list, use{f.Buzzer.Line, "buzzer"})
	}
	if f.Tamper != nil {
		for _, l := range f.Tamper.Lines {
			list = append(list, use{l, "tamper"})
		}
	}
	if f.Button != nil {
		list = append(list, use{f.Button.Line, "button"})
	}
	if f.Reader != nil {
		list = append(list, use{f.Reader.Line, "reader"})
	}
	if f.Fan != nil {
		list = append(list, use{f.Fan.Line, "fan"})
	}
	return list
}

// Lines are the names of all lines.
func (f *File) Lines() (names []string) {
	for _, u := range f.uses() {
		names = append(names, u.line)
	}
	return names
}

// senses tells whether there is anything to look at from time to time.
func (f *File) senses() bool {
	return f.Temperature != nil || f.Supply != nil || f.Network != nil
}

// mostTemperature is more than any processor is meant to reach, °C.
const mostTemperature = 125

func (f *File) check() (wrong []error) {
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	if f.Title == "" {
		say("title is not set; say what people call the board")
	}
	taken := map[string]string{}
	for _, u := range f.uses() {
		if u.line == "" {
			say("%s has no line; name one, or remove the section", u.duty)
		} else if other, is := taken[u.line]; is {
			say("line %s is both %s and %s; give one of them another line", u.line, other, u.duty)
		}
		if _, _, is := offset(u.line); !is && strings.ContainsRune(u.line, '/') {
			say("%s: line %q is no name, and not a chip's label, a slash and a number, such as pinctrl-rp1/17", u.duty, u.line)
		}
		taken[u.line] = u.duty
	}
	if f.Light != nil {
		wrong = append(wrong, f.Light.check()...)
	}
	if f.Buzzer != nil {
		wrong = append(wrong, f.Buzzer.check()...)
	}
	if f.Tamper != nil && len(f.Tamper.Lines) == 0 {
		say("tamper has no lines; name one, or remove the section")
	}
	if f.Reader != nil && f.Reader.Off.d() <= 0 {
		say("reader: off must be more than nothing; 2s is usual")
	}
	if f.Temperature != nil {
		if f.Temperature.Zone == "" {
			say("temperature has no zone; name the type of one, as /sys/class/thermal/thermal_zone0/type says it")
		}
		if t := f.Temperature.Hot; !(t > 0 && t <= mostTemperature) {
			say("temperature: hot must be between 0 and %d °C", mostTemperature)
		}
	}
	if f.Fan != nil {
		if f.Temperature == nil {
			say("fan needs the section temperature to know when to run")
		}
		if !(f.Fan.Until > 0 && f.Fan.Until < f.Fan.From && f.Fan.From <= mostTemperature) {
			say("fan: until must be less than from, and both between 0 and %d °C", mostTemperature)
		}
	}
	if f.Supply != nil && f.Supply.Monitor == "" {
		say("supply has no monitor; name the hwmon device, such as rpi_volt")
	}
	if f.Network != nil {
		if len(f.Network.Interfaces) == 0 {
			say("network has no interfaces; name one, or remove the section")
		}
		for _, p := range f.Network.Interfaces {
			if _, err := path.Match(p, ""); err != nil || p == "" || strings.ContainsRune(p, '/') {
				say("network: interface %q is neither a name nor a pattern such as e*", p)
			}
		}
	}
	if f.Backlight != nil {
		wrong = append(wrong, f.Backlight.check()...)
	}
	if f.Watchdog != nil {
		if !strings.HasPrefix(f.Watchdog.Device, "/") {
			say("watchdog: device must be a whole path, such as /dev/watchdog")
		}
		if d := f.Watchdog.Timeout.d(); d < 5*time.Second || d > 10*time.Minute || d%time.Second != 0 {
			say("watchdog: timeout must be whole seconds, 5s to 10m: the loop turns once a second")
		}
	}
	return wrong
}

type duration time.Duration

func (d duration) d() time.Duration { return time.Duration(d) }

func (d *duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err == nil && v < 0 {
		err = errors.New("must not be less than nothing")
	}
	*d = duration(v)
	return err
}

// level is that of a line; written "high" or "low".
type level gpio.Level

func (l *level) UnmarshalText(b []byte) error {
	switch string(b) {
	case "high":
		*l = level(gpio.High)
	case "low":
		*l = level(gpio.Low)
	default:
		return fmt.Errorf("a line is high or low, not %q", b)
	}
	return nil
}

// against is the pull of an input that has this level while nothing is wired to it.
func (l level) against() gpio.Pull {
	if gpio.Level(l) == gpio.High {
		return gpio.PullUp
	}
	return gpio.PullDown
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
