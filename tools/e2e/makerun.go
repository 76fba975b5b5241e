package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// The panes of `make run` on a terminal of 80 columns.
const (
	runColumns, runRows = 80, 24
	youColumn           = 51 // where "You" begins
	johnsOldPasscode    = "246810"
)

// walkMakeRun is a newcomer who types `make run` into a terminal of the usual size, does one unlock by hand, asks the
// independent client that the pane offers, and stops everything with Ctrl-C.
func (d *driver) walkMakeRun(ctx context.Context) (w walk, r result, err error) {
	w = walk{last: unlocked, client: "new passcode", rotated: "not asked", state: "not asked", mails: 1}
	r = result{rotated: w.rotated, state: w.state}
	dir := filepath.Join(d.dir, "r")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return w, r, err
	}
	// A terminal of its own, as a person has one: nothing of the make that runs us.
	t, err := openTerminal(ctx, dir, runColumns, runRows, []string{"env", "-u", "MAKEFLAGS", "-u", "MAKELEVEL", "-u", "MFLAGS", "make", "-s", "run"}, nil)
	if err != nil {
		return w, r, err
	}
	defer t.close()
	v := &visit{ctx: ctx, terminal: t}
	err = v.run(func(v *visit) {
		you := func(texts ...string) string {
			text, err := t.awaitFrom(youColumn, texts...)
			v.must(err)
			return text
		}
		v.see(attract)
		you("[i Insert]")
		v.tap("[i Insert]")
		v.see(consent)
		v.tap("Yes, this is me")
		v.see(channel)
		v.tap("Email to")
		v.see(code)
		you("john.rigby@nhs.net")
		r.mails = 1
		code := regexp.MustCompile(`\b\d{6}\b`).FindString(rightOf(t.screen(), youColumn))
		if code == "" {
			v.must(fmt.Errorf("no code in the pane\n%s", t.screen()))
		}
		v.enter(code)
		v.see(passcode)
		v.choose(newPasscode)
		v.see(unlocked)
		v.tap("[p Prove it]")
		you("Passcode that you set there")
		v.enter(newPasscode)
		you("to the new")
		you("Successfully verified PIN")
		answer := flat(rightOf(t.screen(), youColumn))
		if before, after, ok := strings.Cut(answer, "to the new"); ok && strings.Contains(before, "to the old "+johnsOldPasscode) &&
			!strings.Contains(before, "Successfully") && strings.Contains(after, "Successfully") {
			r.client = "new passcode"
		} else {
			r.client = "otherwise: " + answer
		}
		v.see(attract)
		v.press("C-c")
		v.see("Pane is dead")
	})
	if err != nil {
		return w, r, err
	}
	return w, r, w.judge(r)
}
