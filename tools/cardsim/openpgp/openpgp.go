// Package openpgp is the OpenPGP card of package cardsim, after the Functional Specification of the OpenPGP application on
// ISO Smart Card Operating Systems, version 3.4: passcode (PW1), resetting code, administrator's PIN (PW3), and the data
// objects that clients read.
//
// It has no keys, and what a client can write is the resetting code alone. It is never without a passcode: the
// specification knows no such state, an application that was terminated and activated again has the default one.
package openpgp

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"time"

	"latchkey/card/apdu"
	"latchkey/card/profiles"
	"latchkey/firmware/secret"
	"latchkey/tools/cardsim/applet"
)

// The secrets that cards of this kind come with (§4.3), and the resetting code of one that was made without.
const (
	DefaultPasscode = "123456"
	DefaultAdmin    = "12345678"
	DefaultCode     = "12345678"
)

// Lengths of secrets (§4.3); the most that this card takes.
const (
	minPasscode = 6
	minPUK      = 8
	maxLength   = 64
)

// Applet is the card's memory, as far as it is exported.
type Applet struct {
	Number      []byte           `json:"number"` // manufacturer and serial number, 6 bytes
	Name        string           `json:"name"`   // of the holder
	Certificate []byte           `json:"certificate"`
	PW1         applet.Reference `json:"pw1"`
	RC          applet.Reference `json:"rc"` // without a value: none was set
	PW3         applet.Reference `json:"pw3"`
	Admin       bool             `json:"admin"`  // PW3 is what unlocks it, and there is no resetting code
	Lie         bool             `json:"lie"`    // unblocking and changing answer 9000 and change nothing
	Counts      bool             `json:"counts"` // answers 63CX to wrong secrets and 63C0 when blocked, else 6982 and 6983

	commit   applet.Commit
	verified map[byte]bool // by key reference
	nth      byte          // occurrence of the certificate that GET DATA tells
}

// New makes a card. Of the serial the first four bytes are its number, the manufacturer is the one for tests.
func New(spec applet.Spec, _ profiles.Profile) (applet.Applet, error) {
	if spec.Uninitialised {
		return nil, errors.New("an OpenPGP card always has a passcode")
	}
	a := &Applet{
		Number: append([]byte{0xFF, 0xFE}, spec.Serial[:4]...), // §4.2.1: for randomly assigned serial numbers
		Name:   spec.Holder, Admin: spec.Kind == profiles.Admin, Lie: spec.Lie, Counts: spec.Blocked63C0,
		PW1: applet.NewReference(or(spec.Passcode, DefaultPasscode), spec.PasscodeTries),
		RC:  applet.Reference{Tries: spec.PUKTries},
		PW3: applet.NewReference(or(secret.Value{}, DefaultAdmin), spec.PUKTries),
	}
	if a.Admin {
		a.PW3 = applet.NewReference(or(spec.PUK, DefaultAdmin), spec.PUKTries)
	} else {
		a.RC = applet.NewReference(or(spec.PUK, DefaultCode), spec.PUKTries)
	}
	for _, s := range []struct {
		name  string
		value applet.Reference
		least int
	}{{"passcode", a.PW1, minPasscode}, {"PUK", a.RC, minPUK}, {"PUK", a.PW3, minPUK}} {
		if n := len(s.value.Value); s.value.Value != nil && (n < s.least || n > maxLength) {
			return nil, fmt.Errorf("%s of %d bytes: an OpenPGP card takes %d to %d", s.name, n, s.least, maxLength)
		}
	}
	if spec.Blocked {
		a.PW1.Left = 0
	}
	var err error
	a.Certificate, err = certificate(spec)
	return a, err
}

func or(v secret.Value, otherwise string) secret.Value {
	if v.Len() == 0 {
		return secret.New([]byte(otherwise))
	}
	return v
}

// certificate makes one that the holder could have put on the card. Its key is thrown away.
func certificate(spec applet.Spec) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(spec.Serial), Subject: pkix.Name{CommonName: spec.Holder},
		NotBefore: spec.NotBefore, NotAfter: spec.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if spec.Holder == "" {
		template.Subject.CommonName = "cardsim holder"
	}
	if template.NotBefore.IsZero() {
		template.NotBefore = time.Now()
	}
	if template.NotAfter.IsZero() {
		template.NotAfter = template.NotBefore.AddDate(3, 0, 0)
	}
	return x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
}

// Use is applet.Applet's.
func (a *Applet) Use(commit applet.Commit) {
	a.commit = commit
	a.PowerCycle()
}

// PowerCycle is applet.Applet's.
func (a *Applet) PowerCycle() { a.verified, a.nth = map[byte]bool{}, 0 }

// Historical bytes (§6): card service data, card capabilities with command chaining, operational state.
func (a *Applet) Historical() []byte {
	return []byte{0x00, 0x31, 0xC5, 0x73, 0xC0, 0x01, 0x80, 0x05, 0x90, 0x00}
}

// Serial is applet.Applet's.
func (a *Applet) Serial() string { return hex.EncodeToString(a.Number) }

// HasPasscode is applet.Applet's.
func (a *Applet) HasPasscode(v secret.Value) bool { return a.PW1.Is(v.Reveal()) }

// HasPUK is applet.Applet's.
func (a *Applet) HasPUK(v secret.Value) bool { return a.puk().Is(v.Reveal()) }

// TriesLeft is applet.Applet's.
func (a *Applet) TriesLeft() (passcode, puk int) { return a.PW1.Left, a.puk().Left }

// Block is applet.Applet's.
func (a *Applet) Block() { a.commit(func() { a.PW1.Left = 0 }) }

func (a *Applet) puk() *applet.Reference {
	if a.Admin {
		return &a.PW3
	}
	return &a.RC
}

// The application's AID up to the version (§4.2.1), of which clients name as much as they like.
var aid = []byte{0xD2, 0x76, 0x00, 0x01, 0x24, 0x01}

// lengthRID is what a partial name has at least (ISO/IEC 7816-5 §5).
const lengthRID = 5

// fullAID names one card (§4.2.1).
func (a *Applet) fullAID() []byte {
	full := append(bytes.Clone(aid), 3, 4) // version
	return append(append(full, a.Number...), 0, 0)
}

// Select is SELECT (§7.2.1). What was verified is forgotten.
func (a *Applet) Select(name []byte) ([]byte, apdu.SW) {
	if len(name) < lengthRID || !bytes.HasPrefix(a.fullAID(), name) {
		return nil, apdu.NotFound
	}
	a.PowerCycle()
	return nil, apdu.OK
}

// Instructions (§7.1).
const (
	insVerify          = 0x20
	insChangeReference = 0x24
	insResetRetry      = 0x2C
	insGenerate        = 0x47
	insSelectData      = 0xA5
	insGetData         = 0xCA
	insPutData         = 0xDA
)

// Command is applet.Applet's.
func (a *Applet) Command(cmd apdu.Command) ([]byte, apdu.SW) {
	switch cmd.INS {
	case insVerify:
		return nil, a.verify(cmd)
	case insChangeReference:
		return nil, a.change(cmd)
	case insResetRetry:
		return nil, a.reset(cmd)
	case insGenerate: // the public key is asked for: there is none
		return nil, apdu.ReferenceNotFound
	case insSelectData:
		return nil, a.selectData(cmd)
	case insGetData:
		return a.getData(uint16(cmd.P1)<<8 | uint16(cmd.P2))
	case insPutData:
		return nil, a.putData(uint16(cmd.P1)<<8|uint16(cmd.P2), cmd.Data)
	}
	return nil, apdu.InsNotSupported
}
