package device

import (
	"reflect"
	"regexp"
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
	for _, s := range []reflect.Type{reflect.TypeFor[Config](), reflect.TypeOf(c.Idle), reflect.TypeOf(c.Board)} {
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
		Linger: time.Duration(c.Idle.Linger)}
	if shown != unlock.DefaultConfig || c.TimeZone != "Europe/London" || c.Board.Name != "none" {
		t.Errorf("it says %+v and %s; the defaults are %+v", shown, c.TimeZone, unlock.DefaultConfig)
	}
}
