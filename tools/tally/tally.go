// Package tally counts the checks of a test of machines and writes a line for each. Its last lines name again what failed, since the
// reader of a long log sees its end first.
package tally

import (
	"fmt"
	"io"
	"time"
)

// Tally of checks.
type Tally struct {
	out          io.Writer
	made, passed int
	failed       []string // as they were written
}

// New writes to out.
func New(out io.Writer) *Tally { return &Tally{out: out} }

// Passed counts a check that passed, and what it says of itself.
func (t *Tally) Passed(check, said string, took time.Duration) {
	t.made++
	t.passed++
	fmt.Fprintf(t.out, "ok    %s%s (%.1f s)\n", check, said, took.Seconds())
}

// Failed counts one that failed.
func (t *Tally) Failed(check string, err error, took time.Duration) {
	t.made++
	line := fmt.Sprintf("FAIL  %s: %v (after %.1f s)", check, err, took.Seconds())
	t.failed = append(t.failed, line)
	fmt.Fprintln(t.out, line)
}

// Left counts checks that were not made, since one before them failed.
func (t *Tally) Left(n int) { t.made += n }

// Close writes the last lines; the last of all counts, for what was tested. It is an error if not all checks passed; pictures is the folder where one can
// see why.
func (t *Tally) Close(what, pictures string) error {
	for _, line := range t.failed {
		fmt.Fprintln(t.out, line)
	}
	fmt.Fprintf(t.out, "%s: %d checks, %d passed\n", what, t.made, t.passed)
	if t.passed < t.made {
		return fmt.Errorf("a check failed, and those after it on its machine were not made; pictures are in %s", pictures)
	}
	return nil
}
