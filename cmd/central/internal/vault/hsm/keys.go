//go:build pkcs11 && cgo

package hsm

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/miekg/pkcs11"

	"latchkey/cmd/central/internal/vault"
	"latchkey/firmware/secret"
)

const (
	nonceLen = 12 // bytes (NIST SP 800-38D §8.2.2)
	tagLen   = 16 // bytes
	keyLen   = 32 // bytes, of both keys
	keyIDLen = 16 // bytes, of the random CKA_ID that a KEK is made with
)

// aesKey wraps and unwraps DEKs.
type aesKey struct {
	t   *Token
	key key
	id  vault.KeyID
}

// KEK is the AES key with a label. Its id comes from its CKA_ID, which must be the random one that it was made with: so a copy
// in another token, which an HSM makes of itself, is the same key.
func (t *Token) KEK(label string) (vault.KEK, error) {
	k := &aesKey{t: t, key: key{label, pkcs11.CKK_AES}}
	id, err := do(t, func(s session) (id vault.KeyID, err error) {
		h, err := t.handle(s, k.key)
		if err != nil {
			return id, err
		}
		got, err := t.m.GetAttributeValue(s.handle, h, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_ID, nil)})
		if err != nil {
			return id, fmt.Errorf("key %q: %w", label, err)
		}
		if len(got[0].Value) != keyIDLen {
			return id, fmt.Errorf("key %q has a CKA_ID of %d bytes, not of %d: make one with \"central keys hsm-init\"", label, len(got[0].Value), keyIDLen)
		}
		return keyID(got[0].Value), nil
	})
	if err != nil {
		return nil, err
	}
	k.id = id
	return k, nil
}

func keyID(name []byte) (id vault.KeyID) {
	h := sha256.Sum256(append([]byte("latchkey-key-id-hsm-v1"), name...))
	copy(id[:], h[:])
	return id
}

func (k *aesKey) ID() vault.KeyID { return k.id }

func (k *aesKey) Wrap(dek, aad []byte) ([]byte, error) {
	dek = bytes.Clone(dek) // a call that hangs is left behind, and the caller wipes its own
	return do(k.t, func(s session) ([]byte, error) { return k.seal(s, dek, aad) }, dek)
}

func (k *aesKey) Unwrap(wrapped, aad []byte) ([]byte, error) {
	if len(wrapped) != nonceLen+keyLen+tagLen {
		return nil, vault.ErrSealed
	}
	dek, err := do(k.t, func(s session) ([]byte, error) {
		dek, err := k.open(s, wrapped, aad)
		if err == nil || lost(err) {
			return dek, err
		}
		// Modules say differently that a tag is wrong, some with an error that can mean anything. One that opens what it sealed
		// just now is well.
		probe, e := k.seal(s, make([]byte, keyLen), aad)
		if e == nil {
			_, e = k.open(s, probe, aad)
		}
		if e != nil {
			return nil, err
		}
		return nil, vault.ErrSealed
	})
	if errors.Is(err, vault.ErrSealed) {
		err = vault.ErrSealed
	}
	return dek, err
}

func (k *aesKey) seal(s session, dek, aad []byte) ([]byte, error) {
	h, err := k.t.handle(s, k.key)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, nonceLen)
	rand.Read(nonce)
	p := pkcs11.NewGCMParams(nonce, aad, 8*tagLen)
	defer p.Free()
	if err := k.t.m.EncryptInit(s.handle, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_GCM, p)}, h); err != nil {
		return nil, fmt.Errorf("wrap under %q: %w", k.key.label, err)
	}
	sealed, err := k.t.m.Encrypt(s.handle, dek)
	if err != nil {
		return nil, fmt.Errorf("wrap under %q: %w", k.key.label, err)
	}
	return append(p.IV(), sealed...), nil // a module in FIPS mode chooses the nonce itself
}

func (k *aesKey) open(s session, wrapped, aad []byte) ([]byte, error) {
	h, err := k.t.handle(s, k.key)
	if err != nil {
		return nil, err
	}
	p := pkcs11.NewGCMParams(wrapped[:nonceLen], aad, 8*tagLen)
	defer p.Free()
	if err := k.t.m.DecryptInit(s.handle, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_GCM, p)}, h); err != nil {
		return nil, fmt.Errorf("unwrap under %q: %w", k.key.label, err)
	}
	dek, err := k.t.m.Decrypt(s.handle, wrapped[nonceLen:])
	if err != nil {
		return nil, fmt.Errorf("unwrap under %q: %w", k.key.label, err)
	}
	return dek, nil
}

// hmacKey derives PUKs.
type hmacKey struct {
	t   *Token
	key key
}

// Root is the generic secret with a label.
func (t *Token) Root(label string) (vault.Root, error) {
	k := &hmacKey{t, key{label, pkcs11.CKK_GENERIC_SECRET}}
	if _, err := k.MAC(nil); err != nil {
		return nil, err
	}
	return k, nil
}

func (k *hmacKey) MAC(b []byte) ([]byte, error) {
	return do(k.t, func(s session) ([]byte, error) {
		h, err := k.t.handle(s, k.key)
		if err != nil {
			return nil, err
		}
		if err := k.t.m.SignInit(s.handle, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_SHA256_HMAC, nil)}, h); err != nil {
			return nil, fmt.Errorf("derive under %q: %w", k.key.label, err)
		}
		tag, err := k.t.m.Sign(s.handle, b)
		if err != nil {
			return nil, fmt.Errorf("derive under %q: %w", k.key.label, err)
		}
		if len(tag) != sha256.Size {
			return nil, fmt.Errorf("derive under %q: the module made %d bytes, want %d", k.key.label, len(tag), sha256.Size)
		}
		return tag, nil
	})
}

// MakeKEK makes an AES-256 key in the token that cannot be taken out of it. A label that is taken is a
// *TakenError.
func (t *Token) MakeKEK(label string) (id vault.KeyID, err error) {
	name := make([]byte, keyIDLen)
	rand.Read(name)
	err = t.make(key{label, pkcs11.CKK_AES}, func(s session, common []*pkcs11.Attribute) error {
		_, err := t.m.GenerateKey(s.handle, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_KEY_GEN, nil)}, append(common,
			pkcs11.NewAttribute(pkcs11.CKA_VALUE_LEN, keyLen),
			pkcs11.NewAttribute(pkcs11.CKA_ID, name),
		))
		return err
	})
	if err != nil {
		return id, err
	}
	k, err := t.KEK(label)
	if err != nil {
		return id, err
	}
	return k.ID(), nil
}

// MakeRoot makes a generic secret in the token that cannot be taken out of it, or puts one there that was in a file until now, so
// that the PUKs of all cards stay the same; it is the caller's to wipe. A label that is taken is a
// *TakenError.
func (t *Token) MakeRoot(label string, from secret.Value) error {
	copied := bytes.Clone(from.Reveal())
	err := t.make(key{label, pkcs11.CKK_GENERIC_SECRET}, func(s session, common []*pkcs11.Attribute) error {
		if len(copied) == 0 {
			_, err := t.m.GenerateKey(s.handle, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_GENERIC_SECRET_KEY_GEN, nil)},
				append(common, pkcs11.NewAttribute(pkcs11.CKA_VALUE_LEN, keyLen)))
			return err
		}
		_, err := t.m.CreateObject(s.handle, append(common, pkcs11.NewAttribute(pkcs11.CKA_VALUE, copied)))
		return err
	}, copied)
	if err != nil {
		return err
	}
	_, err = t.Root(label)
	return err
}

func (t *Token) make(k key, with func(session, []*pkcs11.Attribute) error, lent ...[]byte) error {
	_, err := do(t, func(s session) (none struct{}, err error) {
		if list, err := t.labelled(s, k); err != nil {
			return none, err
		} else if len(list) > 0 {
			return none, &TakenError{k.label}
		}
		err = with(s, []*pkcs11.Attribute{
			pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY),
			pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, k.kind),
			pkcs11.NewAttribute(pkcs11.CKA_LABEL, k.label),
			pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true),
			pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, true),
			pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, true),
			pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, false),
			pkcs11.NewAttribute(pkcs11.CKA_MODIFIABLE, false),
			pkcs11.NewAttribute(pkcs11.CKA_ENCRYPT, k.kind == pkcs11.CKK_AES),
			pkcs11.NewAttribute(pkcs11.CKA_DECRYPT, k.kind == pkcs11.CKK_AES),
			pkcs11.NewAttribute(pkcs11.CKA_SIGN, k.kind == pkcs11.CKK_GENERIC_SECRET),
			pkcs11.NewAttribute(pkcs11.CKA_VERIFY, false),
			pkcs11.NewAttribute(pkcs11.CKA_WRAP, false),
			pkcs11.NewAttribute(pkcs11.CKA_UNWRAP, false),
			pkcs11.NewAttribute(pkcs11.CKA_DERIVE, false),
		})
		if err != nil {
			return none, fmt.Errorf("make key %q: %w", k.label, err)
		}
		return none, nil
	}, lent...)
	return err
}
