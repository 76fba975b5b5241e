package unlock

import (
	"latchkey/firmware/audit"
	"latchkey/firmware/wire"
)

// How a walk ends other than by its outcome, and where nobody is served.

// away: the holder took the card along to read the mail. The case stays open, and nothing of the holder stays here.
func (m *Machine) away() {
	back := m.walk.code.ExpiresAt
	m.note(audit.Entry{Kind: audit.KindEnded, Case: m.walk.caseID, Reason: string(ReasonRemoved)})
	m.record()
	m.leaveLast()
	m.waiting = 0
	m.walk = m.walk.remains()
	m.walk.returnBefore = back
	m.to(phaseAway)
	m.lingerFor(m.config.Linger)
}

// stop ends the walk, or shows why none can begin.
func (m *Machine) stop(r Reason) {
	w := &m.walk
	keep := w.remains()
	keep.triesLeft, keep.expired, keep.series = w.triesLeft, w.expired, w.series
	if !m.walking() {
		keep = walk{triesLeft: -1}
	}
	if m.walking() {
		m.orphanRelease()
		why, ours := endReason[r]
		kind := audit.KindRefused
		if ours {
			kind = audit.KindEnded
		}
		m.note(audit.Entry{Kind: kind, Case: w.caseID, Reason: string(r)})
		m.record()
		switch {
		case w.caseID == "" || !ours:
			// There is no case, or central ended it.
		case m.phase == phaseReleasing:
			// The outcome closes it.
		case m.phase == phaseSending:
			// The code may be on its way: the holder can come back with it.
		case r == ReasonIdle && w.codeOut(m.now):
			keep.returnBefore = w.code.ExpiresAt
		default:
			m.do(EndCase{Case: w.caseID, Reason: why})
		}
		m.leaveLast()
		m.waiting = 0
	}
	m.walk = keep
	m.to(phaseStopped)
	m.reason = r
	if !m.cardIn {
		m.lingerFor(m.config.Linger)
	}
}

// orphanRelease remembers a release that is under way when its walk ends.
func (m *Machine) orphanRelease() {
	if m.phase == phaseReleasing && m.waiting != 0 {
		m.orphan.ask, m.orphan.caseID = m.waiting, m.walk.caseID
	}
}

// endReason: the endings that central does not know of by itself.
var endReason = map[Reason]wire.EndRequestReason{
	ReasonNotMe: wire.NotMe, ReasonCancelled: wire.Cancelled, ReasonIdle: wire.Idle, ReasonRemoved: wire.Removed,
	ReasonTwoCards: wire.Failed, ReasonMute: wire.Failed, ReasonHung: wire.Failed, ReasonUnreadable: wire.Failed,
	ReasonCaseOpened: wire.Failed, ReasonImpossible: wire.Failed, ReasonNotOurs: wire.Failed, ReasonPUKBlocked: wire.Failed,
}

// leaveLast wipes the walk and lets go of its card.
func (m *Machine) leaveLast() {
	m.walk.wipe()
	if m.walk.session != 0 {
		m.do(LeaveCard{Session: m.walk.session})
		m.walk.session = 0
	}
}

// recovered: one thing less keeps the kiosk out of service.
func (m *Machine) recovered() {
	if m.phase == phaseOutOfService || m.phase == phaseLooking {
		m.home()
	}
}

// home is where nobody is served: ready, or out of service.
func (m *Machine) home() {
	m.leaveLast()
	m.walk = walk{triesLeft: -1}
	switch {
	case m.outOfServiceReason() != "":
		m.to(phaseOutOfService)
	case m.cardIn:
		m.stop(ReasonLeftIn)
	default:
		m.to(phaseAttract)
	}
}

// opened: nobody is served by a kiosk whose case was opened. A card that is being written is finished first: whoever has the
// case open can pull it out, and a card that is left half written is worse.
func (m *Machine) opened() {
	if m.caseOpened {
		return
	}
	m.caseOpened = true
	m.note(audit.Entry{Kind: audit.KindCaseOpened, Case: m.walk.caseID})
	switch {
	case m.changing():
		m.interrupt(ReasonCaseOpened) // the entry goes with what becomes of the card
	case m.servicing():
		m.record() // perhaps it is the engineer; out of service comes when they have done
	case m.walking():
		m.stop(ReasonCaseOpened)
	case m.phase == phaseUnlocked, m.phase == phaseStopped && m.cardIn:
		m.record() // what the screen says is true; out of service comes when the card is out
	default:
		m.record()
		m.home()
	}
}

func (m *Machine) cleared() {
	if !m.caseOpened {
		return
	}
	m.caseOpened = false
	m.note(audit.Entry{Kind: audit.KindCaseCleared})
	m.record()
	m.recovered()
}

func (m *Machine) journalFailed(r Reason) {
	m.journalReason = r
	for _, o := range m.writing {
		// The entry could not be kept here, so central should have it at least.
		m.do(AskOutcome{Outcome: o})
	}
	m.entries = nil
	intended := m.intent
	m.writing, m.intent = nil, false
	if !m.walking() && m.session != 0 {
		m.do(LeaveCard{Session: m.session}) // if the walk has just ended, this was dropped
	}
	switch {
	case m.changing() && intended:
		// It was not recorded, so the card was not touched.
		if m.phase == phaseResetting {
			m.do(AskOutcome{Outcome: m.outcome(audit.No, nil, audit.No, 0)})
		}
		m.home()
	case m.changing():
		// The card's answer comes first.
	case m.walking():
		m.orphanRelease()
		m.waiting = 0
		m.home()
	case m.phase == phaseUnlocked, m.phase == phaseStopped && m.cardIn:
		// What it says is true; out of service comes when the card is out.
	case m.servicing():
		// Perhaps the engineer came for that.
	default:
		m.home()
	}
}
