package main

import (
	"testing"
	"time"
)

// A kiosk whose clock stands where the power left it takes no hour for a quiet one.
func TestQuietHoursWantAClockThatIsKnown(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 23, 0, 0, 0, time.UTC)
	night := func(at time.Time) bool { return at.Hour() >= 22 }
	for name, c := range map[string]struct {
		ahead        time.Duration
		heard, right bool
		quiet        bool
	}{
		"nobody has told it":             {},
		"something keeps it right":       {right: true, quiet: true},
		"central has told it":            {heard: true, quiet: true},
		"central says that it is day":    {ahead: 12 * time.Hour, heard: true},
		"central knows better than both": {ahead: 12 * time.Hour, heard: true, right: true},
	} {
		k := clock{
			central: func() (time.Time, bool) { return time.Now().Add(c.ahead), c.heard },
			right:   func() bool { return c.right },
		}
		if got := k.in(night)(now); got != c.quiet {
			t.Errorf("%s: it is quiet: %t", name, got)
		}
	}
}
