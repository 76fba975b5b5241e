package journal

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"latchkey/firmware/audit"
)

// lockWait is how long another process may still hold the file.
const lockWait = time.Second

// ErrForeign: the file is sound and belongs to another kiosk or another device key.
var ErrForeign = errors.New("journal belongs to another kiosk or device key; if this kiosk was enrolled anew, move the file away")

// newSuffix is of a file that is not whole yet and takes the journal's name when it is.
const newSuffix = ".new"

// damage is why a file cannot be used and must be set aside.
type damage struct{ err error }

func (d *damage) Error() string { return d.err.Error() }
func (d *damage) Unwrap() error { return d.err }

// Open opens the journal at path, or begins one. key is the device key, ECDSA on P-256. The program must call CheckMain
// first thing in main.
//
// A file that was not closed in order is read through by a child process first. A damaged one is renamed, its new path
// comes back as quarantined, and a new chain begins.
func Open(path, kiosk string, key crypto.Signer, cfg Config) (j *Journal, quarantined string, err error) {
	if !checkable.Load() {
		err = errors.New("the program does not call journal.CheckMain first thing in main")
	} else {
		j, quarantined, err = begin(path, kiosk, key, cfg, check)
	}
	if err != nil {
		return nil, quarantined, fmt.Errorf("open journal %s: %w", path, err)
	}
	return j, quarantined, nil
}

// begin is Open, given how a file is read through.
func begin(path, kiosk string, key crypto.Signer, cfg Config, check func(path string) error) (j *Journal, quarantined string, err error) {
	j = &Journal{path: path, kiosk: kiosk, key: key, max: cfg.MaxEntries}
	if j.max == 0 {
		j.max = DefaultMaxEntries
	}

	_, err = os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = j.create(nil)
	case err == nil && !closedInOrder(path):
		err = check(path)
	}
	// Whatever happens from here on, the next start does not trust this file blindly.
	if rm := os.Remove(path + markSuffix); rm != nil && !errors.Is(rm, fs.ErrNotExist) {
		return nil, "", rm
	}
	if err == nil {
		err = j.load()
	}
	var d *damage
	if errors.As(err, &d) {
		now := time.Now
		if cfg.Now != nil {
			now = cfg.Now
		}
		if quarantined, err = j.replace(d, now()); err == nil {
			err = j.load()
		}
	}
	if err != nil {
		return nil, quarantined, err
	}
	return j, quarantined, nil
}

// options of every opening. The list of free pages is written by Close alone: a commit is cheaper without it, and the
// next start need not read all pages to make it.
func options() *bbolt.Options {
	return &bbolt.Options{Timeout: lockWait, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType}
}

// load opens the file in this process and holds its state against the device key.
func (j *Journal) load() error {
	db, err := bbolt.Open(j.path, 0o600, options())
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return errors.New("another process has it open")
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum), errors.Is(err, berrors.ErrVersionMismatch):
		return &damage{err}
	case err != nil:
		return err
	}
	err = db.View(func(tx *bbolt.Tx) (err error) {
		if j.state, err = readState(tx); err != nil {
			return &damage{err}
		}
		if j.open, err = readOpen(tx, &j.state); err != nil {
			return &damage{err}
		}
		return nil
	})
	if err == nil {
		err = j.ours()
	}
	if err != nil {
		return errors.Join(err, db.Close())
	}
	j.db, j.forget, j.found = db, j.state.First-1, j.state.Seq
	return nil
}

// ours tells a file of another kiosk from one whose head was altered.
func (j *Journal) ours() error {
	pub, ok := j.key.Public().(*ecdsa.PublicKey)
	if !ok {
		return fmt.Errorf("device key is %T, want ECDSA on P-256", j.key.Public())
	}
	mine, err := fingerprint(pub)
	if err != nil {
		return err
	}
	if j.state.Kiosk != j.kiosk || !bytes.Equal(j.state.Key, mine) {
		return ErrForeign
	}
	if err := audit.VerifyHead(pub, j.kiosk, j.state.head()); err != nil {
		return &damage{err}
	}
	return nil
}

// create begins a journal. It is made beside its path and moved there when it is whole, so that a power cut leaves
// either no journal or a good one. Where a damaged file stands at the path, first is the new chain's first entry.
func (j *Journal) create(first *audit.Entry) (err error) {
	pub, ok := j.key.Public().(*ecdsa.PublicKey)
	if !ok {
		return fmt.Errorf("device key is %T, want ECDSA on P-256", j.key.Public())
	}
	mine, err := fingerprint(pub)
	if err != nil {
		return err
	}
	head, err := audit.SignHead(j.key, j.kiosk, 0, [32]byte{})
	if err != nil {
		return err
	}
	temporary := j.path + newSuffix
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	db, err := bbolt.Open(temporary, 0o600, options())
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{bucketEntries, bucketOpen, bucketState} {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		s := state{V: stateVersion, Kiosk: j.kiosk, Key: mine, Hash: head.Hash[:], Signature: head.Signature,
			First: 1, Base: make([]byte, 32)}
		j.state = s
		return s.write(tx)
	})
	if err == nil && first != nil {
		j.db = db
		err = j.Append(*first)
	}
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	// bbolt syncs data alone (fdatasync); the file's length must be there, too.
	if err := syncPath(temporary); err != nil {
		return err
	}
	if err := os.Rename(temporary, j.path); err != nil {
		return err
	}
	return syncPath(filepath.Dir(j.path))
}

// replace sets the damaged file aside and puts a new journal in its place. The old file gets a second name first and
// loses its own by the new one's rename, so that at no instant a start finds no file and begins as if nothing had been.
func (j *Journal) replace(d *damage, now time.Time) (quarantined string, err error) {
	base := j.path + ".damaged-" + now.UTC().Format("20060102T150405Z")
	quarantined = base
	for n := 2; ; n++ {
		err := os.Link(j.path, quarantined)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrExist) {
			return "", err
		}
		quarantined = fmt.Sprintf("%s-%d", base, n)
	}
	if err := syncPath(filepath.Dir(j.path)); err != nil {
		return quarantined, err
	}
	reason := "damaged"
	if errors.Is(d, audit.ErrSignature) {
		reason = "head-not-ours"
	}
	j.state, j.open = state{}, nil
	return quarantined, j.create(&audit.Entry{Kind: audit.KindQuarantined, At: now.UnixMilli(), Reason: reason})
}

func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// The mark of a file that was closed in order stands beside it: its length and a hash of its beginning, where bbolt's
// two meta pages are. Any later commit changes one of them, and with it the mark is void; so opening costs no write.
const markSuffix = ".closed"

// metaBytes covers both meta pages with pages of up to 16 KiB.
const metaBytes = 32 << 10

func mark(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.LimitReader(f, metaBytes)); err != nil {
		return "", err
	}
	return fmt.Sprintf("closed in order: %d bytes, %x\n", info.Size(), h.Sum(nil)), nil
}

func closedInOrder(path string) bool {
	have, err := os.ReadFile(path + markSuffix)
	if err != nil {
		return false
	}
	want, err := mark(path)
	return err == nil && string(have) == want
}

// Close closes the journal in order, so that the next start need not check it. It is the one commit besides Append.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return nil
	}
	var err error
	if j.failed == nil {
		j.db.NoFreelistSync = false
		err = j.commit(j.state, nil, j.open)
	}
	j.closed = true
	err = errors.Join(err, j.db.Close())
	if err == nil && j.failed == nil {
		var m string
		if m, err = mark(j.path); err == nil {
			err = os.WriteFile(j.path+markSuffix, []byte(m), 0o600)
		}
	}
	if err != nil {
		return fmt.Errorf("close journal: %w", err)
	}
	return nil
}
