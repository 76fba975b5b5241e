package service

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"latchkey/firmware/durable"
	"latchkey/firmware/secret"
)

const (
	storeFile    = "service.json"
	storeVersion = 1
)

// Wrong codes in a row that lock, and for how long.
const (
	maxWrong = 5
	lockFor  = 15 * time.Minute
)

// Store is a kiosk's, in its data folder. It is safe for concurrent use.
type Store struct {
	dir, kiosk string
	central    *ecdsa.PublicKey

	mu       sync.Mutex
	kept     kept
	document *Document // kept.Document, read; nil if there is none
}

// kept is the file. Nothing in it is secret.
type kept struct {
	Version   int
	Document  string
	Signature []byte
	Due       map[string]int // number that is due of every chain that was met; 0: none is
	Wrong     int            // codes in a row
	LockedAt  int64          // milliseconds since the Unix epoch; 0 if they are not
}

// Open opens the store in dir for the kiosk of this name, whose documents central signs with this key. A file that cannot be
// read is set aside, and its new name told: central then gives the kiosk other codes, since it does not know which of the old ones
// were used. A document of another key or kiosk is forgotten, not what was used.
func Open(dir, kiosk string, central *ecdsa.PublicKey) (_ *Store, damaged string, err error) {
	s := &Store{dir: dir, kiosk: kiosk, central: central, kept: kept{Version: storeVersion, Due: map[string]int{}}}
	path := filepath.Join(dir, storeFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, "", nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("service codes: %w", err)
	}
	var k kept
	if err := json.Unmarshal(b, &k); err != nil || k.Version != storeVersion || !k.sound() {
		damaged = path + ".damaged"
		if err := errors.Join(os.Rename(path, damaged), durable.SyncDir(dir)); err != nil {
			return nil, "", fmt.Errorf("service codes: set the damaged file aside: %w", err)
		}
		return s, damaged, nil
	}
	if k.Due == nil {
		k.Due = map[string]int{}
	}
	if d, err := (Signed{[]byte(k.Document), k.Signature}).Open(central, kiosk); err == nil {
		s.document = &d
		if _, known := k.Due[d.Chain]; !known {
			k.Due[d.Chain] = 0 // what was used is not known
		}
	} else {
		k.Document, k.Signature = "", nil
	}
	s.kept = k
	return s, "", nil
}

func (k kept) sound() bool {
	for _, n := range k.Due {
		if n < 0 || n > Codes {
			return false
		}
	}
	return k.Wrong >= 0 && k.Wrong <= maxWrong && k.LockedAt >= 0
}

// Held is what a kiosk tells central that it has.
type Held struct {
	Document []byte // nil if there is none
	Chain    string // empty if there is none
	Due      int    // 0: all codes were used
}

// Held by this kiosk.
func (s *Store) Held() Held {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.document == nil {
		return Held{}
	}
	return Held{Document: []byte(s.kept.Document), Chain: s.document.Chain, Due: s.kept.Due[s.document.Chain]}
}

// Take takes a document of central's over; taken is false, and nothing is changed, if it is the one that the kiosk has. An older one is
// an error. The document is durable when Take returns.
func (s *Store) Take(signed Signed) (taken bool, err error) {
	d, err := signed.Open(s.central, s.kiosk)
	if err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.document != nil {
		switch order := d.newer(*s.document); {
		case order == 0 && bytes.Equal(signed.Document, []byte(s.kept.Document)):
			return false, nil
		case order == 0:
			return false, fmt.Errorf("service document: it has the serial %d %d of another", d.Epoch, d.Serial)
		case order < 0:
			return false, fmt.Errorf("service document: its serial %d %d is older than that of the one that is here, %d %d",
				d.Epoch, d.Serial, s.document.Epoch, s.document.Serial)
		}
	}
	next := s.kept.clone()
	next.Document, next.Signature = string(signed.Document), slices.Clone(signed.Signature)
	if _, met := next.Due[d.Chain]; !met {
		next.Due[d.Chain] = Codes
	}
	if err := s.write(next); err != nil {
		return false, err
	}
	s.kept, s.document = next, &d
	return true, nil
}

// Due is the number of the code that is due. ErrNone or ErrLocked if none is taken now.
func (s *Store) Due(now time.Time) (number int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.due(now)
}

func (s *Store) due(now time.Time) (number int, err error) {
	if s.document != nil {
		number = s.kept.Due[s.document.Chain]
	}
	locked, err := s.locked(now)
	switch {
	case err != nil:
		return 0, err
	case number == 0:
		return 0, ErrNone
	case locked:
		return 0, ErrLocked
	}
	return number, nil
}

// locked tells whether codes are, and ends that when its time is over.
func (s *Store) locked(now time.Time) (bool, error) {
	at := time.UnixMilli(s.kept.LockedAt)
	next := s.kept.clone()
	switch {
	case s.kept.LockedAt == 0:
		return false, nil
	case now.Before(at):
		next.LockedAt = now.UnixMilli() // the clock was set back: the time begins again, and does not last for ever
	case now.Before(at.Add(lockFor)):
		return true, nil
	default:
		next.LockedAt, next.Wrong = 0, 0
	}
	if err := s.write(next); err != nil {
		return true, err
	}
	s.kept = next
	return next.LockedAt != 0, nil
}

// Check takes a code, as a person typed it, if it is the one that is due: nil means that it was, that it was used on the disk too, and
// that the next lower number is due. ErrNone, ErrWrong and ErrLocked say that it was not taken; any other error, that the disk
// failed: then it was not taken, and is perhaps used. The wrong one that locks is ErrLocked. The code stays the caller's.
func (s *Store) Check(now time.Time, code secret.Value) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	number, err := s.due(now)
	if err != nil {
		return err
	}
	is, ok := typed(code.Reveal())
	defer clear(is[:])
	if !ok {
		return ErrWrong
	}
	next := s.kept.clone()
	end := climb(is[:], s.kiosk, s.document.Chain, number, Codes+1)
	if subtle.ConstantTimeCompare(grouped(end), []byte(s.document.End)) != 1 {
		says := ErrWrong
		if next.Wrong++; next.Wrong == maxWrong {
			next.LockedAt, says = now.UnixMilli(), ErrLocked
		}
		s.kept = next // counts also if the disk fails
		if err := s.write(next); err != nil {
			return err
		}
		return says
	}
	next.Due[s.document.Chain] = number - 1
	next.Wrong, next.LockedAt = 0, 0
	s.kept = next // the file may be the new one also if the disk fails
	return s.write(next)
}

func (k kept) clone() kept {
	k.Due = maps.Clone(k.Due)
	return k
}

// write is durable when it returns nil.
func (s *Store) write(k kept) (err error) {
	b, err := json.MarshalIndent(k, "", "\t")
	if err != nil {
		return fmt.Errorf("service codes: %w", err)
	}
	path := filepath.Join(s.dir, storeFile)
	if err := durable.Write(path, b); err != nil {
		return fmt.Errorf("service codes: write %s: %w", path, err)
	}
	return nil
}
