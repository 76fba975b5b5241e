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
	"latchkey/card/families"
)

// soon is how long before their end certificates are warned of.
const soon = 90 * 24 * time.Hour

// status is what a card tells without a passcode.
type status struct {
	Reader string `json:"reader"`
	ATR    string `json:"atr"` // hex
	Family string `json:"family"`
	Serial string `json:"serial"`
	Locked bool   `json:"locked"`
	// Uninitialised: it was never given a passcode; what stands beside it means nothing.
	Uninitialised bool `json:"uninitialised"`
	// TriesLeft is how many wrong passcodes remain, PUKTriesLeft the same of what resets the passcode; null where the card
	// does not tell.
	TriesLeft    *int `json:"tries_left"`
	PUKTriesLeft *int `json:"puk_tries_left"`
	// Profiles are those that fit; a card does not tell which of several is its own.
	Profiles     []profile     `json:"profiles"`
	Certificates []certificate `json:"certificates"`
	Unreadable   string        `json:"certificates_unreadable,omitempty"` // why
	Proof        proof         `json:"proof"`
}

type profile struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	Named bool   `json:"names_this_atr"` // and so comes before those that name none
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
func inspect(found families.Found) (*status, error) {
	c := found.Card
	state, err := c.State()
	if err != nil {
		return nil, err
	}
	s := &status{
		Family: found.Identity.Family, Serial: found.Identity.Serial, Locked: state.Locked, Uninitialised: state.Uninitialised,
		TriesLeft: told(state.TriesLeft), PUKTriesLeft: told(state.PUKTriesLeft), Proof: proof{Verdict: untried},
	}
	for _, p := range found.Profiles {
		s.Profiles = append(s.Profiles, profile{p.Name, p.Title, len(p.ATRs) > 0})
	}
	shown, err := c.Certificates()
	if sessionOver(err) {
		return nil, err
	}
	if err != nil {
		s.Unreadable = err.Error()
		return s, nil
	}
	s.addCertificate("authentication", shown.Authentication)
	s.addCertificate("card-authentication", shown.Card)
	s.Proof, err = prove(c, shown.Card)
	return s, err
}

// told is a counter, or nil if the card does not tell it.
func told(tries int) *int {
	if tries < 0 {
		return nil
	}
	return &tries
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
	case s.Uninitialised:
		return "never set: the card was not initialised"
	case s.Locked:
		return "locked"
	case s.TriesLeft == nil:
		return "not locked; the card does not tell how many tries are left"
	}
	return "not locked, " + triesLeft(*s.TriesLeft)
}

func triesLeft(n int) string {
	if n == 1 {
		return "1 try left"
	}
	return fmt.Sprintf("%d tries left", n)
}

func (s *status) puk() string {
	switch {
	case s.Uninitialised:
		return "never set"
	case s.PUKTriesLeft == nil:
		return "the card does not tell how many tries are left"
	case *s.PUKTriesLeft == 0:
		return "blocked, or the card was given none"
	}
	return triesLeft(*s.PUKTriesLeft)
}

func (s *status) profile() string {
	var names []string
	for _, p := range s.Profiles {
		names = append(names, p.Name)
	}
	text := strings.Join(names, " or ")
	if len(names) > 1 {
		text += "; the card does not tell which"
	}
	if s.Profiles[0].Named {
		text += "; by its ATR"
	}
	return text
}

func (s *status) title() string {
	var titles []string
	for _, p := range s.Profiles {
		titles = append(titles, p.Title)
	}
	return strings.Join(titles, " or ")
}

func (p proof) describe() string {
	switch p.Verdict {
	case proven:
		return "the card authentication key fits its certificate"
	case noKey:
		return "none: the card has no key that signs without a passcode"
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
	row("kind", s.title())
	row("profile", s.profile())
	row("serial", s.Serial)
	row("passcode", s.passcode())
	row("PUK", s.puk())
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
