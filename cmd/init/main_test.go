package main

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// The test's own program is what tests start: as a service, or as a machine with a network of its own.
	if play := os.Getenv(playVariable); play != "" {
		os.Exit(plays[play]())
	}
	goleak.VerifyTestMain(m)
}

// playVariable names what the test's program is when it is started by a test.
const playVariable = "LATCHKEY_INIT_TEST"

var plays = map[string]func() int{}
