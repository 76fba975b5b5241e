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
	before := d.programs()
	v := &visit{ctx: ctx, terminal: t}
	err = v.run(func(v *visit) {
		you := func(texts ...string) string {
			text, err := t.awaitFrom(youColumn, texts...)
			v.must(err)
			return text
		}
		v.see(attract)
		started := 0
		for pid := range d.programs() {
			if before[pid] == "" {
				started++
			}
		}
		if started < 3 {
			v.must(fmt.Errorf("only %d of our programs run, so their end would prove nothing", started))
		}
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
		v.see("everything that was started has ended")
		v.must(t.ended())
	})
	if err != nil {
		return w, r, err
	}
	for pid, name := range d.programs() {
		if before[pid] == "" {
			return w, r, fmt.Errorf("after Ctrl-C %s still runs as process %s", name, pid)
		}
	}
	return w, r, w.judge(r)
}

// programs are the processes of our own programs, by process id.
func (d *driver) programs() map[string]string {
	found := map[string]string{}
	links, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, l := range links {
		if exe, err := os.Readlink(l); err == nil && filepath.Dir(exe) == d.bin {
			found[filepath.Base(filepath.Dir(l))] = exe
		}
	}
	return found
}
