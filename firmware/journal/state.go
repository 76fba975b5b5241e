package journal

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"latchkey/firmware/audit"
)

// stateVersion is that of the file's form.
const stateVersion = 1

// state is the one record that each commit replaces.
type state struct {
	V         int    `json:"v"`
	Kiosk     string `json:"kiosk"`
	Key       []byte `json:"key"` // SHA-256 of the device key's SubjectPublicKeyInfo
	Seq       int64  `json:"seq"` // of the last entry
	Hash      []byte `json:"hash"`
	Signature []byte `json:"signature"`
	First     int64  `json:"first"`         // of the first entry that is kept
	Base      []byte `json:"base"`          // the chain's hash before First
	Held      int64  `json:"held"`          // central holds every entry up to this one
	Epoch     int64  `json:"epoch"`         // of central's in which it said so; 0 if it never did
	Log       int64  `json:"log,omitempty"` // which of this kiosk's journals central takes; 0 is the first, too
	Open      int    `json:"open"`          // how many stand in bucketOpen
}

func (s *state) hash() [32]byte { return [32]byte(s.Hash) }

func (s *state) head() audit.Head {
	return audit.Head{Seq: s.Seq, Hash: s.hash(), Signature: bytes.Clone(s.Signature)}
}

func (s *state) write(tx *bbolt.Tx) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return tx.Bucket(bucketState).Put(keyState, sum(b))
}

func readState(tx *bbolt.Tx) (s state, err error) {
	for _, name := range [][]byte{bucketEntries, bucketOpen, bucketState} {
		if tx.Bucket(name) == nil {
			return s, fmt.Errorf("no bucket %q", name)
		}
	}
	b, err := unsum(tx.Bucket(bucketState).Get(keyState))
	if err != nil {
		return s, fmt.Errorf("state: %w", err)
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, fmt.Errorf("state: %w", err)
	}
	switch {
	case s.V != stateVersion:
		return s, fmt.Errorf("state: version %d, this program knows %d", s.V, stateVersion)
	case len(s.Hash) != 32 || len(s.Base) != 32:
		return s, errors.New("state: a hash is not 32 bytes")
	case s.First < 1 || s.First > s.Seq+1 || s.Held < s.First-1 || s.Held > s.Seq:
		return s, fmt.Errorf("state: entries %d to %d, held to %d", s.First, s.Seq, s.Held)
	}
	return s, nil
}

func fingerprint(key *ecdsa.PublicKey) ([]byte, error) {
	spki, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, err
	}
	h := sha256.Sum256(spki)
	return h[:], nil
}

// sum guards bytes that stand in no chain against bits that flip on the disk; bbolt's data pages have no checksum.
func sum(b []byte) []byte {
	h := sha256.Sum256(b)
	return append(h[:], b...)
}

func unsum(b []byte) ([]byte, error) {
	if len(b) < sha256.Size {
		return nil, fmt.Errorf("record of %d bytes", len(b))
	}
	if h := sha256.Sum256(b[sha256.Size:]); !bytes.Equal(h[:], b[:sha256.Size]) {
		return nil, errors.New("checksum differs")
	}
	return b[sha256.Size:], nil
}
