package kiosk

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/hpke"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"

	"latchkey/firmware/unlock"
	"latchkey/firmware/wire"
)

// walkKey is the HPKE key of the present walk: made for one Begin, kept in memory alone, forgotten with the card.
type walkKey struct {
	private hpke.PrivateKey
	serial  string
}

func (w *walkKey) public() []byte {
	if w.private == nil {
		return nil
	}
	return w.private.PublicKey().Bytes()
}

func (w *walkKey) forget() { *w = walkKey{} }

func (k *Kiosk) beginRequest(e unlock.AskBegin) (wire.BeginRequest, error) {
	private, err := wire.KEM().GenerateKey()
	if err != nil {
		return wire.BeginRequest{}, fmt.Errorf("make a key for the walk: %w", err)
	}
	k.keys = walkKey{private: private, serial: e.Identity.Serial}
	head := k.Journal.Head()
	r := wire.BeginRequest{
		Family: e.Identity.Family, Serial: e.Identity.Serial, TriesLeft: e.TriesLeft, PukTriesLeft: e.PUKTriesLeft, HpkePublicKey: k.keys.public(),
		Journal: wire.JournalHead{Seq: head.Seq, Hash: head.Hash[:], Signature: head.Signature},
	}
	digest := wire.BeginDigest(k.Identity.ID, &r)
	r.Signature, err = k.Identity.Key.Sign(rand.Reader, digest[:], crypto.SHA256)
	return r, err
}

func (k *Kiosk) releaseRequest(e unlock.AskRelease) (wire.ReleaseRequest, error) {
	digest := wire.ReleaseDigest(k.Identity.ID, e.Case, e.Nonce, e.Proof, e.Challenge)
	signature, err := k.Identity.Key.Sign(rand.Reader, digest[:], crypto.SHA256)
	return wire.ReleaseRequest{Proof: e.Proof, Challenge: e.Challenge, Signature: signature}, err
}

// opener opens the grant of a case with the walk's key, whatever becomes of the walk meanwhile.
func (w *walkKey) opener(id Identity, caseID string) func(*wire.Grant) (unlock.Grant, error) {
	key := *w
	return func(g *wire.Grant) (unlock.Grant, error) { return key.open(id, caseID, g) }
}

// open verifies a grant and opens it. It believes nothing that central's key did not sign.
func (w *walkKey) open(id Identity, caseID string, g *wire.Grant) (unlock.Grant, error) {
	certificate := id.signedFor(caseID, g)
	if certificate == nil {
		return unlock.Grant{}, errors.New("grant: central's signature does not verify")
	}
	if w.private == nil || g.Card != w.serial {
		return unlock.Grant{}, errors.New("grant: for another card")
	}
	recipient, err := hpke.NewRecipient(g.Enc, w.private, wire.KDF(), wire.AEAD(), wire.GrantInfo(caseID, certificate, g))
	if err != nil {
		return unlock.Grant{}, fmt.Errorf("grant: %w", err)
	}
	plain, err := recipient.Open(nil, g.Sealed)
	if err != nil {
		return unlock.Grant{}, fmt.Errorf("grant: %w", err)
	}
	defer clear(plain)
	var c wire.Candidates
	if err := json.Unmarshal(plain, &c); err != nil {
		return unlock.Grant{}, errors.New("grant: what it seals is not a pair of candidates")
	}
	return unlock.Grant{Base: g.Base, First: g.First, Tries: g.Tries, Current: c.Current.Value, Next: c.Next.Value}, nil
}

// signedFor is the certificate of this kiosk's that central signed a grant for; nil if it is none.
func (id Identity) signedFor(caseID string, g *wire.Grant) []byte {
	for _, certificate := range id.Certificates() {
		digest := wire.GrantDigest(caseID, certificate, g)
		if ecdsa.VerifyASN1(id.CentralKey, digest[:], g.Signature) {
			return certificate
		}
	}
	return nil
}
