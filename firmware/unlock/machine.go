// Package unlock is the machine that decides one unlock: events in, effects out. It has no clock, goroutine, file, socket
// or random source: the same events give the same effects, so that one unlock can be written down (testdata/*.txt),
// replayed, and simulated a million times.
//
// What it guarantees, whatever happens around it:
//   - a card is written with a grant only after its intent is durable, in the session in which it proved itself, as far as
//     it can, and before the grant has run out;
//   - at most Grant.Tries wrong PUKs are spent, none of them where the card tells that fewer than two are left; a second
//     candidate is tried only when the card says that two or more tries are left (63CX, X ≥ 2);
//   - the present passcode of a card that is not locked is tried only after that is noted durably, and never where the
//     card tells that it is the last try;
//   - "unlocked" and "changed" are said only after the card accepted the new passcode;
//   - every grant that arrives has one outcome;
//   - passcode, code and PUKs are wiped as soon as the walk ends, and nothing of the holder is left in the machine;
//   - feedback knows nothing of the walk before it, and is kept nowhere if it is not submitted;
//   - the engineer's page is opened where nobody is served, and while it is open nobody is.
//
// An event that is impossible in a state is recorded (audit.KindImpossible) and ends the walk on a safe screen.
package unlock

import (
	"fmt"
	"time"

	"latchkey/card"
	"latchkey/firmware/audit"
	"latchkey/firmware/secret"
	"latchkey/firmware/wire"
)

// Config is what an operator may set.
type Config struct {
	Idle     time.Duration // without a touch, before a walk ends
	CodeIdle time.Duration // the same while the holder reads the mail
	Warn     time.Duration // how long before the end the kiosk warns
	Linger   time.Duration // how long the last screen stays once the card is out
	Feedback bool          // ask how it was, after a success
	Weak     WeakPolicy    // of a change, which central is not asked about
}

// DefaultConfig gives a holder time to read, and to walk to a screen with mail.
var DefaultConfig = Config{
	Idle: time.Minute, CodeIdle: 3 * time.Minute, Warn: 20 * time.Second, Linger: 8 * time.Second, Feedback: true, Weak: WeakWarn,
}

type phase string

const (
	phaseBooting      phase = "booting"
	phaseAttract      phase = "attract"
	phaseOutOfService phase = "out-of-service"
	phaseReading      phase = "reading"
	phaseErrand       phase = "errand"
	phasePresent      phase = "present"
	phaseVerifying    phase = "verifying" // the card checks the present passcode
	phaseBeginning    phase = "beginning"
	phaseProving      phase = "proving"    // the card signs for Begin
	phaseDisclosing   phase = "disclosing" // central checks that
	phaseConsent      phase = "consent"
	phaseChannel      phase = "channel"
	phaseSending      phase = "sending"
	phaseCode         phase = "code"
	phaseChecking     phase = "checking"
	phasePasscode     phase = "passcode"
	phaseWeak         phase = "weak"
	phaseRepeat       phase = "repeat"
	phaseReproving    phase = "reproving" // the card signs for Release
	phaseReleasing    phase = "releasing"
	phaseResetting    phase = "resetting" // from here on the card may change
	phaseConfirming   phase = "confirming"
	phaseRotating     phase = "rotating"
	phaseReplacing    phase = "replacing" // of a change: the card takes the new passcode for the present one
	phaseProbing      phase = "probing"   // of a change: the card is asked for the new one
	phaseUnlocked     phase = "unlocked"
	phaseStopped      phase = "stopped"
	phaseAway         phase = "away"

	phaseRating  phase = "rating"
	phaseComment phase = "comment"
	phaseContact phase = "contact"
	phaseThanks  phase = "thanks"

	phaseLooking         phase = "looking" // out of service: is this an engineer's card?
	phaseServiceCode     phase = "service-code"
	phaseServiceChecking phase = "service-checking"
	phaseEngineer        phase = "engineer"
)

var screens = map[phase]Screen{
	phaseBooting: ScreenOutOfService, phaseAttract: ScreenAttract, phaseOutOfService: ScreenOutOfService,
	phaseErrand: ScreenErrand, phasePresent: ScreenPresent, phaseVerifying: ScreenVerifying,
	phaseReading: ScreenReading, phaseBeginning: ScreenReading, phaseProving: ScreenReading, phaseDisclosing: ScreenReading,
	phaseConsent: ScreenConsent, phaseChannel: ScreenChannel, phaseSending: ScreenSending,
	phaseCode: ScreenCode, phaseChecking: ScreenChecking, phasePasscode: ScreenPasscode, phaseRepeat: ScreenRepeat,
	phaseReproving: ScreenWriting, phaseReleasing: ScreenWriting, phaseResetting: ScreenWriting,
	phaseConfirming: ScreenWriting, phaseRotating: ScreenWriting,
	phaseReplacing: ScreenWriting, phaseProbing: ScreenWriting,
	phaseUnlocked: ScreenUnlocked, phaseStopped: ScreenStopped, phaseAway: ScreenAway,
	phaseWeak:   ScreenWeak,
	phaseRating: ScreenRating, phaseComment: ScreenComment, phaseContact: ScreenContact, phaseThanks: ScreenThanks,
	phaseLooking: ScreenOutOfService, phaseServiceCode: ScreenServiceCode, phaseServiceChecking: ScreenServiceCode,
	phaseEngineer: ScreenEngineer,
}

// Machine is one kiosk's machine. It is for one goroutine.
type Machine struct {
	config Config
	phase  phase
	now    time.Time
	out    []Effect

	cardIn    bool
	session   uint64 // of the newest insertion
	ask       uint64 // number of the newest ask
	waiting   uint64 // the ask whose answer the phase waits for; 0 if none
	centralUp bool
	notServed wire.Code
	look      uint64 // number of the newest AskCode

	readerReason  Reason // why the reader cannot be used; "" if it can
	journalReason Reason // why the journal cannot be used; "" if it can

	caseOpened bool // and not cleared

	entries []audit.Entry // to be made durable with the next Record

	// Of the last Step's Records, whose failure is not yet excluded.
	writing []audit.Entry // outcomes in them
	intent  bool          // the first command that can cost a try waits for one

	walk   walk
	reason Reason
	until  time.Time // end of an idle wait or of a last screen; zero if none

	said    feedback // emptied when its screens are left
	service service  // likewise

	// A release whose walk has ended: its grant, should it still come, gets its outcome.
	orphan struct {
		ask    uint64
		caseID string
	}
}

// walk is what is known of the card that is in. It is emptied, and its secrets wiped, when the walk ends.
type walk struct {
	session      uint64
	identity     card.Identity
	triesLeft    int
	pukTriesLeft int
	certificate  []byte
	expired      time.Time
	expiring     time.Time
	series       string
	errand       Errand
	canChange    bool
	newRules     card.Rules // of a change, and those of the present passcode
	presentRules card.Rules
	announced    bool   // the journal has it that the present passcode is given
	interrupted  Reason // what became of the card while its answer is waited for
	caseID       string
	profile      string
	nonce        []byte
	token        string // of the intent
	holder       string
	channels     []Channel
	rules        card.Rules
	weak         WeakPolicy // of the new passcode
	code         *Code
	looking      uint64    // the AskCode that is not answered; 0 if none
	lookAt       time.Time // when the next is due
	present      secret.Value
	passcode     secret.Value
	typedCode    secret.Value
	again        Effect // an ask that got no answer; asking the same keeps its number
	grant        Grant
	trying       int64 // generation that the card was given
	tries        int   // wrong PUKs that it counted
	returnBefore time.Time
}

// codeOut: a code was sent that the holder can still come back with.
func (w *walk) codeOut(now time.Time) bool { return w.code != nil && now.Before(w.code.ExpiresAt) }

// remains is what the screens after a walk still say of it.
func (w *walk) remains() walk {
	return walk{caseID: w.caseID, triesLeft: -1, errand: w.errand, expiring: w.expiring}
}

func (w *walk) wipe() {
	w.present.Wipe()
	w.passcode.Wipe()
	w.typedCode.Wipe()
	w.grant.Current.Wipe()
	w.grant.Next.Wipe()
}

// New returns a machine that waits for Started.
func New(c Config) *Machine {
	return &Machine{config: c, phase: phaseBooting, readerReason: readerUnheard, centralUp: true}
}

// Step takes one event and returns what is to be done, in order.
func (m *Machine) Step(e Event) []Effect {
	m.out = nil
	m.now = e.At
	if _, failed := e.Input.(JournalFailed); !failed {
		m.writing, m.intent = nil, false
	}
	m.take(e.Input)
	return m.out
}

// View is what the face shows now.
func (m *Machine) View() View {
	w := &m.walk
	v := View{
		Screen: screens[m.phase], Reason: m.reason, CardIn: m.cardIn,
		Errand: w.errand, CanChange: w.canChange, Series: w.series, Expiring: w.expiring,
		Holder: w.holder, Channels: w.channels, Rules: w.rules, TriesLeft: w.triesLeft, Expired: w.expired,
		ReturnBefore: w.returnBefore, CentralUp: m.centralUp, NotServed: m.notServed,
		WeakAllowed: m.phase == phaseWeak, CanRate: m.canRate(), ServiceNumber: m.service.number,
	}
	if v.Screen == ScreenOutOfService {
		if v.Reason = m.outOfServiceReason(); v.Reason == readerUnheard {
			v.Reason = "" // it is starting
		}
	}
	if len(w.caseID) >= 8 {
		v.Reference = w.caseID[:8]
	}
	if w.code != nil {
		v.Code, v.ReturnBefore = w.code, w.code.ExpiresAt
	}
	if m.interactive() {
		v.EndsAt = m.until
		v.WarnAt = m.until.Add(-m.config.Warn)
	}
	return v
}

// readerUnheard is before the reader has told anything. No screen has it.
const readerUnheard Reason = "unheard"

func (m *Machine) outOfServiceReason() Reason {
	if m.caseOpened {
		return ReasonCaseOpened
	}
	if m.readerReason != "" {
		return m.readerReason
	}
	return m.journalReason
}

func (m *Machine) interactive() bool {
	switch m.phase {
	case phaseErrand, phasePresent, phaseConsent, phaseChannel, phaseCode, phasePasscode, phaseWeak, phaseRepeat,
		phaseRating, phaseComment, phaseContact, phaseServiceCode, phaseEngineer:
		return true
	}
	return false
}

// changing: the card may be in the middle of a change, or of a try, so its answer is waited for.
func (m *Machine) changing() bool {
	switch m.phase {
	case phaseResetting, phaseConfirming, phaseRotating, phaseVerifying, phaseReplacing, phaseProbing:
		return true
	}
	return false
}

// walking: a card is being served.
func (m *Machine) walking() bool {
	switch m.phase {
	case phaseBooting, phaseAttract, phaseOutOfService, phaseUnlocked, phaseStopped, phaseAway,
		phaseRating, phaseComment, phaseContact, phaseThanks,
		phaseLooking, phaseServiceCode, phaseServiceChecking, phaseEngineer:
		return false
	}
	return true
}

func (m *Machine) take(input Input) {
	switch in := input.(type) {
	case Started:
		m.started(in)
	case Tick:
		m.tick()
	case CentralSeen:
		m.centralUp, m.notServed = in.Up, in.Code
	case Settled:
		m.note(audit.Entry{Kind: audit.KindSettled, Case: in.Case})
	case JournalFailed:
		m.journalFailed(in.Reason)
	case CaseOpened:
		m.opened()
	case CaseCleared:
		m.cleared()
	case JournalReady:
		m.journalReason = ""
		m.recovered()

	case ReaderGone, CardIn, CardMute, TwoCards, CardOut:
		m.reader(input)

	case CardRead:
		if in.Session != m.walk.session {
			return
		}
		switch m.phase {
		case phaseReading:
			m.read(in)
		case phaseLooking:
			m.looked(in)
		}
	case CardProved:
		if in.Session != m.walk.session {
			return
		}
		switch m.phase {
		case phaseProving:
			m.proved(in)
		case phaseReproving:
			m.reproved(in)
		}
	case CardStepped:
		if !m.changing() || in.Session != m.walk.session {
			m.impossible(input)
			return
		}
		m.stepped(in.Failure)

	case Refused, Begun, Proved, CodeSent, CodeAccepted, Granted:
		m.answered(input)

	case CodeSeen:
		m.codeSeen(in)

	case Pressed, ChannelChosen, CodeTyped, PasscodeTyped, Touched, Rated, CommentTyped, ContactTyped:
		m.holder(input)

	case ServiceAsked:
		m.serviceAsked()
	case ServiceOffered:
		m.serviceOffered(in)
	case ServiceCodeTyped:
		m.serviceCodeTyped(in)
	case ServiceChecked:
		m.serviceChecked(in)

	default:
		m.impossible(input)
	}
}

// started settles what a power cut left open. The card of an intent without an outcome is in an unknown state.
func (m *Machine) started(in Started) {
	if m.phase != phaseBooting {
		m.impossible(in)
		return
	}
	for _, o := range in.Unsettled {
		m.do(AskOutcome{Outcome: o}) // it is durable, whether or not there is room for more
	}
	m.note(audit.Entry{Kind: audit.KindStarted})
	if m.caseOpened = in.CaseOpened; m.caseOpened {
		m.note(audit.Entry{Kind: audit.KindCaseOpened})
	}
	var unknown []audit.Entry
	for _, i := range in.Intents {
		o := audit.Entry{Kind: audit.KindOutcome, Case: i.Case, Base: i.Base, Passcode: audit.Unknown, Rotated: audit.Unknown}
		unknown = append(unknown, o)
	}
	m.settle(unknown...)
}

func (m *Machine) tick() {
	if m.until.IsZero() || m.now.Before(m.until) {
		if m.phase == phaseCode && m.walk.code != nil && !m.now.Before(m.walk.code.ExpiresAt) {
			m.reason = Reason(wire.CodeCodeExpired)
			return
		}
		m.lookAfterCode()
		return
	}
	switch {
	case m.interactive() && m.walking():
		m.stop(ReasonIdle)
	case m.phase == phaseEngineer:
		m.closeService(string(ReasonIdle))
	case m.interactive(), !m.cardIn:
		m.home()
	}
}

// impossible is recorded, and ends the walk on a safe screen.
func (m *Machine) impossible(input Input) {
	discard(input)
	m.note(audit.Entry{Kind: audit.KindImpossible, Case: m.walk.caseID, Reason: fmt.Sprintf("%T in %s", input, m.phase)})
	if m.walking() && !m.changing() {
		m.stop(ReasonImpossible)
		return
	}
	m.record()
}

// discard wipes the secrets of an input that is not used.
func discard(input Input) {
	switch in := input.(type) {
	case Granted:
		in.Grant.Current.Wipe()
		in.Grant.Next.Wipe()
	case CodeTyped:
		in.Code.Wipe()
	case PasscodeTyped:
		in.Passcode.Wipe()
	case CommentTyped:
		in.Text.Wipe()
	case ContactTyped:
		in.Address.Wipe()
	case ServiceCodeTyped:
		in.Code.Wipe()
	}
}

// to enters a phase, without a reason and without a deadline other than the phase's own.
func (m *Machine) to(p phase) {
	m.phase, m.reason, m.until = p, "", time.Time{}
	if !m.saying() {
		m.forgetFeedback()
	}
	if !m.servicing() {
		m.forgetService()
	}
	m.touch()
}

// touch puts idleness off.
func (m *Machine) touch() {
	if !m.interactive() {
		return
	}
	d := m.config.Idle
	switch m.phase {
	case phaseCode, phaseServiceCode:
		d = m.config.CodeIdle
	case phaseEngineer:
		d = serviceIdle
	}
	m.until = m.now.Add(d)
}

func (m *Machine) lingerFor(d time.Duration) { m.until = m.now.Add(d) }

func (m *Machine) do(e Effect) { m.out = append(m.out, e) }

// note keeps an entry for the next Record: entries that announce no effect need no commit of their own.
func (m *Machine) note(e audit.Entry) {
	e.At = m.now.UnixMilli()
	m.entries = append(m.entries, e)
}

func (m *Machine) record() {
	if len(m.entries) == 0 {
		return
	}
	m.do(Record{Entries: m.entries})
	m.entries = nil
}

// nextAsk numbers an ask and waits for its answer.
func (m *Machine) nextAsk() uint64 {
	m.ask++
	m.waiting = m.ask
	return m.ask
}
