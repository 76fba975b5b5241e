package vault

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"

	"latchkey/firmware/secret"
)

// KeyID tells one key-encryption key from another. It is no secret.
type KeyID [8]byte

func (id KeyID) String() string { return fmt.Sprintf("%x", id[:]) }

// KEK is a key-encryption key: in a file, or in an HSM that does not let it out. It is safe for concurrent use.
type KEK interface {
	ID() KeyID
	// Wrap seals a DEK: nonce (12 bytes), ciphertext, tag (16 bytes) of AES-256-GCM. It does not keep its arguments.
	Wrap(dek, aad []byte) ([]byte, error)
	// Unwrap opens what Wrap made. ErrSealed says that it is no such thing; any other error, that nobody knows.
	Unwrap(wrapped, aad []byte) ([]byte, error)
}

// Root is what derived PUKs come from: in a file, or in an HSM that does not let it out. It is safe for concurrent use.
type Root interface {
	// MAC is HMAC-SHA-256 (FIPS 198-1) under the root.
	MAC(b []byte) ([]byte, error)
}

// Keys are what a vault works with.
type Keys struct {
	KEK   KEK          // seals, and opens what it sealed
	Old   []KEK        // open what they sealed, until all is wrapped anew
	Root  Root         //
	Codes secret.Value // 32 bytes: tags of codes, words and addresses; the vault takes it over
}

const keyLen = 32

// fileKEK is a KEK from a file.
type fileKEK struct {
	aead cipher.AEAD
	id   KeyID
}

// NewKEK makes a KEK of 32 bytes, which it wipes.
func NewKEK(key secret.Value) (KEK, error) {
	defer key.Wipe()
	if err := checkLen(key); err != nil {
		return nil, err
	}
	aead, err := gcm(key.Reveal())
	if err != nil {
		return nil, err
	}
	k := &fileKEK{aead: aead}
	id := sha256.Sum256(fields("latchkey-key-id-v1", key.Reveal()))
	copy(k.id[:], id[:])
	return k, nil
}

func (k *fileKEK) ID() KeyID { return k.id }

func (k *fileKEK) Wrap(dek, aad []byte) ([]byte, error) { return k.aead.Seal(nil, nil, dek, aad), nil }

func (k *fileKEK) Unwrap(wrapped, aad []byte) ([]byte, error) {
	dek, err := k.aead.Open(nil, nil, wrapped, aad)
	if err != nil {
		return nil, ErrSealed
	}
	return dek, nil
}

// fileRoot is a root from a file.
type fileRoot struct{ key secret.Value }

// NewRoot makes a root of 32 bytes. It takes them over.
func NewRoot(key secret.Value) (Root, error) {
	if err := checkLen(key); err != nil {
		return nil, err
	}
	return fileRoot{key}, nil
}

func (r fileRoot) MAC(b []byte) ([]byte, error) { return mac(r.key, b), nil }

func checkLen(k secret.Value) error {
	if k.Len() != keyLen {
		return fmt.Errorf("vault: a key has %d bytes, want %d", k.Len(), keyLen)
	}
	return nil
}

func mac(key secret.Value, b []byte) []byte {
	m := hmac.New(sha256.New, key.Reveal())
	m.Write(b)
	return m.Sum(nil)
}

func gcm(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	return aead, nil
}

// ErrSealed: what was to be opened is not what this vault sealed for this subject.
var ErrSealed = errors.New("does not open")

// UnknownKeyError: a secret was sealed under a key that this vault does not have. It is an ErrSealed.
type UnknownKeyError struct{ ID KeyID }

func (e *UnknownKeyError) Error() string {
	return fmt.Sprintf("sealed under another key-encryption key (id %s): name its file in old_keks", e.ID)
}

func (e *UnknownKeyError) Unwrap() error { return ErrSealed }
