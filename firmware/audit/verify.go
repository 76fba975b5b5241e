package audit

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// Head is the signed end of a kiosk's chain.
type Head struct {
	Seq       int64    // number of the last entry; 0 for an empty journal
	Hash      [32]byte // of the chain after it
	Signature []byte   // ECDSA P-256, ASN.1
}

// Point is a place in a chain that the verifier trusts already. The zero Point is the beginning.
type Point struct {
	Seq  int64
	Hash [32]byte
}

// Stored is an entry as it is kept and delivered.
type Stored struct {
	Seq  int64
	Salt [32]byte
	Body []byte
}

func headDigest(kiosk string, seq int64, hash [32]byte) [32]byte {
	b := []byte("latchkey-head-v1")
	b = binary.BigEndian.AppendUint64(b, uint64(len(kiosk)))
	b = append(b, kiosk...)
	b = binary.BigEndian.AppendUint64(b, uint64(seq))
	return sha256.Sum256(append(b, hash[:]...))
}

// SignHead signs a head with the kiosk's device key, which must be ECDSA on P-256.
func SignHead(key crypto.Signer, kiosk string, seq int64, hash [32]byte) (Head, error) {
	pub, ok := key.Public().(*ecdsa.PublicKey)
	if !ok || pub.Curve != elliptic.P256() {
		return Head{}, fmt.Errorf("sign head: device key is %T, want ECDSA on P-256", key.Public())
	}
	d := headDigest(kiosk, seq, hash)
	sig, err := key.Sign(rand.Reader, d[:], crypto.SHA256)
	if err != nil {
		return Head{}, fmt.Errorf("sign head %d: %w", seq, err)
	}
	return Head{Seq: seq, Hash: hash, Signature: sig}, nil
}

// ErrSignature: the head is not signed by this key for this kiosk.
var ErrSignature = errors.New("the head's signature does not verify")

// VerifyHead tells whether the kiosk signed this head. It says nothing of the entries.
func VerifyHead(pub *ecdsa.PublicKey, kiosk string, h Head) error {
	if pub.Curve != elliptic.P256() {
		return errors.New("verify head: device key is not on P-256")
	}
	d := headDigest(kiosk, h.Seq, h.Hash)
	if h.Seq < 0 || !ecdsa.VerifyASN1(pub, d[:], h.Signature) {
		return fmt.Errorf("verify head %d of %s: %w", h.Seq, kiosk, ErrSignature)
	}
	return nil
}

// EntryError is an entry, or a run of entries, that is not what the kiosk signed.
type EntryError struct {
	// First and Last number what is wrong. They are equal unless only the run as a whole can be judged: a chain shows
	// that something in it was changed, and not where.
	First, Last int64
	Err         error
}

func (e *EntryError) Error() string {
	if e.First == e.Last {
		return fmt.Sprintf("entry %d: %v", e.First, e.Err)
	}
	return fmt.Sprintf("entries %d to %d: %v", e.First, e.Last, e.Err)
}

func (e *EntryError) Unwrap() error { return e.Err }

// ErrChain: the entries are in order and well formed, and do not lead to the signed head.
var ErrChain = errors.New("the chain does not lead to the signed head")

// Verify tells whether the run of entries leads from a known point to a head that the kiosk signed, and returns what the
// entries say. What is wrong with an entry comes as an *EntryError; a head that does not verify as ErrSignature.
func Verify(pub *ecdsa.PublicKey, kiosk string, from Point, run []Stored, head Head) ([]Entry, error) {
	if err := VerifyHead(pub, kiosk, head); err != nil {
		return nil, err
	}
	entries := make([]Entry, 0, len(run))
	at := from
	for _, s := range run {
		want := at.Seq + 1
		if s.Seq != want {
			return nil, &EntryError{want, want, fmt.Errorf("missing: number %d stands in its place", s.Seq)}
		}
		e, err := Decode(s.Body)
		if err != nil {
			return nil, &EntryError{want, want, err}
		}
		entries = append(entries, e)
		at = Point{want, Chain(at.Hash, want, Leaf(s.Salt, s.Body))}
	}
	switch {
	case at.Seq < head.Seq:
		return nil, &EntryError{at.Seq + 1, head.Seq, errors.New("missing: the signed head is beyond the run")}
	case at.Seq > head.Seq:
		return nil, &EntryError{head.Seq + 1, at.Seq, errors.New("beyond the signed head")}
	case at.Hash != head.Hash && len(run) == 0:
		return nil, &EntryError{head.Seq, head.Seq, ErrChain}
	case at.Hash != head.Hash:
		return nil, &EntryError{from.Seq + 1, at.Seq, ErrChain}
	}
	return entries, nil
}
