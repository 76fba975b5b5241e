package main

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/ui"
)

// A stick that hangs holds up neither the face nor, through it, the loop, for which the watchdog waits.
func TestAStickThatHangsHoldsUpNobody(t *testing.T) {
	t.Parallel()
	_, e := testEngineer(t, "")
	hangs := make(chan struct{})
	if _, err := e.exported.run(func() (string, error) { <-hangs; return "Written: late", nil }); !errors.Is(err, errSlow) {
		t.Errorf("the face was told %v", err)
	}
	if _, err := e.do(ui.ActExport{}); !errors.Is(err, errSlow) {
		t.Errorf("a second export beside the first: %v", err)
	}
	if got := fact(t, e, "Export"); !got.Bad || !strings.Contains(got.Value, "being written") {
		t.Errorf("%+v", got)
	}
	close(hangs)
	for late := time.After(time.Minute); fact(t, e, "Export").Bad; {
		select {
		case <-late:
			t.Fatal("it is not told that it was written at last")
		default:
		}
	}
	if got := fact(t, e, "Export"); got.Value != "Written: late" {
		t.Errorf("%+v", got)
	}
	if said, err := e.do(ui.ActExport{}); err != nil || !strings.HasPrefix(said, "Written: ") {
		t.Errorf("the next: %q, %v", said, err)
	}
}

func TestAnErrandIsWaitedForAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var r errand
		began := time.Now()
		_, err := r.run(func() (string, error) { time.Sleep(time.Hour); return "", errors.New("no") })
		if took := time.Since(began); !errors.Is(err, errSlow) || took != errandPatience {
			t.Errorf("after %s: %v", took, err)
		}
		time.Sleep(2 * time.Hour)
		if said, bad := r.came(); said != "no" || !bad {
			t.Errorf("it came to %q, %t", said, bad)
		}
		if said, err := r.run(func() (string, error) { return "yes", nil }); said != "yes" || err != nil {
			t.Errorf("the next: %q, %v", said, err)
		}
	})
}
