package unlock

import (
	"time"

	"latchkey/card"
	"latchkey/firmware/audit"
	"latchkey/firmware/secret"
)

// A card that is not locked: its holder changes the passcode with the present one, which needs neither central nor a
// grant, or has forgotten it and is served like the holder of a locked card.

// soon is how long before their end expiring certificates are spoken of.
const soon = 90 * 24 * time.Hour

// offer asks what a holder came for whose card is not locked.
func (m *Machine) offer(in CardRead) {
	w := &m.walk
	w.newRules = in.Rules
	w.presentRules = in.Present // what no such card can have would cost a try for nothing
	w.canChange = spare(w.triesLeft) && in.Rules.Max > 0 && in.Rules.Min <= in.Rules.Max && in.Present.Max > 0
	m.to(phaseErrand)
}

// spare: a wrong passcode would not lock the card. One that tells nothing is given one try a visit.
func spare(triesLeft int) bool { return triesLeft < 0 || triesLeft >= minTriesLeft }

// errand goes back to the question what the holder came for.
func (m *Machine) errand() {
	m.walk.present.Wipe()
	m.walk.errand = ""
	m.to(phaseErrand)
}

// askPresent asks for the present passcode.
func (m *Machine) askPresent() {
	m.walk.errand = ErrandChange
	m.walk.rules = m.walk.presentRules
	m.to(phasePresent)
}

// presentTyped gives the card the present passcode. What cannot be one costs no try.
func (m *Machine) presentTyped(present secret.Value) {
	w := &m.walk
	if flaw := w.rules.Check(present); flaw != card.FlawNone {
		present.Wipe()
		m.reason = Reason(flaw)
		return
	}
	w.present.Wipe()
	w.present = present
	if !w.announced {
		m.note(audit.Entry{Kind: audit.KindChanging})
		m.record()
		m.intent, w.announced = true, true
	}
	m.to(phaseVerifying)
	m.do(ConfirmPasscode{Session: w.session, Passcode: w.present})
}

// verified: the card has judged the present passcode.
func (m *Machine) verified(f Failure) {
	w := &m.walk
	switch {
	case f.Kind == FailBlocked:
		w.triesLeft = 0
		m.stop(ReasonNowLocked)
	case w.interrupted != "":
		m.stop(w.interrupted)
	case f.Kind == "":
		w.rules, w.weak = w.newRules, m.config.Weak
		m.to(phasePasscode)
	case f.Kind == FailWrong:
		w.present.Wipe()
		left := f.TriesLeft
		if left < 0 && w.triesLeft > 0 {
			left = w.triesLeft - 1 // it told how many it had
		}
		w.triesLeft = left
		switch {
		case left < 0:
			w.canChange = false
			m.errand()
			m.reason = ReasonPresentWrong
		case !spare(left):
			w.canChange = false
			m.errand()
			m.reason = ReasonPresentLast
		default:
			m.askPresent()
			m.reason = ReasonPresentWrong
		}
	case f.Kind == FailPasscode:
		// No passcode of this card has that form, and no try was spent.
		w.present.Wipe()
		m.askPresent()
		m.reason = ReasonPresentWrong
	default:
		m.stop(cardFailure(f))
	}
}

// replace gives the card the passcode that was chosen for the present one.
func (m *Machine) replace() {
	w := &m.walk
	m.to(phaseReplacing)
	m.do(ChangePasscode{Session: w.session, Present: w.present, Passcode: w.passcode})
}

func (m *Machine) replaced(f Failure) {
	w := &m.walk
	switch f.Kind {
	case "":
		m.to(phaseProbing)
		m.do(ConfirmPasscode{Session: w.session, Passcode: w.passcode})
	case FailPasscode:
		m.changed(audit.No, ReasonCardRefusesIt)
	case FailWrong:
		m.changed(audit.No, ReasonNotChanged)
	case FailBlocked:
		m.changed(audit.No, ReasonNowLocked)
	default:
		m.changed(audit.Unknown, ReasonUnknownChange)
	}
}

// probed: the card was asked whether it means what it answered.
func (m *Machine) probed(f Failure) {
	switch f.Kind {
	case "":
		m.changed(audit.Yes, "")
	case FailWrong:
		m.changed(audit.No, ReasonNotChanged)
	case FailBlocked:
		m.changed(audit.No, ReasonNowLocked)
	default:
		m.changed(audit.Unknown, ReasonUnknownChange)
	}
}

// changed ends the walk of a change: done if r is "".
func (m *Machine) changed(is audit.Fact, r Reason) {
	m.note(audit.Entry{Kind: audit.KindChanged, Passcode: is, Reason: string(r)})
	m.record()
	m.finish(r)
}
