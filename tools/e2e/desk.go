package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"latchkey/tools/cardsim"
	"latchkey/tools/reader"
)

const (
	deskID   = "desk-1"
	deskCard = "desk.json"
)

// deskIssue is the card that is served at the desk.
func deskIssue() cardsim.Issue {
	i := locked()
	i.File, i.Holder.ID = deskCard, "55520000"
	return i
}

// walkDesk is an attended desk: "cardctl unblock" on a terminal and in a reader of its own, with the kiosk's central behind
// it, which sends the code and holds the evidence as for a kiosk.
func (d *driver) walkDesk(ctx context.Context) (r result, err error) {
	w := walk{client: "new passcode", rotated: "yes", state: "settled", mails: 1}
	p, err := d.place(ctx, usual)
	if err != nil {
		return r, err
	}
	desk, err := reader.Start(ctx, reader.Config{Dir: filepath.Join(d.dir, "d"), Log: os.Stderr})
	if err != nil {
		return r, err
	}
	defer desk.Close()
	argv, err := p.rig.Desk(deskID)
	if err != nil {
		return r, err
	}
	dir := filepath.Join(d.dir, "t")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return r, err
	}
	t, err := openTerminal(ctx, dir, 100, 40, append(argv, "--reader", "Latchkey Virtual Reader 00 00"), desk.Env())
	if err != nil {
		return r, err
	}
	defer t.close()
	before, err := p.cases()
	if err != nil {
		return r, err
	}
	messages, err := p.rig.Mail.Messages()
	if err != nil {
		return r, err
	}
	v := &visit{ctx: ctx, rig: p.rig, terminal: t, card: deskCard, mails: len(messages)}
	err = v.run(func(v *visit) {
		v.see("Put the card in.")
		v.must(desk.Insert(0, p.rig.Card(deskCard)))
		v.see("Holder, is this you")
		v.enter("yes")
		v.see("Where should the code go?")
		v.enter("1")
		v.see("Code (")
		v.enter(v.code(1))
		v.see("New passcode:")
		v.enter(newPasscode)
		v.see("The same again:")
		v.enter(newPasscode)
		r.last = v.see("Take the card out.")
		v.must(desk.Eject(0))
	})
	if err == nil {
		err = t.ended()
	}
	if err != nil {
		return r, err
	}
	r.mails = 1
	if r.client, err = (&verdict{d.clients, "piv"}).of(ctx, p.rig.Card(deskCard), oldPasscode, newPasscode); err != nil {
		return r, err
	}
	if r.rotated, err = p.rig.Rotated(deskCard); err != nil {
		return r, err
	}
	if r.state, err = p.settledState(before, w.state); err != nil {
		return r, err
	}
	var devices []struct {
		Name string `json:"name"`
		Kind string `json:"kind"`
	}
	if err := p.rig.CentralJSON(&devices, "kiosk", "list"); err != nil {
		return r, err
	}
	for _, device := range devices {
		if (device.Name == deskID) != (device.Kind == "desk") {
			return r, fmt.Errorf("central takes %s for a %s", device.Name, device.Kind)
		}
	}
	return r, w.judge(r)
}
