// Package wire is the language that kiosk and central speak. kiosk.yaml is the contract (OpenAPI 3.0); wire.gen.go is
// made from it. Here stand what OpenAPI cannot say: what is signed, what a grant is bound to, and which problems there are
// (catalogue.go).
//
// Everything that is signed is SHA-256 over a label and fields, each preceded by its length as a big-endian uint32, so
// that no two messages share a digest. The version is in the label. The package decides nothing and keeps nothing.
package wire

//go:generate go tool -modfile=../../tools/mod/go.mod oapi-codegen -config oapi.yaml kiosk.yaml

import (
	"crypto/hpke"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"

	"latchkey/firmware/secret"
)

// Headers of the API.
const (
	// TimeHeader carries central's clock in milliseconds since the Unix epoch.
	TimeHeader = "Latchkey-Time"
	// IdempotencyHeader names a request, so that sending it twice has its effect once.
	IdempotencyHeader = "Idempotency-Key"
)

// MaxBody is the largest request or answer, in bytes.
const MaxBody = 1 << 20

// Secret is a secret that is meant to cross the wire: unlike secret.Value it marshals itself into JSON in clear.
type Secret struct{ secret.Value }

// NewSecret takes b over.
func NewSecret(b []byte) Secret { return Secret{secret.New(b)} }

// MarshalJSON writes the secret as a JSON string.
func (s Secret) MarshalJSON() ([]byte, error) {
	b := s.Reveal()
	for _, c := range b {
		if c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			return nil, errors.New("secret: only printable ASCII without quote and backslash travels")
		}
	}
	out := make([]byte, 0, secret.Alone(len(b)+2))
	out = append(out, '"')
	out = append(out, b...)
	return append(out, '"'), nil
}

// UnmarshalJSON reads a JSON string into a buffer of its own.
func (s *Secret) UnmarshalJSON(b []byte) error {
	if len(b) < 2 || b[0] != '"' || b[len(b)-1] != '"' {
		return errors.New("secret: want a JSON string")
	}
	inner := b[1 : len(b)-1]
	for _, c := range inner {
		if c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			return errors.New("secret: only printable ASCII without quote and backslash travels")
		}
	}
	s.Value = secret.New(append([]byte(nil), inner...))
	return nil
}

var _ json.Marshaler = Secret{}

// HPKE suite of grants: KEM 0x0050 of draft-ietf-hpke-pq, HKDF-SHA256, AES-256-GCM. The draft is not an RFC yet, so
// GrantInfo carries a version.

// KEM of grants.
func KEM() hpke.KEM { return hpke.MLKEM768P256() }

// KDF of grants.
func KDF() hpke.KDF { return hpke.HKDFSHA256() }

// AEAD of grants.
func AEAD() hpke.AEAD { return hpke.AES256GCM() }

func digest(label string, fields ...[]byte) [32]byte {
	return sha256.Sum256(join(label, fields...))
}

func join(label string, fields ...[]byte) []byte {
	out := binary.BigEndian.AppendUint32(nil, uint32(len(label)))
	out = append(out, label...)
	for _, f := range fields {
		out = binary.BigEndian.AppendUint32(out, uint32(len(f)))
		out = append(out, f...)
	}
	return out
}

func number(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

func hash(b []byte) []byte {
	h := sha256.Sum256(b)
	return h[:]
}

// ProofDigest is what the card signs: a fresh nonce, the case, the kiosk (its id), and the HPKE key that a grant would
// be sealed to.
func ProofDigest(nonce []byte, caseID, kiosk string, hpkePublicKey []byte) [32]byte {
	return digest("latchkey-proof-v1", nonce, []byte(caseID), []byte(kiosk), hash(hpkePublicKey))
}

// BeginDigest is what the device key signs to begin a case.
func BeginDigest(kiosk string, r *BeginRequest) [32]byte {
	return digest("latchkey-begin-v1", []byte(kiosk), []byte(r.Family), []byte(r.Serial), number(int64(r.TriesLeft)),
		number(int64(r.PukTriesLeft)), hash(r.HpkePublicKey), number(r.Journal.Seq), r.Journal.Hash)
}

// ReleaseDigest is what the device key signs to ask for a grant. proof is the card's signature, challenge the card's
// challenge; either can be empty.
func ReleaseDigest(kiosk, caseID string, nonce, proof, challenge []byte) [32]byte {
	return digest("latchkey-release-v1", []byte(kiosk), []byte(caseID), nonce, hash(proof), challenge)
}

// GrantInfo is the info of the HPKE seal: who may open it, for which card, until when. kioskCertificate is DER.
func GrantInfo(caseID string, kioskCertificate []byte, g *Grant) []byte {
	return join("latchkey-grant-v1", []byte(caseID), hash(kioskCertificate), []byte(g.Card), number(g.Base), number(g.ExpiresAt))
}

// GrantDigest is what central signs of a grant, all fields but the signature.
func GrantDigest(caseID string, kioskCertificate []byte, g *Grant) [32]byte {
	return digest("latchkey-grant-signature-v1", GrantInfo(caseID, kioskCertificate, g),
		number(g.First), number(int64(g.Tries)), g.Enc, g.Sealed)
}

// ReceiptDigest is what central signs of a receipt.
func ReceiptDigest(r *Receipt) [32]byte {
	fields := [][]byte{[]byte(r.Kiosk), number(r.Epoch), number(r.Held), number(r.BackedUp), r.Hash}
	if r.Log == 0 {
		return digest("latchkey-receipt-v1", fields...)
	}
	return digest("latchkey-receipt-v2", append(fields, number(r.Log))...)
}

// CheckpointKeyDigest is what central signs of the verifier key of its tree.
func CheckpointKeyDigest(key string) [32]byte {
	return digest("latchkey-checkpoint-key-v1", []byte(key))
}

// Error makes a problem an error. It names no person.
func (p *Problem) Error() string { return string(p.Code) + ": " + p.Title }
