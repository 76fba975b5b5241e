package identity

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Many a device has no clock that outlives a cut of power. What it knows is that time does not run backwards.

// Now is the device's own clock, or, where that is behind, the latest moment that has surely passed: when the program was built, the
// certificate was made, central was last heard.
func (i *Identity) Now(own time.Time) time.Time {
	now := AfterBuild(own)
	for _, passed := range []time.Time{i.Certificate().NotBefore, i.heard()} {
		if passed.After(now) {
			now = passed
		}
	}
	return now
}

// AfterBuild is the device's own clock, or, where that is behind, when the program was built.
func AfterBuild(own time.Time) time.Time {
	if at := built(); at.After(own) {
		return at
	}
	return own
}

// built is when the commit was made that the program is of; zero if it does not say.
var built = sync.OnceValue(func() time.Time {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return time.Time{}
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.time" {
			at, _ := time.Parse(time.RFC3339, s.Value) // zero if it is no time
			return at
		}
	}
	return time.Time{}
})

// heard is the newest time of central's that was kept; zero if there is none.
func (i *Identity) heard() time.Time {
	text, err := os.ReadFile(filepath.Join(i.dir, clockFile))
	if err != nil {
		return time.Time{}
	}
	ms, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// hearEvery is how far central's clock moves before it is kept again: flash wears.
const hearEvery = time.Hour

// hear keeps central's time.
func (i *Identity) hear(at time.Time) error {
	if at.Before(i.heard().Add(hearEvery)) {
		return nil
	}
	return write(i.dir, clockFile, []byte(strconv.FormatInt(at.UnixMilli(), 10)), os.Rename)
}
