package qemu

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
)

// emulator plays QEMU's side of its protocol: the lines that it says, each after one command, the greeting before all.
func emulator(t *testing.T, says ...string) *qmp {
	t.Helper()
	ours, theirs := net.Pipe()
	t.Cleanup(func() { ours.Close() })
	go func() {
		defer theirs.Close()
		commands := bufio.NewScanner(theirs)
		fmt.Fprintln(theirs, `{"QMP": {"version": {}, "capabilities": []}}`)
		for _, line := range append([]string{`{"return": {}}`}, says...) {
			if !commands.Scan() {
				return
			}
			fmt.Fprintln(theirs, line)
		}
	}()
	q, err := newQMP(t.Context(), ours)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func TestARefusedCommandSaysWhy(t *testing.T) {
	t.Parallel()
	q := emulator(t, `{"error": {"class": "GenericError", "desc": "there is no screen"}}`)
	var refusal *Refusal
	if err := q.execute(t.Context(), "screendump", nil, nil); !errors.As(err, &refusal) || !strings.Contains(err.Error(), "screendump: there is no screen") {
		t.Errorf("got %v", err)
	}
}

func TestAnEventBeforeAnAnswerIsKeptAndTheAnswerArrives(t *testing.T) {
	t.Parallel()
	q := emulator(t, `{"event": "RESET", "data": {"guest": true}} {"return": {"running": true}}`)
	var status struct{ Running bool }
	if err := q.execute(t.Context(), "query-status", nil, &status); err != nil || !status.Running {
		t.Fatalf("got %v, %v", status, err)
	}
	if err := q.await(t.Context(), "RESET", 1); err != nil || q.seen("RESET") != 1 || q.seen("WATCHDOG") != 0 {
		t.Errorf("got %v, %d, %d", err, q.seen("RESET"), q.seen("WATCHDOG"))
	}
}

func TestAMachineThatEndsIsSaidToWhoeverWaits(t *testing.T) {
	t.Parallel()
	q := emulator(t)
	if err := q.await(t.Context(), "RESET", 1); err == nil || t.Context().Err() != nil {
		t.Errorf("waiting for an event ended with %v", err)
	}
	if err := q.execute(t.Context(), "quit", nil, nil); err == nil {
		t.Error("a command was performed by nobody")
	}
}
