//go:build cgo

package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hpke"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"latchkey/firmware/wire"
	"latchkey/tools/cardsim"
)

// What the scripted central sends, and gives out.
const (
	theCode    = "402817"
	theHolder  = "Mr John Rigby"
	theCase    = "3f2a91c0000000000000000000000000"
	presentPUK = "31415926"
	nextPUK    = "27182818"
)

// central is a scripted one: kiosk.yaml over TLS with client certificates, and one grant for one card with real keys. It
// keeps what it was told.
type central struct {
	t      *testing.T
	dir    string
	server *httptest.Server
	key    *ecdsa.PrivateKey // signs grants and receipts
	device *x509.Certificate
	card   *cardsim.Card

	mu      sync.Mutex
	problem map[string]wire.Code // by path, answered once
	nonce   []byte
	sealTo  []byte
	asked   []string
	outcome wire.Outcome
	entries int
}

// startCentral also writes desk.toml and what it names into a folder.
func startCentral(t *testing.T, c *cardsim.Card) *central {
	t.Helper()
	s := &central{t: t, dir: t.TempDir(), card: c, problem: map[string]wire.Code{}}
	s.key = s.newKey()
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign}
	caKey := s.newKey()
	ca = s.issue("ca", ca, ca, caKey, caKey)
	serverKey, deviceKey := s.newKey(), s.newKey()
	server := s.issue("central", &x509.Certificate{SerialNumber: big.NewInt(2), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: ca.NotBefore, NotAfter: ca.NotAfter, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, ca, serverKey, caKey)
	s.device = s.issue("desk", &x509.Certificate{SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: "desk-1"},
		NotBefore: ca.NotBefore, NotAfter: ca.NotAfter, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, ca, deviceKey, caKey)
	private, err := x509.MarshalPKCS8PrivateKey(deviceKey)
	s.check(err)
	s.write("desk.key", "PRIVATE KEY", private)
	public, err := x509.MarshalPKIXPublicKey(&s.key.PublicKey)
	s.check(err)
	s.write("signing.pub.pem", "PUBLIC KEY", public)

	pool := x509.NewCertPool()
	pool.AddCert(ca)
	s.server = httptest.NewUnstartedServer(s)
	s.server.TLS = &tls.Config{MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool,
		Certificates: []tls.Certificate{{Certificate: [][]byte{server.Raw}, PrivateKey: serverKey}}}
	s.server.StartTLS()
	t.Cleanup(s.server.Close)
	config := fmt.Sprintf("central = %q\ncentral_ca = \"ca.pem\"\ncentral_key = \"signing.pub.pem\"\ncertificate = \"desk.pem\"\nkey = \"desk.key\"\ndata = \"data\"\nhelp = \"Call 4050.\"\n", s.server.URL)
	s.check(os.WriteFile(s.config(), []byte(config), 0o600))
	return s
}

func (s *central) check(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *central) config() string { return filepath.Join(s.dir, "desk.toml") }

func (s *central) newKey() *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	s.check(err)
	return k
}

func (s *central) write(name, kind string, der []byte) {
	s.check(os.WriteFile(filepath.Join(s.dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
}

func (s *central) issue(name string, template, parent *x509.Certificate, key, by *ecdsa.PrivateKey) *x509.Certificate {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
	s.check(err)
	s.write(name+".pem", "CERTIFICATE", der)
	c, err := x509.ParseCertificate(der)
	s.check(err)
	return c
}

// refuse answers the next request of a path with a problem.
func (s *central) refuse(path string, code wire.Code) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.problem[path] = code
}

// told is the outcome that was reported, and how many entries were delivered.
func (s *central) told() (wire.Outcome, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.outcome, s.entries
}

func (s *central) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, r.URL.Path)
	if code, refused := s.problem[r.URL.Path]; refused {
		delete(s.problem, r.URL.Path)
		p := wire.NewProblem(code)
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(p.Status)
		json.NewEncoder(w).Encode(p)
		return
	}
	status, answer := s.answer(w, r)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if answer != nil {
		json.NewEncoder(w).Encode(answer)
	}
}

func (s *central) answer(w http.ResponseWriter, r *http.Request) (int, any) {
	now := time.Now()
	read := func(into any) {
		if err := json.NewDecoder(r.Body).Decode(into); err != nil {
			s.t.Error(r.URL.Path, err)
		}
	}
	switch r.URL.Path {
	case "/v1/status":
		return http.StatusOK, wire.Status{Kiosk: "desk-1"}
	case "/v1/cases":
		var body wire.BeginRequest
		read(&body)
		s.sealTo, s.nonce = body.HpkePublicKey, []byte("first nonce of thirty-two bytes.")
		return http.StatusCreated, wire.Begun{Case: theCase, Profile: "piv", Nonce: s.nonce}
	case "/v1/cases/" + theCase + "/proof":
		var body wire.ProofRequest
		read(&body)
		s.checkProof(body.Signature)
		return http.StatusOK, wire.Proved{Holder: theHolder, Passcode: wire.PasscodeRules{Min: 6, Max: 8, DigitsOnly: true},
			Channels: []wire.Channel{{Id: "1", Kind: wire.Email, Masked: "j•••@nhs.net"}, {Id: "2", Kind: wire.Mobile, Masked: "•••• 123"}}}
	case "/v1/cases/" + theCase + "/code":
		return http.StatusOK, wire.CodeStatus{Digits: 6, AttemptsLeft: 3, SendsLeft: 2, Masked: "j•••@nhs.net", SentAt: now.UnixMilli(),
			ExpiresAt: now.Add(15 * time.Minute).UnixMilli(), ResendAt: now.Add(time.Minute).UnixMilli()}
	case "/v1/cases/" + theCase + "/code/check":
		var body wire.CheckCodeRequest
		read(&body)
		if string(body.Code.Reveal()) != theCode {
			p, left := wire.NewProblem(wire.CodeCodeWrong), 2
			p.AttemptsLeft = &left
			w.Header().Set("Content-Type", "application/problem+json")
			return p.Status, p
		}
		s.nonce = []byte("second nonce of thirty-two bytes")
		return http.StatusOK, wire.CodeAccepted{Nonce: s.nonce}
	case "/v1/cases/" + theCase + "/release":
		var body wire.ReleaseRequest
		read(&body)
		s.checkProof(body.Proof)
		return http.StatusOK, s.grant()
	case "/v1/cases/" + theCase + "/outcome":
		read(&s.outcome)
		return http.StatusOK, wire.Settled{Base: 1}
	case "/v1/cases/" + theCase + "/end":
		return http.StatusNoContent, nil
	case "/v1/entries":
		var body wire.EntryBatch
		read(&body)
		s.entries += len(body.Entries)
		receipt := wire.Receipt{Kiosk: "desk-1", Epoch: 1, Held: body.Head.Seq, Hash: body.Head.Hash}
		d := wire.ReceiptDigest(&receipt)
		receipt.Signature = s.sign(d[:])
		return http.StatusOK, receipt
	case "/v1/checkpoint":
		return http.StatusNotFound, nil // a central that publishes none
	}
	s.t.Errorf("asked for %s", r.URL.Path)
	return http.StatusNotFound, nil
}

func (s *central) sign(digest []byte) []byte {
	signature, err := s.key.Sign(rand.Reader, digest, crypto.SHA256)
	if err != nil {
		s.t.Error(err)
	}
	return signature
}

func (s *central) checkProof(signature []byte) {
	cert, err := x509.ParseCertificate(s.card.CardCertificate())
	if err != nil {
		s.t.Error(err)
		return
	}
	d := wire.ProofDigest(s.nonce, theCase, "desk-1", s.sealTo)
	if !ecdsa.VerifyASN1(cert.PublicKey.(*ecdsa.PublicKey), d[:], signature) {
		s.t.Error("the card's proof does not verify")
	}
}

func (s *central) grant() *wire.Grant {
	fail := func(err error) *wire.Grant {
		s.t.Error(err)
		return nil
	}
	plain, err := json.Marshal(wire.Candidates{Current: wire.NewSecret([]byte(presentPUK)), Next: wire.NewSecret([]byte(nextPUK))})
	if err != nil {
		return fail(err)
	}
	g := &wire.Grant{Card: s.card.Serial(), Base: 0, First: 0, Tries: 1, ExpiresAt: time.Now().Add(time.Minute).UnixMilli()}
	to, err := wire.KEM().NewPublicKey(s.sealTo)
	if err != nil {
		return fail(err)
	}
	enc, sender, err := hpke.NewSender(to, wire.KDF(), wire.AEAD(), wire.GrantInfo(theCase, s.device.Raw, g))
	if err != nil {
		return fail(err)
	}
	g.Enc = enc
	if g.Sealed, err = sender.Seal(nil, plain); err != nil {
		return fail(err)
	}
	d := wire.GrantDigest(theCase, s.device.Raw, g)
	g.Signature = s.sign(d[:])
	return g
}
