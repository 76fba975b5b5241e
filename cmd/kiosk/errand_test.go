package main

import (
	"errors"
	"runtime"
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
	if said, err := exported(t, e); err != nil || !strings.HasPrefix(said, "Written: ") {
		t.Errorf("the next: %q, %v", said, err)
	}
}

// exported is what came of an export at last: on a busy machine it takes longer than the face waits.
func exported(t *testing.T, e *engineer) (string, error) {
	t.Helper()
	said, err := e.do(ui.ActExport{})
	for late := time.After(time.Minute); errors.Is(err, errSlow); runtime.Gosched() {
		var bad bool
		switch said, bad = e.exported.came(); {
		case !bad:
			err = nil
		case said != errSlow.Error():
			err = errors.New(said)
		}
		select {
		case <-late:
			t.Fatal("it is being written for a minute")
		default:
		}
	}
	return said, err
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
