// Package pcsc is the way to the cards: PC/SC through pcscd (PC/SC part 5, as pcsc-lite speaks it). Watch tells what the
// readers hold, Connect opens the one exclusive session with a card in which everything is done.
//
// It is the only importer of scard, which is cgo over libpcsclite; built without cgo it compiles and says what is
// missing. It sends nothing to a card of its own accord, retries no APDU, and neither knows nor logs what it carries.
package pcsc

import (
	"errors"
	"fmt"
)

// Kind is what the readers hold, all readers of the machine taken together.
type Kind int

// The kinds. They tell a state, not a change: a card that was removed is Empty, or Present if another is left.
const (
	NoService Kind = iota + 1 // pcscd does not answer; Event.Err says why
	NoReader                  // pcscd answers and has no reader
	Empty                     // readers, and no card in them
	Present                   // exactly one card, and it has answered to reset
	Mute                      // exactly one card, and it does not answer: upside down, not a smartcard, or broken
	Several                   // more than one card
)

// String names the kind, for logs.
func (k Kind) String() string {
	switch k {
	case NoService:
		return "no service"
	case NoReader:
		return "no reader"
	case Empty:
		return "empty"
	case Present:
		return "present"
	case Mute:
		return "mute"
	case Several:
		return "several"
	}
	return fmt.Sprintf("Kind(%d)", int(k))
}

// Event tells what the readers hold from now on.
type Event struct {
	Kind   Kind
	Reader string // which reader, for Present and Mute; its name is Connect's argument. For Empty, one of them
	ATR    []byte // answer to reset (ISO/IEC 7816-3 §8), for Present
	Err    error  // for NoService
}

// Slot is one reader and what it holds.
type Slot struct {
	Reader string
	In     bool   // a card is in
	Mute   bool   // and does not answer to reset
	ATR    []byte // answer to reset, if it has one
}

// ErrBusy: another program holds the card, and did not let it go while Connect waited.
var ErrBusy = errors.New("card is in use by another program")

// Why pcscd cannot be asked.
var (
	ErrNoService = errors.New("pcscd cannot be reached")
	ErrRefused   = errors.New("pcscd refuses this user") // polkit, or the socket's mode; also for the card of a Connect
	ErrSilent    = errors.New("pcscd does not answer")
)
