// Package cardtest is the suite that every card family must pass over every transport: the virtual card in the process,
// the virtual card in a real PC/SC stack, a real card on the desk. Beside it stands what the families' own tests share. It
// belongs to tests; production code never imports it.
package cardtest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"strings"
	"testing"

	"crypto"

	"latchkey/card"
	"latchkey/firmware/secret"
)

// Fixture is what is true of the card under test, from a source other than the card's answers.
type Fixture struct {
	Identity      card.Identity
	Certificates  card.Certificates
	Passcode, PUK secret.Value // the present ones; the passcode is not blocked
	PasscodeTries int          // until it is blocked; 2 or more
	PUKTries      int          // 2 or more
	TellsPUKTries bool         // the card tells how many wrong PUKs are left
	NewPasscode   secret.Value // well-formed
	NewPUK        secret.Value // well-formed; empty if the card does not let its PUK be replaced
	Refused       secret.Value // a passcode whose form the card refuses, without a try of any secret; empty if it takes any
	// TellsLastTry: of the passcode's tries the card tells the last one and none alone, after a reset perhaps not even
	// those, and of the PUK's nothing.
	TellsLastTry bool
	// Answer answers a challenge as central does; nil if the family has none. Then PUK is empty.
	Answer func(challenge []byte) secret.Value

	// Transport counts what went to the card in this session.
	Transport *Counter
	// StateAPDUs and WriteAPDUs are the most that may go out from insertion until the state is known, and from the
	// grant until the new passcode is set, confirmed and the PUK replaced.
	StateAPDUs, WriteAPDUs int

	sparing bool // no wrong PUK is presented

	// Again ends the session, resets the card, and returns it in a new session, not yet identified.
	Again func(t *testing.T) card.Card
}

// Counter is a transport that counts the APDUs through it.
type Counter struct {
	card.Transport
	N int
}

// Transmit counts and passes on.
func (c *Counter) Transmit(command []byte) ([]byte, error) {
	c.N++
	return c.Transport.Transmit(command)
}

// Run runs the suite. open returns, for each of its tests, a fresh card in a session, not yet identified; the card may
// be left blocked beyond rescue.
func Run(t *testing.T, open func(t *testing.T) (card.Card, Fixture)) {
	run(t, open, func(test) bool { return true })
}

// RunSparing runs those tests after which the card is as good as before to whoever knows its PUK: none presents a wrong
// one. The passcode is left blocked by some of them, changed by others, and the PUK may be replaced.
func RunSparing(t *testing.T, open func(t *testing.T) (card.Card, Fixture)) {
	sparing := func(t *testing.T) (card.Card, Fixture) {
		c, f := open(t)
		f.sparing = true
		return c, f
	}
	run(t, sparing, func(test test) bool { return !test.spends })
}

type test struct {
	name   string
	run    func(*testing.T, card.Card, Fixture)
	spends bool // tries of the PUK
}

var tests = []test{
	{"identity is stable", identity, false},
	{"state costs no try", state, false},
	{"certificates are shown", certificates, false},
	{"proof fits the certificate", proof, false},
	{"wrong passcodes are counted until blocked", wrongPasscodes, false},
	{"a blocked card gets a new passcode and PUK", unlock, false},
	{"the holder changes the passcode", change, false},
	{"an answer is good for one challenge", challenge, true},
	{"few APDUs", apdus, false},
	{"a wrong PUK is counted and sets nothing", wrongPUK, true},
	{"a wrong PUK does not rotate", wrongPUKRotates, true},
	{"a spent PUK is blocked", spentPUK, true},
	{"a refused passcode costs no try of the PUK", refused, true},
	{"secrets stay whole and out of errors", discretion, true},
}

func run(t *testing.T, open func(t *testing.T) (card.Card, Fixture), which func(test) bool) {
	for _, test := range tests {
		if !which(test) {
			continue
		}
		t.Run(test.name, func(t *testing.T) {
			c, f := open(t)
			test.run(t, c, f)
		})
	}
}

func identity(t *testing.T, c card.Card, f Fixture) {
	for range 2 {
		if id := identify(t, c); id != f.Identity {
			t.Fatalf("identity %+v, want %+v", id, f.Identity)
		}
	}
	if id := identify(t, f.Again(t)); id != f.Identity {
		t.Fatalf("identity in a second session %+v, want %+v", id, f.Identity)
	}
}

func state(t *testing.T, c card.Card, f Fixture) {
	identify(t, c)
	for range f.PasscodeTries + 1 {
		wantState(t, c, f.state(f.PasscodeTries, f.PUKTries))
	}
}

func certificates(t *testing.T, c card.Card, f Fixture) {
	identify(t, c)
	got, err := c.Certificates()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Authentication, f.Certificates.Authentication) || !bytes.Equal(got.Card, f.Certificates.Card) {
		t.Error("the certificates are not the card's")
	}
	if !got.Expires.Equal(f.Certificates.Expires) {
		t.Errorf("expires %v, want %v", got.Expires, f.Certificates.Expires)
	}
}

func proof(t *testing.T, c card.Card, f Fixture) {
	identify(t, c)
	if f.Certificates.Card == nil {
		if _, err := c.Prove([32]byte{1}); !errors.Is(err, card.ErrNoKey) {
			t.Fatalf("proof without a key: %v, want ErrNoKey", err)
		}
		return
	}
	block(t, c, f) // a locked card must still be able to prove itself
	cert, err := x509.ParseCertificate(f.Certificates.Card)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"one nonce", "another"} {
		digest := sha256.Sum256([]byte(text))
		signature, err := c.Prove(digest)
		if err != nil {
			t.Fatal(err)
		}
		if err := verify(cert.PublicKey, digest, signature); err != nil {
			t.Fatalf("proof of %q: %v", text, err)
		}
		digest[31]++
		if verify(cert.PublicKey, digest, signature) == nil {
			t.Fatal("the signature fits another digest")
		}
	}
}

func verify(public any, digest [32]byte, signature []byte) error {
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		if !ecdsa.VerifyASN1(k, digest[:], signature) {
			return errors.New("signature does not verify")
		}
		return nil
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(k, crypto.SHA256, digest[:], signature)
	}
	return errors.New("certificate has a key of no known kind")
}

func wrongPasscodes(t *testing.T, c card.Card, f Fixture) {
	identify(t, c)
	block(t, c, f)
	wantState(t, c, f.state(0, f.PUKTries))
	if err := c.Confirm(f.Passcode); !errors.Is(err, card.ErrBlocked) {
		t.Fatalf("right passcode on a blocked card: %v, want ErrBlocked", err)
	}
	c = f.Again(t)
	identify(t, c)
	if !f.TellsLastTry {
		wantState(t, c, f.state(0, f.PUKTries))
	}
	if err := c.Confirm(f.Passcode); !errors.Is(err, card.ErrBlocked) {
		t.Fatalf("right passcode on a blocked card, after a reset: %v, want ErrBlocked", err)
	}
}

func unlock(t *testing.T, c card.Card, f Fixture) {
	identify(t, c)
	block(t, c, f)
	f.Write(t, c)

	c = f.Again(t)
	identify(t, c)
	wantState(t, c, f.state(f.PasscodeTries, f.PUKTries))
	f.wantTries(t, "old passcode", c.Confirm(f.Passcode), f.PasscodeTries-1)
	if err := c.Confirm(f.NewPasscode); err != nil {
		t.Fatalf("new passcode: %v", err)
	}
	if f.NewPUK.Len() == 0 {
		if err := c.Rotate(f.PUK, f.PUK); !errors.Is(err, card.ErrNoPUK) {
			t.Fatalf("rotation of a PUK that stays: %v, want ErrNoPUK", err)
		}
		return
	}
	if !f.sparing {
		f.wantPUKTries(t, c, "old PUK", c.Reset(f.PUK, f.Passcode), f.PUKTries-1)
	}
	if err := c.Reset(f.NewPUK, f.Passcode); err != nil {
		t.Fatalf("new PUK: %v", err)
	}
	if err := c.Confirm(f.Passcode); err != nil {
		t.Fatalf("passcode set by the new PUK: %v", err)
	}
}

func apdus(t *testing.T, c card.Card, f Fixture) {
	identify(t, c)
	wantState(t, c, f.state(f.PasscodeTries, f.PUKTries))
	if f.Transport.N > f.StateAPDUs {
		t.Errorf("%d APDUs until the state is known, want at most %d", f.Transport.N, f.StateAPDUs)
	}
	block(t, c, f)
	before := f.Transport.N
	f.Write(t, c)
	if n := f.Transport.N - before; n > f.WriteAPDUs {
		t.Errorf("%d APDUs from grant to confirmed, want at most %d", n, f.WriteAPDUs)
	}
}

func wrongPUK(t *testing.T, c card.Card, f Fixture) {
	identify(t, c)
	f.wantPUKTries(t, c, "wrong PUK", c.Reset(f.wrongPUK(t, c), f.NewPasscode), f.PUKTries-1)
	f.wantTries(t, "passcode of a refused reset", c.Confirm(f.NewPasscode), f.PasscodeTries-1)
	if err := c.Confirm(f.Passcode); err != nil {
		t.Fatalf("passcode after a refused reset: %v", err)
	}
	if err := c.Reset(f.rightPUK(t, c), f.NewPasscode); err != nil {
		t.Fatalf("right PUK after a wrong one: %v", err)
	}
}

func wrongPUKRotates(t *testing.T, c card.Card, f Fixture) {
	if f.NewPUK.Len() == 0 {
		return
	}
	identify(t, c)
	f.wantPUKTries(t, c, "wrong PUK", c.Rotate(other(f.PUK), f.NewPUK), f.PUKTries-1)
	if err := c.Reset(f.PUK, f.NewPasscode); err != nil {
		t.Fatalf("PUK after a refused rotation: %v", err)
	}
}

func spentPUK(t *testing.T, c card.Card, f Fixture) {
	identify(t, c)
	for left := f.PUKTries - 1; left > 0; left-- {
		f.wantPUKTries(t, c, "wrong PUK", c.Reset(f.wrongPUK(t, c), f.NewPasscode), left)
	}
	for _, puk := range []func(testing.TB, card.Card) secret.Value{f.wrongPUK, f.rightPUK} {
		if err := c.Reset(puk(t, c), f.NewPasscode); !errors.Is(err, card.ErrBlocked) && !f.untold(err) {
			t.Fatalf("reset with a spent PUK: %v, want ErrBlocked", err)
		}
	}
	if f.TellsPUKTries {
		wantState(t, c, f.state(f.PasscodeTries, 0))
	}
	if f.NewPUK.Len() == 0 {
		return
	}
	if err := c.Rotate(f.PUK, f.NewPUK); !errors.Is(err, card.ErrBlocked) {
		t.Fatalf("rotation of a spent PUK: %v, want ErrBlocked", err)
	}
}

// change: the holder knows the passcode; wrong ones are counted, and the PUK has no part in it.
func change(t *testing.T, c card.Card, f Fixture) {
	identify(t, c)
	f.wantTries(t, "wrong passcode", c.Change(other(f.Passcode), f.NewPasscode), f.PasscodeTries-1)
	wantState(t, c, f.state(f.PasscodeTries-1, f.PUKTries))
	if f.Refused.Len() > 0 {
		if err := c.Change(f.Passcode, f.Refused); !errors.Is(err, card.ErrRefusedPasscode) {
			t.Fatalf("change to a passcode of bad form: %v, want ErrRefusedPasscode", err)
		}
	}
	if err := c.Confirm(f.Passcode); err != nil { // as a kiosk does before the new one is chosen
		t.Fatalf("present passcode: %v", err)
	}
	if err := c.Change(f.Passcode, f.NewPasscode); err != nil {
		t.Fatalf("change: %v", err)
	}
	if err := c.Confirm(f.NewPasscode); err != nil {
		t.Fatalf("new passcode: %v", err)
	}
	c = f.Again(t)
	identify(t, c)
	f.wantTries(t, "old passcode", c.Confirm(f.Passcode), f.PasscodeTries-1)
	if err := c.Confirm(f.NewPasscode); err != nil {
		t.Fatalf("new passcode in a second session: %v", err)
	}
}

func challenge(t *testing.T, c card.Card, f Fixture) {
	identify(t, c)
	first, err := c.Challenge()
	if err != nil {
		t.Fatal(err)
	}
	if f.Answer == nil {
		if first != nil {
			t.Fatalf("a challenge of %d bytes from a family without", len(first))
		}
		return
	}
	answer := f.Answer(first)
	second, err := c.Challenge()
	if err != nil || bytes.Equal(first, second) {
		t.Fatalf("second challenge: %v; it must be another than the first", err)
	}
	if err := c.Reset(answer, f.NewPasscode); err == nil {
		t.Fatal("the answer to an older challenge was taken")
	}
	answer = f.rightPUK(t, c)
	if err := c.Reset(answer, f.NewPasscode); err != nil {
		t.Fatal(err)
	}
	if err := c.Reset(answer, f.Passcode); err == nil {
		t.Fatal("an answer was taken twice")
	}
	if err := c.Confirm(f.NewPasscode); err != nil {
		t.Fatalf("passcode after a replayed answer: %v", err)
	}
}

func refused(t *testing.T, c card.Card, f Fixture) {
	if f.Refused.Len() == 0 {
		return
	}
	identify(t, c)
	for range f.PUKTries + 1 {
		if err := c.Reset(f.rightPUK(t, c), f.Refused); !errors.Is(err, card.ErrRefusedPasscode) {
			t.Fatalf("reset to a passcode of bad form: %v, want ErrRefusedPasscode", err)
		}
	}
	f.wantPUKTries(t, c, "wrong PUK", c.Reset(f.wrongPUK(t, c), f.NewPasscode), f.PUKTries-1)
	if err := c.Confirm(f.Passcode); err != nil {
		t.Fatalf("passcode after a refused reset: %v", err)
	}
}

func discretion(t *testing.T, c card.Card, f Fixture) {
	identify(t, c)
	wrong, passcode := f.wrongPUK(t, c), f.NewPasscode.Clone()
	given := wrong.Clone()
	err := errors.Join(c.Reset(given, passcode), c.Confirm(passcode), c.Change(passcode, f.Passcode), c.Rotate(given, f.NewPUK))
	if err == nil {
		t.Fatal("wrong secrets were taken")
	}
	for _, s := range []secret.Value{wrong, passcode, f.PUK, f.Passcode, f.NewPUK} {
		if text := string(s.Reveal()); text != "" && strings.Contains(err.Error(), text) {
			t.Error("an error tells a secret")
		}
	}
	if !given.Equal(wrong) || !passcode.Equal(f.NewPasscode) {
		t.Error("a secret of the caller was changed")
	}
}

func identify(t testing.TB, c card.Card) card.Identity {
	t.Helper()
	id, err := c.Identify()
	if err != nil {
		t.Fatalf("identify: %v", err)
	}
	return id
}

func wantState(t *testing.T, c card.Card, want card.State) {
	t.Helper()
	if got, err := c.State(); err != nil || got != want {
		t.Fatalf("state %+v, %v, want %+v", got, err, want)
	}
}

// state is what the card should tell of a passcode and a PUK with so many tries left.
func (f Fixture) state(passcode, puk int) card.State {
	if !f.TellsPUKTries {
		puk = -1
	}
	return card.State{Locked: passcode == 0, TriesLeft: f.told(passcode), PUKTriesLeft: puk}
}

// told is what a card says when so many tries are left.
func (f Fixture) told(left int) int {
	if f.TellsLastTry && left > 1 {
		return -1
	}
	return left
}

// untold is a refusal by a card that does not say what is left of a PUK.
func (f Fixture) untold(err error) bool {
	var wrong *card.WrongSecretError
	return f.TellsLastTry && errors.As(err, &wrong) && wrong.TriesLeft < 0
}

// rightPUK is what Reset takes now.
func (f Fixture) rightPUK(t testing.TB, c card.Card) secret.Value {
	t.Helper()
	if f.Answer == nil {
		return f.PUK
	}
	asked, err := c.Challenge()
	if err != nil {
		t.Fatalf("challenge: %v", err)
	}
	return f.Answer(asked)
}

// wrongPUK is what Reset must refuse and count now.
func (f Fixture) wrongPUK(t testing.TB, c card.Card) secret.Value {
	t.Helper()
	return other(f.rightPUK(t, c))
}

// wantPUKTries is wantTries for the PUK, whose count some cards do not tell with their refusal.
func (f Fixture) wantPUKTries(t *testing.T, c card.Card, what string, err error, left int) {
	t.Helper()
	var wrong *card.WrongSecretError
	if errors.As(err, &wrong) && wrong.TriesLeft < 0 {
		if s, err := c.State(); f.TellsPUKTries && (err != nil || s.PUKTriesLeft != left) {
			t.Fatalf("%s: state %+v, %v, want %d tries of the PUK left", what, s, err, left)
		}
		return
	}
	f.wantTries(t, what, err, left)
}

// wantTries wants a wrong secret with so many tries left, which for 0 is ErrBlocked.
func (f Fixture) wantTries(t *testing.T, what string, err error, left int) {
	t.Helper()
	var wrong *card.WrongSecretError
	switch {
	case left <= 0 && errors.Is(err, card.ErrBlocked):
	case errors.As(err, &wrong) && wrong.TriesLeft == f.told(left):
	default:
		t.Fatalf("%s: %v, want a wrong secret with %d tries left", what, err, left)
	}
}

// block spends the passcode's tries.
func block(t *testing.T, c card.Card, f Fixture) {
	t.Helper()
	for left := f.PasscodeTries - 1; left >= 0; left-- {
		f.wantTries(t, "wrong passcode", c.Confirm(other(f.Passcode)), left)
	}
}

// Write does what kiosk and central do together, from the grant until the new passcode is set and confirmed, and the PUK
// replaced if there is a new one. Of the fixture it needs these secrets, or Answer.
func (f Fixture) Write(t testing.TB, c card.Card) {
	t.Helper()
	if err := c.Reset(f.rightPUK(t, c), f.NewPasscode); err != nil {
		t.Fatalf("reset: %v", err)
	}
	if err := c.Confirm(f.NewPasscode); err != nil {
		t.Fatalf("confirm: %v", err)
	}
	if f.NewPUK.Len() == 0 {
		return
	}
	if err := c.Rotate(f.PUK, f.NewPUK); err != nil {
		t.Fatalf("rotate: %v", err)
	}
}

// other is a secret of the same form and another value.
func other(s secret.Value) secret.Value {
	b := bytes.Clone(s.Reveal())
	if i := len(b) - 1; b[i] == '0' {
		b[i] = '1'
	} else {
		b[i] = '0'
	}
	return secret.New(b)
}
