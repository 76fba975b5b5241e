package cardsim

import (
	"bytes"
	"compress/gzip"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/url"
	"time"

	"latchkey/card/apdu"
	"latchkey/card/profiles"
	"latchkey/firmware/secret"
	"latchkey/tools/cardsim/applet"
)

// Passcode and PUK of a card whose Spec names none.
const (
	DefaultPasscode = "123456"
	DefaultPUK      = "12345678"
)

// DefaultTries is the retry limit of a passcode or PUK whose Spec names none.
const DefaultTries = 3

// Spec is what a card is made as. The zero Spec makes a sound card with P-256 keys and the default secrets.
type Spec struct {
	Profile       profiles.Profile // the kind of card; a PIV card if its Family is empty
	GUID          [16]byte         // random if zero; what other families make their serial of
	Passcode, PUK secret.Value     // copied; the defaults if empty
	PasscodeTries int              // 1 to 15; DefaultTries if 0
	PUKTries      int              // 1 to 15; DefaultTries if 0
	Algorithm     Algorithm        // of both keys; P256 if empty
	Holder        string           // common name in the holder's certificate
	Issuer        *CA              // a CA of its own if nil
	NotBefore     time.Time        // of the certificates; now if zero
	NotAfter      time.Time        // three years after NotBefore if zero
	Blocked       bool             // the passcode's tries are spent
	Uninitialised bool             // never given a passcode; not for PIV
	Imitates      *Card            // a counterfeit: GUID and certificates are that card's, the keys are not
	Quirks        Quirks
}

// CA is the simulated authority that issues the certificates of cards.
type CA struct {
	certificate *x509.Certificate
	signer      crypto.Signer
}

// NewCA makes an authority with a P-256 key, valid for twenty years around now.
func NewCA(now time.Time) (*CA, error) {
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("simulated card CA: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "cardsim: simulated card CA"},
		NotBefore:             now.AddDate(-10, 0, 0),
		NotAfter:              now.AddDate(10, 0, 0),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
	if err != nil {
		return nil, fmt.Errorf("simulated card CA: %w", err)
	}
	certificate, err := x509.ParseCertificate(der)
	return &CA{certificate, signer}, err
}

// Certificate is the authority's own, DER.
func (ca *CA) Certificate() []byte { return ca.certificate.Raw }

// Create makes a card and writes its state file; with an empty path the card lives in memory alone.
func Create(path string, spec Spec) (*Card, error) {
	s, err := newState(spec)
	if err != nil {
		return nil, fmt.Errorf("create card: %w", err)
	}
	if err := s.write(path); err != nil {
		return nil, fmt.Errorf("create card: %w", err)
	}
	return newCard(path, s)
}

func newState(spec Spec) (*state, error) {
	if spec.GUID == [16]byte{} {
		rand.Read(spec.GUID[:])
		spec.GUID[6], spec.GUID[8] = spec.GUID[6]&0x0F|0x40, spec.GUID[8]&0x3F|0x80 // RFC 9562 §5.4
	}
	if spec.Profile.Family != "" && spec.Profile.Family != familyPIV {
		return newAppletState(spec)
	}
	if spec.Imitates != nil {
		spec.GUID = [16]byte(spec.Imitates.memory().GUID)
	}
	if spec.Algorithm == "" {
		spec.Algorithm = P256
	}
	if spec.NotBefore.IsZero() {
		spec.NotBefore = time.Now()
	}
	if spec.NotAfter.IsZero() {
		spec.NotAfter = spec.NotBefore.AddDate(3, 0, 0)
	}
	if spec.Issuer == nil {
		ca, err := NewCA(spec.NotBefore)
		if err != nil {
			return nil, err
		}
		spec.Issuer = ca
	}
	s := &state{Version: stateVersion, Family: familyPIV, GUID: spec.GUID[:], Quirks: spec.Quirks, Keys: map[string]key{}, Objects: map[string][]byte{}}
	var err error
	if s.Passcode, err = newReference(spec.Passcode, DefaultPasscode, spec.PasscodeTries); err != nil {
		return nil, fmt.Errorf("passcode: %w", err)
	}
	if s.PUK, err = newReference(spec.PUK, DefaultPUK, spec.PUKTries); err != nil {
		return nil, fmt.Errorf("PUK: %w", err)
	}
	if spec.Blocked {
		s.Passcode.Left = 0
	}
	if err := s.addKey(refAuthentication, spec); err != nil {
		return nil, err
	}
	if !spec.Quirks.NoCardKey {
		if err := s.addKey(refCardAuthentication, spec); err != nil {
			return nil, err
		}
	}
	s.addObjects(spec)
	return s, nil
}

func newReference(v secret.Value, otherwise string, tries int) (applet.Reference, error) {
	if v.Len() == 0 {
		v = secret.New([]byte(otherwise))
	}
	if tries == 0 {
		tries = DefaultTries
	}
	padded := pad(v)
	if padded == nil {
		return applet.Reference{}, fmt.Errorf("%d bytes long: at most %d fit", v.Len(), referenceLength)
	}
	if tries < 1 || tries > 15 {
		return applet.Reference{}, fmt.Errorf("%d tries: want 1 to 15", tries)
	}
	return applet.Reference{Value: padded, Left: tries, Tries: tries}, nil
}

// addObjects adds what a card tells of itself (SP 800-73-4 part 1 appendix A, tables 8 and 9).
func (s *state) addObjects(spec Spec) {
	ccc := apdu.Append(nil, 0xF0, append([]byte{0xA0, 0x00, 0x00, 0x01, 0x16}, append([]byte{0xFF}, s.GUID[1:]...)...)...)
	for _, o := range []struct {
		tag   uint32
		value []byte
	}{{0xF1, []byte{0x21}}, {0xF2, []byte{0x21}}, {0xF3, nil}, {0xF4, []byte{0x00}}, {0xF5, []byte{0x10}}, {0xF6, nil}, {0xF7, nil},
		{0xFA, nil}, {0xFB, nil}, {0xFC, nil}, {0xFD, nil}, {tagErrorDetection, nil}} {
		ccc = apdu.Append(ccc, o.tag, o.value...)
	}
	s.Objects[objectName(objectCCC)] = ccc
	if s.Quirks.NoCHUID {
		return
	}
	guid := s.GUID
	if s.Quirks.ZeroGUID {
		guid = make([]byte, len(guid))
	}
	chuid := apdu.Append(nil, 0x30, fascN...)
	chuid = apdu.Append(chuid, 0x34, guid...)
	chuid = apdu.Append(chuid, 0x35, []byte(spec.NotAfter.UTC().Format("20060102"))...)
	if s.Quirks.HolderUUID {
		chuid = apdu.Append(chuid, 0x36, []byte("a holder's UUID.")...)
	}
	var signature []byte // none
	if s.Quirks.LongCHUID {
		signature = make([]byte, 2800) // the most that table 9 has room for is 2816
		rand.Read(signature)
	}
	chuid = apdu.Append(chuid, 0x3E, signature...)
	s.Objects[objectName(objectCHUID)] = apdu.Append(chuid, tagErrorDetection)
}

// fascN is the number of a card from outside the US government: agency, system and credential all nines (SP 800-73-4
// part 1 §3.1.2).
var fascN, _ = hex.DecodeString("d4e739da739ced39ce739da1685a1082108ce73984108ca3fc")

func certificateObject(ref byte) string {
	if ref == refCardAuthentication {
		return objectName(objectCardAuthentication)
	}
	return objectName(objectAuthentication)
}

// addKey generates a key and puts its certificate beside it.
func (s *state) addKey(ref byte, spec Spec) error {
	k, signer, err := newKey(spec.Algorithm)
	if err != nil {
		return fmt.Errorf("key %s: %w", keyName(ref), err)
	}
	s.Keys[keyName(ref)] = k
	var der []byte
	if spec.Imitates != nil {
		der = spec.Imitates.memory().certificate(ref)
	} else if der, err = spec.Issuer.issue(ref, signer.Public(), spec); err != nil {
		return fmt.Errorf("certificate %s: %w", keyName(ref), err)
	}
	if der == nil {
		return nil
	}
	// SP 800-73-4 part 1 appendix A, table 10; compression is bit 1 of CertInfo.
	info := byte(0)
	if s.Quirks.Gzip {
		der, info = gzipped(der), 1
	}
	object := apdu.Append(nil, tagCertificate, der...)
	object = apdu.Append(object, tagCertInfo, info)
	s.Objects[certificateObject(ref)] = apdu.Append(object, tagErrorDetection)
	return nil
}

var (
	oidSubjectSerial = asn1.ObjectIdentifier{2, 5, 4, 5}
	oidCardAuth      = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 6, 8} // id-PIV-cardAuth, FIPS 201-3 appendix B
)

func (ca *CA) issue(ref byte, public crypto.PublicKey, spec Spec) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	g := hex.EncodeToString(spec.GUID[:])
	template := &x509.Certificate{
		SerialNumber: serial,
		NotBefore:    spec.NotBefore,
		NotAfter:     spec.NotAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		URIs:         []*url.URL{{Scheme: "urn", Opaque: fmt.Sprintf("uuid:%s-%s-%s-%s-%s", g[:8], g[8:12], g[12:16], g[16:20], g[20:])}},
	}
	if ref == refCardAuthentication {
		template.Subject.ExtraNames = []pkix.AttributeTypeAndValue{{Type: oidSubjectSerial, Value: g}}
		template.UnknownExtKeyUsage = []asn1.ObjectIdentifier{oidCardAuth}
	} else {
		template.Subject.CommonName = spec.Holder
		if spec.Holder == "" {
			template.Subject.CommonName = "cardsim holder"
		}
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	return x509.CreateCertificate(rand.Reader, template, ca.certificate, public, ca.signer)
}

func gzipped(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write(b)
	if err := errors.Join(err, w.Close()); err != nil {
		panic(err) // a buffer takes everything
	}
	return out.Bytes()
}

// gunzip undoes gzipped; nil if b is something else.
func gunzip(b []byte) []byte {
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil
	}
	out, err := io.ReadAll(r)
	if err != nil {
		return nil
	}
	return out
}
