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
	"sync/atomic"
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
	o.ReadOnly = true
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
		for err := range tx.Check() {
			return &damage{err}
		}
		if err := readEntries(tx); err != nil {
			return &damage{err}
		}
		return nil
	})
}

// readEntries follows the chain through all that is kept.
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
	err = tx.Bucket(bucketEntries).ForEach(func(k, v []byte) error {
		seq++
		if len(k) != 8 || int64(binary.BigEndian.Uint64(k)) != seq {
			return fmt.Errorf("entry %d: key %x stands in its place", seq, k)
		}
		r, err := decodeRecord(v)
		if err != nil {
			return fmt.Errorf("entry %d: %w", seq, err)
		}
		e, err := audit.Decode(r.body)
		if err != nil {
			return fmt.Errorf("entry %d: %w", seq, err)
		}
		if hash = audit.Chain(hash, seq, audit.Leaf(r.salt, r.body)); hash != r.hash {
			return fmt.Errorf("entry %d: chain is broken", seq)
		}
		for _, o := range open {
			if o.seq == seq && o.entry.Kind != e.Kind {
				return fmt.Errorf("entry %d: stands as %s among the open ones", seq, o.entry.Kind)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if seq != s.Seq || hash != s.hash() {
		return fmt.Errorf("entries end at %d, the head is %d", seq, s.Seq)
	}
	return nil
}
