package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"latchkey/card"
	"latchkey/card/piv"
	"latchkey/card/profiles"
)

// soon is how long before their end certificates are warned of.
const soon = 90 * 24 * time.Hour

// status is what a card tells without a passcode.
type status struct {
	Reader string `json:"reader"`
	ATR    string `json:"atr"` // hex
	Family string `json:"family"`
	Serial string `json:"serial,omitempty"` // empty: nothing on the card names it
	Locked bool   `json:"locked"`
	// TriesLeft is how many wrong passcodes remain; null where the card does not tell.
	TriesLeft *int `json:"tries_left"`
	// Profiles are those of its family; a card does not tell which of several is its own.
	Profiles     []string      `json:"profiles"`
	Certificates []certificate `json:"certificates"`
	Unreadable   string        `json:"certificates_unreadable,omitempty"` // why
	Proof        proof         `json:"proof"`
}

type certificate struct {
	Use       string    `json:"use"` // "authentication" (PIV 9A) or "card-authentication" (9E)
	Subject   string    `json:"subject,omitempty"`
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
}

type verdict string

const (
	proven    verdict = "proven" // the key fits the card's own certificate; who issued that is central's to check
	notProven verdict = "not-proven"
	noKey     verdict = "no-key"
	untried   verdict = "untried" // the certificates could not be read
)

type proof struct {
	Verdict verdict `json:"verdict"`
	Reason  string  `json:"reason,omitempty"` // of notProven
}

// inspect reads what a card tells. Errors are those of the families.
func inspect(t card.Transport) (*status, error) {
	fit, err := profiles.Embedded().Named("piv")
	if err != nil {
		return nil, err
	}
	c := piv.New(t, fit)
	id, err := c.Identify()
	if errors.Is(err, card.ErrNoKey) { // it has neither GUID nor certificate: nameless, and still a card of the family
		id, err = card.Identity{Family: piv.Family}, nil
	}
	if err != nil {
		return nil, err
	}
	state, err := c.State()
	if err != nil {
		return nil, err
	}
	s := &status{Family: id.Family, Serial: id.Serial, Locked: state.Locked, Proof: proof{Verdict: untried}}
	if state.TriesLeft >= 0 {
		s.TriesLeft = &state.TriesLeft
	}
	for _, name := range profiles.Embedded().Names() {
		if p, err := profiles.Embedded().Named(name); err == nil && p.Family == id.Family {
			s.Profiles = append(s.Profiles, name)
		}
	}
	found, err := c.Certificates()
	if sessionOver(err) {
		return nil, err
	}
	if err != nil {
		s.Unreadable = err.Error()
		return s, nil
	}
	s.addCertificate("authentication", found.Authentication)
	s.addCertificate("card-authentication", found.Card)
	s.Proof, err = prove(c, found.Card)
	return s, err
}

func sessionOver(err error) bool {
	return errors.Is(err, card.ErrRemoved) || errors.Is(err, card.ErrReset) || errors.Is(err, card.ErrHung)
}

func (s *status) addCertificate(use string, der []byte) {
	if der == nil {
		return
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		s.Unreadable = fmt.Sprintf("%s certificate: %v", use, err)
		return
	}
	s.Certificates = append(s.Certificates, certificate{use, c.Subject.String(), c.NotBefore, c.NotAfter})
}

// prove has the card sign something new and holds it against the card's own certificate. What is signed begins with
// words of our own, so that it can be no proof for central.
func prove(c card.Card, der []byte) (proof, error) {
	if der == nil {
		return proof{Verdict: noKey}, nil
	}
	message := append([]byte("latchkey-cardctl-proof-v1"), make([]byte, 32)...)
	rand.Read(message[len(message)-32:])
	digest := sha256.Sum256(message)
	signature, err := c.Prove(digest)
	switch {
	case sessionOver(err):
		return proof{}, err
	case errors.Is(err, card.ErrNoKey):
		return proof{Verdict: noKey}, nil
	case err != nil:
		return proof{notProven, err.Error()}, nil
	case !fits(der, digest, signature):
		return proof{notProven, "the signature is not of the certificate's key"}, nil
	}
	return proof{Verdict: proven}, nil
}

func fits(der []byte, digest [32]byte, signature []byte) bool {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return false
	}
	switch k := c.PublicKey.(type) {
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(k, digest[:], signature)
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(k, crypto.SHA256, digest[:], signature) == nil
	}
	return false
}

// forgetNames takes out whom the certificates name.
func (s *status) forgetNames() {
	for i := range s.Certificates {
		s.Certificates[i].Subject = ""
	}
}

// life is where in a certificate's life a moment falls.
type life int

const (
	valid life = iota
	early
	ending // within soon
	expired
)

func (c certificate) at(now time.Time) life {
	switch {
	case now.Before(c.NotBefore):
		return early
	case now.After(c.NotAfter):
		return expired
	case c.NotAfter.Sub(now) <= soon:
		return ending
	}
	return valid
}

func (c certificate) describe(now time.Time) string {
	switch c.at(now) {
	case early:
		return "not valid before " + day(c.NotBefore)
	case expired:
		return "expired on " + day(c.NotAfter)
	case ending:
		return fmt.Sprintf("warning: expires on %s, in %s", day(c.NotAfter), days(c.NotAfter.Sub(now)))
	}
	return "valid until " + day(c.NotAfter)
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

func days(d time.Duration) string {
	if n := int(d / (24 * time.Hour)); n != 1 {
		return fmt.Sprintf("%d days", n)
	}
	return "1 day"
}

func (s *status) passcode() string {
	switch {
	case s.Locked:
		return "locked"
	case s.TriesLeft == nil:
		return "not locked; the card does not tell how many tries are left"
	case *s.TriesLeft == 1:
		return "not locked, 1 try left"
	}
	return fmt.Sprintf("not locked, %d tries left", *s.TriesLeft)
}

func (s *status) profile() string {
	switch len(s.Profiles) {
	case 0:
		return "none for this family"
	case 1:
		return s.Profiles[0]
	}
	return strings.Join(s.Profiles, " or ") + "; the card does not tell which"
}

func (p proof) describe() string {
	switch p.Verdict {
	case proven:
		return "the card authentication key fits its certificate"
	case noKey:
		return "none: the card has no card authentication key"
	case untried:
		return "not tried: the certificates cannot be read"
	}
	return "FAILED: " + p.Reason
}

func (s *status) print(out io.Writer, now time.Time) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name, value string) { fmt.Fprintf(w, "%s\t%s\n", name, value) }
	row("reader", s.Reader)
	row("ATR", s.ATR)
	row("family", s.Family)
	if s.Serial == "" {
		row("serial", "none: nothing on the card names it")
	} else {
		row("serial", s.Serial)
	}
	row("passcode", s.passcode())
	row("profile", s.profile())
	for _, c := range s.Certificates {
		row("certificate", c.Use+": "+c.describe(now))
		if c.Subject != "" {
			row("", c.Subject)
		}
	}
	switch {
	case s.Unreadable != "":
		row("certificates", "not readable: "+s.Unreadable)
	case len(s.Certificates) == 0:
		row("certificates", "none")
	}
	row("proof", s.Proof.describe())
	return w.Flush()
}
