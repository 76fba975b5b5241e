// Package gids speaks to cards of Microsoft's Generic Identity Device Specification 2.0 ("GIDS"), those that Windows
// serves with its inbox minidriver, as the kiosk needs them: it implements card.Card. What the specification leaves to
// the minidriver (which files there are and what they hold) is taken from "Windows Inbox Smart Card Minidriver",
// learn.microsoft.com, and from OpenSC's card-gids.c.
//
// The passcode is set by the administrator's key, a 3DES key that never comes near this package: the card gives a
// challenge, whoever has the key answers. An answer is good for one challenge. A right one opens an administrator's
// session on the card, in which more than the passcode could be written, the key itself included. Some cards end it with
// RESET RETRY COUNTER; on the others it is open until the card is reset, which closing the session does.
//
// A command that can cost a try goes out as exactly one APDU and is never repeated. Personalisation is refused: this
// package writes passcodes and nothing else. GIDS keys sign only after the passcode, so no card can prove itself here, and
// there is no PUK to replace.
package gids

import (
	"encoding/hex"
	"fmt"

	"latchkey/card"
	"latchkey/card/apdu"
	"latchkey/card/profiles"
)

// Family is what Identity and card profiles call GIDS.
const Family = "gids"

// The application's AID without its version and what the maker adds, so that every version is selected (Windows Inbox
// Smart Card Minidriver, "File Control Information").
var aid = []byte{0xA0, 0x00, 0x00, 0x03, 0x97, 0x42, 0x54, 0x46, 0x59}

// Instructions that package apdu does not name (GIDS 2.0 §11; ISO/IEC 7816-4:2020 §11).
const (
	insManageSecurity      = 0x22 // §11.6.11
	insGeneralAuthenticate = 0x87 // §11.6.5
	insGetData             = 0xCB // §11.5, GET DATA
)

// Files that hold data objects, and the objects (Windows Inbox Smart Card Minidriver, "Data objects on a GIDS card").
const (
	fileApplication = 0x3FFF // the application itself
	fileMaster      = 0xA000
	fileCardID      = 0xA012

	objectMaster         = 0xDF1F
	objectCardID         = 0xDF20
	objectPasscodeStatus = 0x7F71
	tagTriesLeft         = 0x97
	tagTriesLeftV1       = 0x9F17 // of GIDS 1.0
	tagTagList           = 0x5C   // ISO/IEC 7816-4:2020 §11.5, GET DATA
)

const cardIDLength = 16

// notThere is what cards answer for an object or a file that they do not have.
func notThere(sw apdu.SW) bool { return sw == apdu.NotFound || sw == apdu.ReferenceNotFound }

// Card is one GIDS card in one session.
type Card struct {
	t       card.Transport
	profile profiles.Profile
}

var _ card.Card = (*Card)(nil)

// New returns the card behind t. Nothing is sent yet; Identify comes first, since it selects the application.
func New(t card.Transport, p profiles.Profile) *Card {
	if p.AID == nil {
		p.AID = aid
	}
	return &Card{t: t, profile: p}
}

// Identify selects the application and reads the serial, which is the card id. Where there is none (the card was never
// given its files) the error wraps card.ErrNoKey.
func (c *Card) Identify() (card.Identity, error) {
	if err := apdu.Select(c.t, c.profile.AID); err != nil {
		return card.Identity{}, err
	}
	id, err := c.read("card id", fileCardID, objectCardID)
	if err != nil {
		return card.Identity{}, err
	}
	if len(id) != cardIDLength || [cardIDLength]byte(id) == [cardIDLength]byte{} {
		return card.Identity{}, fmt.Errorf("identify: no card id of %d bytes: %w", cardIDLength, card.ErrNoKey)
	}
	return card.Identity{Family: Family, Serial: hex.EncodeToString(id)}, nil
}

// State reads the passcode's retry counter. There is no way to read that of the administrator's key.
func (c *Card) State() (card.State, error) {
	status, err := c.read("retry counter", fileApplication, objectPasscodeStatus)
	if err != nil {
		return card.State{}, err
	}
	if status == nil {
		return card.State{Uninitialised: true}, nil
	}
	n, ok := triesLeft(status)
	if !ok {
		return card.State{}, fmt.Errorf("read retry counter: the card's answer holds none")
	}
	return card.State{Locked: n == 0, TriesLeft: n, PUKTriesLeft: -1}, nil
}

func triesLeft(status []byte) (int, bool) {
	for _, tag := range []uint32{tagTriesLeft, tagTriesLeftV1} {
		if v, ok := apdu.Find(status, tag); ok && len(v) == 1 {
			return int(v[0]), true
		}
	}
	return 0, false
}

// Prove is refused: no key signs without the passcode.
func (c *Card) Prove([32]byte) ([]byte, error) {
	return nil, fmt.Errorf("prove card: %w", card.ErrNoKey)
}

// read returns what is in a data object; nil if the card does not have it.
func (c *Card) read(what string, file, object uint16) ([]byte, error) {
	name := apdu.Append(nil, tagTagList, byte(object>>8), byte(object))
	b, sw, err := apdu.Exchange(c.t, apdu.Command{INS: insGetData, P1: byte(file >> 8), P2: byte(file), Data: name, Le: apdu.MaxShort})
	switch {
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", what, err)
	case notThere(sw):
		return nil, nil
	case sw != apdu.OK:
		return nil, &card.StatusError{Op: "read " + what, SW: uint16(sw)}
	}
	v, ok := apdu.Find(b, uint32(object))
	if !ok {
		return nil, fmt.Errorf("read %s: data object is damaged", what)
	}
	return v, nil
}
