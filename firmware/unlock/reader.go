package unlock

// What the reader tells: cards that come and go.

func (m *Machine) reader(input Input) {
	if m.phase == phaseEngineer {
		m.whileServicing(input)
		return
	}
	switch in := input.(type) {
	case ReaderGone:
		m.readerReason = in.Reason
		m.cardOut()
		if !m.walking() && !m.servicing() {
			m.home()
		}
	case CardOut:
		m.readerReason = ""
		m.cardOut()
		switch m.phase {
		case phaseBooting, phaseOutOfService, phaseLooking:
			m.home()
		}
	case CardIn:
		m.inserted(in.Session)
	case CardMute:
		m.readerReason = ""
		m.cannotServe(ReasonMute)
	case TwoCards:
		m.readerReason = ""
		m.cannotServe(ReasonTwoCards)
	}
}

func (m *Machine) inserted(session uint64) {
	if session <= m.session {
		m.impossible(CardIn{session})
		return
	}
	m.session = session
	fresh, noReader := !m.cardIn, m.readerReason != ""
	m.cardIn, m.readerReason = true, ""
	switch {
	case m.changing():
		// Its answer comes first; then the screen says to take the card out.
		m.interrupt(ReasonRemoved)
	case m.journalReason != "" || m.caseOpened:
		m.lookForService(session)
	case m.phase == phaseBooting || m.phase == phaseOutOfService || noReader:
		// It may hold a session of somebody's, or be forgotten: a walk begins by putting a card in.
		m.stop(ReasonLeftIn)
	case !fresh && (m.phase == phaseStopped || m.phase == phaseUnlocked):
		// One of two cards was taken out, or the mute card came to life: all out first.
	default:
		if m.walking() {
			m.stop(ReasonRemoved)
		}
		m.leaveLast()
		m.walk = walk{session: session, triesLeft: -1}
		m.to(phaseReading)
		m.do(ReadCard{Session: session})
	}
}

// cannotServe: something is in the reader that no walk can begin with, or go on with.
func (m *Machine) cannotServe(r Reason) {
	m.cardIn = true
	if m.changing() {
		m.interrupt(r)
		return
	}
	if (m.journalReason != "" || m.caseOpened) && !m.walking() {
		m.home()
		return
	}
	m.stop(r)
}

// interrupt remembers what happened first to a card whose answer is waited for.
func (m *Machine) interrupt(r Reason) {
	if m.walk.interrupted == "" {
		m.walk.interrupted = r
	}
}

func (m *Machine) cardOut() {
	was := m.cardIn
	m.cardIn = false
	switch {
	case m.changing():
		// The card's answer, or its silence, says what became of it.
		m.interrupt(ReasonRemoved)
	case m.walking() && m.walk.codeOut(m.now):
		m.away()
	case m.walking():
		m.stop(ReasonRemoved)
	case m.phase == phaseStopped && was:
		switch m.reason {
		case ReasonLeftIn, ReasonTwoCards, ReasonMute:
			m.home() // done as asked
		default:
			m.lingerFor(m.config.Linger)
		}
	case m.phase == phaseUnlocked && was:
		m.lingerFor(m.config.Linger)
	}
}
