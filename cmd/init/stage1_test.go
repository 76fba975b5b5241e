package main

import (
	"testing"

	"latchkey/image/slot"
)

func TestTheKernelsCommandLine(t *testing.T) {
	t.Parallel()
	got, err := parseBoot("console=ttyAMA0 latchkey.slot=b latchkey.root=00ff latchkey.blocks=827 panic=10 gpt\n")
	if want := (boot{slot.B, "00ff", 827}); err != nil || got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	for _, line := range []string{
		"", "latchkey.slot=c latchkey.root=00 latchkey.blocks=1", "latchkey.slot=a latchkey.root=00", "latchkey.slot=a latchkey.root=00 latchkey.blocks=0",
		"latchkey.slot=a latchkey.root=00 latchkey.blocks=x",
	} {
		if _, err := parseBoot(line); err == nil {
			t.Errorf("%q was taken", line)
		}
	}
}
