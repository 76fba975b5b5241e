// Package vault keeps the secrets of cards and the contacts of holders sealed at rest, derives the PUKs that central
// chooses, answers cards' challenges, and makes the codes' tags.
//
// # Envelope
//
// Every secret is sealed under a random key of its own (DEK), and the DEK under the key-encryption key (KEK), which lives in
// a file or in an HSM. Both are AES-256-GCM (NIST SP 800-38D) with random 96-bit nonces; the additional data names what is
// sealed:
//
//	aad      = "latchkey-vault-v2", kind, subject, generation           (each length-prefixed, big-endian uint32)
//	wrapping = "latchkey-wrap-v2", kind, subject, generation, key id    (the same)
//	envelope = 2 ‖ key id (8) ‖ nonce (12) ‖ AES-GCM(KEK, DEK, wrapping) ‖ nonce (12) ‖ AES-GCM(DEK, secret, aad)
//
// The key id tells a KEK from its successor: the beginning of SHA-256 over a label and the KEK, or, where an HSM keeps that to
// itself, over a label and the random name (CKA_ID) that it was made with. One KEK seals; others still open what they
// sealed. Rewrap puts a DEK under the one that seals; what the DEK seals stays as it is.
//
// # Derived PUKs
//
// Generation 0 is what the card came with. PUK n > 0 is HMAC-SHA-256(root, card ‖ n ‖ block), a stream of bytes of which
// those that would make some characters likelier than others are left out. The root is a file of its own or a key of an HSM's, kept
// apart from KEK and database: with it and a card's serial every later PUK can be found again.
//
// # Challenges
//
// A card of the family gids gives a challenge of 8 bytes and takes it back under its administrator's key, 3DES with three
// keys (NIST SP 800-67 §3.1): one block, so there is no mode. The key stays here, the answer is good for that challenge. It
// is computed in software also where an HSM has the KEK: the HSM opens the key's DEK, and each card has a key of its own.
//
// The package writes no secret anywhere and refuses key files that others can read. Package hsm below has the keys of an HSM.
package vault

import (
	"crypto/rand"
	"encoding/binary"
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

	KindComment Kind = "feedback-comment" // of a holder, who is not known
	KindContact Kind = "feedback-contact" // of the same

	KindServiceSeed Kind = "service-seed" // of a chain of service codes
)

// Subject says what a sealed secret is and whose; opening needs the same.
type Subject struct {
	Kind       Kind
	ID         string // serial of the card, or id of the holder, of the message, of the feedback or of the chain
	Generation int64  // of a card's secret
}

// Vault holds the keys. It is safe for concurrent use.
type Vault struct {
	kek   KEK
	keks  map[KeyID]KEK
	root  Root
	codes secret.Value

	tokens tokenKey
}

// With makes a vault of its keys.
func With(k Keys) (*Vault, error) {
	if err := checkLen(k.Codes); err != nil {
		return nil, err
	}
	v := &Vault{kek: k.KEK, keks: map[KeyID]KEK{}, root: k.Root, codes: k.Codes}
	for _, old := range append(k.Old, k.KEK) {
		v.keks[old.ID()] = old
	}
	return v, nil
}

// New makes a vault of its three keys, 32 bytes each: for secrets at rest, for derived PUKs, for codes. It takes them over.
func New(kek, root, codes secret.Value) (*Vault, error) {
	k, err := NewKEK(kek)
	if err != nil {
		return nil, err
	}
	r, err := NewRoot(root)
	if err != nil {
		return nil, err
	}
	return With(Keys{KEK: k, Root: r, Codes: codes})
}

// KeyID is that of the key that seals.
func (v *Vault) KeyID() KeyID { return v.kek.ID() }

func fields(label string, parts ...[]byte) []byte {
	out := binary.BigEndian.AppendUint32(nil, uint32(len(label)))
	out = append(out, label...)
	for _, p := range parts {
		out = binary.BigEndian.AppendUint32(out, uint32(len(p)))
		out = append(out, p...)
	}
	return out
}

func (s Subject) aad() []byte {
	return fields("latchkey-vault-v2", []byte(s.Kind), []byte(s.ID), binary.BigEndian.AppendUint64(nil, uint64(s.Generation)))
}

func (s Subject) wrapping(id KeyID) []byte {
	return fields("latchkey-wrap-v2", []byte(s.Kind), []byte(s.ID), binary.BigEndian.AppendUint64(nil, uint64(s.Generation)), id[:])
}

const (
	version    = 2
	headLen    = 1 + len(KeyID{})
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
	out, err := v.wrap(s, dek)
	if err != nil {
		return nil, err
	}
	return aead.Seal(out, nil, plain.Reveal(), s.aad()), nil
}

// wrap is an envelope's beginning, under the key that seals.
func (v *Vault) wrap(s Subject, dek []byte) ([]byte, error) {
	id := v.kek.ID()
	wrapped, err := v.kek.Wrap(dek, s.wrapping(id))
	if err != nil {
		return nil, fmt.Errorf("vault: seal %s: %w", s.Kind, err)
	}
	if len(wrapped) != wrappedLen {
		return nil, fmt.Errorf("vault: seal %s: the wrapped key has %d bytes, want %d", s.Kind, len(wrapped), wrappedLen)
	}
	return append(append([]byte{version}, id[:]...), wrapped...), nil
}

// unwrap is an envelope's DEK, the caller's to wipe, and the id of the key that sealed it.
func (v *Vault) unwrap(s Subject, sealed []byte) (dek []byte, id KeyID, err error) {
	if len(sealed) < headLen+wrappedLen || sealed[0] != version {
		return nil, id, fmt.Errorf("vault: %s: %w", s.Kind, ErrSealed)
	}
	id = KeyID(sealed[1:headLen])
	kek := v.keks[id]
	if kek == nil {
		return nil, id, fmt.Errorf("vault: %s: %w", s.Kind, &UnknownKeyError{id})
	}
	dek, err = kek.Unwrap(sealed[headLen:headLen+wrappedLen], s.wrapping(id))
	if err != nil {
		return nil, id, fmt.Errorf("vault: %s: %w", s.Kind, err)
	}
	return dek, id, nil
}

// Rewrap puts the DEK of an envelope under the key that seals; the rest stays as it is. It is the same envelope if that is
// so already, or if the vault cannot open it: then there is an error as Open has it.
func (v *Vault) Rewrap(s Subject, sealed []byte) ([]byte, error) {
	dek, id, err := v.unwrap(s, sealed)
	if err != nil {
		return sealed, err
	}
	defer clear(dek)
	if id == v.kek.ID() {
		return sealed, nil
	}
	head, err := v.wrap(s, dek)
	if err != nil {
		return sealed, err
	}
	return append(head, sealed[headLen+wrappedLen:]...), nil
}

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
	dek, _, err := v.unwrap(s, sealed)
	if err != nil {
		return secret.Value{}, err
	}
	defer clear(dek)
	if len(dek) != keyLen {
		return secret.Value{}, fmt.Errorf("vault: %s: %w", s.Kind, ErrSealed)
	}
	aead, err := gcm(dek)
	if err != nil {
		return secret.Value{}, err
	}
	plain, err := aead.Open(nil, nil, sealed[headLen+wrappedLen:], s.aad())
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
		stream, err := v.root.MAC(fields("latchkey-puk-v1", []byte(card), binary.BigEndian.AppendUint64(nil, uint64(generation)),
			binary.BigEndian.AppendUint64(nil, block)))
		if err != nil {
			clear(puk)
			return secret.Value{}, fmt.Errorf("vault: derive generation %d: %w", generation, err)
		}
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
	return mac(v.codes, b)
}
