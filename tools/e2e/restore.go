package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"latchkey/tools/cardsim"
	"latchkey/tools/rig"
)

const (
	putRight = "The service is being put right"
	// restorePolicy: after a restore central waits until what kiosks had been given before has run out, twice as long as this: restoreWaits.
	restorePolicy = "grant_validity = \"5s\"\nholder_visits_a_day = 0\n"
	restoreWaits  = 10 * time.Second
	restoreCards  = 5
)

func restoreIssues() (issues []cardsim.Issue) {
	for n := range restoreCards {
		i := locked()
		i.File, i.Holder.ID = restoreFile(n), fmt.Sprintf("5553%04d", n)
		issues = append(issues, i)
	}
	return issues
}

func restoreFile(n int) string { return fmt.Sprintf("restored-%d.json", n) }

// walkRestore is a trust that has lost central's database, and restores a backup that is ten walks old. Two of five cards were
// unlocked before the backup, and all five twice since: of their PUKs only the kiosk's journal tells. The backup is one of
// SQLite's; on PostgreSQL it is restored there.
func (d *driver) walkRestore(ctx context.Context) (r result, err error) {
	const before, since = 2, 2 * restoreCards
	w := walk{client: "new passcode", rotated: "yes", mails: before + since + restoreCards,
		// What central had forgotten of a card comes back with it, as closed; two cases of the first were back before.
		state: strings.Repeat("closed, ", since-2) + "settled" + strings.Repeat(", settled", restoreCards-1)}
	p, err := d.place(ctx, restored)
	if err != nil {
		return r, err
	}
	v := &visit{ctx: ctx, rig: p.rig, terminal: p.terminal}
	var known []caseRow
	err = v.run(func(v *visit) {
		for n := range before {
			v.comesWith(restoreFile(n))
		}
		backup := filepath.Join(p.rig.CentralData(), "backup")
		_, err := p.rig.Central("backup", backup)
		v.must(err)
		for n := range since {
			v.comesWith(restoreFile(n % restoreCards))
		}

		p.rig.StopCentral()
		v.must(p.rig.NewDatabase(d.engine == postgreSQL))
		began := time.Now()
		said, err := p.rig.Central("restore", backup)
		v.must(err)
		if ask := "Confirm each kiosk again"; !strings.Contains(said, ask) || !strings.Contains(said, rig.KioskID+"\n") {
			v.must(fmt.Errorf("restore does not ask to confirm %s: %s", rig.KioskID, said))
		}
		v.must(p.rig.StartCentral())
		v.epoch("missing " + rig.KioskID)
		v.must(p.rig.Confirm(rig.KioskID))

		v.card = restoreFile(0)
		v.block()
		v.recovers(began)
		v.epoch("Nothing is waited for.")
		known, err = p.cases()
		v.must(err)
		for n := range restoreCards {
			v.comesWith(restoreFile(n))
		}
		r.last = unlocked
	})
	if err != nil {
		return r, err
	}
	for n := range restoreCards {
		file := restoreFile(n)
		if r.client, err = (&verdict{d.clients, "piv"}).of(ctx, p.rig.Card(file), oldPasscode, newPasscode); err != nil {
			return r, err
		}
		if r.rotated, err = p.rig.Rotated(file); err != nil {
			return r, err
		}
		if r.client != w.client || r.rotated != w.rotated {
			break
		}
	}
	messages, err := p.rig.Mail.Messages()
	if err != nil {
		return r, err
	}
	r.mails = len(messages)
	if r.state, err = p.settledState(known, w.state); err != nil {
		return r, err
	}
	return r, w.judge(r)
}

// comesWith is a visit with a card that was locked, and leaves unlocked.
func (v *visit) comesWith(card string) {
	v.card = card
	messages, err := v.rig.Mail.Messages()
	v.must(err)
	v.mails = len(messages)
	v.block()
	unlock(v)
	v.pull()
}

// block is a holder who has forgotten the passcode and tries others (VERIFY, SP 800-73-4 part 2 §3.2.1).
func (v *visit) block() {
	c, err := cardsim.Open(v.rig.Card(v.card))
	v.must(err)
	c.PowerOn()
	for range 3 {
		_, err := c.Transmit([]byte("\x00\x20\x00\x80\x08" + "999999\xFF\xFF"))
		v.must(err)
	}
}

// recovers is a holder who comes again until the service is put right, which it is not sooner than restoreWaits after central was restored.
func (v *visit) recovers(restored time.Time) {
	for give := time.Now().Add(patience); ; {
		v.see(attract)
		v.insert()
		seen := v.see(putRight, consent)
		v.pull()
		switch {
		case seen == consent && time.Since(restored) < restoreWaits:
			v.must(errors.New("a card was served before what kiosks had been given had run out"))
		case seen == consent:
			return
		case time.Now().After(give):
			v.must(fmt.Errorf("after %s the service is still being put right", patience))
		}
	}
}

// epoch holds what staff are told of it.
func (v *visit) epoch(says string) {
	said, err := v.rig.Central("epoch", "show")
	v.must(err)
	if !strings.Contains(flat(said), says) {
		v.must(fmt.Errorf("central epoch show does not say %q: %s", says, said))
	}
}
