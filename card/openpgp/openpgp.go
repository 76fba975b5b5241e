// Package openpgp speaks to cards with the OpenPGP application (Functional Specification of the OpenPGP application on ISO
// Smart Card Operating Systems, version 3.4; versions 2 and 3 are alike in what is used here) as the kiosk needs them: it
// implements card.Card. What resets the passcode (PW1) is, as the profile says, the resetting code or the administrator's
// PIN (PW3).
//
// Secrets stand in commands one after the other without anything between them, so a card that holds a shorter one than
// it is given takes the rest for the beginning of the new one. Wherever the specification lets a secret be presented
// alone, that comes first.
//
// It refuses cards of version 1, whose third counter is something else, and cards that want passcodes as their hashes
// (KDF-DO) or as PIN blocks. A command that can cost a try goes out as exactly one APDU and is never repeated.
package openpgp

import (
	"bytes"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"

	"latchkey/card"
	"latchkey/card/apdu"
	"latchkey/card/profiles"
)

// Family is what Identity and card profiles call these cards.
const Family = "openpgp"

// ErrForm: the card wants passcodes in a form that this package does not speak: hashed (KDF-DO) or as PIN blocks.
var ErrForm = errors.New("card wants passcodes hashed or as PIN blocks, which is not supported: its administrator can switch that off")

// The application's AID without version, manufacturer and serial (§4.2.1).
var aid = []byte{0xD2, 0x76, 0x00, 0x01, 0x24, 0x01}

// Instructions (§7.1).
const (
	insVerify              = 0x20
	insChangeReferenceData = 0x24
	insResetRetryCounter   = 0x2C
	insSelect              = 0xA4
	insGetData             = 0xCA
)

// Data objects (§4.4.1).
const (
	objectRelated     = 0x6E // application related data
	objectAID         = 0x4F
	objectDiscrete    = 0x73 // discretionary data objects
	objectAbilities   = 0xC0 // extended capabilities
	objectStatus      = 0xC4 // PW status bytes
	objectKDF         = 0xF9 // §4.3.2
	objectCertificate = 0x7F21
	tagKDFAlgorithm   = 0x81
)

const terminated apdu.SW = 0x6285 // selected file in termination state (§7.2.1, §7.2.16)

// Card is one OpenPGP card in one session.
type Card struct {
	t       card.Transport
	profile profiles.Profile

	lengths [4]int  // the most that PW1, RC and PW3 can have, by their place in the PW status bytes
	fresh   *status // read by Identify; nothing was sent since that could have changed it
}

var _ card.Card = (*Card)(nil)

// New returns the card behind t. Nothing is sent yet; Identify comes first, since it selects the application.
func New(t card.Transport, p profiles.Profile) *Card {
	if p.AID == nil {
		p.AID = aid
	}
	return &Card{t: t, profile: p, lengths: [4]int{pw1: maxLength, rc: maxLength, pw3: maxLength}}
}

// Identify selects the application and reads the serial: manufacturer and serial number out of the AID (§4.2.1). The
// error wraps ErrForm if the card wants secrets in another form than as they are.
func (c *Card) Identify() (card.Identity, error) {
	c.fresh = nil
	_, sw, err := apdu.Send(c.t, apdu.Command{INS: insSelect, P1: 0x04, Data: c.profile.AID, Le: apdu.MaxShort})
	if err != nil {
		return card.Identity{}, fmt.Errorf("select application: %w", err)
	}
	_, more := sw.More()
	switch {
	case sw.Absent():
		return card.Identity{}, fmt.Errorf("select application: status %04X: %w", uint16(sw), card.ErrNotThisFamily)
	case sw == terminated:
		return card.Identity{}, &card.StatusError{Op: "select application: it was terminated, and its administrator must activate it", SW: uint16(sw)}
	case sw != apdu.OK && !more:
		return card.Identity{}, &card.StatusError{Op: "select application", SW: uint16(sw)}
	}
	r, err := c.related()
	if err != nil {
		return card.Identity{}, err
	}
	if r.version < 2 {
		return card.Identity{}, fmt.Errorf("identify: application of version %d, want 2 or 3: %w", r.version, card.ErrNotThisFamily)
	}
	if r.hashes {
		if err := c.plain(); err != nil {
			return card.Identity{}, err
		}
	}
	if r.status.blocks {
		return card.Identity{}, fmt.Errorf("identify: PIN block format 2: %w", ErrForm)
	}
	c.lengths, c.fresh = r.status.lengths, &r.status
	return card.Identity{Family: Family, Serial: hex.EncodeToString(r.serial[:])}, nil
}

// related is what the application related data tell.
type related struct {
	version byte
	serial  [6]byte
	hashes  bool // KDF-DO is supported
	status  status
}

// related reads the application related data, as far as they are needed: one APDU at T=1, since what is needed stands
// within the first 256 bytes.
func (c *Card) related() (related, error) {
	const op = "read application related data"
	var answer []byte
	next := getData(objectRelated)
	for range maxParts {
		b, sw, err := apdu.Send(c.t, next)
		if err != nil {
			return related{}, fmt.Errorf("%s: %w", op, err)
		}
		le, more := sw.More()
		if sw != apdu.OK && !more {
			return related{}, &card.StatusError{Op: op, SW: uint16(sw)}
		}
		answer = append(answer, b...)
		if r, ok := parseRelated(answer); ok {
			return r, nil // the next command makes the card drop what is left (ISO/IEC 7816-4 §5.4.2)
		}
		if !more {
			break
		}
		next = apdu.GetResponse(le)
	}
	return related{}, fmt.Errorf("%s: AID, extended capabilities or PW status bytes are not there", op)
}

// maxParts bounds the parts of an answer, the first of which can be empty; the largest known takes two.
const maxParts = 4

// parseRelated reads the application related data (§4.4.1), whole or their first part.
func parseRelated(b []byte) (r related, ok bool) {
	id, ok := apdu.Find(b, objectRelated, objectAID)
	if !ok || len(id) != 16 || !bytes.HasPrefix(id, aid) {
		return related{}, false
	}
	abilities, ok := apdu.Find(b, objectRelated, objectDiscrete, objectAbilities)
	if !ok || len(abilities) == 0 {
		return related{}, false
	}
	bytesOfStatus, ok := apdu.Find(b, objectRelated, objectDiscrete, objectStatus)
	if !ok {
		return related{}, false
	}
	r = related{version: id[6], serial: [6]byte(id[8:14]), hashes: abilities[0]&1 != 0}
	r.status, ok = parseStatus(bytesOfStatus)
	return r, ok
}

// plain returns an error unless the card takes secrets as they are (§4.3.2: no KDF-DO, or one that says "none").
func (c *Card) plain() error {
	const op = "read KDF-DO"
	b, sw, err := apdu.Exchange(c.t, getData(objectKDF))
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", op, err)
	case sw == apdu.ReferenceNotFound, sw == apdu.NotFound, sw == apdu.OK && len(b) == 0:
		return nil
	case sw != apdu.OK:
		return &card.StatusError{Op: op, SW: uint16(sw)}
	}
	if v, ok := apdu.Find(b, tagKDFAlgorithm); !ok || len(v) != 1 || v[0] != 0 {
		return fmt.Errorf("%s: %w", op, ErrForm)
	}
	return nil
}

// Certificates reads the cardholder certificate of the authentication key (§4.4.1, DO 7F21, first occurrence), if there
// is one. What else a card may hold there is nobody's certificate.
func (c *Card) Certificates() (card.Certificates, error) {
	const op = "read cardholder certificate"
	b, sw, err := apdu.Exchange(c.t, getData(objectCertificate))
	switch {
	case err != nil:
		return card.Certificates{}, fmt.Errorf("%s: %w", op, err)
	case sw == apdu.ReferenceNotFound, sw == apdu.NotFound:
		return card.Certificates{}, nil
	case sw != apdu.OK:
		return card.Certificates{}, &card.StatusError{Op: op, SW: uint16(sw)}
	}
	cert, err := x509.ParseCertificate(b)
	if err != nil {
		return card.Certificates{}, nil
	}
	return card.Certificates{Authentication: cert.Raw, Expires: cert.NotAfter}, nil
}

// Prove is not possible: each of the card's keys wants the passcode (§7.2.10, §7.2.13).
func (c *Card) Prove([32]byte) ([]byte, error) {
	return nil, fmt.Errorf("prove: %w", card.ErrNoKey)
}

// getData is GET DATA (§7.2.6).
func getData(object uint16) apdu.Command {
	return apdu.Command{INS: insGetData, P1: byte(object >> 8), P2: byte(object), Le: apdu.MaxShort}
}
