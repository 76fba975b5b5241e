package unlock

import (
	"time"

	"latchkey/card"
	"latchkey/firmware/audit"
	"latchkey/firmware/wire"
)

// From insertion to the passcode.

// cardFailure is the screen for a card that failed before anything on it was changed.
func cardFailure(f Failure) Reason {
	switch f.Kind {
	case FailRemoved:
		return ReasonRemoved
	case FailNotOurs:
		return ReasonNotOurs
	case FailHung:
		return ReasonHung
	case FailNoKey:
		return Reason(wire.CodeCardCannotProve)
	case FailNoPUK:
		return Reason(wire.CodeCardReferred)
	case FailRetired:
		return ReasonRetired
	}
	return ReasonUnreadable
}

func (m *Machine) read(in CardRead) {
	if in.Service != "" {
		m.serviceCard(in.Service)
		return
	}
	w := &m.walk
	w.identity, w.certificate, w.series = in.Identity, in.Certificates.Card, in.Title
	w.triesLeft, w.pukTriesLeft = in.State.TriesLeft, in.State.PUKTriesLeft
	expires := in.Certificates.Expires
	expired := !expires.IsZero() && !m.now.Before(expires)
	if !expires.IsZero() && !expired && expires.Sub(m.now) <= soon {
		w.expiring = expires
	}
	switch {
	case in.Failure.Kind != "":
		m.stop(cardFailure(in.Failure))
	case in.State.Uninitialised:
		m.stop(ReasonUninitialised)
	case expired:
		w.expired = expires
		m.stop(ReasonExpired)
	case in.State.Locked:
		m.begin(ErrandUnlock)
	default:
		m.offer(in)
	}
}

// begin opens a case for a passcode that is set without the present one.
func (m *Machine) begin(e Errand) {
	w := &m.walk
	w.present.Wipe()
	w.errand = e
	if w.pukTriesLeft == 0 {
		m.stop(ReasonPUKBlocked)
		return
	}
	m.to(phaseBeginning)
	m.do(AskBegin{Ask: m.nextAsk(), Identity: w.identity, TriesLeft: w.triesLeft, PUKTriesLeft: w.pukTriesLeft})
}

func (m *Machine) answered(input Input) {
	ask := askOf(input)
	if ask > m.ask {
		m.impossible(input)
		return
	}
	if ask != m.waiting || ask == 0 {
		m.late(ask, input)
		return
	}
	m.waiting = 0
	if r, refused := input.(Refused); refused {
		m.refused(r.Refusal)
		return
	}
	switch in := input.(type) {
	case Begun:
		if m.phase == phaseBeginning {
			m.begun(in)
			return
		}
	case Proved:
		if m.phase == phaseDisclosing {
			m.disclosed(in)
			return
		}
	case CodeSent:
		if m.phase == phaseSending {
			m.walk.code, m.walk.looking = &in.Code, 0
			m.walk.again = nil // to send again is another request, not the same once more
			m.toCode()
			return
		}
	case CodeAccepted:
		if m.phase == phaseChecking {
			m.codeAccepted(in)
			return
		}
	case Granted:
		if m.phase == phaseReleasing {
			m.granted(in)
			return
		}
	}
	m.impossible(input)
}

func askOf(input Input) uint64 {
	switch in := input.(type) {
	case Refused:
		return in.Ask
	case Begun:
		return in.Ask
	case Proved:
		return in.Ask
	case CodeSent:
		return in.Ask
	case CodeAccepted:
		return in.Ask
	case Granted:
		return in.Ask
	}
	return 0
}

// late answers belong to a walk that has ended. Only a grant needs anything: its outcome.
func (m *Machine) late(ask uint64, input Input) {
	discard(input)
	if ask == 0 || ask != m.orphan.ask {
		return
	}
	caseID := m.orphan.caseID
	m.orphan.ask = 0
	switch in := input.(type) {
	case Granted:
		m.settle(untouched(caseID, &in.Grant.Base))
	case Refused:
		if mayBeGranted(in.Refusal.Code) {
			m.settle(untouched(caseID, nil))
		}
	}
}

// mayBeGranted: central may have granted and booked tries although no grant is here, so it has to learn that the card was
// not touched.
func mayBeGranted(r Reason) bool {
	switch r {
	case ReasonUnreachable, ReasonGrantInvalid, Reason(wire.CodeUnavailable), Reason(wire.CodeInternal):
		return true
	}
	return false
}

// untouched is the outcome of a grant with which no card was written. base is nil if the grant never came.
func untouched(caseID string, base *int64) audit.Entry {
	none := 0
	return audit.Entry{Kind: audit.KindOutcome, Case: caseID, Base: base, Passcode: audit.No, Rotated: audit.No, Tries: &none}
}

func (m *Machine) begun(in Begun) {
	w := &m.walk
	w.caseID, w.profile, w.nonce, w.token = in.Case, in.Profile, in.Nonce, in.Token
	m.note(audit.Entry{Kind: audit.KindBegun, Case: w.caseID})
	m.to(phaseProving)
	m.do(ProveCard{Session: w.session, Case: w.caseID, Profile: w.profile, Nonce: w.nonce})
}

func (m *Machine) proved(in CardProved) {
	w := &m.walk
	if in.PUKTriesLeft >= 0 {
		w.pukTriesLeft = in.PUKTriesLeft
	}
	switch {
	case in.Failure.Kind != "":
		m.stop(cardFailure(in.Failure))
		return
	case w.pukTriesLeft == 0:
		m.stop(ReasonPUKBlocked)
		return
	}
	m.to(phaseDisclosing)
	m.do(AskProof{Ask: m.nextAsk(), Case: w.caseID, Certificate: w.certificate, Signature: in.Signature})
}

func (m *Machine) disclosed(in Proved) {
	w := &m.walk
	w.holder, w.channels, w.rules, w.weak, w.code = in.Holder, in.Channels, in.Rules, in.Weak, in.Code
	if w.code != nil {
		m.toCode() // back from reading the mail: nothing is sent again
		return
	}
	m.to(phaseConsent)
}

// toCode shows the code screen for a code that is out.
func (m *Machine) toCode() {
	w := &m.walk
	m.to(phaseCode)
	w.lookAt = m.now.Add(lookEvery)
	if w.code.Failed {
		m.reason = ReasonNotDelivered
	}
}

// lookEvery is how often central is asked whether the message with the code came back, while its holder waits for it.
const lookEvery = 5 * time.Second

// lookAfterCode asks whether the message came back, one question at a time.
func (m *Machine) lookAfterCode() {
	w := &m.walk
	if m.phase != phaseCode || w.code == nil || w.code.Failed || w.looking != 0 || m.now.Before(w.lookAt) {
		return
	}
	m.look++
	w.looking = m.look
	m.do(AskCode{Look: w.looking, Case: w.caseID})
}

// codeSeen tells the holder of a message that came back. An answer for another code, or another walk, is late.
func (m *Machine) codeSeen(in CodeSeen) {
	w := &m.walk
	if in.Look > m.look {
		m.impossible(in)
		return
	}
	if in.Look == 0 || in.Look != w.looking {
		return
	}
	w.looking, w.lookAt = 0, m.now.Add(lookEvery)
	if in.Code == nil || !in.Code.Failed || w.code == nil {
		return
	}
	w.code = in.Code
	if m.phase == phaseCode {
		m.reason = ReasonNotDelivered
	}
}

// refused: central answered with a problem, or not at all.
func (m *Machine) refused(r Refusal) {
	w := &m.walk
	switch m.phase {
	case phaseSending:
		switch r.Code {
		case ReasonUnreachable, Reason(wire.CodeUnavailable), Reason(wire.CodeInternal), Reason(wire.CodeDeliveryFailed),
			Reason(wire.CodeResendTooSoon), Reason(wire.CodeRateLimited), Reason(wire.CodeSendsExhausted):
			if r.Code != ReasonUnreachable {
				w.again = nil // it was answered; the next is another request
			}
			if w.code != nil {
				m.to(phaseCode)
			} else {
				m.to(phaseChannel)
			}
			m.reason = r.Code
			return
		}
	case phaseChecking:
		if r.Code != ReasonUnreachable {
			w.again = nil
			w.typedCode.Wipe()
			m.note(audit.Entry{Kind: audit.KindCodeRefused, Case: w.caseID, Reason: string(r.Code)})
		}
		switch r.Code {
		case Reason(wire.CodeCodeWrong):
			left := *w.code // the face may still be drawing the one that it was given
			left.AttemptsLeft = r.AttemptsLeft
			w.code = &left
			fallthrough
		case ReasonUnreachable, Reason(wire.CodeUnavailable), Reason(wire.CodeInternal), Reason(wire.CodeCodeExpired),
			Reason(wire.CodeRateLimited):
			m.to(phaseCode)
			m.reason = r.Code
			return
		}
	case phaseReleasing:
		if mayBeGranted(r.Code) {
			m.settle(untouched(w.caseID, nil))
		}
	}
	m.stop(r.Code)
}

// holder takes what was typed or pressed. What comes for a screen that has just gone is no fault: fingers are slower
// than cards.
func (m *Machine) holder(input Input) {
	m.touch()
	switch in := input.(type) {
	case CodeTyped:
		if m.phase == phaseCode {
			m.codeTyped(in)
			return
		}
	case PasscodeTyped:
		switch m.phase {
		case phasePasscode:
			m.passcodeChosen(in)
			return
		case phaseRepeat:
			m.passcodeRepeated(in)
			return
		case phasePresent:
			m.presentTyped(in.Passcode)
			return
		}
	case ChannelChosen:
		if m.phase == phaseChannel {
			m.send(in.ID)
			return
		}
	case Rated:
		if m.phase == phaseRating {
			m.rated(in)
			return
		}
	case CommentTyped:
		if m.phase == phaseComment {
			m.commented(in)
			return
		}
	case ContactTyped:
		if m.phase == phaseContact {
			m.submitted(in)
			return
		}
	case Pressed:
		m.pressed(in.Button)
	}
	discard(input)
}

func (m *Machine) pressed(b Button) {
	switch {
	case m.phase == phaseErrand && b == PressChange && m.walk.canChange:
		m.askPresent()
	case (m.phase == phaseErrand || m.phase == phasePresent) && b == PressForgotten:
		m.begin(ErrandForgotten)
	case m.phase == phasePresent && b == PressBack:
		m.errand()
	case m.phase == phaseConsent && b == PressContinue:
		m.note(audit.Entry{Kind: audit.KindConsented, Case: m.walk.caseID})
		m.to(phaseChannel)
	case m.phase == phaseConsent && b == PressNotMe:
		m.stop(ReasonNotMe)
	case m.phase == phaseCode && b == PressResend:
		m.resend()
	case m.phase == phaseChannel && b == PressBack && m.walk.code != nil:
		m.toCode()
	case m.phase == phaseRepeat && b == PressBack:
		m.walk.passcode.Wipe()
		m.to(phasePasscode)
	case m.phase == phaseWeak && b == PressContinue:
		m.to(phaseRepeat)
	case m.phase == phaseWeak && b == PressBack:
		m.walk.passcode.Wipe()
		m.to(phasePasscode)
	case b == PressFeedback && m.canRate():
		m.rating()
	case m.phase == phaseContact && b == PressBack:
		m.said.comment.Wipe()
		m.to(phaseComment)
	case m.phase == phaseComment && b == PressBack:
		m.to(phaseRating)
	case (m.phase == phaseRating || m.phase == phaseServiceCode) && b == PressBack:
		m.home()
	case m.phase == phaseEngineer && b == PressClose:
		m.closeService("closed")
	case b == PressCancel && (m.saying() || m.phase == phaseServiceCode):
		m.home()
	case b == PressCancel && m.interactive() && m.walking():
		m.stop(ReasonCancelled)
	}
}

// resend honours what central said about when and how often, and central enforces it.
func (m *Machine) resend() {
	w := &m.walk
	switch {
	case w.code.SendsLeft <= 0:
		m.reason = Reason(wire.CodeSendsExhausted)
	case m.now.Before(w.code.ResendAt):
		m.reason = Reason(wire.CodeResendTooSoon)
	case len(w.channels) == 1:
		m.send(w.channels[0].ID)
	default:
		m.to(phaseChannel)
	}
}

func (m *Machine) send(channel string) {
	w := &m.walk
	known := false
	for _, c := range w.channels {
		known = known || c.ID == channel
	}
	if !known {
		m.impossible(ChannelChosen{channel})
		return
	}
	ask := AskSendCode{Case: w.caseID, Channel: channel}
	if before, is := w.again.(AskSendCode); is && before.Channel == channel {
		ask.Ask = before.Ask
		m.waiting = ask.Ask
	} else {
		ask.Ask = m.nextAsk()
	}
	w.again = ask
	m.note(audit.Entry{Kind: audit.KindCodeAsked, Case: w.caseID})
	m.record()
	m.to(phaseSending)
	m.do(ask)
}

func (m *Machine) codeTyped(in CodeTyped) {
	w := &m.walk
	if in.Code.Len() != w.code.Digits || (card.Rules{Min: 1, Max: w.code.Digits, DigitsOnly: true}).Check(in.Code) != card.FlawNone {
		in.Code.Wipe()
		m.reason = ReasonCodeForm
		return
	}
	ask := AskCheckCode{Case: w.caseID, Code: in.Code}
	if before, is := w.again.(AskCheckCode); is && before.Code.Equal(in.Code) {
		ask.Ask = before.Ask
		m.waiting = ask.Ask
	} else {
		ask.Ask = m.nextAsk()
	}
	w.typedCode.Wipe()
	w.typedCode = in.Code
	w.again = ask
	m.to(phaseChecking)
	m.do(ask)
}

func (m *Machine) codeAccepted(in CodeAccepted) {
	w := &m.walk
	w.again = nil
	w.typedCode.Wipe()
	w.code = nil
	w.nonce = in.Nonce
	m.note(audit.Entry{Kind: audit.KindCodeAccepted, Case: w.caseID})
	m.to(phasePasscode)
}

func (m *Machine) reproved(in CardProved) {
	if in.Failure.Kind != "" {
		m.stop(cardFailure(in.Failure))
		return
	}
	w := &m.walk
	m.to(phaseReleasing)
	m.do(AskRelease{Ask: m.nextAsk(), Case: w.caseID, Nonce: w.nonce, Proof: in.Signature, Challenge: in.Challenge})
}
