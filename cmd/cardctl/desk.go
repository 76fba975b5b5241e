package main

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"latchkey/card"
	"latchkey/firmware/secret"
	"latchkey/firmware/unlock"
	"latchkey/firmware/wire"
)

// desk is the face of the loop on a terminal, line by line. The machine decides; the desk refuses by itself only what it can
// see to be malformed, so that every answer of the machine is another screen or another reason, and is printed once.
type desk struct {
	out    io.Writer
	keys   *keyboard
	zone   *time.Location
	help   string
	inputs chan unlock.Input

	mu        sync.Mutex
	view      unlock.View
	printed   stand
	served    bool      // a visit has begun
	cancelled bool      // somebody wants to end it
	warned    time.Time // EndsAt that was warned of
	told      bool      // that the certificates run out
	result    string    // why it ended; "" if the passcode was set
	finished  chan struct{}
}

// stand is what was printed last.
type stand struct {
	screen unlock.Screen
	reason unlock.Reason
	up     bool
	served wire.Code // why central does not serve the desk
}

func newDesk(out io.Writer, keys *keyboard, zone *time.Location, help string) *desk {
	return &desk{out: out, keys: keys, zone: zone, help: help, inputs: make(chan unlock.Input, 16), finished: make(chan struct{}),
		result: "no card was served"}
}

func (d *desk) say(format string, args ...any) { fmt.Fprintf(d.out, format, args...) }

// over tells that a visit has come to its end.
func (d *desk) over() bool {
	select {
	case <-d.finished:
		return true
	default:
		return false
	}
}

// visited tells that somebody was served.
func (d *desk) visited() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.served
}

func (d *desk) verdict() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.result == "" {
		return nil
	}
	return fmt.Errorf("the passcode was not set: %s", d.result)
}

// finish ends the visit, once.
func (d *desk) finish(result string) {
	if !d.over() {
		d.result = result
		close(d.finished)
	}
}

// giveUp ends the wait for a card, if none has come.
func (d *desk) giveUp(after time.Duration) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.served {
		d.finish(fmt.Sprintf("no card was put in within %v", after))
	}
	return !d.served
}

// cancel ends the visit as the holder's Cancel does. It tells whether the machine is to end it: not if it was asked before,
// or if nobody is served.
func (d *desk) cancel() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.cancelled, !d.served, d.over():
		if !d.served {
			d.say("\n")
			d.finish("it was ended")
		}
		return false
	}
	d.cancelled = true
	if d.view.Screen == unlock.ScreenWriting {
		d.say("The card is being written: this ends by itself.\n")
	} else {
		d.say("\nEnding …\n")
	}
	d.pressCancel()
	return true
}

// pressCancel presses it where there is something to press; on a busy screen it is pressed as soon as there is.
func (d *desk) pressCancel() {
	if d.cancelled && asks[d.view.Screen] != nil {
		d.give(unlock.Pressed{Button: unlock.PressCancel})
	}
}

// give hands an input to the loop.
func (d *desk) give(in unlock.Input) {
	select {
	case d.inputs <- in:
	default: // the loop has not taken any for long: nothing of a holder is lost that a line more would not repeat
		discard(in)
	}
}

func discard(in unlock.Input) {
	switch in := in.(type) {
	case unlock.CodeTyped:
		in.Code.Wipe()
	case unlock.PasscodeTyped:
		in.Passcode.Wipe()
	}
}

// show prints what is new. The loop calls it.
func (d *desk) show(v unlock.View, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.over() {
		return
	}
	d.view = v
	d.warn(now)
	next := stand{v.Screen, v.Reason, v.CentralUp || v.Screen != unlock.ScreenAttract, v.NotServed}
	if next == d.printed {
		return
	}
	d.printed = next
	if v.Screen == unlock.ScreenOutOfService && v.Reason == "" {
		return // the readers have not been looked at yet
	}
	d.step(v)
}

func (d *desk) step(v unlock.View) {
	switch v.Screen {
	case unlock.ScreenAttract:
		d.say("Put the card in. (Ctrl-C ends this.)\n")
		switch {
		case v.NotServed != "":
			d.say("%s\n", reasonTexts[unlock.Reason(v.NotServed)])
		case !v.CentralUp:
			d.say("Central cannot be reached just now.\n")
		}
	case unlock.ScreenOutOfService:
		d.say("%s\n", reasonText(v))
		if v.Reason != unlock.ReasonNoReader && v.Reason != unlock.ReasonNoDaemon {
			d.finish(string(v.Reason))
		}
	case unlock.ScreenStopped:
		d.say("\n%s\n", reasonText(v))
		switch {
		case !d.served && (v.Reason == unlock.ReasonLeftIn || v.Reason == unlock.ReasonTwoCards || v.Reason == unlock.ReasonMute):
			// It goes on once that is done.
		default:
			d.stopped(v)
		}
	case unlock.ScreenAway:
		d.say("\nThe card was taken out. The code stays valid until %s: put the card in again before, with another run, and type it.\n", d.clock(v.ReturnBefore))
		d.finish("the card was taken out")
	case unlock.ScreenUnlocked:
		d.say("%s Take the card out.\n", doneText(v.Errand))
		d.expiring(v)
		d.finish("")
	default:
		d.served = true
		if busy := busyText(v); busy != "" {
			d.keys.show(false)
			d.say("%s\n", busy)
		}
		why := ""
		if v.Reason != "" {
			why = reasonText(v)
		}
		d.prompt(v, why)
	}
}

func (d *desk) stopped(v unlock.View) {
	result := string(v.Reason)
	if v.Reference != "" {
		d.say("The RA finds this visit by the reference %s. %s\n", v.Reference, d.help)
		result += ", reference " + v.Reference
	} else {
		d.say("%s\n", d.help)
	}
	d.finish(result)
}

// expiring says once that the certificates run out.
func (d *desk) expiring(v unlock.View) {
	if !v.Expiring.IsZero() && !d.told {
		d.told = true
		d.say("The card's certificates run out on %s. The RA can renew it before then.\n", v.Expiring.In(d.zone).Format("2 January 2006"))
	}
}

func (d *desk) warn(now time.Time) {
	if v := d.view; !v.WarnAt.IsZero() && !now.Before(v.WarnAt) && !d.warned.Equal(v.EndsAt) {
		d.warned = v.EndsAt
		d.say("\n(Nobody has typed for a while: this ends at %s. Enter goes on.)\n", v.EndsAt.In(d.zone).Format("15:04:05"))
	}
}

func (d *desk) clock(t time.Time) string { return t.In(d.zone).Format("15:04") }

// asks print what a screen asks for.
var asks = map[unlock.Screen]func(*desk, unlock.View){
	unlock.ScreenErrand: func(d *desk, v unlock.View) {
		d.say("\nThe card is not locked.%s What does the holder want?\n", triesText(v.TriesLeft))
		if v.CanChange {
			d.say("  1  change the passcode, with the present one\n")
		}
		d.say("  2  set a new one, because it is forgotten: a code is sent\nNumber: ")
	},
	unlock.ScreenPresent: func(d *desk, v unlock.View) {
		d.say("\nPresent passcode, not shown (empty: go back): ")
	},
	unlock.ScreenConsent: func(d *desk, v unlock.View) {
		what := "unlock"
		if v.Errand == unlock.ErrandForgotten {
			what = "set the passcode of"
		}
		d.say("\nYou are attempting to %s a smartcard issued to\n\n    %s\n\nIf this is not you, do not proceed. To do so will result in disciplinary action.\nHolder, is this you (yes or no)? ", what, v.Holder)
	},
	unlock.ScreenChannel: func(d *desk, v unlock.View) {
		d.say("\nWhere should the code go?\n")
		for i, c := range v.Channels {
			kind := "email to"
			if c.Kind == wire.Mobile {
				kind = "text to"
			}
			d.say("  %d  %s %s\n", i+1, kind, c.Masked)
		}
		d.say("Number: ")
	},
	unlock.ScreenCode: func(d *desk, v unlock.View) {
		c := v.Code
		d.say("\nA code of %d digits was sent to %s at %s. It is valid until %s.%s\nCode (\"again\" sends another): ",
			c.Digits, c.Masked, d.clock(c.SentAt), d.clock(c.ExpiresAt), triesText(c.AttemptsLeft))
	},
	unlock.ScreenPasscode: func(d *desk, v unlock.View) {
		d.say("\nChoose a passcode: %s. It is not shown.\nNew passcode: ", rulesText(v.Rules))
	},
	unlock.ScreenWeak: func(d *desk, v unlock.View) {
		d.say("Holder, use it all the same (yes or no)? ")
	},
	unlock.ScreenRepeat: func(d *desk, v unlock.View) { d.say("The same again: ") },
}

// hidden are the screens whose answer is not shown.
var hidden = map[unlock.Screen]bool{unlock.ScreenPresent: true, unlock.ScreenPasscode: true, unlock.ScreenRepeat: true}

// prompt asks for what the screen wants, if it wants anything, after what is wrong with the last answer. What was typed
// before counts for nothing.
func (d *desk) prompt(v unlock.View, why string) {
	ask := asks[v.Screen]
	if ask == nil {
		return
	}
	d.keys.forget()
	d.keys.show(!hidden[v.Screen])
	if why != "" {
		d.say("\n%s\n", why)
	}
	d.expiring(v)
	ask(d, v)
	d.pressCancel()
}

// again refuses what was typed, and asks once more.
func (d *desk) again(why string) {
	d.give(unlock.Touched{})
	d.prompt(d.view, why)
}

// typed takes a line and owns it. What is typed where nothing was asked counts for nothing.
func (d *desk) typed(line secret.Value) {
	d.mu.Lock()
	defer d.mu.Unlock()
	v := d.view
	if d.over() || d.cancelled || asks[v.Screen] == nil {
		line.Wipe()
		return
	}
	if hidden[v.Screen] {
		d.say("\n")
		d.passcode(v, line)
		return
	}
	if v.Screen == unlock.ScreenCode {
		d.code(v, line)
		return
	}
	word := strings.ToLower(strings.TrimSpace(string(line.Reveal())))
	line.Wipe()
	number, _ := strconv.Atoi(word)
	switch {
	case word == "":
		d.again("")
	case v.Screen == unlock.ScreenErrand && number == 1 && v.CanChange:
		d.give(unlock.Pressed{Button: unlock.PressChange})
	case v.Screen == unlock.ScreenErrand && number == 2:
		d.give(unlock.Pressed{Button: unlock.PressForgotten})
	case v.Screen == unlock.ScreenConsent && word == "yes":
		d.give(unlock.Pressed{Button: unlock.PressContinue})
	case v.Screen == unlock.ScreenConsent && word == "no":
		d.give(unlock.Pressed{Button: unlock.PressNotMe})
	case v.Screen == unlock.ScreenWeak && word == "yes" && v.WeakAllowed:
		d.give(unlock.Pressed{Button: unlock.PressContinue})
	case v.Screen == unlock.ScreenWeak && word == "no":
		d.give(unlock.Pressed{Button: unlock.PressBack})
	case v.Screen == unlock.ScreenConsent, v.Screen == unlock.ScreenWeak:
		d.again("Type yes or no.")
	case v.Screen == unlock.ScreenChannel && number >= 1 && number <= len(v.Channels):
		d.give(unlock.ChannelChosen{ID: v.Channels[number-1].ID})
	default:
		d.again("Type one of the numbers.")
	}
}

func (d *desk) passcode(v unlock.View, line secret.Value) {
	rules := v.Rules
	if v.Screen == unlock.ScreenPresent {
		if line.Len() == 0 {
			d.give(unlock.Pressed{Button: unlock.PressBack})
			return
		}
		rules.Min = 1
	}
	// The second is held against the first by the machine.
	if flaw := rules.Check(line); flaw != card.FlawNone && v.Screen != unlock.ScreenRepeat {
		empty := line.Len() == 0
		line.Wipe()
		if empty {
			d.again("")
			return
		}
		v.Reason = unlock.Reason(flaw)
		d.again(reasonText(v))
		return
	}
	if weak := card.Weak(line); v.Screen == unlock.ScreenPasscode && weak != card.WeakNone && v.Reason == unlock.Reason(weak) {
		line.Wipe() // it was refused for that a moment ago
		d.again(reasonText(v))
		return
	}
	d.give(unlock.PasscodeTyped{Passcode: line})
}

func (d *desk) code(v unlock.View, line secret.Value) {
	again := bytes.EqualFold(line.Reveal(), []byte("again"))
	now := time.Now()
	switch {
	case again && v.Code.SendsLeft <= 0:
		v.Reason = unlock.Reason(wire.CodeSendsExhausted)
	case again && now.Before(v.Code.ResendAt):
		line.Wipe()
		d.again(fmt.Sprintf("A code was sent a moment ago. Another can be sent in %v.", v.Code.ResendAt.Sub(now).Round(time.Second)))
		return
	case again:
		line.Wipe()
		d.give(unlock.Pressed{Button: unlock.PressResend})
		return
	case line.Len() != v.Code.Digits, (card.Rules{Min: 1, Max: v.Code.Digits, DigitsOnly: true}).Check(line) != card.FlawNone:
		v.Reason = unlock.ReasonCodeForm
	default:
		d.give(unlock.CodeTyped{Code: line})
		return
	}
	empty := line.Len() == 0
	line.Wipe()
	if empty {
		d.again("")
		return
	}
	d.again(reasonText(v))
}
