package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"latchkey/cmd/central/internal/ledger"
	"latchkey/firmware/audit"
)

// grow appends all that is there to the tree, in steps of limit.
func grow(t *testing.T, s Store, limit int) (records int) {
	t.Helper()
	for {
		var g Growth
		err := s.View(context.Background(), func(tx *Tx) (err error) {
			g, err = tx.Growth(limit)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if g.Records() == 0 {
			return records
		}
		done := false
		update(t, s, func(tx *Tx) (err error) {
			done, err = tx.Grow(g)
			return err
		})
		if done {
			records += g.Records()
		}
	}
}

// treeOf reads the whole tree.
func treeOf(t *testing.T, s Store) (c audit.Checkpoint, records []audit.Record) {
	t.Helper()
	err := s.View(context.Background(), func(tx *Tx) (err error) {
		if c, err = tx.Tree(); err != nil {
			return err
		}
		for place := range c.Size {
			r, err := tx.TreeRecord(place)
			if err != nil {
				return err
			}
			records = append(records, r)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return c, records
}

// rootOf is reckoned from the records alone.
func rootOf(t *testing.T, records []audit.Record) tlog.Hash {
	t.Helper()
	var stored []tlog.Hash
	read := tlog.HashReaderFunc(func(places []int64) (list []tlog.Hash, err error) {
		for _, p := range places {
			list = append(list, stored[p])
		}
		return list, nil
	})
	for i, r := range records {
		h, err := tlog.StoredHashes(int64(i), r.Data(), read)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, h...)
	}
	root, err := tlog.TreeHash(int64(len(records)), read)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func entry(n int64) ledger.Linked {
	body, err := audit.Encode(audit.Entry{Kind: audit.KindStarted, At: n})
	if err != nil {
		panic(err)
	}
	return ledger.Linked{Stored: audit.Stored{Seq: n, Salt: [32]byte{byte(n)}, Body: body}, Hash: [32]byte{byte(n), 1}}
}

func TestTheTreeHasEverythingOnce(t *testing.T) { conforms(t, testTheTreeHasEverythingOnce) }

func testTheTreeHasEverythingOnce(t *testing.T, another func() Store) {
	s := another()
	seed(t, s)
	if c, _ := treeOf(t, s); c.Size != 0 || grow(t, s, 3) != 0 {
		t.Fatalf("an empty tree has %d records", c.Size)
	}
	var sizes []audit.Checkpoint
	want := 0
	for round := range int64(7) {
		for n := range int64(3) {
			update(t, s, func(tx *Tx) error {
				return errors.Join(tx.AppendEvent(ledger.Event{At: now, Kind: ledger.CaseBegun, Kiosk: "k1", Card: "0a0b", Note: "ŵ <&>"}),
					tx.AppendEvent(ledger.Event{At: now, Kind: ledger.Imported, By: "mary"}),
					tx.AppendEvent(ledger.Event{Kind: ledger.KioskEnrolling, Kiosk: "k never seen"}),
					tx.AppendEntry("k1", entry(3*round+n+1)))
			})
			want += 4
		}
		if got := grow(t, s, 5); got != 12 {
			t.Fatalf("%d records were appended", got)
		}
		c, _ := treeOf(t, s)
		sizes = append(sizes, c)
	}
	c, records := treeOf(t, s)
	if len(records) != want || rootOf(t, records) != c.Root {
		t.Fatalf("%d records with root %s", len(records), c.Root)
	}
	next := map[string]int64{}
	for place, r := range records {
		if next[r.Source]++; r.Number != next[r.Source] {
			t.Fatalf("%s %d stands in the place of %d", r.Source, r.Number, next[r.Source])
		}
		err := s.View(t.Context(), func(tx *Tx) error {
			at, err := tx.TreePlace(r.Source, r.Number)
			if err != nil || at != int64(place) {
				return fmt.Errorf("%s %d stands at %d: %w", r.Source, r.Number, at, err)
			}
			proof, err := tx.ProveInclusion(c.Size, at)
			return errors.Join(err, audit.CheckInclusion(c, at, r, proof))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for i, older := range sizes {
		for _, newer := range sizes[i:] {
			err := s.View(t.Context(), func(tx *Tx) error {
				proof, err := tx.ProveConsistency(older.Size, newer.Size)
				return errors.Join(err, audit.CheckConsistency(older, newer, proof))
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// What is older than the tree has no salt yet. It is given one, once.
func TestOldEventsComeIntoTheTree(t *testing.T) { conforms(t, testOldEventsComeIntoTheTree) }

func testOldEventsComeIntoTheTree(t *testing.T, another func() Store) {
	s := another()
	seed(t, s)
	update(t, s, func(tx *Tx) error {
		return errors.Join(tx.AppendEvent(ledger.Event{At: now, Kind: ledger.Imported}), tx.exec(nil, `UPDATE events SET salt = NULL`))
	})
	grow(t, s, 9)
	err := s.View(t.Context(), func(tx *Tx) error {
		r, err := tx.TreeRecord(0)
		if err != nil {
			return err
		}
		var salt []byte
		if err := tx.row(nil, `SELECT salt FROM events`, nil, &salt); err != nil {
			return err
		}
		body, err := ledger.Body(ledger.Event{At: now, Kind: ledger.Imported})
		if err != nil || len(salt) != 32 || audit.Leaf([32]byte(salt), body) != r.Leaf {
			return fmt.Errorf("salt %x: %w", salt, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Several processes append while others write, some of whom commit late: nothing is skipped, nothing doubled.
func TestNothingIsSkippedThatCommitsLate(t *testing.T) {
	conforms(t, testNothingIsSkippedThatCommitsLate)
}

func testNothingIsSkippedThatCommitsLate(t *testing.T, another func() Store) {
	s, two := another(), another()
	seed(t, s)
	_, concurrent := s.(*PostgreSQL) // SQLite has one writer
	held, release := make(chan struct{}), make(chan struct{})
	var late sync.WaitGroup
	if concurrent {
		late.Go(func() {
			first := true
			err := s.Update(context.Background(), func(tx *Tx) error {
				err := tx.AppendEvent(ledger.Event{At: now, Kind: ledger.CaseBegun, Kiosk: "k1", Note: "late"})
				if err == nil {
					_, err = tx.Kiosk("k1") // so that what waits is sent
				}
				if first {
					first = false
					close(held)
					<-release
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
		<-held
	}
	var writers sync.WaitGroup
	const each = 40
	for k := range 4 {
		writers.Go(func() {
			for n := range int64(each) {
				err := another().Update(context.Background(), func(tx *Tx) error {
					return tx.AppendEvent(ledger.Event{At: now, Kind: ledger.CaseBegun, Kiosk: fmt.Sprint("k", k+2), Note: fmt.Sprint(n)})
				})
				if err != nil {
					t.Error(err)
				}
				if n > 2 {
					return // opening is dear
				}
			}
		})
	}
	writers.Wait()
	before := grow(t, two, 3)
	if before == 0 {
		t.Fatal("what has committed waits for what has not")
	}
	close(release)
	late.Wait()
	var growers sync.WaitGroup
	for _, one := range []Store{s, two, s, two} {
		growers.Go(func() { grow(t, one, 2) })
	}
	update(t, s, func(tx *Tx) error { return tx.AppendEvent(ledger.Event{At: now, Kind: ledger.CaseBegun, Kiosk: "k1"}) })
	growers.Wait()
	grow(t, s, 100)
	c, records := treeOf(t, s)
	if rootOf(t, records) != c.Root {
		t.Fatal("the root is not that of the records")
	}
	got := map[string]int64{}
	for _, r := range records {
		if got[r.Source]++; got[r.Source] != r.Number {
			t.Errorf("%s %d stands in the place of %d", r.Source, r.Number, got[r.Source])
		}
	}
	err := s.View(t.Context(), func(tx *Tx) error {
		events, err := tx.Events("")
		if len(events) != len(records) {
			t.Errorf("%d events, %d records", len(events), len(records))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A growth that was found for a tree that is another by now does nothing; so does one that a cut has undone.
func TestAStaleGrowthDoesNothing(t *testing.T) { conforms(t, testAStaleGrowthDoesNothing) }

func testAStaleGrowthDoesNothing(t *testing.T, another func() Store) {
	s := another()
	seed(t, s)
	update(t, s, func(tx *Tx) error { return tx.AppendEvent(ledger.Event{At: now, Kind: ledger.Imported}) })
	var g Growth
	view := func(f func(tx *Tx) error) {
		t.Helper()
		if err := s.View(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	view(func(tx *Tx) (err error) { g, err = tx.Growth(9); return err })
	cut := errors.New("cut")
	if err := s.Update(t.Context(), func(tx *Tx) error { _, err := tx.Grow(g); return errors.Join(err, cut) }); !errors.Is(err, cut) {
		t.Fatal(err)
	}
	if c, _ := treeOf(t, s); c.Size != 0 {
		t.Fatal("what was undone stands in the tree")
	}
	for i, want := range []bool{true, false} {
		update(t, s, func(tx *Tx) error {
			done, err := tx.Grow(g)
			if done != want {
				t.Errorf("try %d: done %v", i+1, done)
			}
			return err
		})
	}
	if c, _ := treeOf(t, s); c.Size != 1 {
		t.Fatalf("the tree has %d records", c.Size)
	}
}

func TestCheckpointsAreKept(t *testing.T) { conforms(t, testCheckpointsAreKept) }

func testCheckpointsAreKept(t *testing.T, another func() Store) {
	s := another()
	set := func(c TreeCheckpoint) { t.Helper(); update(t, s, func(tx *Tx) error { return tx.SetCheckpoint(c) }) }
	newest := func(witnessed bool) (c TreeCheckpoint) {
		t.Helper()
		err := s.View(t.Context(), func(tx *Tx) (err error) {
			c, err = tx.NewestCheckpoint(witnessed)
			return err
		})
		if err != nil && !errors.Is(err, ErrNotFound) {
			t.Fatal(err)
		}
		return c
	}
	if c := newest(false); c != (TreeCheckpoint{}) {
		t.Errorf("%+v", c)
	}
	a := TreeCheckpoint{Epoch: 1, Size: 7, SignedAt: now, Note: "seven\n"}
	set(a)
	set(TreeCheckpoint{Epoch: 1, Size: 5, SignedAt: now, Note: "five\n"})
	if got := newest(false); got != a || newest(true) != (TreeCheckpoint{}) {
		t.Errorf("%+v", got)
	}
	update(t, s, func(tx *Tx) error {
		return errors.Join(tx.AddWitness(1, 5, "— w1 AAAA\n"), tx.AddWitness(1, 5, "— w2 BBBB\n"), tx.AddWitness(1, 5, "— w1 CCCC\n"))
	})
	if got := newest(true); got.Size != 5 || got.Witnesses != "— w1 AAAA\n— w2 BBBB\n" {
		t.Errorf("%+v", got)
	}
	// A later epoch is newer, whatever its size; what no witness has cosigned goes after a day.
	b := TreeCheckpoint{Epoch: 1795305600, Size: 3, SignedAt: now.Add(25 * time.Hour), Note: "three\n"}
	set(b)
	if got := newest(false); got != b {
		t.Errorf("%+v", got)
	}
	err := s.View(t.Context(), func(tx *Tx) error {
		if _, err := tx.CheckpointOf(1, 7); !errors.Is(err, ErrNotFound) {
			t.Errorf("seven: %v", err)
		}
		_, err := tx.CheckpointOf(1, 5)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
