// Package checkpoint keeps, in a kiosk's data folder, the newest checkpoint of the tree that central keeps over all evidence
// (firmware/audit), and judges each that central shows after it: does the newer tree begin with the one that is kept?
//
// A kiosk so becomes a witness of central's history, with its own memory and nobody's word. What does not fit is a Finding: it is
// kept with both checkpoints, which are signed, so that they can be shown to others; and nothing here ever takes a finding back. The
// package asks nobody and reads no clock; it does not stop the kiosk: holders are served by what cards and codes say.
//
// The key of the tree is believed when central's own key, which the kiosk learnt at enrolment, signs it.
package checkpoint

import (
	"bytes"
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"latchkey/firmware/audit"
	"latchkey/firmware/durable"
	"latchkey/firmware/wire"
)

const (
	storeFile    = "checkpoint.json"
	storeVersion = 1
	// maxFindings are kept; the oldest ones, since later ones can follow from them.
	maxFindings = 16
)

// Reason of a finding. It stands in the kiosk's journal.
type Reason string

// Reasons.
const (
	// OtherHistory: central shows a tree that does not begin with the one that it showed before.
	OtherHistory Reason = "other-history"
	// Older: central shows a smaller tree than before.
	Older Reason = "older"
	// Restored: central says that it was restored from a backup, and lacks what it showed before.
	Restored Reason = "restored"
	// OtherKey: the tree is the same, and signed by another key.
	OtherKey Reason = "other-key"
)

// Finding is what did not fit.
type Finding struct {
	Reason Reason    `json:"reason"`
	At     time.Time `json:"at"`    // by the kiosk's clock
	Kept   []byte    `json:"kept"`  // the checkpoint that was kept until then, a signed note
	Shown  []byte    `json:"shown"` // what central showed
	Size   int64     `json:"size"`  // of the kept one
	Now    int64     `json:"now"`   // of the shown one
}

// Store is a kiosk's. It is safe for concurrent use.
type Store struct {
	dir     string
	central *ecdsa.PublicKey

	mu     sync.Mutex
	kept   kept
	newest audit.Signed // of kept.Note; its Note is nil if there is none
}

// kept is the file. Nothing in it is secret.
type kept struct {
	Version  int       `json:"version"`
	Key      string    `json:"key"`  // verifier key of the tree
	Note     []byte    `json:"note"` // the newest checkpoint
	At       time.Time `json:"at"`   // when it was taken
	Findings []Finding `json:"findings,omitempty"`
}

// Open opens the store in dir of a kiosk that believes this key of central's. A file that cannot be read is set aside, and its new
// name told.
func Open(dir string, central *ecdsa.PublicKey) (_ *Store, damaged string, err error) {
	s := &Store{dir: dir, central: central, kept: kept{Version: storeVersion}}
	path := filepath.Join(dir, storeFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, "", nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("checkpoint: %w", err)
	}
	if err := s.read(b); err != nil {
		s.kept, s.newest = kept{Version: storeVersion}, audit.Signed{}
		damaged = path + ".damaged"
		if err := errors.Join(os.Rename(path, damaged), durable.SyncDir(dir)); err != nil {
			return nil, "", fmt.Errorf("checkpoint: set the damaged file aside: %w", err)
		}
	}
	return s, damaged, nil
}

func (s *Store) read(b []byte) error {
	var k kept
	if err := json.Unmarshal(b, &k); err != nil {
		return err
	}
	if k.Version != storeVersion || len(k.Findings) > maxFindings {
		return errors.New("of another form")
	}
	key, err := audit.ParseTreeKey(k.Key)
	if err != nil {
		return err
	}
	if s.newest, err = key.Open(k.Note); err != nil {
		return err
	}
	s.kept = k
	return nil
}

// Size of the checkpoint that is kept; 0 if there is none.
func (s *Store) Size() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.newest.Size
}

// Status is what an engineer is told.
type Status struct {
	Size     int64     // records of the newest checkpoint; 0 if there is none
	At       time.Time // when it was taken
	Findings []Finding
}

// Status of the store.
func (s *Store) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Status{s.newest.Size, s.kept.At, append([]Finding(nil), s.kept.Findings...)}
}

// Take judges what central showed when it was asked with the size that is kept, and keeps it if it is of the same history, or says for
// itself why not. A finding is durable when Take returns; it is nil if all fits, if it is the same as the last one, and if there are too many. An error means
// that central's answer is none.
func (s *Store) Take(c *wire.Checkpoint, now time.Time) (*Finding, error) {
	digest := wire.CheckpointKeyDigest(c.Key)
	if !ecdsa.VerifyASN1(s.central, digest[:], c.Signature) {
		return nil, errors.New("checkpoint: its key is not signed by central's")
	}
	key, err := audit.ParseTreeKey(c.Key)
	if err != nil {
		return nil, err
	}
	shown, err := key.Open(c.Note)
	if err != nil {
		return nil, err
	}
	var proof tlog.TreeProof
	for _, h := range c.Proof {
		if len(h) != tlog.HashSize {
			return nil, errors.New("checkpoint: its proof has something else than hashes")
		}
		proof = append(proof, tlog.Hash(h))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.kept
	if s.newest.Note == nil {
		next.Key, next.Note, next.At = c.Key, c.Note, now
		return nil, s.take(next, shown)
	}
	reason, adopt := s.judge(c.Key, shown, proof)
	if adopt {
		if reason == "" && shown.Checkpoint == s.newest.Checkpoint {
			return nil, nil
		}
		next.Key, next.Note, next.At = c.Key, c.Note, now
	} else {
		shown = s.newest
	}
	if reason == "" {
		return nil, s.take(next, shown)
	}
	f := Finding{Reason: reason, At: now, Kept: s.kept.Note, Shown: c.Note, Size: s.newest.Size}
	if got, err := key.Open(c.Note); err == nil {
		f.Now = got.Size
	}
	if n := len(next.Findings); n > 0 && !adopt && next.Findings[n-1].Reason == reason && bytes.Equal(next.Findings[n-1].Kept, f.Kept) {
		return nil, nil // it was said
	}
	if len(next.Findings) == maxFindings && !adopt {
		return nil, nil // so much was said
	}
	if len(next.Findings) < maxFindings {
		next.Findings = append(append([]Finding(nil), next.Findings...), f)
	}
	return &f, s.take(next, shown)
}

// judge compares what is shown with what is kept: why it does not fit, and whether it is kept from now on all the same.
func (s *Store) judge(key string, shown audit.Signed, proof tlog.TreeProof) (why Reason, adopt bool) {
	same := key == s.kept.Key
	err := audit.CheckConsistency(s.newest.Checkpoint, shown.Checkpoint, proof)
	switch {
	case err == nil && same && shown.Epoch >= s.newest.Epoch:
		return "", true
	case err == nil && !same:
		return OtherKey, true
	case same && shown.Epoch > s.newest.Epoch:
		return Restored, true // its origin says so, for everybody to see
	case same && shown.Epoch == s.newest.Epoch && shown.Size < s.newest.Size:
		return Older, false
	}
	return OtherHistory, false
}

// take writes the file, and takes it over when it is durable.
func (s *Store) take(k kept, newest audit.Signed) (err error) {
	b, err := json.MarshalIndent(k, "", "\t")
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	path := filepath.Join(s.dir, storeFile)
	if err := durable.Write(path, b); err != nil {
		return fmt.Errorf("checkpoint: write %s: %w", path, err)
	}
	s.kept, s.newest = k, newest
	return nil
}
