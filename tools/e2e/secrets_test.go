package main

import (
	"bytes"
	"testing"
)

// What the search takes for central's PUKs are those that central's vault makes (its test has the same).
func TestDerivedPUKsAreCentrals(t *testing.T) {
	t.Parallel()
	root := bytes.Repeat([]byte{2}, 32)
	for got, want := range map[string]string{
		derived(root, "0a0b", 1, digits):       "74131529",
		derived(root, "0a0b0c", 1, digits):     "68135402",
		derived(root, "0a0b", 1, alphanumeric): "18JfHZ6J",
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
