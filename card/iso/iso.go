// Package iso speaks to cards whose application follows ISO/IEC 7816-4 and has a PUK, such as Java Cards with IsoApplet:
// it implements card.Card. The standard leaves open what such an application is called, by which references it knows its
// secrets, how they are filled up, and how it says "blocked"; all of that is in the card's profile, so that a new series
// needs no code.
//
// A command that can cost a try goes out as exactly one APDU and is never repeated. Such cards have no key that signs
// without a passcode and none of the certificates that package card knows: Prove and Certificates say so, and central
// serves them only where policy names them. PKCS#15 is read for one thing, the card's number.
//
// The number that names the card stands where the profile says, and nowhere else is looked: a card that is asked in two
// places could have two names. It is either the chip's (profiles.CPLC: IC serial number and batch, six bytes; GlobalPlatform)
// or the one that its personaliser gave it (profiles.TokenInfo: serialNumber of PKCS#15). IsoApplet has none of its own and
// does not tell the chip's while it is selected, so for it the second is all there is.
package iso

import (
	"encoding/hex"
	"fmt"
	"slices"

	"latchkey/card"
	"latchkey/card/apdu"
	"latchkey/card/profiles"
)

// Family is what Identity and card profiles call these cards.
const Family = "iso"

// Card is one card in one session.
type Card struct {
	t        card.Transport
	profile  profiles.Profile
	verified bool // the card took a passcode in this session
}

var _ card.Card = (*Card)(nil)

// New returns the card behind t. Nothing is sent yet; Identify comes first, since it selects the application.
func New(t card.Transport, p profiles.Profile) *Card { return &Card{t: t, profile: p} }

// Identify selects the application and reads the number. With none the error wraps card.ErrNoKey.
func (c *Card) Identify() (card.Identity, error) {
	if err := apdu.Select(c.t, c.profile.AID); err != nil {
		return card.Identity{}, err
	}
	read := c.tokenSerial
	if c.profile.Serial == profiles.CPLC {
		read = c.chipSerial
	}
	serial, err := read()
	if err != nil {
		return card.Identity{}, err
	}
	return card.Identity{Family: Family, Serial: hex.EncodeToString(serial)}, nil
}

func (c *Card) chipSerial() ([]byte, error) {
	chip, err := apdu.ReadChip(c.t)
	return slices.Concat(chip.Serial[:], chip.Batch[:]), err
}

// The path of EF(TokenInfo) from the master file (PKCS #15 v1.1 §5.4, §5.5.4), and the instructions that read it
// (ISO/IEC 7816-4:2020 §11.2.2, §11.3.3).
var tokenInfo = []byte{0x50, 0x15, 0x50, 0x32}

const (
	insSelect     = 0xA4
	byPath        = 0x08
	noAnswer      = 0x0C
	insReadBinary = 0xB0
	endOfFile     = apdu.SW(0x6282)
)

func (c *Card) tokenSerial() ([]byte, error) {
	_, sw, err := apdu.Send(c.t, apdu.Command{INS: insSelect, P1: byPath, P2: noAnswer, Data: tokenInfo})
	if err != nil {
		return nil, fmt.Errorf("select token info: %w", err)
	}
	if sw != apdu.OK {
		return nil, fmt.Errorf("select token info: status %04X: %w", uint16(sw), card.ErrNoKey)
	}
	b, sw, err := apdu.Exchange(c.t, apdu.Command{INS: insReadBinary, Le: apdu.MaxShort})
	if err != nil {
		return nil, fmt.Errorf("read token info: %w", err)
	}
	if sw != apdu.OK && sw != endOfFile {
		return nil, &card.StatusError{Op: "read token info", SW: uint16(sw)}
	}
	serial := parseTokenInfo(b)
	if serial == nil {
		return nil, fmt.Errorf("read token info: no serial number: %w", card.ErrNoKey)
	}
	return serial, nil
}

// Tags in TokenInfo (PKCS #15 v1.1 §6.10).
const (
	tagSequence    = 0x30
	tagOctetString = 0x04
)

// maxSerial bounds what names a card; real ones have 4 to 16 bytes.
const maxSerial = 32

// parseTokenInfo returns the serial number; nil if there is none that tells this card from another.
func parseTokenInfo(b []byte) []byte {
	v, ok := apdu.Find(b, tagSequence, tagOctetString)
	told := func(b byte) bool { return b != 0 && b != 0xFF }
	if !ok || len(v) > maxSerial || !slices.ContainsFunc(v, told) {
		return nil
	}
	return v
}

// Certificates are none, and nothing is sent.
func (c *Card) Certificates() (card.Certificates, error) { return card.Certificates{}, nil }

// Prove is card.ErrNoKey, and nothing is sent.
func (c *Card) Prove([32]byte) ([]byte, error) { return nil, fmt.Errorf("prove: %w", card.ErrNoKey) }
