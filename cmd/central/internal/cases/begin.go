package cases

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"slices"
	"time"

	"latchkey/card/profiles"
	"latchkey/firmware/wire"
)

// MayBegin says whether a card that claims this family and PUK counter may have a case. A card that can prove itself learns
// the rest from Prove, for whoever copied its number should learn nothing; one that cannot is told at once. The counter is
// a claim as long as the card has not proved itself, so it is not remembered from here.
func MayBegin(p Policy, card Card, holder Holder, profile profiles.Profile, family string, pukTriesLeft int) error {
	switch {
	case profile.Family != family:
		return Refuse(wire.CodeCardUnknown)
	case card.Proves():
		return nil
	case card.Revoked:
		return Refuse(wire.CodeCardRevoked)
	case !card.FrozenAt.IsZero():
		return Refuse(wire.CodeCardFrozen)
	case !holder.Active:
		return Refuse(wire.CodeHolderInactive)
	case !holder.QuarantinedAt.IsZero():
		return Refuse(wire.CodeHolderQuarantined)
	case !p.serves(card):
		return Refuse(wire.CodeCardCannotProve)
	case card.PUKBlocked || pukTriesLeft == 0:
		return &Refusal{Code: wire.CodeCardReferred, Why: WhyPUKBlocked}
	case !card.HasSecret:
		return &Refusal{Code: wire.CodeCardReferred, Why: WhySecretUnknown}
	}
	return nil
}

// serves says whether the card can prove itself, or need not.
func (p Policy) serves(card Card) bool {
	return card.Proves() || slices.Contains(p.WithoutProof, card.Profile)
}

// ReturnsTo says whether a Begin at the case's own kiosk goes on with the case: a code was sent and not accepted yet.
func (c *Case) ReturnsTo(now time.Time) bool {
	return c.Open(now) && c.Sends > 0 && (c.State == Begun || c.State == Proved || c.State == CodeSent)
}

// Begin opens a case, or takes the card back to its proof in the case that it returns to. The code that is out, its wrong
// guesses and its sends stay. pukTriesLeft is what the card told just now; -1 if it does not tell.
func (c *Case) Begin(p Policy, now time.Time, nonce, hpke []byte, pukTriesLeft int) {
	if c.State == "" {
		c.BegunAt, c.ExpiresAt = now, now.Add(p.CaseValidity)
	}
	c.State, c.Nonce, c.HPKE = Begun, nonce, hpke
	c.PUKTriesLeft, c.PUKReadAt = 0, time.Time{}
	if pukTriesLeft >= 0 {
		c.PUKTriesLeft, c.PUKReadAt = pukTriesLeft, now
	}
}

// Genuine says whether the certificate is the one on record and its key signed the digest: ECDSA on P-256 or P-384
// (ASN.1), or RSA PKCS #1 v1.5 (SP 800-78-4 table 3-1), each with SHA-256.
func Genuine(onRecord, shown []byte, digest [32]byte, signature []byte) bool {
	if len(onRecord) == 0 || !bytes.Equal(onRecord, shown) {
		return false
	}
	return signed(onRecord, digest, signature)
}

func signed(certificate []byte, digest [32]byte, signature []byte) bool {
	cert, err := x509.ParseCertificate(certificate)
	if err != nil || !strong(cert.PublicKey) {
		return false
	}
	switch key := cert.PublicKey.(type) {
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(key, digest[:], signature)
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], signature) == nil
	}
	return false
}

// Usable checks at import what a proof will need of a certificate.
func Usable(certificate []byte) bool {
	cert, err := x509.ParseCertificate(certificate)
	return err == nil && strong(cert.PublicKey)
}

const minRSABits = 2048 // NIST SP 800-131A rev. 2 §3, table 2

func strong(key any) bool {
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		return key.Curve == elliptic.P256() || key.Curve == elliptic.P384()
	case *rsa.PublicKey:
		return key.N.BitLen() >= minRSABits
	}
	return false
}

// Record is what stands in the directory and the ledger about the card of a case.
type Record struct {
	Card     Card
	Holder   Holder
	Profile  profiles.Profile
	Channels []Channel // on allowed domains
	Grants   []Grant   // every grant of the card, oldest first
	Around   Surroundings
	Epoch    int64 // central's present one
	// Recovering: central was restored, and what happened to the card since the backup is not all known yet.
	Recovering bool
}

// Unproved says that the card which came back to this case has not shown that it is the one. It ends nothing: it may be a
// counterfeit, and its original's holder be reading the mail.
func (c *Case) Unproved() bool { return c.State == Begun && c.Sends > 0 }

// Prove judges the card's first proof. Every refusal ends the case, but for a counterfeit's in a case that it came back to.
// After success the holder may be named. Where no certificate is on record, policy lets the card pass, and what it shows is
// not looked at: there is nothing to hold it against.
func (c *Case) Prove(p Policy, now time.Time, r Record, kiosk string, shown, signature []byte) error {
	if err := c.at(now, Begun); err != nil {
		return err
	}
	if c.Nonce == nil {
		return Refuse(wire.CodeWrongStep) // one nonce, one proof
	}
	if r.Card.Proves() && !Genuine(r.Card.Certificate, shown, wire.ProofDigest(c.Nonce, c.ID, kiosk, c.HPKE), signature) {
		if c.Unproved() {
			c.Nonce = nil
			return Refuse(wire.CodeCardNotGenuine)
		}
		return c.end(wire.CodeCardNotGenuine)
	}
	c.ProvedAt = now
	if err := c.stillEligible(p, now, r); err != nil {
		return err
	}
	if err := c.vouchedFor(p, now, r); err != nil {
		return err
	}
	if r.Recovering {
		return c.end(wire.CodeCardRecovering)
	}
	if why := c.referral(r); why != "" {
		return c.endFor(wire.CodeCardReferred, why)
	}
	switch {
	case lockedOut(p, r.Card, r.Holder):
		return c.end(wire.CodeHolderLockedOut)
	case len(r.Channels) == 0:
		return c.end(wire.CodeNoChannel)
	}
	if why := r.stepUp(p, now, c.Sends > 0); why != "" {
		return c.endFor(wire.CodeApprovalNeeded, why)
	}
	c.Nonce = nil
	c.State = Proved
	if c.Code.Out(now) {
		c.State = CodeSent
	}
	return nil
}

// stillEligible ends the case of a card or holder that was struck off, frozen or put in quarantine since it began, and of an
// expired card.
func (c *Case) stillEligible(p Policy, now time.Time, r Record) error {
	switch {
	case !p.serves(r.Card):
		return c.end(wire.CodeCardCannotProve)
	case r.Card.Revoked:
		return c.end(wire.CodeCardRevoked)
	case !r.Card.FrozenAt.IsZero():
		return c.end(wire.CodeCardFrozen)
	case !r.Holder.Active:
		return c.end(wire.CodeHolderInactive)
	case !r.Holder.QuarantinedAt.IsZero():
		return c.end(wire.CodeHolderQuarantined)
	case !r.Card.Proves():
		return nil
	}
	cert, err := x509.ParseCertificate(r.Card.Certificate)
	switch {
	case err != nil:
		return c.end(wire.CodeCardCannotProve)
	case now.Before(cert.NotBefore) || now.After(cert.NotAfter):
		return c.end(wire.CodeCardExpired)
	}
	return nil
}

// vouchedFor ends the case of a card whose certificate no configured authority vouches for now.
func (c *Case) vouchedFor(p Policy, now time.Time, r Record) error {
	if !r.Card.Proves() {
		return nil
	}
	switch why := p.Issuers.Doubt(r.Card.Certificate, now); why {
	case "":
		return nil
	case WhyExpired, WhyIssuerExpired:
		return c.endFor(wire.CodeCardExpired, why)
	default:
		return c.endFor(wire.CodeCardNotGenuine, why)
	}
}

func lockedOut(p Policy, card Card, holder Holder) bool {
	return card.WrongCodes >= p.LockoutAfter || holder.WrongCodes >= p.LockoutAfter
}
