// Package cases holds the rules of one unlock as central judges them: who may begin, what proves a card, when a code may
// be sent and checked, what a grant may carry, what an outcome settles.
//
// The rules are pure. Time, randomness and what is on record are given; nothing here reads a clock, a database or a
// network, and nothing is remembered outside the values that are passed in. Whoever calls them does so inside one
// transaction and stores what was changed before the answer leaves, also when the answer is a Refusal: a refused code has
// cost an attempt.
package cases

import (
	"fmt"
	"time"

	"latchkey/firmware/wire"
)

// State is how far a case has come.
type State string

// The states, in the order of an unlock.
const (
	Begun    State = "begun"     // the card has to prove itself
	Proved   State = "proved"    // the holder may be named and may ask for a code
	CodeSent State = "code-sent" // a code is out
	Accepted State = "accepted"  // the code was right; the card has to prove itself again
	Granted  State = "granted"   // the one grant of this case has left
	Settled  State = "settled"   // over, and which PUK the card has is known; Reason says what the card is
	Closed   State = "closed"    // over; Reason says why
)

// Over says whether nothing more happens in a case.
func (s State) Over() bool { return s == Settled || s == Closed }

// Reason is why a case is over: one of these, a wire.Code, or a wire.EndRequestReason.
type Reason string

// Reasons of central's own.
const (
	ReasonUnlocked    Reason = "unlocked"     // the new passcode is on the card
	ReasonNotUnlocked Reason = "not-unlocked" // it is not, for certain
	ReasonUnknown     Reason = "unknown"      // the kiosk cannot tell
	ReasonSuperseded  Reason = "superseded"   // the card began again, here or at another kiosk, or is of another profile
	ReasonExpired     Reason = "expired"      // its time was over
	ReasonFrozen      Reason = "frozen"       // the card was, before it had proved itself
	ReasonEpoch       Reason = "epoch"        // central was restored from a backup
)

// Policy is what the RA decides. config gives its defaults and checks its bounds.
type Policy struct {
	CodeDigits    int
	CodeValidity  time.Duration // of a code; also how long the holder has to choose a passcode after it was accepted
	Attempts      int           // wrong codes a case
	Sends         int           // codes a case
	ResendAfter   time.Duration
	LockoutAfter  int // wrong codes of a card or a holder since the last unlock
	CaseValidity  time.Duration
	GrantValidity time.Duration
	Domains       []string // as DomainAllowed reads them
	SMS           bool     // codes may go to mobile numbers
	MaskName      bool
	// WithoutProof are the profiles whose cards are served although no certificate of theirs is on record. A card that
	// has one on record always has to prove itself.
	WithoutProof []string
	Issuers      Issuers // that the certificates of cards chain to

	// Codes sent in an hour.
	CardSends, HolderSends, AddressSends, KioskSends int

	// What steps up: the RA has to approve the card. Each is off when zero.
	ChannelSettles time.Duration // a channel that was changed within it is not used
	KioskCards     int           // different cards proved at one kiosk in an hour
	TravelKMH      int           // how fast a card may go from one kiosk to another, km/h

	ApprovalValidity time.Duration // of an approval, unless an unlock uses it up
	HolderVisits     int           // visits of a holder without success in a day until quarantine; 0: any number

	// Strikes of a kiosk in an hour until quarantine, and of a network address until it has to wait. They hold for all
	// organisations; Policies.Default has them. Networks are not counted if theirs is zero.
	KioskStrikes, NetworkStrikes int

	// Weak says what becomes of a new passcode that is easily guessed.
	Weak wire.WeakPasscodes

	// FeedbackDays is how long what holders had to say is kept. It holds for all organisations; Policies.Default has it.
	FeedbackDays int
}

// Case is one walk of one card at one kiosk.
type Case struct {
	ID        string // 32 lower-case hex digits
	Card      string // serial
	Holder    string // id
	Kiosk     string
	State     State
	Reason    Reason // of a case that is over
	BegunAt   time.Time
	ExpiresAt time.Time
	ProvedAt  time.Time // when the card passed its first proof last; zero if it has not
	Nonce     []byte    // that the card must sign next; nil if none is due
	HPKE      []byte    // public key of the kiosk for this walk
	Code      Code      // the newest that was sent; zero if none was
	Attempts  int       // codes that were judged
	Sends     int
	// PUKTriesLeft is the card's own count of PUK tries when it was read last, at PUKReadAt; that is zero if the card does
	// not tell.
	PUKTriesLeft int
	PUKReadAt    time.Time
}

// Code is a one-time code. The digits themselves are nowhere.
type Code struct {
	MAC       []byte // nil once it was accepted
	Channel   string // id
	Masked    string
	SentAt    time.Time
	ExpiresAt time.Time
	Failed    bool // its message came back
}

// Out says whether the code can still be typed.
func (c Code) Out(now time.Time) bool { return len(c.MAC) > 0 && now.Before(c.ExpiresAt) }

// Card is what central knows of a card.
type Card struct {
	Serial      string
	Profile     string // of card/profiles
	Holder      string
	Certificate []byte // card authentication, DER; nil if the card cannot prove itself
	Revoked     bool
	Settled     int64 // generation of the PUK that central knows the card to have, or to have left for the next one
	WrongCodes  int   // since the last unlock
	HasSecret   bool  // its PUK or administrator's key was imported
	PUKBlocked  bool  // a kiosk that was given a grant met a blocked PUK; until it is imported as reissued

	FrozenAt      time.Time // "this was not me"; zero if it is not frozen
	ApprovedUntil time.Time // the RA lets it pass what steps up, once
	ReleasedEpoch int64     // in which the RA let it be served before all kiosks were back
}

// Proves says whether the card has to prove itself. Whoever shows one that does not may have copied its number.
func (c Card) Proves() bool { return len(c.Certificate) > 0 }

// Holder is whom a card was issued to.
type Holder struct {
	ID         string
	Name       string
	Active     bool
	WrongCodes int // since the last unlock, with any card that proved itself

	Organisation    string    // whose policy holds; empty: the default's
	Language        string    // of messages: "en", "cy"
	EmailChangedAt  time.Time // zero: never since the holder was added
	MobileChangedAt time.Time
	QuarantinedAt   time.Time // misbehaved; zero if not
}

// Refusal is an answer of the catalogue instead of the one that was asked for. It is an error that a caller branches on.
type Refusal struct {
	Code         wire.Code
	AttemptsLeft *int      // with code-wrong
	RetryAt      time.Time // with rate-limited and resend-too-soon
	Why          Why       // for the ledger; no kiosk learns it
}

func (r *Refusal) Error() string { return "refused: " + r.Note() }

// Note is the refusal as the ledger keeps it.
func (r *Refusal) Note() string {
	if r.Why == "" {
		return string(r.Code)
	}
	return fmt.Sprintf("%s: %s", r.Code, r.Why)
}

// Why is more about a refusal than the kiosk is told.
type Why string

// Reasons that stand behind a code.
const (
	WhyPUKBlocked    Why = "puk-blocked"    // with card-referred: what would unlock the card is blocked itself
	WhySecretUnknown Why = "secret-unknown" // with card-referred: none was imported
	WhyTriesUsedUp   Why = "tries-used-up"  // with card-referred: the card may have fewer than two PUK tries left
	WhyGeneration    Why = "generation"     // with card-referred: which PUK it has is lost with what a restored central forgot
	WhyNoIssuers     Why = "no-issuers"     // with card-not-genuine: no authority of cards is configured
	WhyChain         Why = "chain"          // with card-not-genuine: the certificate is of another authority
	WhyExpired       Why = "expired"        // with card-expired: the certificate itself has run out, or is not valid yet
	WhyIssuerExpired Why = "issuer-expired" // with card-expired: an authority of its chain has run out, or is not valid yet
	WhyLockout       Why = "wrong-codes"    // with holder-locked-out: this code was the one too many
)

// Refuse makes a Refusal.
func Refuse(c wire.Code) *Refusal { return &Refusal{Code: c} }

// Open says whether the walk can go on.
func (c *Case) Open(now time.Time) bool { return !c.State.Over() && now.Before(c.ExpiresAt) }

// Close ends the case and voids its code. A case that is over stays as it is.
func (c *Case) Close(why Reason) { c.finish(Closed, why) }

// Supersede ends the case of a card that began again, or is another than it was taken for.
func (c *Case) Supersede(now time.Time) {
	why := ReasonSuperseded
	if !c.Open(now) {
		why = ReasonExpired
	}
	c.Close(why)
}

// Freeze ends the case of a card that was frozen. Only a card that has proved itself is told so.
func (c *Case) Freeze() {
	why := Reason(wire.CodeCardFrozen)
	if c.State == Begun {
		why = ReasonFrozen
	}
	c.Close(why)
}

// Ended refuses whatever comes after the end of the case.
func (c *Case) Ended() *Refusal {
	if c.Reason == Reason(wire.CodeCardFrozen) {
		return Refuse(wire.CodeCardFrozen)
	}
	return Refuse(wire.CodeCaseClosed)
}

// Finish ends the case of a grant that has its outcome: grant is its place in r.Grants.
func (c *Case) Finish(r Record, grant int) {
	g, s := r.Grants[grant], Closed
	if r.Card.Settled > g.Base || !r.Profile.PUK.Rotates && g.Outcome.Passcode == wire.Yes {
		s = Settled
	}
	c.finish(s, g.Outcome.reason())
}

func (c *Case) finish(s State, why Reason) {
	if c.State.Over() {
		return
	}
	c.State, c.Reason = s, why
	c.Nonce, c.Code.MAC = nil, nil
}

// at refuses a request that does not belong to the case's step.
func (c *Case) at(now time.Time, states ...State) error {
	if !c.Open(now) {
		return c.Ended()
	}
	for _, s := range states {
		if c.State == s {
			return nil
		}
	}
	return Refuse(wire.CodeWrongStep)
}

// end closes the case with a problem and refuses.
func (c *Case) end(code wire.Code) error { return c.endFor(code, "") }

func (c *Case) endFor(code wire.Code, why Why) error {
	c.Close(Reason(code))
	return &Refusal{Code: code, Why: why}
}

// CodeStatus is what a holder is told of the code that was sent last.
func (c *Case) CodeStatus(p Policy) wire.CodeStatus {
	status := wire.CodeStatus{
		Masked:       c.Code.Masked,
		Digits:       p.CodeDigits,
		SentAt:       c.Code.SentAt.UnixMilli(),
		ExpiresAt:    c.Code.ExpiresAt.UnixMilli(),
		ResendAt:     c.Code.SentAt.Add(p.ResendAfter).UnixMilli(),
		AttemptsLeft: max(0, p.Attempts-c.Attempts),
		SendsLeft:    max(0, p.Sends-c.Sends),
	}
	if c.Code.Failed {
		status.Failed, status.ResendAt = &c.Code.Failed, status.SentAt
	}
	return status
}
