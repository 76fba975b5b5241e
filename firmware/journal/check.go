package journal

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"latchkey/firmware/audit"
)

// checkName is argument 0 of the child that reads a file through: no user types it, and no flag of the program is
// spent on it.
const checkName = "latchkey-journal-check"

// How the child ends. Any other way of ending is a crash, and a crash is what a damaged file does to bbolt.
const (
	exitSound     = 0
	exitDamaged   = 10
	exitUnchecked = 11 // the file could not be opened; that says nothing of its state
)

// checkWait ends a child that a damaged file sends in circles.
const checkWait = time.Minute

// checkable: CheckMain was called, so a child of this program checks and does nothing else.
var checkable atomic.Bool

// CheckMain ends the process here if it is the child that Open started to read a file through. Call it first thing in
// main, and in TestMain of whatever opens journals.
func CheckMain() {
	checkable.Store(true)
	if len(os.Args) != 2 || os.Args[0] != checkName {
		return
	}
	err := readThrough(os.Args[1])
	var d *damage
	switch {
	case err == nil:
		os.Exit(exitSound)
	case errors.As(err, &d):
		fmt.Println(err)
		os.Exit(exitDamaged)
	}
	fmt.Println(err)
	os.Exit(exitUnchecked)
}

// check has a child read the file through. It returns a *damage if the file is bad, another error if that could not be
// found out.
func check(path string) error {
	ctx, cancel := context.WithTimeout(context.Background(), checkWait)
	defer cancel()
	var said bytes.Buffer
	child := exec.CommandContext(ctx, "/proc/self/exe")
	child.Args = []string{checkName, path}
	child.Stdout = &said
	err := child.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return &damage{fmt.Errorf("check did not end within %v", checkWait)}
	case !errors.As(err, &exit):
		return fmt.Errorf("check: %w", err)
	}
	reason := strings.TrimSpace(said.String())
	switch exit.ExitCode() {
	case exitDamaged:
		return &damage{errors.New(reason)}
	case exitUnchecked:
		return fmt.Errorf("check: %s", reason)
	case -1:
		return fmt.Errorf("check was ended by somebody: %w", err)
	}
	return &damage{fmt.Errorf("check: %w", err)}
}

// readThrough reads every page and every entry. It runs in the child; what bbolt panics with ends the child.
func readThrough(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if info.Size() == 0 {
		return &damage{io.ErrUnexpectedEOF}
	}
	o := options()
	o.ReadOnly, o.MmapFlags = true, syscall.MAP_POPULATE // all of it is read
	db, err := bbolt.Open(path, 0o600, o)
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return errors.New("another process has it open")
	case err != nil:
		return &damage{err}
	}
	defer db.Close()
	return db.View(func(tx *bbolt.Tx) error {
		// Pages beyond the end are mapped, and touching one is a bus error, which ends the child as well.
		entries := make(chan error, 1)
		go func() { entries <- readEntries(tx) }()
		var bad error
		for err := range tx.Check() { // to its end, or it would wait for ever
			bad = err
		}
		if err := errors.Join(bad, <-entries); err != nil {
			return &damage{err}
		}
		return nil
	})
}

// readEntries follows the chain through all that is kept. What an entry says is not read, but for the open ones: the chain
// holds every byte of it, and the head, which is signed, holds the chain.
func readEntries(tx *bbolt.Tx) error {
	s, err := readState(tx)
	if err != nil {
		return err
	}
	open, err := readOpen(tx, &s)
	if err != nil {
		return err
	}
	seq, hash := s.First-1, [32]byte(s.Base)
	var links []link
	var verifying sync.WaitGroup
	var broken atomic.Pointer[error]
	verify := func(links []link) {
		if err := verifyLinks(links); err != nil {
			broken.Store(&err)
		}
	}
	err = tx.Bucket(bucketEntries).ForEach(func(k, v []byte) error {
		seq++
		if len(k) != 8 || int64(binary.BigEndian.Uint64(k)) != seq {
			return fmt.Errorf("entry %d: key %x stands in its place", seq, k)
		}
		if len(v) < recordHead {
			return fmt.Errorf("entry %d: record of %d bytes", seq, len(v))
		}
		links = append(links, link{seq, hash, v})
		hash = [32]byte(v[32:])
		if len(links) == linksAtOnce {
			full := links
			links = make([]link, 0, linksAtOnce)
			verifying.Go(func() { verify(full) })
		}
		return nil
	})
	verify(links)
	verifying.Wait() // the pages are good for as long as the transaction lasts
	if b := broken.Load(); err == nil && b != nil {
		err = *b
	}
	if err != nil {
		return err
	}
	if seq != s.Seq || hash != s.hash() {
		return fmt.Errorf("entries end at %d, the head is %d", seq, s.Seq)
	}
	for _, o := range open {
		if o.seq < s.First {
			continue // it answers a question, and what it said is backed up
		}
		r, err := decodeRecord(tx.Bucket(bucketEntries).Get(number(o.seq)))
		if err != nil {
			return fmt.Errorf("entry %d: %w", o.seq, err)
		}
		if body, err := audit.Encode(o.entry); err != nil || !bytes.Equal(body, r.body) {
			return fmt.Errorf("entry %d: stands otherwise among the open ones", o.seq)
		}
	}
	return nil
}

// link is an entry as it stands in the file, in bbolt's memory, and the chain before it.
type link struct {
	seq    int64
	before [32]byte
	record []byte
}

// linksAtOnce are verified together, beside others: a start after a power cut is not to wait for one core alone.
const linksAtOnce = 512

func verifyLinks(links []link) error {
	for _, l := range links {
		leaf := audit.Leaf([32]byte(l.record), l.record[recordHead:])
		if audit.Chain(l.before, l.seq, leaf) != [32]byte(l.record[32:]) {
			return fmt.Errorf("entry %d: chain is broken", l.seq)
		}
	}
	return nil
}
