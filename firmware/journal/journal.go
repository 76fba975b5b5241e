// Package journal is the kiosk's durable store of audit entries: a bbolt file with the hash chain of package audit, a head
// signed by the device key, and the two questions that must survive a power cut: which card was about to be written, and
// which outcome central has not acknowledged.
//
// Append is durable on return: entries, head and questions are one commit, and there is no other commit while the kiosk
// works. What central holds and what may be forgotten is written down with the next Append; should that be lost, entries
// are delivered once more, which is harmless.
//
// The file is bounded. When it is full, entries are refused with ErrFull, but an outcome or a settlement never is: an
// intent reserves the room for both.
//
// A damaged bbolt file can end the process from one of bbolt's own goroutines, where nobody can recover. So a file that was not
// closed in order is first read through by a child process (CheckMain); a damaged file is set aside, never deleted, and a new
// chain begins with an entry that says so. Intents that stood in a damaged file are not taken over. What cannot be seen
// here: a lost meta page, which bbolt takes for an interrupted commit. The last commit is gone with it, and central sees
// that if it held those entries (ErrAhead, or a chain that forks).
//
// A file of which more than half is free is compacted into a new one. That and every other change of files is made beside the
// journal, synced, and then moved to its name.
//
// The package never forgets an entry that central has not backed up, and it keeps no name, card number or secret, because
// audit.Entry has none.
package journal

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"latchkey/firmware/audit"
)

// DefaultMaxEntries is about four months of a busy kiosk that reaches nobody, in some 25 MB.
const DefaultMaxEntries = 100_000

// A walk is not begun unless all its entries have room, so that no holder is sent away in the middle.
const walkEntries = 24

// forgetAtOnce bounds what one Append deletes, so that no holder waits for it.
const forgetAtOnce = 512

// Config of a journal.
type Config struct {
	// MaxEntries bounds the file; 0 is DefaultMaxEntries.
	MaxEntries int64
	// Now is the clock of the entry that a damaged file's successor begins with; nil is time.Now.
	Now func() time.Time
}

// ErrFull: there is no room until central has backed up what is here.
var ErrFull = errors.New("journal is full")

// ErrFailed: a commit failed, and what is on the disk is not known. The journal takes nothing more until it is opened
// anew.
var ErrFailed = errors.New("journal has failed")

// Journal is an open journal. It is safe for concurrent use; appends happen one after the other.
type Journal struct {
	db     *bbolt.DB
	path   string
	kiosk  string
	key    crypto.Signer
	max    int64
	mu     sync.Mutex
	state  state   // as committed, but for Held, which may be ahead
	open   openSet // as committed
	found  int64   // the last entry that stood in the file when it was opened
	forget int64   // central has backed up every entry up to this one
	failed error   // of the commit that failed
	closed bool
}

// Buckets and keys of the file.
var (
	bucketEntries = []byte("entries") // number, 8 bytes big-endian → record
	bucketOpen    = []byte("open")    // number → summed body of an intent without outcome or an outcome not settled
	bucketState   = []byte("state")   // keyState → summed JSON of state
	keyState      = []byte("state")
)

func number(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

// record is how an entry stands in the file: with the chain's hash after it, so that any batch can be given a head.
type record struct {
	salt, hash [32]byte
	body       []byte
}

// recordHead is what stands before the body.
const recordHead = 64

func (r *record) encode() []byte {
	return slices.Concat(r.salt[:], r.hash[:], r.body)
}

// decodeRecord copies, since bbolt's memory is good for one transaction only.
func decodeRecord(b []byte) (r record, err error) {
	if len(b) < recordHead {
		return record{}, fmt.Errorf("record of %d bytes", len(b))
	}
	copy(r.salt[:], b)
	copy(r.hash[:], b[32:])
	r.body = bytes.Clone(b[recordHead:])
	return r, nil
}

// Append makes the entries durable, in one commit for all of them. After an error none is acknowledged; after ErrFailed
// they may stand in the file nevertheless. It refuses with ErrFull what does not fit, but never an outcome or a
// settlement and what comes with them.
func (j *Journal) Append(entries ...audit.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	bodies := make([][]byte, len(entries))
	for i, e := range entries {
		b, err := audit.Encode(e)
		if err != nil {
			return fmt.Errorf("append to journal: %w", err)
		}
		bodies[i] = b
	}

	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.usable(); err != nil {
		return fmt.Errorf("append to journal: %w", err)
	}
	next, open := j.state, slices.Clone(j.open)
	records := make([]record, len(entries))
	hash := next.hash()
	for i, e := range entries {
		r := record{body: bodies[i]}
		rand.Read(r.salt[:])
		next.Seq++
		hash = audit.Chain(hash, next.Seq, audit.Leaf(r.salt, r.body))
		r.hash = hash
		records[i] = r
		open = open.with(next.Seq, e)
	}
	if !mustFit(entries) && next.Seq-j.freed()+open.reserved() > j.max {
		return fmt.Errorf("append to journal: %d entries kept, %d is the most: %w", j.state.Seq-j.freed(), j.max, ErrFull)
	}
	head, err := audit.SignHead(j.key, j.kiosk, next.Seq, hash)
	if err != nil {
		return fmt.Errorf("append to journal: %w", err)
	}
	next.Hash, next.Signature = hash[:], head.Signature
	if err := j.commit(next, records, open); err != nil {
		return fmt.Errorf("append to journal: %w", err)
	}
	return nil
}

// mustFit: the room was reserved when the intent was written; what became of a passcode that was being changed may stand one
// above the most. An intent needs new room, whatever it comes with.
func mustFit(entries []audit.Entry) bool {
	must := false
	for _, e := range entries {
		switch e.Kind {
		case audit.KindIntent:
			return false
		case audit.KindOutcome, audit.KindSettled, audit.KindChanged:
			must = true
		}
	}
	return must
}

// commit writes the records that lead to next, drops what may be forgotten, and takes next and open over.
func (j *Journal) commit(next state, records []record, open openSet) error {
	tx, err := j.db.Begin(true)
	if err != nil {
		j.failed = err
		return fmt.Errorf("%w: %w", ErrFailed, err)
	}
	if err := j.write(tx, &next, records, open); err != nil {
		err = errors.Join(err, tx.Rollback())
		j.failed = err
		return fmt.Errorf("%w: %w", ErrFailed, err)
	}
	if err := tx.Commit(); err != nil {
		j.failed = err
		return fmt.Errorf("%w: %w", ErrFailed, err)
	}
	j.state, j.open = next, open
	return nil
}

func (j *Journal) write(tx *bbolt.Tx, next *state, records []record, open openSet) error {
	entries := tx.Bucket(bucketEntries)
	entries.FillPercent = 0.95 // keys only grow
	first := next.Seq - int64(len(records)) + 1
	for i, r := range records {
		if err := entries.Put(number(first+int64(i)), r.encode()); err != nil {
			return err
		}
	}
	for n := 0; next.First <= j.forget && n < forgetAtOnce; n++ {
		r, err := decodeRecord(entries.Get(number(next.First)))
		if err != nil {
			return fmt.Errorf("forget entry %d: %w", next.First, err)
		}
		if err := entries.Delete(number(next.First)); err != nil {
			return err
		}
		next.First++
		next.Base = r.hash[:]
	}
	if err := open.write(tx.Bucket(bucketOpen), j.open); err != nil {
		return err
	}
	next.Open = len(open)
	return next.write(tx)
}

// freed numbers the last entry that needs no room: it is gone, or goes with the next commits.
func (j *Journal) freed() int64 { return max(j.state.First-1, j.forget) }

func (j *Journal) usable() error {
	switch {
	case j.closed:
		return errors.New("journal is closed")
	case j.failed != nil:
		return fmt.Errorf("%w: %w", ErrFailed, j.failed)
	}
	return nil
}

// Head is the signed end of the chain.
func (j *Journal) Head() audit.Head {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.state.head()
}

// Intents are the intents without an outcome, oldest first: the cards that a power cut left in an unknown state.
func (j *Journal) Intents() []audit.Entry { return j.openOf(audit.KindIntent) }

// Unsettled are the outcomes that central has not acknowledged, oldest first. Settle them in this order where a case has
// several.
func (j *Journal) Unsettled() []audit.Entry { return j.openOf(audit.KindOutcome) }

func (j *Journal) openOf(k audit.Kind) (out []audit.Entry) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, o := range j.open {
		if o.entry.Kind == k {
			out = append(out, o.entry)
		}
	}
	return out
}

// Nearly tells that three quarters of the room are taken: time to tell the fleet.
func (j *Journal) Nearly() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.taken() > j.max*3/4
}

// Full tells that a whole walk no longer fits: take no more cards.
func (j *Journal) Full() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.taken()+walkEntries > j.max
}

// Waiting is how many entries central does not hold yet, and the share of the room that is taken, from 0 to 1.
func (j *Journal) Waiting() (entries int64, used float64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.state.Seq - j.state.Held, float64(j.taken()) / float64(j.max)
}

func (j *Journal) taken() int64 { return j.state.Seq - j.freed() + j.open.reserved() }
