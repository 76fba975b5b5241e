package unlock

import (
	"time"

	"latchkey/card"
	"latchkey/firmware/audit"
	"latchkey/firmware/secret"
	"latchkey/firmware/wire"
)

// Event is an input and when it happened, in the kiosk's clock.
type Event struct {
	At    time.Time
	Input Input
}

// Input is what can happen to the machine.
type Input interface{ input() }

// From the reader.
type (
	// ReaderGone: no reader, or no pcscd.
	ReaderGone struct{ Reason Reason }
	// CardIn: one card is in. Session names this insertion; numbers grow.
	CardIn struct{ Session uint64 }
	// CardMute: something is in that does not answer to reset.
	CardMute struct{}
	// TwoCards: more than one card is in.
	TwoCards struct{}
	// CardOut: a reader is there, and no card is in it, or none any more.
	CardOut struct{}
)

// From the card, in answer to an effect.
type (
	// CardRead answers ReadCard.
	CardRead struct {
		Session  uint64
		Failure  Failure
		Identity card.Identity
		State    card.State
		// Rules that a new passcode must satisfy, and those that the present one was chosen by, as far as the card's kind
		// tells; central knows the card's own.
		Rules, Present card.Rules
		Certificates   card.Certificates
		// Title is what people call such cards; with FailRetired.
		Title string
		// Service is how the journal names an engineer's service card that has proved itself; "" of any other card.
		Service string
	}
	// CardProved answers ProveCard.
	CardProved struct {
		Session   uint64
		Failure   Failure // of the challenge; that there is no key to sign with is none
		Signature []byte  // nil if the card has no key that signs without a passcode
		Challenge []byte  // where it was asked for; nil if the family has none
		// PUKTriesLeft, if it can only be told now that the card's profile is known; else -1.
		PUKTriesLeft int
	}
	// CardStepped answers ResetPasscode, ConfirmPasscode, ChangePasscode and RotatePUK.
	CardStepped struct {
		Session uint64
		Failure Failure
	}
)

// Failure is why the card did not do as asked; its zero value is success.
type Failure struct {
	Kind FailureKind
	// TriesLeft with FailWrong; -1 if the card did not tell.
	TriesLeft int
}

// FailureKind is the error of package card that a machine can branch on.
type FailureKind string

// Failures. The first three end the session.
const (
	FailRemoved  FailureKind = "removed"  // card.ErrRemoved
	FailReset    FailureKind = "reset"    // card.ErrReset
	FailHung     FailureKind = "hung"     // card.ErrHung
	FailNotOurs  FailureKind = "not-ours" // card.ErrNotThisFamily
	FailWrong    FailureKind = "wrong"    // card.WrongSecretError
	FailBlocked  FailureKind = "blocked"  // card.ErrBlocked
	FailPasscode FailureKind = "passcode" // card.ErrRefusedPasscode
	FailUnknown  FailureKind = "unknown"  // card.ErrUnknown
	FailNoKey    FailureKind = "no-key"   // card.ErrNoKey: nothing on the card names it
	FailRetired  FailureKind = "retired"  // card.RetiredError
	FailNoPUK    FailureKind = "no-puk"   // card.ErrNoPUK, card.ErrNotSent: nothing was sent to the card
	FailStatus   FailureKind = "status"   // any other answer
)

// From central, in answer to an effect. Ask repeats the effect's number.
type (
	// Refused answers any of the asks.
	Refused struct {
		Ask     uint64
		Refusal Refusal
	}
	// Begun answers AskBegin.
	Begun struct {
		Ask     uint64
		Case    string
		Profile string // the card's, on record
		Nonce   []byte
		Token   string // of the intent; central's own note
	}
	// Proved answers AskProof. Code is set if one is out for this case.
	Proved struct {
		Ask      uint64
		Holder   string
		Channels []Channel
		Rules    card.Rules
		Weak     WeakPolicy
		Code     *Code
	}
	// CodeSent answers AskSendCode.
	CodeSent struct {
		Ask  uint64
		Code Code
	}
	// CodeSeen answers AskCode. Code is nil if central did not tell.
	CodeSeen struct {
		Look uint64
		Code *Code
	}
	// CodeAccepted answers AskCheckCode.
	CodeAccepted struct {
		Ask   uint64
		Nonce []byte
	}
	// Granted answers AskRelease. The machine owns the PUKs from here on.
	Granted struct {
		Ask   uint64
		Grant Grant
	}
	// Settled: central has the outcome of this case.
	Settled struct{ Case string }
	// CentralSeen: central answers and serves this kiosk, or no longer does.
	CentralSeen struct {
		Up bool
		// Code is why central does not serve the kiosk; empty if it does, or does not answer.
		Code wire.Code
	}
)

// Grant is a release, verified and opened.
type Grant struct {
	Base, First int64
	Tries       int // wrong PUKs that it may cost
	ExpiresAt   time.Time
	// Current is the PUK of Base, or the answer to the card's challenge, in hex; Next is the PUK of Base+1, empty where the card's
	// PUK is not replaced.
	Current, Next secret.Value
}

// Refusal is why central did not answer as asked.
type Refusal struct {
	// Code is the problem; ReasonUnreachable if there was no answer, ReasonGrantInvalid if a grant did not verify.
	Code         Reason
	AttemptsLeft int       // with wire.CodeCodeWrong
	RetryAt      time.Time // with wire.CodeRateLimited and wire.CodeResendTooSoon; zero if not told
}

// From the holder.
type (
	// Pressed is a button of the screen.
	Pressed struct{ Button Button }
	// ChannelChosen is a channel of the screen.
	ChannelChosen struct{ ID string }
	// CodeTyped is a finished code. The machine owns it.
	CodeTyped struct{ Code secret.Value }
	// PasscodeTyped is a finished passcode. The machine owns it.
	PasscodeTyped struct{ Passcode secret.Value }
	// Touched is any other sign of life: a key, a tap.
	Touched struct{}
	// Rated is how it was, from 1, very poor, to 5, very good.
	Rated struct{ Stars int }
	// CommentTyped is what the holder has to say; empty is nothing. The machine owns it.
	CommentTyped struct{ Text secret.Value }
	// ContactTyped is an email address to be answered at; empty is none. The machine owns it.
	ContactTyped struct{ Address secret.Value }
)

// From an engineer.
type (
	// ServiceAsked: somebody knows how the engineer's page is asked for.
	ServiceAsked struct{}
	// ServiceOffered answers OfferService: the number of the code that is due, or why none is.
	ServiceOffered struct {
		Number int
		Reason Reason
	}
	// ServiceCodeTyped is a finished one-time code. The machine owns it.
	ServiceCodeTyped struct{ Code secret.Value }
	// ServiceChecked answers CheckService. Reason is why it was refused; "" if it was taken.
	ServiceChecked struct{ Reason Reason }
)

// Button is what a screen offers.
type Button string

// Buttons.
const (
	PressContinue  Button = "continue"
	PressChange    Button = "change"
	PressForgotten Button = "forgotten"
	PressNotMe     Button = "not-me"
	PressResend    Button = "resend"
	PressBack      Button = "back"
	PressCancel    Button = "cancel"
	PressFeedback  Button = "feedback"
	PressClose     Button = "close"
)

// From the kiosk itself.
type (
	// Started is the first event, once. Intents are those without an outcome, Unsettled the outcomes that central has
	// not acknowledged, both from the journal.
	Started struct {
		Intents, Unsettled []audit.Entry
		CaseOpened         bool // before, and nobody has cleared it
	}
	// Tick says that time has passed.
	Tick struct{}
	// JournalFailed: an entry could not be made durable; what followed it was not performed.
	JournalFailed struct{ Reason Reason }
	// CaseOpened: somebody opens the kiosk's case.
	CaseOpened struct{}
	// CaseCleared: an engineer has looked at that.
	CaseCleared struct{}
	// JournalReady: there is room for evidence again.
	JournalReady struct{}
)

func (ReaderGone) input()       {}
func (CardIn) input()           {}
func (CardMute) input()         {}
func (TwoCards) input()         {}
func (CardOut) input()          {}
func (CardRead) input()         {}
func (CardProved) input()       {}
func (CardStepped) input()      {}
func (Refused) input()          {}
func (Begun) input()            {}
func (Proved) input()           {}
func (CodeSent) input()         {}
func (CodeSeen) input()         {}
func (CodeAccepted) input()     {}
func (Granted) input()          {}
func (Settled) input()          {}
func (CentralSeen) input()      {}
func (Pressed) input()          {}
func (ChannelChosen) input()    {}
func (CodeTyped) input()        {}
func (PasscodeTyped) input()    {}
func (Touched) input()          {}
func (Rated) input()            {}
func (CommentTyped) input()     {}
func (ContactTyped) input()     {}
func (ServiceAsked) input()     {}
func (ServiceOffered) input()   {}
func (ServiceCodeTyped) input() {}
func (ServiceChecked) input()   {}
func (Started) input()          {}
func (Tick) input()             {}
func (JournalFailed) input()    {}
func (JournalReady) input()     {}
func (CaseOpened) input()       {}
func (CaseCleared) input()      {}
