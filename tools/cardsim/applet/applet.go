// Package applet is what the simulated applications of package cardsim share: the interface that a card calls them by, and
// a secret with its retry counter. It belongs to a simulator: secrets stand in its memory in clear.
package applet

import (
	"bytes"
	"time"

	"latchkey/card/apdu"
	"latchkey/firmware/secret"
)

// Applet is one application on a card. The card gives it whole commands, class byte 00, chains put together, and cuts long
// answers for GET RESPONSE. What the applet keeps without power are its exported fields, which the card stores as JSON;
// it changes them through the Commit that it was given, and in no other way.
type Applet interface {
	// Use is called once, before anything else. commit writes the memory to the card's file; if it fails, nothing of
	// the present command must remain.
	Use(commit Commit)
	// Select says whether this application answers to an AID, ISO/IEC 7816-4 §11.2.2, and with what.
	Select(aid []byte) (data []byte, sw apdu.SW)
	// Command carries out one command but SELECT by name. It is only called while the applet is selected.
	Command(cmd apdu.Command) (data []byte, sw apdu.SW)
	// PowerCycle forgets what a card forgets without power.
	PowerCycle()
	// Historical are the historical bytes of the ATR, 1 to 15.
	Historical() []byte

	// What tests may know, at no cost of a try.
	Serial() string // as card.Identity has it
	HasPasscode(secret.Value) bool
	HasPUK(secret.Value) bool
	TriesLeft() (passcode, puk int)
	// Block spends the passcode's tries.
	Block()
}

// Commit makes what change does to the applet's memory durable, whole or not at all; the status word is 9000 or 6581.
type Commit func(change func()) apdu.SW

// Spec is what an applet is made as. Empty fields are the applet's own defaults.
type Spec struct {
	Serial              []byte // 16 random bytes, of which an applet takes as many as it needs
	Passcode, PUK       secret.Value
	PasscodeTries       int // 1 to 15
	PUKTries            int // 1 to 15
	Holder              string
	NotBefore, NotAfter time.Time
	Blocked             bool   // the passcode's tries are spent
	Uninitialised       bool   // the card was never given a passcode
	Lie                 bool   // unblocking and changing answer 9000 and change nothing
	Blocked63C0         bool   // blocked is told as 63C0, else as 6983
	Kind                string // of profiles.PUK
}

// Reference is a passcode or PUK with its retry counter.
type Reference struct {
	Value []byte `json:"value"`
	Left  int    `json:"left"`
	Tries int    `json:"tries"` // what Left is after a success
}

// NewReference copies a secret.
func NewReference(v secret.Value, tries int) Reference {
	return Reference{Value: bytes.Clone(v.Reveal()), Left: tries, Tries: tries}
}

// Is says whether this is the secret, whatever the counter.
func (r *Reference) Is(presented []byte) bool { return bytes.Equal(r.Value, presented) }

// Compare presents a secret. A wrong one is counted in memory before it is answered; a right one restores the counter.
// The try that spends the last one is still answered by the counter; blocked is what later ones hear.
func (r *Reference) Compare(presented []byte, commit Commit, blocked apdu.SW) apdu.SW {
	switch {
	case r.Left == 0:
		return blocked
	case r.Is(presented):
		if r.Left == r.Tries {
			return apdu.OK
		}
		return commit(func() { r.Left = r.Tries })
	}
	if sw := commit(func() { r.Left-- }); sw != apdu.OK {
		return sw
	}
	return 0x63C0 | apdu.SW(r.Left)
}

// Set gives it a new value and a full counter.
func (r *Reference) Set(value []byte, commit Commit) apdu.SW {
	return commit(func() { r.Value, r.Left = bytes.Clone(value), r.Tries })
}

// Counter is how a card tells the tries that are left, and none.
func (r *Reference) Counter(blocked apdu.SW) apdu.SW {
	if r.Left == 0 {
		return blocked
	}
	return 0x63C0 | apdu.SW(r.Left)
}
