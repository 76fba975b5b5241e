package unlock

import (
	"fmt"
	"time"

	"latchkey/firmware/audit"
	"latchkey/firmware/secret"
)

// The engineer's page. It is opened where nobody is served, by a one-time code or a service card, and while it is open nobody
// is. The journal has who opened it, who could not, and when it was closed.

// serviceIdle is how long the page stays open without a touch.
const serviceIdle = 5 * time.Minute

// service is what is known of somebody who says to be an engineer.
type service struct {
	asked    bool // for the page, on the screen that is still shown
	number   int  // of the code that is due; 0 if none can be typed
	typed    secret.Value
	byCard   bool // the page was opened by the card that is in
	offering bool // OfferService is not answered
	checking bool // CheckService is not answered
}

// servicing: the screens of an engineer are shown.
func (m *Machine) servicing() bool {
	switch m.phase {
	case phaseServiceCode, phaseServiceChecking, phaseEngineer:
		return true
	}
	return false
}

// forgetService wipes what an engineer has typed; questions that are not answered yet are answered to nobody.
func (m *Machine) forgetService() {
	s := &m.service
	s.typed.Wipe()
	*s = service{offering: s.offering, checking: s.checking}
}

// serviceAsked asks which code is due, where nobody is served; anywhere else it is a touch like any other.
func (m *Machine) serviceAsked() {
	if m.phase != phaseAttract && m.phase != phaseOutOfService {
		m.touch()
		return
	}
	m.service.asked = true
	if !m.service.offering {
		m.service.offering = true
		m.do(OfferService{})
	}
}

func (m *Machine) serviceOffered(in ServiceOffered) {
	s := &m.service
	if !s.offering {
		m.impossible(in)
		return
	}
	s.offering = false
	if !s.asked {
		return // somebody put a card in meanwhile
	}
	m.leaveLast()
	m.walk = walk{triesLeft: -1}
	m.to(phaseServiceCode)
	m.reason = in.Reason
	if in.Reason == "" {
		s.number = in.Number
	}
}

func (m *Machine) serviceCodeTyped(in ServiceCodeTyped) {
	s := &m.service
	if m.phase != phaseServiceCode || s.number == 0 || s.checking {
		in.Code.Wipe()
		return
	}
	s.typed, s.checking = in.Code, true
	m.to(phaseServiceChecking)
	m.do(CheckService{Code: s.typed})
}

func (m *Machine) serviceChecked(in ServiceChecked) {
	s := &m.service
	if !s.checking {
		m.impossible(in)
		return
	}
	s.checking = false
	late := m.phase != phaseServiceChecking
	switch {
	case in.Reason != "":
		m.note(audit.Entry{Kind: audit.KindServiceRefused, Reason: string(in.Reason)})
		m.record()
		if !late {
			s.typed.Wipe()
			m.to(phaseServiceCode)
			m.reason = in.Reason
			if in.Reason != ReasonServiceWrong {
				s.number = 0
			}
		}
	case late:
		// It is spent, and whoever typed it did not wait.
		m.note(audit.Entry{Kind: audit.KindServiceRefused, Reason: string(ReasonCancelled)})
		m.record()
	default:
		m.openService(fmt.Sprintf("code %d", s.number))
	}
}

// serviceCard opens the page for the card that is in. Nothing more is wanted of it.
func (m *Machine) serviceCard(name string) {
	m.leaveLast()
	m.openService(name)
	m.service.byCard = true
}

// openService opens the page although the journal may fail: that is what an engineer may have come for.
func (m *Machine) openService(by string) {
	m.walk = walk{triesLeft: -1}
	m.note(audit.Entry{Kind: audit.KindServiceOpened, Reason: by})
	m.record()
	m.forgetService()
	m.to(phaseEngineer)
}

func (m *Machine) closeService(why string) {
	m.note(audit.Entry{Kind: audit.KindServiceClosed, Reason: why})
	m.record()
	m.home()
}

// whileServicing keeps count of cards while the page is open. The one that opened it closes it.
func (m *Machine) whileServicing(input Input) {
	switch in := input.(type) {
	case ReaderGone:
		m.readerReason, m.cardIn = in.Reason, false
	case CardOut:
		m.readerReason, m.cardIn = "", false
	case CardIn:
		if in.Session <= m.session {
			m.impossible(in)
			return
		}
		m.session = in.Session
		m.readerReason, m.cardIn = "", true
	case CardMute, TwoCards:
		m.readerReason, m.cardIn = "", true
	}
	if m.service.byCard {
		m.closeService(string(ReasonRemoved))
	}
}

// lookForService reads a card that cannot be served, since it may be an engineer's.
func (m *Machine) lookForService(session uint64) {
	m.leaveLast()
	m.walk = walk{session: session, triesLeft: -1}
	m.to(phaseLooking)
	m.do(ReadCard{Session: session, ServiceOnly: true})
}

func (m *Machine) looked(in CardRead) {
	if in.Service == "" {
		m.home()
		return
	}
	m.serviceCard(in.Service)
}
