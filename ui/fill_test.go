package ui

import (
	"testing"

	"latchkey/firmware/unlock"
	"latchkey/ui/samples"
)

// What a fact has in it is no place for another, and what is no fact's name stays.
func TestFactsAreFilledInOnce(t *testing.T) {
	t.Parallel()
	s := newStage(t, minWidth, minHeight)
	view := samples.Of(unlock.ScreenCode, "")
	code := *view.Code
	code.Masked = "{until}@nhs.net"
	view.Code = &code
	s.Show(view, samples.Now)
	for text, want := range map[string]string{
		"":                            "",
		"no braces":                   "no braces",
		"to {address}.":               "to {until}@nhs.net.",
		"{n} left, {address":          "{n} left, {address",
		"{{address} and {min} to {} ": "{{until}@nhs.net and " + s.filled("{min}") + " to {} ",
	} {
		if got := s.filled(text); got != want {
			t.Errorf("%q is filled in as %q, want %q", text, got, want)
		}
	}
}
