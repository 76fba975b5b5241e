// Package ledger says what central keeps as evidence: its own events, one row each, and the journals of the kiosks as
// they deliver them. It holds the rules; the store appends.
//
// An event names no person: case ids, kiosks, cards by serial, codes of the catalogue. Nothing is ever changed or removed.
package ledger

import (
	"crypto/ecdsa"
	"errors"
	"fmt"
	"time"

	"latchkey/firmware/audit"
	"latchkey/firmware/wire"
)

// Kind of an event of central's.
type Kind string

// The kinds of event.
const (
	CaseBegun     Kind = "case-begun"
	CaseReturned  Kind = "case-returned" // the card came back to its open case
	CardProved    Kind = "card-proved"
	Refused       Kind = "refused" // Code says why
	CodeSent      Kind = "code-sent"
	CodeUnsent    Kind = "code-unsent" // the message could not be handed over
	CodeAccepted  Kind = "code-accepted"
	CodeRefused   Kind = "code-refused" // Code says why
	GrantLeft     Kind = "grant"
	OutcomeKnown  Kind = "outcome"
	CaseEnded     Kind = "case-ended"
	KioskAdded    Kind = "kiosk-added"
	KioskDisabled Kind = "kiosk-disabled"
	Imported      Kind = "imported"
	CardChanged   Kind = "card-changed"   // by an import: profile, secret, certificate, reissued generation
	AttemptsReset Kind = "attempts-reset" // wrong codes of a card and its holder were forgiven

	KioskEnrolling    Kind = "kiosk-enrolling"     // an enrolment code was made
	KioskEnrolled     Kind = "kiosk-enrolled"      // a kiosk used it; inert until it is confirmed
	KioskCodeVoid     Kind = "kiosk-code-void"     // nobody had, and nobody can any more
	KioskConfirmed    Kind = "kiosk-confirmed"     // its key's fingerprint was
	KioskNotConfirmed Kind = "kiosk-not-confirmed" // another fingerprint was typed
	KioskRenewed      Kind = "kiosk-renewed"       // it was given a new certificate
	KioskQuarantined  Kind = "kiosk-quarantined"   // it misbehaved
	KioskReleased     Kind = "kiosk-released"      // from quarantine, or from what a restore waits for

	KioskOpened    Kind = "kiosk-opened"    // its journal says that its case was
	KioskCleared   Kind = "kiosk-cleared"   // … and that an engineer cleared that
	JournalLost    Kind = "journal-lost"    // … that the journal before it was damaged or lost; Note says how
	ServiceOpened  Kind = "service-opened"  // … that an engineer opened its service page; Note says by which code or card
	ServiceRefused Kind = "service-refused" // … that somebody tried to; Note says why not
	ServiceClosed  Kind = "service-closed"  // … that it was closed

	HolderQuarantined Kind = "holder-quarantined"
	HolderReleased    Kind = "holder-released"
	ContactChanged    Kind = "contact-changed"
	CardFrozen        Kind = "card-frozen"
	CardUnfrozen      Kind = "card-unfrozen"
	CardApproved      Kind = "card-approved"  // a step-up was
	CardReleased      Kind = "card-released"  // from what a restore waits for
	CardRecovered     Kind = "card-recovered" // what a restore had forgotten of it was taken from journals

	MessageFailed Kind = "message-failed" // one that had been taken came back
	FeedbackRead  Kind = "feedback-read"  // what holders had to say was; Note says of which days and which site
	BackedUp      Kind = "backed-up"
	EpochOpened   Kind = "epoch-opened" // a backup was restored
	KeyRotated    Kind = "key-rotated"

	HistoryDoubted Kind = "history-doubted" // a kiosk's journal says that central showed another history than before; Note says how
	KioskNewLog    Kind = "kiosk-new-log"   // it may begin a new journal, or has; Note says which, and where
	Cosigned       Kind = "cosigned"        // a witness's cosignature was published; Note says whose, of which size

	EvidenceExported Kind = "evidence-exported" // Note says which places of the tree
	EvidenceSearched Kind = "evidence-searched" // Note says by what
	EvidenceProved   Kind = "evidence-proved"   // Note says what
	EvidenceErased   Kind = "evidence-erased"   // bodies and salts were; Note says which and why
	Erased           Kind = "erased"            // what an event was whose body is gone

	ServiceCodesMade   Kind = "service-codes-made"   // a kiosk's one-time codes for engineers are others from now on
	ServiceCodeGiven   Kind = "service-code-given"   // Note says which number
	ServiceCardAdded   Kind = "service-card-added"   // Note says which key; no Card, since it is none of a holder's
	ServiceCardRemoved Kind = "service-card-removed" // the same
)

// Event is one thing that happened at central.
type Event struct {
	Seq   int64 // among its kiosk's
	At    time.Time
	Kind  Kind
	Kiosk string // as far as there is one
	Case  string
	Card  string // serial
	Note  string // a code of the catalogue, generations, counts
	By    string // of the staff who did it; empty if a kiosk or nobody did
}

// Body is an event's in the tree (firmware/audit). Its kiosk and its number stand in the record.
func Body(e Event) ([]byte, error) {
	b := audit.Event{Kind: string(e.Kind), Case: e.Case, Card: e.Card, Note: e.Note, By: e.By}
	if !e.At.IsZero() {
		b.At = e.At.UnixMilli()
	}
	return audit.EncodeEvent(b)
}

// ErrDoesNotExtend: a batch is not the continuation of the journal that central holds.
var ErrDoesNotExtend = errors.New("does not extend the journal that is held")

// Held finds what central holds of a kiosk's journal: the hash of the chain after entry seq, which is within what is
// held. Entry 0 has the zero hash.
type Held func(seq int64) ([32]byte, error)

// Linked is an entry to append and the chain's hash after it.
type Linked struct {
	audit.Stored
	Hash      [32]byte
	Signature []byte // of the head, if that is here
}

// Extend checks that a batch, signed up to head by the kiosk's device key, extends a journal that is held up to entry
// last, and returns what is new in it. What is held already must be the same; then it is harmless. A gap and a fork are
// ErrDoesNotExtend, a signature that is not the kiosk's is audit.ErrSignature. A journal that was rolled back and has not
// grown again learns it from the receipt: central holds more than it has.
func Extend(key *ecdsa.PublicKey, kiosk string, last int64, held Held, run []audit.Stored, head audit.Head) ([]Linked, error) {
	if err := audit.VerifyHead(key, kiosk, head); err != nil {
		return nil, err
	}
	if len(run) == 0 && head.Seq > last {
		return nil, nil // it asks how far central is
	}
	from := head.Seq
	if len(run) > 0 {
		from = run[0].Seq - 1
	}
	if from < 0 || from > last {
		return nil, fmt.Errorf("%w: entries %d to %d are missing", ErrDoesNotExtend, last+1, from)
	}
	prev, err := held(from)
	if err != nil {
		return nil, err
	}
	var fresh []Linked
	at := audit.Point{Seq: from, Hash: prev}
	for _, s := range run {
		if s.Seq != at.Seq+1 {
			return nil, fmt.Errorf("%w: entry %d stands in the place of %d", ErrDoesNotExtend, s.Seq, at.Seq+1)
		}
		if _, err := audit.Decode(s.Body); err != nil {
			return nil, fmt.Errorf("entry %d: %w", s.Seq, err)
		}
		at = audit.Point{Seq: s.Seq, Hash: audit.Chain(at.Hash, s.Seq, audit.Leaf(s.Salt, s.Body))}
		if s.Seq > last {
			fresh = append(fresh, Linked{Stored: s, Hash: at.Hash})
			continue
		}
		same, err := held(s.Seq)
		if err != nil {
			return nil, err
		}
		if same != at.Hash {
			return nil, fmt.Errorf("%w: entry %d is held with other content", ErrDoesNotExtend, s.Seq)
		}
	}
	if at.Seq != head.Seq || at.Hash != head.Hash {
		return nil, fmt.Errorf("%w: the entries do not lead to the signed head", ErrDoesNotExtend)
	}
	if n := len(fresh); n > 0 {
		fresh[n-1].Signature = head.Signature
	}
	return fresh, nil
}

// Stored converts entries as they travel. A salt that is not 32 bytes is an error.
func Stored(entries []wire.JournalEntry) ([]audit.Stored, error) {
	run := make([]audit.Stored, 0, len(entries))
	for _, e := range entries {
		s := audit.Stored{Seq: e.Seq, Body: e.Body}
		if copy(s.Salt[:], e.Salt) != len(s.Salt) || len(e.Salt) != len(s.Salt) {
			return nil, fmt.Errorf("entry %d: salt of %d bytes, want 32", e.Seq, len(e.Salt))
		}
		run = append(run, s)
	}
	return run, nil
}

// Head converts a head as it travels.
func Head(h wire.JournalHead) (audit.Head, error) {
	out := audit.Head{Seq: h.Seq, Signature: h.Signature}
	if len(h.Hash) != len(out.Hash) {
		return out, fmt.Errorf("head: hash of %d bytes, want 32", len(h.Hash))
	}
	copy(out.Hash[:], h.Hash)
	return out, nil
}
