package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"latchkey/tools/cardsim"
)

const (
	// killsInCI is how often the kiosk is killed among the walks.
	killsInCI = 20
	// killWithin is from when a card is in: a visit takes about as long.
	killWithin = time.Second
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
			v.see(attract)
			v.block()
			v.insert()
			v.killedOnce(p, false)
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
	if r.state, err = p.settledState(rows[:len(rows)-1], w.state); err != nil { // the last outcome may be on its way
		return err
	}
	return w.judge(*r)
}

// killedOnce is a visit with a card that is in, during which the kiosk is killed, at any moment, and started again: it finds the card, or
// the card was pulled.
func (v *visit) killedOnce(p *place, stays bool) {
	ctx, stop := context.WithCancel(v.ctx)
	defer stop()
	var kill error
	var killing atomic.Bool
	dead := make(chan struct{})
	time.AfterFunc(rand.N(killWithin), func() {
		defer close(dead)
		killing.Store(true)
		kill = v.terminal.kill()
		stop() // whoever waits for a screen waits no longer
	})
	during := *v
	during.ctx, during.terminal = ctx, &terminal{ctx: ctx, socket: v.terminal.socket}
	visited := during.run((*visit).works)
	before := !killing.Load() // the visit was quicker, or went wrong
	<-dead
	v.must(kill)
	if visited != nil && before {
		v.must(visited)
	}
	if !stays {
		v.pull()
	}
	p.kills++
	v.must(v.terminal.again())
}

// comesAgain is the holder of a card that was in a kiosk when it was killed.
func (v *visit) comesAgain() {
	v.see(attract)
	v.insert()
	v.works()
	v.pull()
	v.counts()
}

// works has a card that is in made to work, wherever the visit before it ended.
func (v *visit) works() {
	switch v.see(consent, code, notLocked) {
	case code: // it was sent in the visit before, or is on its way
		messages, err := v.rig.Mail.Messages()
		v.must(err)
		v.mails = max(v.mails, len(messages)-1)
		v.finishByNewest()
	case consent:
		v.counts()
		v.consentAndSend()
		v.finishByNewest()
	case notLocked: // the passcode is on the card
		v.change(newPasscode)
		v.see(presentRight)
		v.choose(newPasscode)
		v.see(changed)
	}
}

// finishByNewest is for a holder whose visit before was cut off: its code may be on its way still, and come before the one that is good.
func (v *visit) finishByNewest() {
	v.enter(v.code(1))
	if v.see(passcode, wrongCode) == wrongCode {
		v.mails++
		v.enter(v.code(1))
		v.see(passcode)
	}
	v.choose(newPasscode)
	v.see(unlocked)
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
