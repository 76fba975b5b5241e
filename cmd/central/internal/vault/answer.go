package vault

import (
	"crypto/des"
	"encoding/hex"
	"errors"
	"fmt"

	"latchkey/firmware/secret"
)

// CardSecret is the subject of what was imported for a card: its PUK or, if it is unlocked by an answer to a challenge, its
// administrator's key.
func CardSecret(serial string, challenges bool, generation int64) Subject {
	s := Subject{Kind: KindPUK, ID: serial, Generation: generation}
	if challenges {
		s.Kind = KindAdminKey
	}
	return s
}

const adminKeyLen = 24 // bytes: three keys of 56 bits and parity (NIST SP 800-67 §3.2)

// Answer opens a sealed administrator's key and answers a card's challenge, one block of 8 bytes, in lower-case hex. Errors
// tell neither.
func (v *Vault) Answer(s Subject, sealed, challenge []byte) (secret.Value, error) {
	if s.Kind != KindAdminKey {
		return secret.Value{}, fmt.Errorf("vault: a %s answers no challenge", s.Kind)
	}
	if len(challenge) != des.BlockSize {
		return secret.Value{}, fmt.Errorf("vault: a challenge of %d bytes, want %d", len(challenge), des.BlockSize)
	}
	text, err := v.open(s, sealed)
	if err != nil {
		return secret.Value{}, err
	}
	defer text.Wipe()
	key := make([]byte, hex.DecodedLen(text.Len()))
	defer clear(key)
	if _, err := hex.Decode(key, text.Reveal()); err != nil || len(key) != adminKeyLen {
		return secret.Value{}, errors.New("vault: admin-key: it is not 48 hex digits")
	}
	block, err := des.NewTripleDESCipher(key)
	if err != nil {
		return secret.Value{}, errors.New("vault: admin-key: it does not make a 3DES key")
	}
	var answer [des.BlockSize]byte
	defer clear(answer[:])
	block.Encrypt(answer[:], challenge)
	out := make([]byte, hex.EncodedLen(len(answer)))
	hex.Encode(out, answer[:])
	return secret.New(out), nil
}
