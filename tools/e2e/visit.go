package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"latchkey/firmware/secret"
	"latchkey/tools/cardsim"
	"latchkey/tools/reader"
	"latchkey/tools/rig"
)

// visit is one person with one card at the kiosk.
type visit struct {
	ctx      context.Context
	rig      *rig.Rig
	terminal *terminal
	card     string // state file
	hooks    []hook
	holder   cardsim.Holder
	mails    int    // that had come before
	texts    int    // text messages that had
	seen     string // last
}

// failed ends a walk; runWalk recovers it.
type failed struct{ error }

func (v *visit) must(err error) {
	if err != nil {
		panic(failed{err})
	}
}

// Commands of the card, by their instruction byte (SP 800-73-4 part 2, table 2).
const (
	insVerify = 0x20
	insRotate = 0x24
	insReset  = 0x2C
	insSign   = 0x87
	insGet    = 0xCB
)

// hook is called at the nth command with an instruction: before it has an effect, or after, when its answer is lost. An
// error pulls the card there.
type hook struct {
	ins   byte
	nth   int
	after bool
	do    func() error
}

var errPulled = fmt.Errorf("pulled")

func (v *visit) pullAt(ins byte, nth int, after bool) {
	v.hooks = append(v.hooks, hook{ins, nth, after, func() error { return errPulled }})
}

func (v *visit) at(ins byte, nth int, do func()) {
	v.hooks = append(v.hooks, hook{ins, nth, false, func() error { do(); return nil }})
}

// amongKills unlocks while central is killed, but for the moment in which the code is handed over: whether one left that was
// in hand nobody knows, and what follows from that is tested by killing at each step of it (TestKilledWhileSending).
func (v *visit) amongKills(at func(func())) {
	v.see(attract)
	v.killed(at, func(v *visit) {
		v.insert()
		v.see(consent)
		v.tap("Yes, this is me")
		v.see(channel)
	})
	v.tap("Email to")
	v.see(code)
	right := v.code(1)
	v.killed(at, func(v *visit) { v.finish(right) })
}

// killed does something while central is killed, and started again, at requests or answers.
func (v *visit) killed(at func(func()), do func(*visit)) {
	before := v.rig.Network.Faults()
	var broken error
	at(func() { broken = errors.Join(broken, v.rig.KillCentral()) })
	do(v)
	v.rig.Network.Calm()
	if v.rig.Network.Faults() == before {
		broken = errors.Join(broken, errors.New("central was not killed"))
	}
	v.must(broken)
}

// insert puts the card in. Its memory is its file, so it comes back as it was pulled.
func (v *visit) insert() {
	c, err := cardsim.Open(v.rig.Card(v.card))
	v.must(err)
	seen := map[byte]int{}
	find := func(command []byte, after bool) error {
		if len(command) < 4 {
			return nil
		}
		ins := command[1]
		if ins == insVerify && len(command) < 6 {
			return nil // it only asks for the counter
		}
		if !after {
			seen[ins]++
		}
		for _, h := range v.hooks {
			if h.ins == ins && h.nth == seen[ins] && h.after == after {
				return h.do()
			}
		}
		return nil
	}
	c.Before = func(command []byte) error { return find(command, false) }
	c.After = func(command []byte) error { return find(command, true) }
	v.must(v.rig.Reader.InsertServe(0, c.ServeVPCD))
}

func (v *visit) pull() { v.must(v.rig.Reader.Eject(0)) }

func (v *visit) see(texts ...string) string {
	text, err := v.terminal.await(texts...)
	v.must(err)
	v.seen = text
	return text
}

func (v *visit) tap(texts ...string) { v.must(v.terminal.tap(texts...)) }

// tapUntil taps on one of the texts, again if need be, until another is seen.
func (v *visit) tapUntil(seen string, texts ...string) {
	for give := time.Now().Add(patience); ; time.Sleep(10 * look) {
		screen := v.terminal.screen()
		if strings.Contains(screen, seen) {
			return
		}
		if time.Now().After(give) {
			v.must(fmt.Errorf("tapped on %q for %s and never saw %q\n%s", texts, patience, seen, screen))
		}
		if x, y, found := find(strings.Split(screen, "\n"), texts); found {
			v.must(v.terminal.tapAt(x, y))
		}
	}
}

func (v *visit) press(keys ...string) { v.must(v.terminal.press(keys...)) }

// enter types digits and submits them.
func (v *visit) enter(text string) {
	v.must(v.terminal.write(text))
	v.press("Enter")
}

// enterByTap does the same on the on-screen keypad.
func (v *visit) enterByTap(digits string) {
	for _, d := range []byte(digits) {
		v.must(v.terminal.tapDigit(d))
	}
	v.tap("OK")
}

var codeInMail = regexp.MustCompile(`(?m)\b(\d{6})\b`)

// code reads the newest of n mails of this visit.
func (v *visit) code(n int) string {
	text := v.mail(n).Text
	m := codeInMail.FindStringSubmatch(text)
	if m == nil {
		v.must(fmt.Errorf("no code in the mail: %s", text))
	}
	return m[1]
}

// wrong is a code that is not the right one.
func wrong(code string, by byte) string {
	return code[:5] + string('0'+(code[5]-'0'+by)%10)
}

// Steps that most walks share.

func (v *visit) toConsent() {
	v.see(attract)
	v.insert()
	v.see(consent)
}

func (v *visit) toCode() {
	v.toConsent()
	v.consentAndSend()
}

func (v *visit) consentAndSend() {
	v.tap("Yes, this is me")
	v.see(channel)
	v.tap("Email to")
	v.see(code)
}

func (v *visit) toPasscode() {
	v.toCode()
	v.enter(v.code(1))
	v.see(passcode)
}

func (v *visit) choose(p string) {
	v.enter(p)
	v.see(repeat)
	v.enter(p)
}

// toErrand goes to the question what the holder of a card that is not locked came for.
func (v *visit) toErrand() {
	v.see(attract)
	v.insert()
	v.see(notLocked)
}

func (v *visit) change(presented string) {
	v.tap(change)
	v.see(present)
	v.enter(presented)
}

// forget goes from the errand to a new passcode by a code.
func (v *visit) forget() {
	v.tap(forgotten)
	v.see(consent)
	v.consentAndSend()
	v.enter(v.code(1))
	v.see(passcode)
	v.choose(newPasscode)
	v.see(set)
}

// spendPUK is a stranger who tries PUKs of his own on the card (RESET RETRY COUNTER, SP 800-73-4 part 2 §3.2.3).
func (v *visit) spendPUK(tries int) {
	c, err := cardsim.Open(v.rig.Card(v.card))
	v.must(err)
	c.PowerOn()
	for range tries {
		_, err := c.Transmit([]byte("\x00\x2C\x00\x80\x10" + "notitPUK" + "135790\xFF\xFF"))
		v.must(err)
	}
}

// finish goes from the code to a card that is unlocked.
func (v *visit) finish(code string) {
	v.enter(code)
	v.see(passcode)
	v.choose(newPasscode)
	v.see(unlocked)
}

// verdict is what an independent client says of a card, on a reader that the kiosk does not see.
type verdict struct {
	stack  *reader.Reader
	family string
}

// accepts asks it about a passcode; a refusal costs the card a try.
func (d *verdict) accepts(ctx context.Context, passcode string) (bool, error) {
	takes, _, err := d.stack.Accepts(ctx, d.family, secret.New([]byte(passcode)))
	return takes, err
}

func (d *verdict) of(ctx context.Context, file, before, after string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := d.stack.Await(ctx, false); err != nil { // the card of the walk before is gone
		return "", err
	}
	if err := d.stack.Insert(0, file); err != nil {
		return "", err
	}
	defer d.stack.Eject(0)
	if err := d.stack.Await(ctx, true); err != nil {
		return "", err
	}
	if out, err := d.stack.Command(ctx, "opensc-tool", "--name").CombinedOutput(); err != nil {
		return "cannot read it: " + flat(string(out)), nil
	}
	takesOld, err := d.accepts(ctx, before)
	if err != nil {
		return "", err
	}
	takesNew := takesOld
	if after != before {
		if takesNew, err = d.accepts(ctx, after); err != nil {
			return "", err
		}
	}
	switch {
	case takesNew && after != before && !takesOld:
		if out, err := d.stack.Command(ctx, "pkcs15-tool", "--list-pins").CombinedOutput(); err != nil {
			return "OpenSC cannot read it: " + flat(string(out)), nil
		}
		return "new passcode", nil
	case takesNew && after == before:
		return "same passcode", nil
	case takesOld && !takesNew:
		return "old passcode", nil
	case takesOld && takesNew:
		return "both passcodes", nil
	}
	return "no passcode", nil
}
