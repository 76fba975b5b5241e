package main

import (
	"errors"
	"fmt"
	"strings"

	"latchkey/card"
	"latchkey/card/pcsc"
	"latchkey/card/pkcs11"
	"latchkey/card/profiles"
)

// level says how bad a finding is.
type level string

const (
	ok      level = "ok"
	warning level = "warning"
	wrong   level = "wrong"
)

// fixer is who puts it right.
type fixer string

const (
	holder   fixer = "holder"
	engineer fixer = "engineer"
	ra       fixer = "RA"
)

// What is looked at, in this order: each needs those before it.
const (
	checkPCSCD       = "pcscd"
	checkPermission  = "permission"
	checkDriver      = "driver"
	checkReader      = "reader"
	checkWanted      = "--reader"
	checkCard        = "card"
	checkProfile     = "profile"
	checkPasscode    = "passcode"
	checkPUK         = "PUK"
	checkCertificate = "certificate"
	checkProof       = "proof"
)

// finding is one thing that was looked at. What is not ok is also an error, which says it in one sentence.
type finding struct {
	Check string `json:"check"`
	Level level  `json:"level"`
	Seen  string `json:"seen"`
	Cause string `json:"cause,omitempty"`
	Cure  string `json:"cure,omitempty"`
	Fixer fixer  `json:"fixer,omitempty"`
}

func (f *finding) Error() string { return f.Seen + "; " + f.Cure }

// What is wrong with the readers and cards as pcscd shows them.

var noReader = &finding{checkReader, wrong, "pcscd has no card reader",
	"none is plugged in, or pcscd has no driver for it", "plug one in, or give it a driver", engineer}

func noCard(readers []pcsc.Slot) *finding {
	seen := "no card is in the reader " + quoted(readers)
	if len(readers) > 1 {
		seen = "no card is in any of the readers " + quoted(readers)
	}
	return &finding{checkCard, wrong, seen,
		"there is none, or it is not in all the way", "push the card in until it stops, chip first", holder}
}

func severalCards(in []pcsc.Slot) *finding {
	return &finding{checkCard, wrong, "more than one card is in: readers " + quoted(in),
		"a card was left in another reader; a kiosk takes none while there are two", "take out all but one, or choose with --reader", holder}
}

func muteCard(reader string) *finding {
	return &finding{checkCard, wrong, fmt.Sprintf("the card in the reader %q does not answer", reader),
		"it is upside down or the wrong way round, its contacts are dirty, it is no smartcard, or it is broken",
		"put it in again, chip first and facing the contacts; if another card works in this reader, the RA replaces it", holder}
}

func wrongReader(seen string, slots []pcsc.Slot) *finding {
	return &finding{checkWanted, wrong, seen, "--reader is not a name that fits exactly one reader",
		"name one of " + quoted(slots), engineer}
}

// sessionTrouble says why the card could not be opened or read.
func sessionTrouble(s pcsc.Slot, known profiles.Set, err error) *finding {
	f := func(seen, cause, cure string, who fixer) *finding {
		return &finding{checkCard, wrong, seen, cause, cure, who}
	}
	in := fmt.Sprintf("the card in the reader %q", s.Reader)
	var status *card.StatusError
	var retired *card.RetiredError
	switch {
	case errors.As(err, &retired):
		return f(fmt.Sprintf("%s is a card that was withdrawn (%s)", in, retired.Title),
			"cards of this kind no longer work, whatever their state", "have the RA issue a new card", ra)
	case errors.Is(err, card.ErrNoKey):
		return f(in+" has nothing that names it", "it has neither a GUID nor a card authentication certificate: nobody can tell it from another",
			"have the card replaced", ra)
	case errors.Is(err, pkcs11.ErrNotBuilt):
		return f(fmt.Sprintf("%s is one for its maker's PKCS#11 module, which this program cannot load", in), err.Error(),
			"build cardctl as the error says", engineer)
	case errors.Is(err, pcsc.ErrBusy):
		return f("another program holds "+in,
			"a card middleware, a browser, gpg's scdaemon, or a kiosk on this machine that is serving a holder",
			"end that program, or wait until it is done", engineer)
	case errors.Is(err, pcsc.ErrRefused):
		f := f("this user may not open "+in, "polkit does not allow it", "allow the user the polkit action org.debian.pcsc-lite.access_card", engineer)
		f.Check = checkPermission
		return f
	case errors.Is(err, card.ErrNotThisFamily):
		return unknownCard(in, s.ATR, known)
	case errors.Is(err, card.ErrReset):
		return f(in+" was reset while it was read", "another program reset it, or its contact is bad", "try again", holder)
	case errors.Is(err, card.ErrHung):
		return f(in+" stopped answering", "card or reader hangs", "take the card out and put it in; if that does not help, plug the reader in anew", engineer)
	case errors.Is(err, card.ErrRemoved):
		return f(in+" was taken out while it was read", "it was pulled, or its contact is bad", "put it in and leave it in", holder)
	case errors.As(err, &status):
		return f(fmt.Sprintf("%s answers what its family does not define (%v)", in, status),
			"it is damaged, or differs from the standard", "have the card replaced; an engineer can look with \"cardctl trace\"", ra)
	}
	return f(fmt.Sprintf("%s cannot be read (%s)", in, strings.ReplaceAll(err.Error(), "\n", "; ")),
		"what the card holds is damaged", "have the card replaced", ra)
}

func unknownCard(in string, atr []byte, known profiles.Set) *finding {
	return &finding{checkCard, wrong, fmt.Sprintf("%s is of no family that is known here (%s); its ATR is %X", in, strings.Join(known.Families(), ", "), atr),
		"it is another kind of card, or an empty one",
		"use a card of the RA; if this is one, write a profile with its ATR and try it with \"cardctl profile FILE\"", engineer}
}
