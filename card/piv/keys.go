package piv

import (
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"time"

	"latchkey/card"
	"latchkey/card/apdu"
)

// refCardAuthentication is the key that signs without a passcode (SP 800-73-4 part 1 §5, table 4b).
const refCardAuthentication = 0x9E

// Algorithm identifiers (SP 800-78-4 §6.2, table 6-2).
const (
	algRSA2048 = 0x07
	algP256    = 0x11
	algP384    = 0x14
)

// maxCertificate bounds what a compressed certificate can unfold to; SP 800-73-4 part 1 appendix A has 1856 bytes.
const maxCertificate = 1 << 16

// Certificates reads the holder's and the card's certificate, as far as the card has them.
func (c *Card) Certificates() (card.Certificates, error) {
	if err := c.readCardCertificate(); err != nil {
		return card.Certificates{}, err
	}
	holder, err := c.readCertificate("authentication certificate", objectAuthentication)
	if err != nil {
		return card.Certificates{}, err
	}
	var found card.Certificates
	if holder != nil {
		found.Authentication, found.Expires = holder.Raw, holder.NotAfter
	}
	if c.cardCertificate != nil {
		found.Card = c.cardCertificate.Raw
		found.Expires = earlier(found.Expires, c.cardCertificate.NotAfter)
	}
	return found, nil
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

func (c *Card) readCardCertificate() error {
	if c.certificateRead {
		return nil
	}
	cert, err := c.readCertificate("card authentication certificate", objectCardAuthentication)
	if err != nil {
		return err
	}
	c.cardCertificate, c.certificateRead = cert, true
	return nil
}

// readCertificate returns nil where the card has none.
func (c *Card) readCertificate(name string, object uint32) (*x509.Certificate, error) {
	b, sw, err := apdu.Exchange(c.t, getData(object))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", name, err)
	case sw == apdu.NotFound:
		return nil, nil
	case sw != apdu.OK:
		return nil, &card.StatusError{Op: "read " + name, SW: uint16(sw)}
	}
	cert, err := parseCertificate(b)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return cert, nil
}

// parseCertificate reads a certificate object (SP 800-73-4 part 1 appendix A, table 10); nil if it is empty, as it is on
// cards that have been cleared.
func parseCertificate(object []byte) (*x509.Certificate, error) {
	content, ok := apdu.Find(object, tagData)
	if !ok {
		return nil, fmt.Errorf("data object is damaged")
	}
	if len(content) == 0 {
		return nil, nil
	}
	der, ok := apdu.Find(content, tagCertificate)
	if !ok {
		return nil, fmt.Errorf("data object holds no certificate")
	}
	if info, ok := apdu.Find(content, tagCertInfo); ok && len(info) == 1 && info[0]&1 != 0 {
		var err error
		if der, err = decompress(der); err != nil {
			return nil, err
		}
	}
	return x509.ParseCertificate(der)
}

func decompress(b []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("decompress: %w", err)
	}
	out, err := io.ReadAll(io.LimitReader(r, maxCertificate+1))
	if err != nil {
		return nil, fmt.Errorf("decompress: %w", err)
	}
	if len(out) > maxCertificate {
		return nil, fmt.Errorf("decompress: certificate exceeds %d bytes", maxCertificate)
	}
	return out, nil
}

// Prove is GENERAL AUTHENTICATE on the card authentication key (SP 800-73-4 part 2 §3.2.4, appendix A.3). It reads the
// certificate first, unless it was read in this session.
func (c *Card) Prove(digest [32]byte) ([]byte, error) {
	if err := c.readCardCertificate(); err != nil {
		return nil, err
	}
	if c.cardCertificate == nil {
		return nil, fmt.Errorf("prove card: %w", card.ErrNoKey)
	}
	algorithm, challenge, err := challengeFor(c.cardCertificate.PublicKey, digest)
	if err != nil {
		return nil, fmt.Errorf("prove card: %w", err)
	}
	// Dynamic authentication template, part 2 table 7: an empty response asks for one.
	template := append(apdu.Append(nil, 0x82), apdu.Append(nil, 0x81, challenge...)...)
	b, sw, err := apdu.Exchange(c.t, apdu.Command{
		INS: insGeneralAuthenticate, P1: algorithm, P2: refCardAuthentication,
		Data: apdu.Append(nil, 0x7C, template...), Le: apdu.MaxShort, Extended: c.profile.Extended,
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("prove card: %w", err)
	case sw != apdu.OK:
		return nil, &card.StatusError{Op: "prove card", SW: uint16(sw)}
	}
	signature, err := parseSignature(b)
	if err != nil {
		return nil, fmt.Errorf("prove card: %w", err)
	}
	return signature, nil
}

// parseSignature reads the answer to GENERAL AUTHENTICATE (SP 800-73-4 part 2 §3.2.4, table 7). Whether the signature is
// one is for the certificate to tell.
func parseSignature(answer []byte) ([]byte, error) {
	signature, ok := apdu.Find(answer, 0x7C, 0x82)
	if !ok || len(signature) == 0 {
		return nil, errors.New("answer holds no signature")
	}
	return signature, nil
}

// challengeFor is what a key of this kind signs: always as many bytes as the key has (SP 800-73-4 part 2 appendix A.3).
func challengeFor(public any, digest [32]byte) (algorithm byte, challenge []byte, err error) {
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		switch k.Params().BitSize {
		case 256:
			return algP256, digest[:], nil
		case 384:
			// Zeros in front leave the number that ECDSA signs as it is.
			return algP384, append(make([]byte, 16), digest[:]...), nil
		}
	case *rsa.PublicKey:
		if k.N.BitLen() == 2048 {
			return algRSA2048, pkcs1(digest, k.Size()), nil
		}
	}
	return 0, nil, fmt.Errorf("key of type %T and this size is none of PIV's", public)
}

// digestInfo is the DER in front of a SHA-256 digest (RFC 8017 §9.2, note 1).
var digestInfo = []byte{0x30, 0x31, 0x30, 0x0D, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20}

// pkcs1 pads for RSASSA-PKCS1-v1_5 (RFC 8017 §9.2): the card does the bare RSA operation.
func pkcs1(digest [32]byte, size int) []byte {
	b := bytes.Repeat([]byte{0xFF}, size)
	b[0], b[1] = 0, 1
	tail := append(append([]byte{0}, digestInfo...), digest[:]...)
	copy(b[size-len(tail):], tail)
	return b
}
