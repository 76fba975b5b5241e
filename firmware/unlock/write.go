package unlock

import (
	"time"

	"latchkey/firmware/audit"
	"latchkey/firmware/secret"
	"latchkey/firmware/wire"
)

// From the grant to the outcome: the only part that changes a card.

func (m *Machine) granted(in Granted) {
	w := &m.walk
	w.grant = in.Grant
	g := &w.grant
	switch {
	case !g.usable(m.now):
		m.settle(untouched(w.caseID, new(g.Base)))
		m.stop(ReasonGrantInvalid)
		return
	case w.pukTriesLeft >= 0 && w.pukTriesLeft < minTriesLeft:
		m.settle(untouched(w.caseID, new(g.Base)))
		m.stop(Reason(wire.CodeCardReferred))
		return
	}
	m.note(audit.Entry{Kind: audit.KindIntent, Case: w.caseID, Base: new(g.Base), First: new(g.First), Token: w.token})
	m.record()
	m.intent = true
	m.try(g.First)
}

// usable: it has not run out and holds the candidate that is to be tried first.
func (g *Grant) usable(now time.Time) bool {
	return g.Tries >= 1 && g.Current.Len() > 0 && now.Before(g.ExpiresAt) &&
		(g.First == g.Base || g.First == g.Base+1 && g.rotates())
}

// rotates: the card's PUK is replaced, so that there are two candidates.
func (g *Grant) rotates() bool { return g.Next.Len() > 0 }

func (m *Machine) try(generation int64) {
	w := &m.walk
	w.trying = generation
	m.to(phaseResetting)
	m.do(ResetPasscode{Session: w.session, PUK: w.puk(generation), Passcode: w.passcode})
}

func (w *walk) puk(generation int64) secret.Value {
	if generation == w.grant.Base {
		return w.grant.Current
	}
	return w.grant.Next
}

func (w *walk) other() int64 {
	if w.grant.First == w.grant.Base {
		return w.grant.Base + 1
	}
	return w.grant.Base
}

func (m *Machine) stepped(f Failure) {
	switch m.phase {
	case phaseResetting:
		m.reset(f)
	case phaseConfirming:
		m.confirmed(f)
	case phaseRotating:
		m.rotated(f)
	case phaseVerifying:
		m.verified(f)
	case phaseReplacing:
		m.replaced(f)
	case phaseProbing:
		m.probed(f)
	}
}

// minTriesLeft: a secret that may be wrong is tried only where, as far as the card tells, it can be wrong and leave one try.
const minTriesLeft = 2

func (m *Machine) reset(f Failure) {
	w := &m.walk
	switch f.Kind {
	case "":
		m.to(phaseConfirming)
		m.do(ConfirmPasscode{Session: w.session, Passcode: w.passcode})
	case FailWrong:
		w.tries++
		if f.TriesLeft >= minTriesLeft && w.grant.rotates() && w.tries < w.grant.Tries && w.trying == w.grant.First {
			m.try(w.other())
			return
		}
		m.end(m.outcome(audit.No, nil, audit.No, w.tries), Reason(wire.CodeCardReferred))
	case FailBlocked:
		// A PUK that was blocked before costs nothing; one that became so has cost what remained.
		o := m.outcome(audit.No, nil, audit.No, -1)
		o.Reason = audit.ReasonPUKBlocked
		m.end(o, ReasonPUKBlocked)
	case FailNoPUK:
		m.end(m.outcome(audit.No, nil, audit.No, w.tries), Reason(wire.CodeCardReferred))
	case FailPasscode:
		m.end(m.outcome(audit.No, nil, audit.No, w.tries), ReasonCardRefusesIt)
	case FailRemoved, FailReset, FailHung, FailUnknown:
		m.end(m.outcome(audit.Unknown, nil, audit.No, -1), ReasonUnknownOutcome)
	default:
		m.end(m.outcome(audit.Unknown, nil, audit.No, -1), Reason(wire.CodeCardReferred))
	}
}

func (m *Machine) confirmed(f Failure) {
	w := &m.walk
	switch f.Kind {
	case "":
		if w.trying == w.grant.Base && w.grant.rotates() {
			m.to(phaseRotating)
			m.do(RotatePUK{Session: w.session, PUK: w.grant.Current, Next: w.grant.Next})
			return
		}
		// Opened by the successor: nothing is rotated until central has settled that. Or a PUK that is not replaced.
		m.end(m.outcome(audit.Yes, &w.trying, audit.No, w.tries), "")
	case FailWrong, FailBlocked:
		// It said 9000 and does not accept the passcode. Whether it looked at the PUK is not known either.
		m.end(m.outcome(audit.No, nil, audit.No, -1), ReasonNotUnlocked)
	default:
		// Nothing vouches for its 9000, so central keeps both candidates.
		m.end(m.outcome(audit.Unknown, nil, audit.No, w.tries), ReasonUnknownOutcome)
	}
}

func (m *Machine) rotated(f Failure) {
	w := &m.walk
	rotated := audit.No
	switch f.Kind {
	case "":
		rotated = audit.Yes
	case FailRemoved, FailReset, FailHung, FailUnknown:
		rotated = audit.Unknown
	case FailWrong, FailBlocked:
		w.tries = -1
	}
	o := m.outcome(audit.Yes, &w.trying, rotated, w.tries)
	if f.Kind == FailBlocked {
		o.Reason = audit.ReasonPUKBlocked
	}
	m.end(o, "") // the passcode is on the card, and that is what the holder came for
}

// outcome of the present grant; tries -1 means not known.
func (m *Machine) outcome(passcode audit.Fact, opened *int64, rotated audit.Fact, tries int) audit.Entry {
	w := &m.walk
	o := audit.Entry{Kind: audit.KindOutcome, Case: w.caseID, Base: new(w.grant.Base), Passcode: passcode, Rotated: rotated}
	if opened != nil {
		o.Opened = new(*opened) // not the walk's own: that is emptied
	}
	if tries >= 0 {
		o.Tries = &tries
	}
	return o
}

// settle makes outcomes durable and has central learn them.
func (m *Machine) settle(outcomes ...audit.Entry) {
	for i := range outcomes {
		outcomes[i].At = m.now.UnixMilli()
	}
	m.entries = append(m.entries, outcomes...)
	m.record()
	for _, o := range outcomes {
		m.do(AskOutcome{Outcome: o})
	}
	m.writing = append(m.writing, outcomes...) // JournalFailed would drop the asks
}

// end is the walk's end after the card was written, or tried: unlocked if r is "".
func (m *Machine) end(o audit.Entry, r Reason) {
	m.settle(o)
	m.finish(r)
}

// finish lets go of a card that was written, or tried, and says what became of it.
func (m *Machine) finish(r Reason) {
	m.leaveLast()
	m.walk = m.walk.remains()
	if r == "" {
		m.to(phaseUnlocked)
	} else {
		m.to(phaseStopped)
		m.reason = r
	}
	if !m.cardIn {
		m.lingerFor(m.config.Linger)
	}
}
