package main

import (
	"bytes"
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
func (d *driver) walkMakeRun(ctx context.Context) (r result, err error) {
	w := walk{client: "new passcode", rotated: "not asked", state: "not asked", mails: 1}
	r = result{rotated: w.rotated, state: w.state}
	dir := filepath.Join(d.dir, "r")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return r, err
	}
	// A terminal of its own, as a person has one: nothing of the make that runs us.
	t, err := openTerminal(ctx, dir, runColumns, runRows, []string{"env", "-u", "MAKEFLAGS", "-u", "MAKELEVEL", "-u", "MFLAGS", "make", "-s", "run"}, nil)
	if err != nil {
		return r, err
	}
	defer t.close()
	v := &visit{ctx: ctx, terminal: t}
	var started []process
	err = v.run(func(v *visit) {
		you := func(texts ...string) string {
			text, err := t.awaitFrom(youColumn, texts...)
			v.must(err)
			return text
		}
		v.see(attract)
		pane, err := t.tmux("display-message", "-p", "#{pane_pid}")
		v.must(err)
		if started, err = family(strings.TrimSpace(pane)); len(started) < 6 {
			v.must(fmt.Errorf("make, run, central, kiosk and their like are more than %d processes, so their end would prove nothing: %w", len(started), err))
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
		code := ""
		_, err = t.until("a code in the pane", func(screen string) bool {
			code = regexp.MustCompile(`\b\d{6}\b`).FindString(rightOf(screen, youColumn))
			return code != ""
		})
		v.must(err)
		v.enter(code)
		v.see(passcode)
		v.choose(newPasscode)
		r.last = v.see(unlocked)
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
		return r, err
	}
	for _, p := range started {
		if now, err := processOf(p.id); err == nil && now.started == p.started {
			return r, fmt.Errorf("after Ctrl-C process %s still runs (%s)", p.id, p.name)
		}
	}
	return r, w.judge(r)
}

// process is what /proc/ID/stat tells (proc(5)).
type process struct{ id, name, parent, started string }

func processOf(id string) (process, error) {
	b, err := os.ReadFile(filepath.Join("/proc", id, "stat"))
	if err != nil {
		return process{}, err
	}
	open, shut := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || shut < open {
		return process{}, fmt.Errorf("process %s: no name in its stat", id)
	}
	rest := strings.Fields(string(b[shut+1:])) // from the third field on
	if len(rest) < 20 {
		return process{}, fmt.Errorf("process %s: short stat", id)
	}
	if rest[0] == "Z" {
		return process{}, fmt.Errorf("process %s has ended", id)
	}
	return process{id, string(b[open+1 : shut]), rest[1], rest[19]}, nil
}

// family is a process with all that descend from it.
func family(id string) ([]process, error) {
	first, err := processOf(id)
	if err != nil {
		return nil, err
	}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	children := map[string][]process{}
	for _, path := range stats {
		if p, err := processOf(filepath.Base(filepath.Dir(path))); err == nil { // else it has just ended
			children[p.parent] = append(children[p.parent], p)
		}
	}
	all := []process{first}
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i].id]...)
	}
	return all, nil
}
