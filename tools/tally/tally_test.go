package tally

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestTheEndOfTheLogSaysWhatFailed(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	y := New(&out)
	y.Passed("it starts", ": 3 s", time.Second)
	y.Failed("it sings", errors.New("it is silent"), 2*time.Second)
	y.Left(4)
	if y.Close("choir", "pictures") == nil {
		t.Error("of six checks one passed, and that is no error")
	}
	const want = `ok    it starts: 3 s (1.0 s)
FAIL  it sings: it is silent (after 2.0 s)
FAIL  it sings: it is silent (after 2.0 s)
choir: 6 checks, 1 passed
`
	if got := out.String(); got != want {
		t.Errorf("it says\n%s, not\n%s", got, want)
	}
}

func TestAllPassed(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	y := New(&out)
	y.Passed("it starts", "", 0)
	if err := y.Close("choir", "pictures"); err != nil {
		t.Error(err)
	}
	if got := out.String(); got != "ok    it starts (0.0 s)\nchoir: 1 checks, 1 passed\n" {
		t.Errorf("it says\n%s", got)
	}
}
