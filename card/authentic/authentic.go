// Package authentic speaks to Oberthur's cards with the applet AuthentIC 3.2: it implements card.Card as far as the source
// of OpenSC's driver (card-authentic.c, authentic.h) documents such cards, and no further. The maker's own documents were
// not at hand and no real card was: it was tried on a simulator of that same reading alone.
//
// What the source says, and this package does: a credential is a reference from 1 to 8, and the card tells the policy of
// each (GET DATA 5Fxx): its type, its lengths, and which credential may reset it. Secrets are filled up with FF to the
// longest that the policy allows. A passcode is reset by verifying the credential that its policy names, which is the PUK,
// and then RESET RETRY COUNTER with the new passcode alone. The retry counters are told by VERIFY without data; the policy
// has only their limits. References and lengths that the profile gives are believed, and the card is not asked.
//
// The source changes any credential by CHANGE REFERENCE DATA; that the PUK of a card in the field may be changed so is
// nowhere said, so the embedded profile leaves it as it is.
//
// There are keys on such cards, but none that signs without a passcode; certificates are not read. A command that can cost
// a try goes out as exactly one APDU and is never repeated. After Reset the PUK stays verified until the card is reset,
// which the end of the session does.
package authentic

import (
	"encoding/hex"
	"fmt"

	"latchkey/card"
	"latchkey/card/apdu"
	"latchkey/card/profiles"
)

// Family is what Identity and card profiles call these cards.
const Family = "authentic"

// aid is the application's identifier (card-authentic.c, aid_AuthentIC_3_2).
var aid = []byte{0xA0, 0x00, 0x00, 0x00, 0x77, 0x01, 0x00, 0x70, 0x0A, 0x10, 0x00, 0xF1, 0x00, 0x00, 0x01, 0x00}

// refPasscode is the holder's credential (OpenSC's authentic.profile, user-pin).
const refPasscode = 1

// Card is one card in one session.
type Card struct {
	t        card.Transport
	profile  profiles.Profile
	policies map[byte]policy // that the card told
}

var _ card.Card = (*Card)(nil)

// New returns the card behind t. Nothing is sent yet; Identify comes first, since it selects the application.
func New(t card.Transport, p profiles.Profile) *Card {
	if p.AID == nil {
		p.AID = aid
	}
	if p.Passcode.Reference == 0 {
		p.Passcode.Reference = refPasscode
	}
	return &Card{t: t, profile: p, policies: map[byte]policy{}}
}

// Identify selects the application and reads the serial number, which is the chip's as OpenSC has it: four bytes. With
// none the error wraps card.ErrNoKey.
func (c *Card) Identify() (card.Identity, error) {
	if err := apdu.Select(c.t, c.profile.AID); err != nil {
		return card.Identity{}, err
	}
	chip, err := apdu.ReadChip(c.t)
	if err != nil {
		return card.Identity{}, err
	}
	return card.Identity{Family: Family, Serial: hex.EncodeToString(chip.Serial[:])}, nil
}

// Certificates are none, and nothing is sent.
func (c *Card) Certificates() (card.Certificates, error) { return card.Certificates{}, nil }

// Prove is card.ErrNoKey, and nothing is sent.
func (c *Card) Prove([32]byte) ([]byte, error) { return nil, fmt.Errorf("prove: %w", card.ErrNoKey) }
