// Package vault keeps the secrets of cards and the contacts of holders sealed at rest, derives the PUKs that central
// chooses, answers cards' challenges, and makes the codes' tags.
//
// # Envelope
//
// Every secret is sealed under a random key of its own (DEK), and the DEK under the key-encryption key (KEK) that lives in
// a file. Both are AES-256-GCM (NIST SP 800-38D) with random 96-bit nonces; the additional data names what is sealed:
//
//	aad      = "latchkey-vault-v1", kind, subject, generation, key id      (each length-prefixed, big-endian uint32)
//	envelope = 1 ‖ key id (8) ‖ nonce (12) ‖ AES-GCM(KEK, DEK, aad ‖ "dek") ‖ nonce (12) ‖ AES-GCM(DEK, secret, aad)
//
// The key id is the beginning of SHA-256 over a label and the KEK, so that a rotated KEK is told from its successor.
//
// # Derived PUKs
//
// Generation 0 is what the card came with. PUK n > 0 is HMAC-SHA-256(root, card ‖ n ‖ block), a stream of bytes of which
// those that would make some characters likelier than others are left out. The root is a file of its own, kept apart
// from KEK and database: with it and a card's serial every later PUK can be found again.
//
// # Challenges
//
// A card of the family gids gives a challenge of 8 bytes and takes it back under its administrator's key, 3DES with three
// keys (NIST SP 800-67 §3.1): one block, so there is no mode. The key stays here, the answer is good for that challenge.
//
// The package writes no secret anywhere and refuses key files that others can read.
package vault

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"latchkey/card/profiles"
	"latchkey/firmware/secret"
)

// Kind is what is sealed.
type Kind string

// Kinds.
const (
	KindPUK      Kind = "puk"       // of a card
	KindAdminKey Kind = "admin-key" // of a card that is unlocked by challenge and response; it does not leave this package
	KindEmail    Kind = "email"     // of a holder
	KindMobile   Kind = "mobile"    // of a holder

	KindMessageTo      Kind = "message-to"      // of a message: where it goes
	KindMessageContent Kind = "message-content" // of a message: what it says
)

// Subject says what a sealed secret is and whose; opening needs the same.
type Subject struct {
	Kind       Kind
	ID         string // serial of the card, or id of the holder or of the message
	Generation int64  // of a card's secret
}

// Vault holds the keys. It is safe for concurrent use.
type Vault struct {
	kek   cipher.AEAD
	keyID [8]byte
	root  secret.Value
	codes secret.Value
}

const keyLen = 32

// New makes a vault of its three keys, 32 bytes each: for secrets at rest, for derived PUKs, for codes. It takes them over.
func New(kek, root, codes secret.Value) (*Vault, error) {
	for _, k := range []secret.Value{kek, root, codes} {
		if k.Len() != keyLen {
			return nil, fmt.Errorf("vault: a key has %d bytes, want %d", k.Len(), keyLen)
		}
	}
	aead, err := gcm(kek.Reveal())
	if err != nil {
		return nil, err
	}
	v := &Vault{kek: aead, root: root, codes: codes}
	id := sha256.Sum256(fields("latchkey-key-id-v1", kek.Reveal()))
	copy(v.keyID[:], id[:])
	kek.Wipe()
	return v, nil
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

func fields(label string, parts ...[]byte) []byte {
	out := binary.BigEndian.AppendUint32(nil, uint32(len(label)))
	out = append(out, label...)
	for _, p := range parts {
		out = binary.BigEndian.AppendUint32(out, uint32(len(p)))
		out = append(out, p...)
	}
	return out
}

func (v *Vault) aad(s Subject) []byte {
	return fields("latchkey-vault-v1", []byte(s.Kind), []byte(s.ID), binary.BigEndian.AppendUint64(nil, uint64(s.Generation)), v.keyID[:])
}

const (
	version    = 1
	wrappedLen = 12 + keyLen + 16 // nonce, DEK, tag
)

// Seal seals a secret. The secret stays the caller's.
func (v *Vault) Seal(s Subject, plain secret.Value) ([]byte, error) {
	dek := make([]byte, keyLen)
	rand.Read(dek)
	defer clear(dek)
	aead, err := gcm(dek)
	if err != nil {
		return nil, err
	}
	aad := v.aad(s)
	out := append([]byte{version}, v.keyID[:]...)
	out = v.kek.Seal(out, nil, dek, append(aad, "dek"...))
	return aead.Seal(out, nil, plain.Reveal(), aad), nil
}

// ErrSealed: what was to be opened is not what this vault sealed for this subject.
var ErrSealed = errors.New("does not open")

// Open opens what Seal made for the same subject. It opens no administrator's key.
func (v *Vault) Open(s Subject, sealed []byte) (secret.Value, error) {
	if s.Kind == KindAdminKey {
		return secret.Value{}, fmt.Errorf("vault: an %s is not given to anybody", s.Kind)
	}
	return v.open(s, sealed)
}

// Holds says whether this is the secret that was sealed for the subject.
func (v *Vault) Holds(s Subject, sealed []byte, plain secret.Value) (bool, error) {
	kept, err := v.open(s, sealed)
	if err != nil {
		return false, err
	}
	defer kept.Wipe()
	return kept.Equal(plain), nil
}

func (v *Vault) open(s Subject, sealed []byte) (secret.Value, error) {
	head := 1 + len(v.keyID)
	if len(sealed) < head+wrappedLen || sealed[0] != version {
		return secret.Value{}, fmt.Errorf("vault: %s: %w", s.Kind, ErrSealed)
	}
	if [8]byte(sealed[1:head]) != v.keyID {
		return secret.Value{}, fmt.Errorf("vault: %s: sealed under another key-encryption key (id %x, the file has %x): %w",
			s.Kind, sealed[1:head], v.keyID, ErrSealed)
	}
	aad := v.aad(s)
	dek, err := v.kek.Open(nil, nil, sealed[head:head+wrappedLen], append(aad, "dek"...))
	if err != nil {
		return secret.Value{}, fmt.Errorf("vault: %s: %w", s.Kind, ErrSealed)
	}
	defer clear(dek)
	aead, err := gcm(dek)
	if err != nil {
		return secret.Value{}, err
	}
	plain, err := aead.Open(nil, nil, sealed[head+wrappedLen:], aad)
	if err != nil {
		return secret.Value{}, fmt.Errorf("vault: %s: %w", s.Kind, ErrSealed)
	}
	return secret.New(plain), nil
}

const (
	digits       = "0123456789"
	alphanumeric = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// Derive makes the PUK of a generation above 0 in the form that the card takes.
func (v *Vault) Derive(card string, generation int64, form profiles.PUK) (secret.Value, error) {
	if generation < 1 {
		return secret.Value{}, fmt.Errorf("vault: generation %d is not derived", generation)
	}
	alphabet := alphanumeric
	if form.DigitsOnly {
		alphabet = digits
	}
	whole := 256 - 256%len(alphabet) // bytes from here on would favour the alphabet's beginning
	puk := make([]byte, 0, form.Length)
	for block := uint64(0); len(puk) < form.Length; block++ {
		m := hmac.New(sha256.New, v.root.Reveal())
		m.Write(fields("latchkey-puk-v1", []byte(card), binary.BigEndian.AppendUint64(nil, uint64(generation)),
			binary.BigEndian.AppendUint64(nil, block)))
		stream := m.Sum(nil)
		for _, b := range stream {
			if int(b) < whole && len(puk) < form.Length {
				puk = append(puk, alphabet[int(b)%len(alphabet)])
			}
		}
		clear(stream)
	}
	return secret.New(puk), nil
}

// NewCode makes a one-time code of decimal digits.
func NewCode(length int) secret.Value {
	code := make([]byte, 0, length)
	var b [1]byte
	for len(code) < length {
		rand.Read(b[:])
		if b[0] < 250 {
			code = append(code, digits[b[0]%10])
		}
	}
	clear(b[:])
	return secret.New(code)
}

// CodeMAC is what is kept of a code: it holds for one case, card and kiosk.
func (v *Vault) CodeMAC(caseID, card, kiosk string, code secret.Value) []byte {
	b := fields("latchkey-code-v1", []byte(caseID), []byte(card), []byte(kiosk), code.Reveal())
	defer clear(b)
	return v.mac(b)
}

// BodyMAC is what is kept of a request, so that its repetition can be told from another one. A request can hold a code.
func (v *Vault) BodyMAC(path string, body []byte) []byte {
	b := fields("latchkey-body-v1", []byte(path), body)
	defer clear(b)
	return v.mac(b)
}

func (v *Vault) mac(b []byte) []byte {
	m := hmac.New(sha256.New, v.codes.Reveal())
	m.Write(b)
	return m.Sum(nil)
}
