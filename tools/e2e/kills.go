package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"latchkey/tools/cardsim"
)

const (
	// killsInCI is how often the kiosk is killed among the walks.
	killsInCI = 20
	// killsInSoak is how often it is killed at least in a soak, however short.
	killsInSoak = 200
	// killWithin is from a card's insertion: a visit takes about as long.
	killWithin = 2500 * time.Millisecond
	killedFile = "killed.json"
	// killsPolicy is for one card that comes all the time.
	killsPolicy = "kiosk_cards_an_hour = 0\nkiosk_sends_an_hour = 100000\naddress_sends_an_hour = 100000\nholder_sends_an_hour = 100000\n" +
		"card_sends_an_hour = 100000\nholder_visits_a_day = 0\n"
)

func killedIssue() cardsim.Issue {
	i := locked()
	i.File, i.Holder.ID = killedFile, "555400000000"
	return i
}

// walkKills is a kiosk that is killed at random moments of visits, by SIGKILL, and started again. Each time the holder comes
// again, and leaves with a card that works.
func (d *driver) walkKills(ctx context.Context) (r result, err error) {
	w := walk{client: "new passcode", state: "settled"}
	p, err := d.place(ctx, killed)
	if err != nil {
		return r, err
	}
	v := &visit{ctx: ctx, rig: p.rig, terminal: p.terminal, card: killedFile, holder: killedIssue().Holder}
	if err := v.run(func(v *visit) {
		for range killsInCI {
			v.killedOnce(p, killWithin)
			v.comesAgain()
		}
		v.comesWith(killedFile) // and once more as if nothing had been
		r.last = unlocked
	}); err != nil {
		return r, err
	}
	return r, d.judgeKilled(ctx, p, w, &r)
}

func (d *driver) judgeKilled(ctx context.Context, p *place, w walk, r *result) (err error) {
	if r.client, err = (&verdict{d.clients, "piv"}).of(ctx, p.rig.Card(killedFile), oldPasscode, newPasscode); err != nil {
		return err
	}
	messages, err := p.rig.Mail.Messages()
	if err != nil {
		return err
	}
	rows, err := p.cases()
	if err != nil {
		return err
	}
	r.mails, w.mails = len(messages), len(messages) // as many as it took
	if r.rotated, err = p.rig.Rotated(killedFile); err != nil {
		return err
	}
	w.rotated = "yes"
	r.state = rows[len(rows)-1].State
	if r.state != w.state { // the last outcome may be on its way
		rest := make([]string, len(rows))
		for i, c := range rows {
			rest[i] = c.State
		}
		rest[len(rest)-1] = w.state
		if _, err := p.settledState(nil, strings.Join(rest, ", ")); err != nil {
			return err
		}
		if rows, err = p.cases(); err != nil {
			return err
		}
		r.state = rows[len(rows)-1].State
	}
	return w.judge(*r)
}

// killedOnce is a visit with a locked card during which the kiosk is killed, at any moment, and started again.
func (v *visit) killedOnce(p *place, within time.Duration) {
	v.see(attract)
	v.block()
	ctx, stop := context.WithCancel(v.ctx)
	defer stop()
	var kill error
	dead := make(chan struct{})
	moment := rand.N(within)
	time.AfterFunc(moment, func() {
		defer close(dead)
		kill = v.terminal.kill()
		stop() // whoever waits for a screen waits no longer
	})
	during := *v
	during.ctx, during.terminal = ctx, &terminal{ctx: ctx, socket: v.terminal.socket}
	visited := during.run(func(v *visit) {
		v.counts()
		v.insert()
		v.see(consent)
		v.consentAndSend()
		v.finish(v.code(1))
	})
	before := ctx.Err() == nil // the visit was quicker
	<-dead
	v.must(kill)
	if visited != nil && before {
		v.must(visited)
	}
	v.pull()
	p.kills++
	v.must(v.terminal.again())
}

// comesAgain is the holder of a card that was in a kiosk when it was killed: wherever that was, the card is made to work.
func (v *visit) comesAgain() {
	v.see(attract)
	v.insert()
	switch v.see(consent, code, notLocked) {
	case code: // it was sent in the visit before, or is on its way
		messages, err := v.rig.Mail.Messages()
		v.must(err)
		v.mails = max(v.mails, len(messages)-1)
		v.finish(v.code(1))
	case consent:
		v.counts()
		v.consentAndSend()
		v.finish(v.code(1))
	case notLocked: // the passcode is on the card
		v.change(newPasscode)
		v.see(presentRight)
		v.choose(newPasscode)
		v.see(changed)
	}
	v.pull()
	v.counts()
}

// counts the mails that have come.
func (v *visit) counts() {
	messages, err := v.rig.Mail.Messages()
	v.must(err)
	v.mails = len(messages)
}

func (t *terminal) pid() (int, error) {
	out, err := t.tmux("display-message", "-p", "#{pane_pid}")
	if err != nil {
		return 0, fmt.Errorf("ask tmux for the program: %w", err)
	}
	return strconv.Atoi(strings.TrimSpace(out))
}

func pidOf(t *terminal) int {
	pid, _ := t.pid() // 0 is nobody's
	return pid
}

// kill ends the terminal's program as a power cut would, but for the disk.
func (t *terminal) kill() error {
	pid, err := t.pid()
	if err == nil {
		err = syscall.Kill(pid, syscall.SIGKILL)
	}
	if err == nil {
		err = t.ended()
	}
	return err
}

// again starts the program that has ended.
func (t *terminal) again() error {
	_, err := t.tmux("respawn-pane", "-k")
	return err
}

// soak is all of it for a time: walks, kills of kiosk and central, and network cuts, in any order. What the programs hold must not
// grow: central's is looked at over all its lives.
func (d *driver) soak(ctx context.Context) error {
	if err := os.Mkdir(d.dir, 0o700); err != nil {
		return err
	}
	p, err := d.place(ctx, killed)
	if err != nil {
		return err
	}
	v := &visit{ctx: ctx, rig: p.rig, terminal: p.terminal, card: killedFile, holder: killedIssue().Holder}
	var walks, centrals, cuts int
	var early, late [2]usage // kiosk, central; the most that was seen in the first and in the last third
	began := time.Now()
	all := time.Duration(d.minutes) * time.Minute
	next := began
	for time.Since(began) < all || p.kills < killsInSoak {
		var doing string
		err := v.run(func(v *visit) {
			switch n := rand.N(6); {
			case n < 3:
				doing = "killing the kiosk"
				for range 8 {
					v.killedOnce(p, killWithin/2)
				}
			case n < 4:
				doing = "killing central"
				v.see(attract)
				v.block()
				v.amongKills([]func(func()){p.rig.Network.Answers, p.rig.Network.Requests}[rand.N(2)])
				v.pull()
				centrals++
			case n < 5:
				doing = "cutting the network"
				v.see(attract)
				v.block()
				v.insert()
				v.see(consent)
				v.consentAndSend()
				right := v.code(1)
				p.rig.Network.Cut()
				v.enter(right)
				p.rig.Network.Mend()
				v.pull()
				cuts++
			default:
				doing = "a walk"
				v.see(attract)
				v.block()
			}
			v.comesAgain()
			walks++
		})
		if err != nil {
			return fmt.Errorf("after %d walks, %d kills: %s: %w", walks, p.kills, doing, err)
		}
		for i, pid := range []int{pidOf(v.terminal), p.rig.CentralPID()} {
			u, err := usageOf(pid)
			if err != nil {
				continue // it was just started or ended
			}
			if passed := time.Since(began); passed < all/3 {
				early[i] = early[i].most(u)
			} else if passed > all*2/3 {
				late[i] = late[i].most(u)
			}
		}
		if time.Since(next) > 0 {
			next = next.Add(time.Minute)
			fmt.Printf("%5.1f min: %d walks, %d kills of the kiosk, %d visits with kills of central, %d network cuts\n",
				time.Since(began).Minutes(), walks, p.kills, centrals, cuts)
		}
	}
	if _, err := p.evidence(); err != nil {
		return err
	}
	for i, name := range []string{"kiosk", "central"} {
		fmt.Printf("%s: at most %d KiB and %d descriptors in the first third, %d KiB and %d in the last\n", name, early[i].kib, early[i].files, late[i].kib, late[i].files)
		if late[i].kib > early[i].kib*5/4+8<<10 || late[i].files > early[i].files+16 {
			return fmt.Errorf("%s grows", name)
		}
	}
	d.said = fmt.Sprintf("soak: %.0f minutes, %d walks, %d kills of the kiosk, %d visits with kills of central, %d network cuts: every card works, every entry is at central once",
		time.Since(began).Minutes(), walks, p.kills, centrals, cuts)
	return nil
}

// usage is what a process holds.
type usage struct {
	kib, files int
}

func (u usage) most(o usage) usage { return usage{max(u.kib, o.kib), max(u.files, o.files)} }

func usageOf(pid int) (u usage, err error) {
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	status, err := os.ReadFile(filepath.Join(proc, "status"))
	if err != nil {
		return u, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, is := strings.CutPrefix(line, "VmRSS:"); is {
			if _, err := fmt.Sscan(rest, &u.kib); err != nil {
				return u, err
			}
		}
	}
	open, err := os.ReadDir(filepath.Join(proc, "fd"))
	u.files = len(open)
	return u, err
}
