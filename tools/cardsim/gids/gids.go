// Package gids is the simulated application of a GIDS card (Microsoft's Generic Identity Device Specification 2.0), laid out
// as Windows' inbox minidriver lays a card out ("Windows Inbox Smart Card Minidriver", learn.microsoft.com): a passcode, an
// administrator's 3DES key with a retry counter of its own, the minidriver's files, one container with a certificate. It
// belongs to a simulator: secrets stand in its memory in clear.
//
// The administrator's key is proved by either way of the specification, an answer to a challenge of eight bytes or mutual
// authentication, and must be named first (MANAGE SECURITY ENVIRONMENT), as on the cards in the field.
//
// What it leaves out: personalisation (CREATE FILE, writing of files; a card is complete when New returns) but for the
// replacing of the administrator's key, signing and deciphering, key generation, a PUK, secure messaging.
package gids

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"fmt"
	"math/big"
	"time"

	"latchkey/card/apdu"
	"latchkey/card/profiles"
	"latchkey/firmware/secret"
	"latchkey/tools/cardsim/applet"
)

// Passcode and administrator's key (24 bytes in hex) of a card whose Spec names none.
const (
	DefaultPasscode = "123456"
	DefaultAdminKey = "000102030405060708090a0b0c0d0e0f1011121314151617"
)

// Applet is one GIDS application. Its exported fields are what it keeps without power.
type Applet struct {
	CardID        []byte           `json:"card_id"`
	Passcode      applet.Reference `json:"passcode"` // 4 to 16 bytes
	AdminKey      applet.Reference `json:"admin_key"`
	Certificate   []byte           `json:"certificate"` // the holder's, DER
	Uninitialised bool             `json:"uninitialised"`
	Lie           bool             `json:"lie"`
	Blocked63C0   bool             `json:"blocked_63c0"`

	commit  applet.Commit
	session session
}

var _ applet.Applet = (*Applet)(nil)

// session is what the card forgets without power.
type session struct {
	verified  bool   // the passcode was presented
	admin     bool   // the administrator's key was proved
	named     bool   // the administrator's key is the one to prove
	challenge []byte // given and not answered yet: 8 bytes, or 16 in mutual authentication
	theirs    []byte // the other side's challenge in mutual authentication, else nil
}

// New makes the application of one card.
func New(spec applet.Spec, _ profiles.Profile) (applet.Applet, error) {
	passcode, key := string(spec.Passcode.Reveal()), string(spec.PUK.Reveal())
	if passcode == "" {
		passcode = DefaultPasscode
	}
	if key == "" {
		key = DefaultAdminKey
	}
	admin, err := hex.DecodeString(key)
	if err != nil || len(admin) != keyLength {
		return nil, fmt.Errorf("administrator's key: want %d hex digits", hex.EncodedLen(keyLength))
	}
	if !wellFormed([]byte(passcode)) {
		return nil, fmt.Errorf("passcode of %d bytes: want %d to %d", len(passcode), minPasscode, maxPasscode)
	}
	for _, n := range []int{spec.PasscodeTries, spec.PUKTries} {
		if n < 1 || n > 15 {
			return nil, fmt.Errorf("%d tries: want 1 to 15", n)
		}
	}
	a := &Applet{
		CardID:      bytes.Clone(spec.Serial[:cardIDLength]),
		Passcode:    applet.NewReference(secret.New([]byte(passcode)), spec.PasscodeTries),
		AdminKey:    applet.NewReference(secret.New(admin), spec.PUKTries),
		Lie:         spec.Lie,
		Blocked63C0: spec.Blocked63C0,
	}
	if spec.Blocked {
		a.Passcode.Left = 0
	}
	if spec.Uninitialised {
		a.Uninitialised, a.Passcode.Value = true, nil
	}
	a.Certificate, err = certificate(spec)
	return a, err
}

// certificate makes the certificate of the one container. It is self-signed, and its key is thrown away: the card does not
// sign.
func certificate(spec applet.Spec) ([]byte, error) {
	from, to, holder := spec.NotBefore, spec.NotAfter, spec.Holder
	if from.IsZero() {
		from = time.Now()
	}
	if to.IsZero() {
		to = from.AddDate(3, 0, 0)
	}
	if holder == "" {
		holder = "cardsim holder"
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: holder},
		NotBefore:    from,
		NotAfter:     to,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	return x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
}

// Use is applet.Applet's.
func (a *Applet) Use(commit applet.Commit) { a.commit = commit }

// PowerCycle is applet.Applet's.
func (a *Applet) PowerCycle() { a.session = session{} }

// Historical is applet.Applet's: compact-TLV, card issuer's data.
func (a *Applet) Historical() []byte { return []byte("\x80\x57gidssim") }

// Serial is the card id.
func (a *Applet) Serial() string { return hex.EncodeToString(a.CardID) }

// HasPasscode is applet.Applet's.
func (a *Applet) HasPasscode(v secret.Value) bool {
	return !a.Uninitialised && a.Passcode.Is(v.Reveal())
}

// HasPUK tells whether these are the hex digits of the administrator's key.
func (a *Applet) HasPUK(v secret.Value) bool {
	key, err := hex.DecodeString(string(v.Reveal()))
	return err == nil && a.AdminKey.Is(key)
}

// TriesLeft tells the counters of passcode and administrator's key.
func (a *Applet) TriesLeft() (passcode, puk int) { return a.Passcode.Left, a.AdminKey.Left }

// Block is applet.Applet's.
func (a *Applet) Block() { a.commit(func() { a.Passcode.Left = 0 }) }

// The AID, with the version of the specification and a byte that is the maker's.
var aid = []byte{0xA0, 0x00, 0x00, 0x03, 0x97, 0x42, 0x54, 0x46, 0x59, 0x02, 0x01}

const lengthAID = 9 // without those

// Select is SELECT by name; a second one ends what was verified, as an applet that is left does.
func (a *Applet) Select(name []byte) ([]byte, apdu.SW) {
	if len(name) < lengthAID || len(name) > len(aid) || !bytes.Equal(name, aid[:len(name)]) {
		return nil, apdu.NotFound
	}
	a.PowerCycle()
	template := apdu.Append(nil, 0x4F, aid...)
	template = apdu.Append(template, 0x73, apdu.Append(nil, 0x40, 0xC0)...) // cryptographic mechanisms
	return apdu.Append(nil, 0x61, template...), apdu.OK
}

// Instructions (ISO/IEC 7816-4:2020 §11).
const (
	insVerify          = 0x20
	insManageSecurity  = 0x22
	insChangeReference = 0x24
	insResetRetry      = 0x2C
	insAuthenticate    = 0x87
	insSelect          = 0xA4
	insGetData         = 0xCB
	insPutData         = 0xDB
)

// Command carries out one command.
func (a *Applet) Command(cmd apdu.Command) ([]byte, apdu.SW) {
	switch cmd.INS {
	case insSelect:
		return nil, selectFile(cmd)
	case insGetData:
		return a.getData(cmd)
	case insPutData:
		return nil, a.putKey(cmd)
	case insVerify:
		return nil, a.verify(cmd)
	case insChangeReference:
		return nil, a.changeReference(cmd)
	case insResetRetry:
		return nil, a.resetRetry(cmd)
	case insManageSecurity:
		return nil, a.nameKey(cmd)
	case insAuthenticate:
		return a.authenticate(cmd)
	}
	return nil, apdu.InsNotSupported
}
