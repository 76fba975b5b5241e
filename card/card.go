// Package card says what the kiosk asks of a smartcard, whatever its family: who are you, are you locked, are you
// genuine, take a new passcode, change the secret that let me set it.
//
// That secret is called the PUK here, whatever a family calls it: PUK, reset code, administrator's PIN, security
// officer's PIN. Families that unlock by challenge and response have none that ever reaches a kiosk.
//
// Families live in packages of their own (card/piv), transports too (card/pcsc, the one importer of scard). This package
// imports nothing of ours but the secret type and talks to no device. It never retries a command that can cost a try.
package card

import (
	"errors"
	"fmt"
	"time"

	"latchkey/firmware/secret"
)

// Transport carries APDUs to one card, in one session that nobody else can enter.
type Transport interface {
	// Transmit sends one command APDU (ISO/IEC 7816-4 §5.1) and returns the response with its status word, at least
	// two bytes. It returns ErrRemoved when the card is gone, ErrReset when somebody reset it, ErrHung when it did not
	// answer in time. After any of them the session is over: what the card did with the command is not known.
	Transmit(command []byte) ([]byte, error)
}

// Errors of a session. Each ends it.
var (
	ErrRemoved = errors.New("card removed")
	ErrReset   = errors.New("card was reset")
	ErrHung    = errors.New("card does not answer")
)

// Errors of a card.
var (
	// ErrNotThisFamily: the card has no application of the family that was asked.
	ErrNotThisFamily = errors.New("not a card of this family")
	// ErrBlocked: the secret that was presented is blocked on the card (SW 6983 or 63C0).
	ErrBlocked = errors.New("blocked")
	// ErrRefusedPasscode: no card of this kind takes a passcode of this form, or this card said so; no try was spent.
	ErrRefusedPasscode = errors.New("card refuses this passcode")
	// ErrNotSent: the form of a secret that is no passcode cannot be right, so nothing was sent to the card: no secret
	// was presented, no try was spent, nothing was changed.
	ErrNotSent = errors.New("nothing was sent to the card")
	// ErrUnknown: the card failed within the command, and whether it changed anything is not known.
	ErrUnknown = errors.New("card failed within the command")
	// ErrNoKey: the card has no key that signs without a passcode.
	ErrNoKey = errors.New("card has no card authentication key")
	// ErrNoPUK: the card was made without the secret that resets its passcode, or does not let it be replaced.
	ErrNoPUK = errors.New("card has no such secret")
)

// WrongSecretError: the card counted a wrong PUK or passcode.
type WrongSecretError struct {
	// TriesLeft after this one, as the card told it (SW 63CX): 1 or more, since 0 is ErrBlocked; -1 if it did not tell.
	TriesLeft int
}

func (e *WrongSecretError) Error() string {
	if e.TriesLeft < 0 {
		return "wrong secret"
	}
	return fmt.Sprintf("wrong secret, %d tries left", e.TriesLeft)
}

// RetiredError: the card is of a kind that was withdrawn; it was not spoken to.
type RetiredError struct {
	Title string // what people call such cards, "NHS smartcard of series 4, 5 or 6"
}

func (e *RetiredError) Error() string { return "card was withdrawn: " + e.Title }

// StatusError is an answer that the family does not define for its command.
type StatusError struct {
	Op string // what was asked, e.g. "select application"
	SW uint16 // ISO/IEC 7816-4 §5.6
}

func (e *StatusError) Error() string { return fmt.Sprintf("%s: status %04X", e.Op, e.SW) }

// Identity is what names a card. It is personal data where a directory can tie it to a holder.
type Identity struct {
	Family string // "piv"
	Serial string // lower-case hex; for PIV the GUID of the CHUID (SP 800-73-4 part 1 §3.1.2)
}

// State is what a card tells of its passcode and PUK without spending a try.
type State struct {
	Locked bool
	// TriesLeft is how many wrong passcodes remain; 0 when locked, -1 when the card does not tell.
	TriesLeft int
	// PUKTriesLeft is how many wrong PUKs remain: 0 when that is blocked or the card was given none, -1 when the card
	// does not tell. With challenge and response it is the counter of the administrator's key.
	PUKTriesLeft int
	// Uninitialised: the card was never given a passcode; the other fields mean nothing.
	Uninitialised bool
}

// Certificates are what a card shows without a passcode.
type Certificates struct {
	// Authentication is the holder's certificate, DER (PIV 9A); nil if there is none.
	Authentication []byte
	// Card is the card authentication certificate, DER (PIV 9E); nil if there is none.
	Card []byte
	// Expires is the earliest end of validity among them; zero if there is no certificate.
	Expires time.Time
}

// Card is one card of a known family in one session. Its methods are for one goroutine.
// An error that wraps one of the session errors ends the session.
type Card interface {
	// Identify selects the application and reads the serial. ErrNotThisFamily if it is not there.
	Identify() (Identity, error)
	// State reads the retry counters. It never costs a try.
	State() (State, error)
	// Certificates reads and decompresses the certificates.
	Certificates() (Certificates, error)
	// Prove signs a SHA-256 digest with the card authentication key, without a passcode. The signature is ASN.1
	// ECDSA or RSA PKCS #1 v1.5, as the certificate's key is. ErrNoKey if there is none.
	Prove(digest [32]byte) ([]byte, error)
	// Challenge asks the card for a challenge, whose answer Reset then presents; each call makes the one before
	// worthless. It is nil, and nothing is sent, for a family whose PUK is presented as it is.
	Challenge() ([]byte, error)
	// Reset sets a new passcode by the PUK, or by the answer to the last Challenge, in lower-case hex. WrongSecretError and ErrBlocked
	// speak of the PUK or the administrator's key. ErrNotSent: its form cannot be right.
	Reset(puk, passcode secret.Value) error
	// Confirm presents the passcode. Right after Reset and Change it tells whether the card means what it answered: nil
	// only if the card accepts the passcode. It can cost a try of the passcode; with ErrRefusedPasscode nothing was
	// presented, or refused for its form, and none was spent.
	Confirm(passcode secret.Value) error
	// Change replaces the passcode by one that the holder chose. WrongSecretError and ErrBlocked speak of the present
	// passcode, ErrRefusedPasscode of the form of either: no try was spent, the passcode is as it was.
	Change(present, passcode secret.Value) error
	// Rotate replaces the PUK. WrongSecretError and ErrBlocked speak of the present PUK; ErrNoPUK if the card does not
	// let it be replaced, and nothing was sent; ErrNotSent if the form of either cannot be right.
	Rotate(puk, next secret.Value) error
}

// Rules are what a passcode must be, from card profile and policy.
type Rules struct {
	Min, Max   int  // length in characters
	DigitsOnly bool // else any printable ASCII
}

// Both are rules that satisfy r and o alike; Min is above Max if nothing does.
func (r Rules) Both(o Rules) Rules {
	return Rules{Min: max(r.Min, o.Min), Max: min(r.Max, o.Max), DigitsOnly: r.DigitsOnly || o.DigitsOnly}
}

// Either are rules that satisfy r or o.
func (r Rules) Either(o Rules) Rules {
	return Rules{Min: min(r.Min, o.Min), Max: max(r.Max, o.Max), DigitsOnly: r.DigitsOnly && o.DigitsOnly}
}

// Flaw is why a passcode is not within the rules.
type Flaw string

// The flaws that Check tells.
const (
	FlawNone      Flaw = ""
	FlawTooShort  Flaw = "too-short"
	FlawTooLong   Flaw = "too-long"
	FlawNotDigits Flaw = "not-digits"
	FlawNotASCII  Flaw = "not-ascii"
)

// Check tells the first flaw of a passcode, or FlawNone.
func (r Rules) Check(passcode secret.Value) Flaw {
	b := passcode.Reveal()
	switch {
	case len(b) < r.Min:
		return FlawTooShort
	case len(b) > r.Max:
		return FlawTooLong
	}
	for _, c := range b {
		if r.DigitsOnly && (c < '0' || c > '9') {
			return FlawNotDigits
		}
		if c < 0x20 || c > 0x7e {
			return FlawNotASCII
		}
	}
	return FlawNone
}
