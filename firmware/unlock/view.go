package unlock

import (
	"time"

	"latchkey/card"
	"latchkey/firmware/wire"
)

// Screen is what the kiosk shows.
type Screen string

// The screens, in the order of a walk.
const (
	ScreenAttract      Screen = "attract"        // insert your smartcard
	ScreenOutOfService Screen = "out-of-service" // Reason says why
	ScreenReading      Screen = "reading"        // the card is read and central is asked; busy
	ScreenErrand       Screen = "errand"         // the card is not locked: PressChange if CanChange, PressForgotten, PressCancel; Reason: why the change ended
	ScreenPresent      Screen = "present"        // the present passcode: PasscodeTyped, PressForgotten, PressBack; Reason: why the last was refused
	ScreenVerifying    Screen = "verifying"      // the card checks it; busy
	ScreenConsent      Screen = "consent"        // is this your card? PressContinue, PressNotMe
	ScreenChannel      Screen = "channel"        // where the code goes: ChannelChosen, PressCancel; Reason: why the last sending failed
	ScreenSending      Screen = "sending"        // busy
	ScreenCode         Screen = "code"           // CodeTyped, PressResend, PressCancel; Reason: why the last code was refused
	ScreenChecking     Screen = "checking"       // busy
	ScreenPasscode     Screen = "passcode"       // choose a passcode: PasscodeTyped, PressCancel; Reason: why the last was refused
	ScreenRepeat       Screen = "repeat"         // the same again: PasscodeTyped, PressBack
	ScreenWriting      Screen = "writing"        // do not take the card out; busy
	ScreenUnlocked     Screen = "unlocked"       // take your card; Errand says what was done
	ScreenStopped      Screen = "stopped"        // the walk ended; Reason says why. "Take your card" while CardIn
	ScreenAway         Screen = "away"           // the holder took the card along; come back before ReturnBefore
	ScreenWeak         Screen = "weak"           // the new passcode is easily guessed: Reason says how; PressBack, and PressContinue if WeakAllowed
	ScreenRating       Screen = "rating"         // after a success: Rated, PressBack
	ScreenComment      Screen = "comment"        // CommentTyped, which may be empty; PressBack
	ScreenContact      Screen = "contact"        // ContactTyped, which may be empty; PressBack. Reason: why the last was refused
	ScreenThanks       Screen = "thanks"         // for the feedback
	ScreenServiceCode  Screen = "service-code"   // an engineer's one-time code, number ServiceNumber: ServiceCodeTyped, PressBack; Reason: why not
	ScreenEngineer     Screen = "engineer"       // PressClose; the face fills it with what it is told beside the view
)

// Reason is why a screen is shown: one of these, a card.Flaw, a card.Weakness, or a wire.Code.
type Reason string

// The kiosk's own reasons.
const (
	ReasonNoDaemon       Reason = "no-daemon"          // pcscd does not run
	ReasonNoReader       Reason = "no-reader"          // no reader is plugged in
	ReasonJournalFull    Reason = "journal-full"       // no room for evidence
	ReasonJournalFailed  Reason = "journal-failed"     // evidence cannot be written
	ReasonCaseOpened     Reason = "case-opened"        // somebody opened the kiosk's case
	ReasonDataLost       Reason = "data-lost"          // the kiosk's storage failed with all that it kept; no machine runs then
	ReasonUnreachable    Reason = "unreachable"        // central does not answer
	ReasonLeftIn         Reason = "card-left-in"       // a card was in before the kiosk was ready for it
	ReasonTwoCards       Reason = "two-cards"          // more than one card
	ReasonMute           Reason = "card-mute"          // no answer to reset: upside down, or dead
	ReasonUnreadable     Reason = "card-unreadable"    // answers, but not with sense
	ReasonNotOurs        Reason = "card-not-ours"      // no application that we know
	ReasonUninitialised  Reason = "card-uninitialised" // was never given a passcode
	ReasonPUKBlocked     Reason = "puk-blocked"        // locked, and what would unlock it is locked, too
	ReasonRetired        Reason = "card-retired"       // of a kind that was withdrawn: Series
	ReasonExpired        Reason = "card-expired"       // certificates ran out on Expired
	ReasonHung           Reason = "card-hung"          // stopped answering
	ReasonRemoved        Reason = "removed"            // taken out before anything was changed
	ReasonNotMe          Reason = "not-me"             // the holder said so
	ReasonCancelled      Reason = "cancelled"          // the holder said so
	ReasonIdle           Reason = "idle"               // nobody touched the kiosk; ReturnBefore if a code is out
	ReasonCodeForm       Reason = "code-form"          // the code has another number of digits
	ReasonNotDelivered   Reason = "code-not-delivered" // the message with the code came back
	ReasonPresentWrong   Reason = "present-wrong"      // the present passcode is wrong; TriesLeft
	ReasonPresentLast    Reason = "present-last"       // one try is left, and this kiosk does not spend it
	ReasonNowLocked      Reason = "card-now-locked"    // that was its last try after all
	ReasonNotChanged     Reason = "not-changed"        // the card keeps its passcode; for certain
	ReasonUnknownChange  Reason = "change-unknown"     // it has the old or the new passcode
	ReasonDiffers        Reason = "passcode-differs"   // the second is not the first
	ReasonCardRefusesIt  Reason = "passcode-refused"   // the card refuses this passcode
	ReasonNotUnlocked    Reason = "not-unlocked"       // the card did not take the passcode; for certain
	ReasonUnknownOutcome Reason = "outcome-unknown"    // it may be unlocked or not: put it in again
	ReasonGrantInvalid   Reason = "grant-invalid"      // central's grant does not verify or has run out
	ReasonImpossible     Reason = "kiosk-fault"        // the machine met what cannot be
	ReasonContactForm    Reason = "contact-form"       // that is no email address
	ReasonServiceNone    Reason = "service-none"       // central has not told this kiosk yet what its one-time codes are
	ReasonServiceWrong   Reason = "service-wrong"      // that is not the code of this number
	ReasonServiceLocked  Reason = "service-locked"     // too many wrong ones: none is taken for a while
)

// Channel is where a code can be sent.
type Channel struct {
	ID     string
	Kind   wire.ChannelKind
	Masked string
}

// Code is the one-time code that is out. Times are in the kiosk's clock.
type Code struct {
	Masked       string // where it was sent
	Digits       int
	SentAt       time.Time
	ExpiresAt    time.Time
	ResendAt     time.Time
	AttemptsLeft int
	SendsLeft    int
	Failed       bool // the message came back: it did not reach the holder
}

// Errand is what the holder came for.
type Errand string

// Errands. A locked card has the first, without being asked.
const (
	ErrandUnlock    Errand = "unlock"
	ErrandChange    Errand = "change"    // the passcode, with the present one
	ErrandForgotten Errand = "forgotten" // the passcode of a card that is not locked
)

// View is all that the face needs. It holds no secret.
type View struct {
	Screen Screen
	Reason Reason
	CardIn bool
	Errand Errand // "" while it is not known
	// CanChange: the present passcode can be tried without locking the card.
	CanChange bool
	// Series is what people call such cards; with ReasonRetired.
	Series string
	// Expiring is when the card's certificates run out, if that is soon; else zero.
	Expiring time.Time
	Holder   string // from consent on
	Channels []Channel
	Code     *Code // while one is out
	// Rules of the passcode that is typed now.
	Rules card.Rules
	// WeakAllowed: policy warns of a passcode that is easily guessed, and does not refuse it.
	WeakAllowed bool
	// CanRate: the last screen of a success offers PressFeedback.
	CanRate bool
	// ServiceNumber of the one-time code that an engineer is asked for.
	ServiceNumber int
	// TriesLeft of a card that is not locked; -1 if it does not tell.
	TriesLeft int
	Expired   time.Time // with ReasonExpired
	// ReturnBefore is when the code that is out expires; zero if none is.
	ReturnBefore time.Time
	// Reference helps the RA to find the case: its first eight digits.
	Reference string
	// CentralUp is false while central does not answer.
	CentralUp bool
	// NotServed is why central does not serve this kiosk; empty if it does, or does not answer.
	NotServed wire.Code
	// WarnAt and EndsAt: when to warn that the walk ends for want of a touch, and when it ends; zero if it does not.
	WarnAt, EndsAt time.Time
}
