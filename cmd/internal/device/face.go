package device

import (
	"errors"
	"fmt"
	"path"
	"time"

	"latchkey/firmware/unlock"
)

// What a kiosk's face and box are told. A desk has neither, and heeds the passcode's setting alone.

// touch is which panels count, and how they are turned.
type touch struct {
	Panels   []string `toml:"panels"`
	Rotation int      `toml:"rotation"`
}

// keypad is an assistive keypad: its name, and the names of its keys.
type keypad struct {
	Device string `toml:"device"`
	Up     string `toml:"up"`
	Down   string `toml:"down"`
	Select string `toml:"select"`
	Help   string `toml:"help"`
	Speech string `toml:"speech"`
}

// quiet are the hours in which the kiosk is calm, of each day.
type quiet struct {
	From  hour `toml:"from"`
	Until hour `toml:"until"`
}

// hour is a time of the day; unset without one.
type hour struct {
	after time.Duration // midnight
	set   bool
}

func (h *hour) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	at, err := time.Parse("15:04", string(b))
	if err != nil {
		return fmt.Errorf("%q is no time of the day; write one like 22:00", b)
	}
	h.after, h.set = time.Duration(at.Hour())*time.Hour+time.Duration(at.Minute())*time.Minute, true
	return nil
}

// QuietAt tells whether a moment is in the quiet hours, by the clock of the kiosk's place.
func (c *Config) QuietAt(at time.Time) bool {
	from, until := c.Quiet.From, c.Quiet.Until
	if !from.set {
		return false
	}
	at = at.In(c.Zone)
	now := time.Duration(at.Hour())*time.Hour + time.Duration(at.Minute())*time.Minute
	if from.after < until.after {
		return from.after <= now && now < until.after
	}
	return now >= from.after || now < until.after
}

func (c *Config) setDefaults() {
	c.Board.Name = "none"
	c.Touch.Panels = []string{"*"}
	c.Keypad = keypad{Up: "KEY_UP", Down: "KEY_DOWN", Select: "KEY_ENTER", Help: "KEY_F1", Speech: "KEY_F5"}
	c.Feedback.Ask = true
	c.Passcode.Weak = "warn"
	c.Speech.Program = "espeak-ng"
	c.Console.Font = "/usr/share/consolefonts/Lat38-TerminusBold32x16.psf.gz"
}

// checkFace says the first thing that is wrong; the names of keys and the board file are checked by who knows them.
func (c *Config) checkFace() error {
	for _, p := range append([]string{c.Keypad.Device}, c.Touch.Panels...) {
		if _, err := path.Match(p, ""); err != nil {
			return fmt.Errorf("touch and keypad: %q is neither a name nor a pattern such as FT5406*", p)
		}
	}
	switch c.Touch.Rotation {
	case 0, 90, 180, 270:
	default:
		return fmt.Errorf("touch: rotation is 0, 90, 180 or 270, not %d", c.Touch.Rotation)
	}
	keys := map[string]string{}
	for _, k := range [][2]string{{"up", c.Keypad.Up}, {"down", c.Keypad.Down}, {"select", c.Keypad.Select}, {"help", c.Keypad.Help}, {"speech", c.Keypad.Speech}} {
		if other, is := keys[k[1]]; is {
			return fmt.Errorf("keypad: %s and %s have the same key; give one of them another", other, k[0])
		}
		keys[k[1]] = k[0]
	}
	if c.Language != "en" && c.Language != "cy" {
		return fmt.Errorf("language is en or cy, not %q", c.Language)
	}
	if c.Quiet.From.set != c.Quiet.Until.set {
		return errors.New("quiet: from and until belong together; set both, or neither")
	}
	if c.Quiet.From.set && c.Quiet.From == c.Quiet.Until {
		return errors.New("quiet: from and until are the same; a kiosk that is never quiet has neither")
	}
	switch unlock.WeakPolicy(c.Passcode.Weak) {
	case unlock.WeakAllow, unlock.WeakWarn, unlock.WeakRefuse:
	default:
		return fmt.Errorf("passcode: weak is allow, warn or refuse, not %q", c.Passcode.Weak)
	}
	return nil
}
