package device

import (
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/toml"

	"latchkey/firmware/unlock"
)

// The help text shows every setting there is, and the defaults that count.
func TestTheExampleIsWhole(t *testing.T) {
	t.Parallel()
	var c Config
	meta, err := toml.Decode(regexp.MustCompile(`(?m)^#`).ReplaceAllString(Example, ""), &c)
	if err != nil || len(meta.Undecoded()) > 0 {
		t.Fatal(err, meta.Undecoded())
	}
	settings := 0
	for _, s := range []reflect.Type{reflect.TypeFor[Config](), reflect.TypeOf(c.Idle), reflect.TypeOf(c.Board), reflect.TypeOf(c.Touch), reflect.TypeOf(c.Keypad),
		reflect.TypeOf(c.Quiet), reflect.TypeOf(c.Feedback), reflect.TypeOf(c.Passcode), reflect.TypeOf(c.Speech), reflect.TypeOf(c.Console), reflect.TypeOf(c.Service), reflect.TypeOf(c.Provisioned)} {
		for i := range s.NumField() {
			if tag := s.Field(i).Tag.Get("toml"); tag != "" && tag != "-" {
				settings++
			}
		}
	}
	if got := len(meta.Keys()); got != settings {
		t.Errorf("it shows %d of %d settings", got, settings)
	}
	shown := unlock.Config{Idle: time.Duration(c.Idle.Walk), CodeIdle: time.Duration(c.Idle.Code), Warn: time.Duration(c.Idle.Warn),
		Linger: time.Duration(c.Idle.Linger), Feedback: c.Feedback.Ask, Weak: unlock.WeakPolicy(c.Passcode.Weak)}
	if shown != unlock.DefaultConfig || c.TimeZone != "Europe/London" || c.Language != "en" || c.Board.Name != "none" {
		t.Errorf("it says %+v and %s; the defaults are %+v", shown, c.TimeZone, unlock.DefaultConfig)
	}
}

// What the help text says of face and box is what holds without a setting.
func TestTheExampleSaysTheDefaults(t *testing.T) {
	t.Parallel()
	var shown, is Config
	if _, err := toml.Decode(regexp.MustCompile(`(?m)^#`).ReplaceAllString(Example, ""), &shown); err != nil {
		t.Fatal(err)
	}
	is.setDefaults()
	for name, pair := range map[string][2]any{
		"touch": {shown.Touch, is.Touch}, "keypad": {shown.Keypad, is.Keypad}, "quiet": {shown.Quiet, is.Quiet}, "feedback": {shown.Feedback, is.Feedback},
		"passcode": {shown.Passcode, is.Passcode}, "speech": {shown.Speech, is.Speech}, "console": {shown.Console, is.Console}, "service": {shown.Service, is.Service},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("%s: it says %+v, and the default is %+v", name, pair[0], pair[1])
		}
	}
}

func TestQuietHours(t *testing.T) {
	t.Parallel()
	london, err := time.LoadLocation("Europe/London")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		settings, at string
		quiet        bool
	}{
		{"", "2026-11-23T23:00:00Z", false},
		{"from = \"22:00\"\nuntil = \"06:00\"", "2026-11-23T21:59:59Z", false},
		{"from = \"22:00\"\nuntil = \"06:00\"", "2026-11-23T22:00:00Z", true},
		{"from = \"22:00\"\nuntil = \"06:00\"", "2026-11-23T05:59:00Z", true},
		{"from = \"22:00\"\nuntil = \"06:00\"", "2026-11-23T06:00:00Z", false},
		{"from = \"22:00\"\nuntil = \"06:00\"", "2026-07-23T21:30:00Z", true}, // half past ten in summer
		{"from = \"12:30\"\nuntil = \"13:00\"", "2026-11-23T12:45:00Z", true},
		{"from = \"12:30\"\nuntil = \"13:00\"", "2026-11-23T13:00:00Z", false},
	} {
		conf := Config{Zone: london}
		if _, err := toml.Decode("[quiet]\n"+c.settings, &conf); err != nil {
			t.Fatal(err)
		}
		at, err := time.Parse(time.RFC3339, c.at)
		if err != nil {
			t.Fatal(err)
		}
		if got := conf.QuietAt(at); got != c.quiet {
			t.Errorf("with %q it is quiet at %s: %t", c.settings, c.at, got)
		}
	}
}

func TestASettingOfTheFaceThatIsWrongSaysWhatAndHow(t *testing.T) {
	t.Parallel()
	for settings, says := range map[string]string{
		"language = \"fr\"":                                  `language is en or cy, not "fr"`,
		"[touch]\nrotation = 45":                             "rotation is 0, 90, 180 or 270, not 45",
		"[touch]\npanels = [\"[\"]":                          `"[" is neither a name nor a pattern`,
		"[keypad]\nup = \"KEY_F13\"\ndown = \"KEY_F13\"":     "up and down have the same key",
		"[quiet]\nfrom = \"22:00\"":                          "from and until belong together",
		"[quiet]\nfrom = \"22:00\"\nuntil = \"22:00\"":       "from and until are the same",
		"[quiet]\nfrom = \"ten o'clock\"\nuntil = \"06:00\"": "is no time of the day; write one like 22:00",
		"[passcode]\nweak = \"forbid\"":                      `weak is allow, warn or refuse, not "forbid"`,
	} {
		c := Config{Language: "en"}
		c.setDefaults()
		_, err := toml.Decode(settings, &c)
		if err == nil {
			err = c.checkFace()
		}
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v does not say %q", settings, err, says)
		}
	}
}
