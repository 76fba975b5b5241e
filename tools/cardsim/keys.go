package cardsim

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"math/big"

	"latchkey/card/apdu"
)

// Key references (SP 800-73-4 part 1 §5, table 4b).
const (
	refAuthentication     = 0x9A
	refCardAuthentication = 0x9E
)

// Algorithm is what a card's keys are.
type Algorithm string

// The algorithms that a card can have.
const (
	P256    Algorithm = "p256"
	P384    Algorithm = "p384"
	RSA2048 Algorithm = "rsa2048"
)

// identifier is the algorithm in commands (SP 800-78-4 §6.2, table 6-2).
func (a Algorithm) identifier() byte {
	return map[Algorithm]byte{RSA2048: 0x07, P256: 0x11, P384: 0x14}[a]
}

// key is a private key in the card's memory.
type key struct {
	Algorithm Algorithm `json:"algorithm"`
	PKCS8     []byte    `json:"pkcs8"`
}

type privateKey struct {
	algorithm byte
	crypto.Signer
}

func newKey(a Algorithm) (key, crypto.Signer, error) {
	var signer crypto.Signer
	var err error
	switch a {
	case P256:
		signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case P384:
		signer, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case RSA2048:
		signer, err = rsa.GenerateKey(rand.Reader, 2048)
	default:
		err = fmt.Errorf("algorithm %q: want %s, %s or %s", a, P256, P384, RSA2048)
	}
	if err != nil {
		return key{}, nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(signer)
	return key{a, der}, signer, err
}

func keyName(ref byte) string { return fmt.Sprintf("%02X", ref) }

func (c *Card) parseKeys() error {
	c.keys = make(map[byte]*privateKey)
	for _, ref := range []byte{refAuthentication, refCardAuthentication} {
		k, ok := c.state.Keys[keyName(ref)]
		if !ok {
			continue
		}
		parsed, err := x509.ParsePKCS8PrivateKey(k.PKCS8)
		if err != nil {
			return fmt.Errorf("key %s: %w", keyName(ref), err)
		}
		signer, ok := parsed.(crypto.Signer)
		if !ok || k.Algorithm.identifier() == 0 {
			return fmt.Errorf("key %s: algorithm %q is not one of a card", keyName(ref), k.Algorithm)
		}
		c.keys[ref] = &privateKey{k.Algorithm.identifier(), signer}
	}
	return nil
}

// authenticate is GENERAL AUTHENTICATE as far as it signs (SP 800-73-4 part 2 §3.2.4): internal authenticate and
// digital signature.
func (c *Card) authenticate(cmd apdu.Command) ([]byte, apdu.SW) {
	k, ok := c.keys[cmd.P2]
	switch {
	case !ok:
		return nil, apdu.ReferenceNotFound
	case cmd.P1 != k.algorithm:
		return nil, apdu.WrongParameters
	case cmd.P2 == refAuthentication && !c.volatile.verified:
		return nil, apdu.SecurityNotSatisfied
	}
	// Dynamic authentication template, part 2 table 7: a challenge and an empty response, which is what is asked for.
	challenge, ok := apdu.Find(cmd.Data, 0x7C, 0x81)
	if response, asked := apdu.Find(cmd.Data, 0x7C, 0x82); !ok || !asked || len(response) > 0 {
		return nil, apdu.WrongData
	}
	signature, err := k.sign(challenge)
	if err != nil {
		return nil, apdu.WrongData
	}
	return apdu.Append(nil, 0x7C, apdu.Append(nil, 0x82, signature...)...), apdu.OK
}

// sign takes a digest for ECDSA and a padded block for RSA, each as long as the key (SP 800-73-4 part 2 appendix A.4).
func (k *privateKey) sign(b []byte) ([]byte, error) {
	switch key := k.Signer.(type) {
	case *ecdsa.PrivateKey:
		if size := (key.Params().BitSize + 7) / 8; len(b) != size {
			return nil, fmt.Errorf("digest of %d bytes: the key wants %d", len(b), size)
		}
		return ecdsa.SignASN1(rand.Reader, key, b)
	case *rsa.PrivateKey:
		m := new(big.Int).SetBytes(b)
		if len(b) != key.Size() || m.Cmp(key.N) >= 0 {
			return nil, fmt.Errorf("block of %d bytes does not fit the key", len(b))
		}
		return m.Exp(m, key.D, key.N).FillBytes(make([]byte, key.Size())), nil
	}
	return nil, fmt.Errorf("key of type %T", k.Signer)
}
