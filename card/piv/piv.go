// Package piv speaks to PIV cards (NIST SP 800-73-4, also FIPS 201 look-alikes of the field) as the kiosk needs them:
// it implements card.Card.
//
// A command that can cost a try goes out as exactly one APDU and is never repeated. The PUK's retry counter cannot be
// read on PIV and is not probed. Vendors' commands are not used: what this package knows of a card, every PIV card tells.
package piv

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"

	"latchkey/card"
	"latchkey/card/apdu"
	"latchkey/card/profiles"
)

// Family is what Identity and card profiles call PIV.
const Family = "piv"

// The PIV card application's AID without its version, which is how SP 800-73-4 part 1 §2.2 lets every version be
// selected.
var aid = []byte{0xA0, 0x00, 0x00, 0x03, 0x08, 0x00, 0x00, 0x10, 0x00}

// Instructions (SP 800-73-4 part 2 §3, table 2).
const (
	insVerify              = 0x20
	insChangeReferenceData = 0x24
	insResetRetryCounter   = 0x2C
	insGeneralAuthenticate = 0x87
	insSelect              = 0xA4
	insGetData             = 0xCB
)

// Data objects (SP 800-73-4 part 1 §4.1, table 3) and tags within them (appendix A, tables 9 and 10).
const (
	objectCardAuthentication = 0x5FC101
	objectCHUID              = 0x5FC102
	objectAuthentication     = 0x5FC105
	tagData                  = 0x53
	tagTagList               = 0x5C
	tagGUID                  = 0x34
	tagCertificate           = 0x70
	tagCertInfo              = 0x71
)

const guidLength = 16

// Card is one PIV card in one session.
type Card struct {
	t       card.Transport
	profile profiles.Profile

	// The card authentication certificate, once read: Prove takes the algorithm from it.
	cardCertificate *x509.Certificate
	certificateRead bool
}

var _ card.Card = (*Card)(nil)

// New returns the card behind t. Nothing is sent yet; Identify comes first, since it selects the application.
func New(t card.Transport, p profiles.Profile) *Card {
	if p.AID == nil {
		p.AID = aid
	}
	return &Card{t: t, profile: p}
}

// Identify selects the PIV application and reads the serial: the GUID of the CHUID, or for cards without one the first
// 16 bytes of the SHA-256 of the card authentication certificate. With neither the error wraps card.ErrNoKey.
func (c *Card) Identify() (card.Identity, error) {
	// What SELECT answers is not needed, so 61XX is left alone.
	_, sw, err := apdu.Send(c.t, apdu.Command{INS: insSelect, P1: 0x04, Data: c.profile.AID, Le: apdu.MaxShort})
	if err != nil {
		return card.Identity{}, fmt.Errorf("select application: %w", err)
	}
	if sw.Absent() {
		return card.Identity{}, fmt.Errorf("select application: status %04X: %w", uint16(sw), card.ErrNotThisFamily)
	}
	if _, more := sw.More(); sw != apdu.OK && !more {
		return card.Identity{}, &card.StatusError{Op: "select application", SW: uint16(sw)}
	}
	serial, err := c.guid()
	if err != nil {
		return card.Identity{}, err
	}
	if serial == nil {
		if err := c.readCardCertificate(); err != nil {
			return card.Identity{}, err
		}
		if c.cardCertificate == nil {
			return card.Identity{}, fmt.Errorf("identify: no GUID and no card authentication certificate: %w", card.ErrNoKey)
		}
		sum := sha256.Sum256(c.cardCertificate.Raw)
		serial = sum[:guidLength]
	}
	return card.Identity{Family: Family, Serial: hex.EncodeToString(serial)}, nil
}

// guid reads the GUID; nil if the card has none that tells it from another.
func (c *Card) guid() ([]byte, error) {
	// A CHUID can hold a signature of kilobytes, but the GUID stands within its first 60 bytes (SP 800-73-4 part 1,
	// table 9): one APDU is enough, and the next command makes the card drop the rest (ISO/IEC 7816-4 §5.4.2).
	b, sw, err := apdu.Send(c.t, getData(objectCHUID))
	if err != nil {
		return nil, fmt.Errorf("read CHUID: %w", err)
	}
	if sw == apdu.NotFound {
		return nil, nil
	}
	le, more := sw.More()
	if more && len(b) == 0 { // T=0: the whole answer waits
		if b, sw, err = apdu.Send(c.t, apdu.GetResponse(le)); err != nil {
			return nil, fmt.Errorf("read CHUID: %w", err)
		}
		_, more = sw.More()
	}
	if sw != apdu.OK && !more {
		return nil, &card.StatusError{Op: "read CHUID", SW: uint16(sw)}
	}
	return parseGUID(b), nil
}

// parseGUID reads the GUID of a CHUID, of which the first part is enough; nil if there is none, or one of zeros, as older
// cards have it. The UUID in tag 36 is not the card's but its holder's (SP 800-73-4 part 1 §3.4.2): it would give two
// cards one name.
func parseGUID(object []byte) []byte {
	g, ok := apdu.Find(object, tagData, tagGUID)
	if !ok || len(g) != guidLength || [guidLength]byte(g) == [guidLength]byte{} {
		return nil
	}
	return g
}

func getData(object uint32) apdu.Command {
	tag := []byte{byte(object >> 16), byte(object >> 8), byte(object)}
	return apdu.Command{INS: insGetData, P1: 0x3F, P2: 0xFF, Data: apdu.Append(nil, tagTagList, tag...), Le: apdu.MaxShort}
}
