package audit

// Kind is what an entry says happened.
type Kind string

// The kinds of entry, in the order of one unlock.
const (
	KindStarted        Kind = "started"         // the kiosk's program began
	KindBegun          Kind = "begun"           // central opened the case for a card
	KindRefused        Kind = "refused"         // the walk ended; Reason says why
	KindConsented      Kind = "consented"       // the holder said: this is me
	KindCodeAsked      Kind = "code-asked"      // a code is asked for
	KindCodeAccepted   Kind = "code-accepted"   // central accepted the code
	KindCodeRefused    Kind = "code-refused"    // central refused the code; Reason says why
	KindChanging       Kind = "changing"        // the holder gives the present passcode to change it; no case
	KindChanged        Kind = "changed"         // what became of that; Passcode says whether the new one is on the card
	KindIntent         Kind = "intent"          // the card is about to be written with a grant
	KindOutcome        Kind = "outcome"         // what became of the card
	KindSettled        Kind = "settled"         // central has the outcome
	KindEnded          Kind = "ended"           // the walk ended without a grant; Reason says why
	KindImpossible     Kind = "impossible"      // the machine met an event that its state does not know
	KindCaseOpened     Kind = "case-opened"     // the kiosk's case was opened, or had been when the program began: out of service until cleared
	KindCaseCleared    Kind = "case-cleared"    // an engineer cleared that
	KindServiceOpened  Kind = "service-opened"  // an engineer opened the service page; Reason says by which code or card
	KindServiceRefused Kind = "service-refused" // somebody tried to; Reason says why not
	KindServiceClosed  Kind = "service-closed"  // and it was closed
	KindCheckpoint     Kind = "checkpoint"      // central's tree is not the one that the kiosk knew; Reason says how
	KindQuarantined    Kind = "quarantined"     // first entry of a journal whose predecessor was damaged and set aside, or lost; Reason says how
)

// Kinds are all of them.
var Kinds = []Kind{
	KindStarted, KindBegun, KindRefused, KindConsented, KindCodeAsked, KindCodeAccepted, KindCodeRefused, KindChanging, KindChanged,
	KindIntent, KindOutcome, KindSettled, KindEnded, KindImpossible, KindCaseOpened, KindCaseCleared, KindServiceOpened,
	KindServiceRefused, KindServiceClosed, KindCheckpoint, KindQuarantined,
}

// Fact is whether something is so on the card.
type Fact string

// Facts.
const (
	Yes     Fact = "yes"
	No      Fact = "no"
	Unknown Fact = "unknown"
)

// ReasonPUKBlocked is the Reason of an outcome whose card says that its PUK is blocked.
const ReasonPUKBlocked = "puk-blocked"

// Entry is one thing that happened at a kiosk. It names no person: no holder, contact, card number or its hash, no
// passcode or code. Case ids are random; generations are no secret.
type Entry struct {
	Kind   Kind   `json:"kind"`
	At     int64  `json:"at"`               // the kiosk's clock, milliseconds since the Unix epoch
	Case   string `json:"case,omitempty"`   // 32 lower-case hex digits
	Reason string `json:"reason,omitempty"` // a code of the catalogue or of the machine

	// Of an intent and an outcome.
	Base     *int64 `json:"base,omitempty"`     // the grant's base generation n
	First    *int64 `json:"first,omitempty"`    // the candidate that is tried first
	Opened   *int64 `json:"opened,omitempty"`   // the generation that the card accepted
	Passcode Fact   `json:"passcode,omitempty"` // is the new passcode on the card? Of a changed, too
	Rotated  Fact   `json:"rotated,omitempty"`  // is the PUK the next generation?
	Tries    *int   `json:"tries,omitempty"`    // wrong PUKs that the card counted; absent if not known

	// Token is central's own note of which card an intent is about: sealed by central, new with every case, to everybody else
	// a random string. It lets a central that was restored from a backup know which card was written in a case that it forgot.
	Token string `json:"token,omitempty"`
}
