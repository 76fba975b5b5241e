package service

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"latchkey/card"
)

const cardLabel = "latchkey-service-card-v1"

// Card tells how the journal names a service card, "card 9b1c44d0", once it has signed a fresh challenge; "" if the card is
// another. It costs a card that the document does not name nothing but the reading of its certificates.
//
// The challenge is SHA-256 over the label "latchkey-service-card-v1", the kiosk's name and 32 random bytes.
func (s *Store) Card(c card.Card) (string, error) {
	s.mu.Lock()
	var known [][32]byte
	if s.document != nil {
		known = s.document.Cards
	}
	s.mu.Unlock()
	if len(known) == 0 {
		return "", nil
	}
	shown, err := c.Certificates()
	if err != nil {
		return "", fmt.Errorf("service card: %w", err)
	}
	certificate, err := x509.ParseCertificate(shown.Card)
	if err != nil {
		return "", nil // a card without a key of its own is somebody's
	}
	fingerprint := sha256.Sum256(certificate.RawSubjectPublicKeyInfo)
	if !slices.Contains(known, fingerprint) {
		return "", nil
	}
	nonce := make([]byte, 32)
	rand.Read(nonce)
	digest := sha256.Sum256(fields(cardLabel, []byte(s.kiosk), nonce))
	signature, err := c.Prove(digest)
	if err != nil {
		return "", fmt.Errorf("service card: %w", err)
	}
	good := false
	switch key := certificate.PublicKey.(type) {
	case *ecdsa.PublicKey:
		good = ecdsa.VerifyASN1(key, digest[:], signature)
	case *rsa.PublicKey:
		good = rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], signature) == nil
	}
	if !good {
		return "", errors.New("service card: it shows a key that it does not have")
	}
	return fmt.Sprintf("card %x", fingerprint[:4]), nil
}
