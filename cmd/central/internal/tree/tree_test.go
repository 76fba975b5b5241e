package tree

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/mod/sumdb/tlog"

	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/store"
	"latchkey/firmware/audit"
	"latchkey/tools/postgres"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(run{m}) }

// run is all tests, and the end of the PostgreSQL that they shared.
type run struct{ *testing.M }

func (r run) Run() int {
	code := r.M.Run()
	if err := postgres.CloseShared(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// engines runs a test on each engine; open opens one more Store on the same database, as a process would that starts again.
func engines(t *testing.T, test func(t *testing.T, open func() store.Store)) {
	t.Parallel()
	for _, name := range []string{"SQLite", "PostgreSQL"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			where := filepath.Join(t.TempDir(), "central.sqlite")
			if name == "PostgreSQL" {
				var err error
				if where, err = postgres.Shared(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			test(t, func() store.Store {
				t.Helper()
				s, err := store.Open(context.Background(), where)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { s.Close() })
				return s
			})
		})
	}
}

func key(t *testing.T) *audit.TreeSigner {
	t.Helper()
	secret, _, err := audit.NewTreeKey(rand.Reader, "ledger")
	if err != nil {
		t.Fatal(err)
	}
	k, err := audit.ParseTreeSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func grower(s store.Store, k *audit.TreeSigner) *Grower {
	return &Grower{Store: s, Key: k, Log: slog.New(slog.DiscardHandler), Now: time.Now}
}

func happen(t *testing.T, s store.Store, n int) {
	t.Helper()
	for i := range n {
		err := s.Update(context.Background(), func(tx *store.Tx) error {
			return tx.AppendEvent(ledger.Event{At: time.UnixMilli(int64(i)), Kind: ledger.CaseBegun, Kiosk: fmt.Sprint("k", i%3)})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// killed fails its nth Update: before it, or after it happened.
type killed struct {
	store.Store
	n     int
	after bool
}

var errKilled = errors.New("killed")

func (k *killed) Update(ctx context.Context, f func(*store.Tx) error) error {
	if k.n--; k.n != 0 {
		return k.Store.Update(ctx, f)
	}
	if k.after {
		if err := k.Store.Update(ctx, f); err != nil {
			return err
		}
	}
	return errKilled
}

// Whatever a process is killed at, the next one goes on: each event stands in the tree once, and what was published stays true.
func TestKilledAtEachStep(t *testing.T) { engines(t, testKilledAtEachStep) }

func testKilledAtEachStep(t *testing.T, open func() store.Store) {
	s, k := open(), key(t)
	var published []audit.Signed
	events := 0
	for step := 1; ; step++ {
		reached := false
		for _, after := range []bool{false, true} {
			happen(t, s, batch+5) // two transactions and a checkpoint
			events += batch + 5
			if _, err := grower(&killed{s, step, after}, k).Sign(t.Context()); errors.Is(err, errKilled) {
				reached = true
			} else if err != nil {
				t.Fatal(err)
			}
			again, err := grower(s, k).Sign(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if again.Size != int64(events) {
				t.Fatalf("killed at %d, %v: %d events, %d records", step, after, events, again.Size)
			}
			published = append(published, again)
		}
		if !reached {
			break
		}
	}
	if len(published) != 8 {
		t.Errorf("there were %d kills, want 6 and two runs without", len(published)-2)
	}
	last := published[len(published)-1]
	for _, older := range published[:len(published)-1] {
		err := s.View(t.Context(), func(tx *store.Tx) error {
			proof, err := tx.ProveConsistency(older.Size, last.Size)
			return errors.Join(err, audit.CheckConsistency(older.Checkpoint, last.Checkpoint, proof))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Two processes, with the same key on one database, publish one history.
func TestTwoProcessesSignOneHistory(t *testing.T) { engines(t, testTwoProcessesSignOneHistory) }

func testTwoProcessesSignOneHistory(t *testing.T, open func() store.Store) {
	k := key(t)
	got := make(chan audit.Signed, 100)
	ended := make(chan error, 3)
	writer := open()
	for range 2 {
		g := grower(open(), k)
		go func() {
			for range 10 {
				s, err := g.Sign(context.Background())
				if err != nil && !errors.Is(err, ErrEmpty) {
					ended <- err
					return
				}
				if err == nil {
					got <- s
				}
			}
			ended <- nil
		}()
	}
	go func() {
		for i := range 60 {
			err := writer.Update(context.Background(), func(tx *store.Tx) error {
				return tx.AppendEvent(ledger.Event{Kind: ledger.CaseBegun, Kiosk: fmt.Sprint("k", i%7)})
			})
			if err != nil {
				ended <- err
				return
			}
		}
		ended <- nil
	}()
	for range 3 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	close(got)
	roots := map[int64]tlog.Hash{}
	for s := range got {
		if root, is := roots[s.Size]; is && root != s.Root {
			t.Errorf("two roots of size %d", s.Size)
		}
		roots[s.Size] = s.Root
	}
	last, err := grower(writer, k).Sign(t.Context())
	if err != nil || last.Size != 60 {
		t.Fatalf("%d records: %v", last.Size, err)
	}
	for size, root := range roots {
		p, err := grower(writer, k).Newest(t.Context(), false, size)
		var proof tlog.TreeProof
		for _, h := range p.Proof {
			proof = append(proof, tlog.Hash(h))
		}
		if err := errors.Join(err, audit.CheckConsistency(audit.Checkpoint{Size: size, Root: root}, p.Checkpoint, proof)); err != nil {
			t.Error(err)
		}
	}
}

// While something comes there is a checkpoint a minute; while nothing does, none. Another key signs the same tree.
func TestACheckpointAMinute(t *testing.T) {
	t.Parallel()
	s, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "central.sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	now := time.Unix(1795305600, 0)
	g := grower(s, key(t))
	g.Now = func() time.Time { return now }
	newest := func() int64 {
		t.Helper()
		p, err := g.Newest(t.Context(), false, 0)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			t.Fatal(err)
		}
		return p.Size
	}
	turn := func() {
		t.Helper()
		if err := g.turn(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	turn()
	for minute, want := range []int64{1, 2, 3, 4} {
		happen(t, s, 1)
		for range 12 {
			now = now.Add(pause)
			turn()
		}
		if got := newest(); got != want {
			t.Errorf("minute %d: %d records, want %d", minute, got, want)
		}
	}
	var before store.TreeCheckpoint
	view := func(f func(*store.Tx) error) {
		t.Helper()
		if err := s.View(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	view(func(tx *store.Tx) (err error) { before, err = tx.NewestCheckpoint(false); return err })
	now = now.Add(time.Hour)
	turn()
	view(func(tx *store.Tx) error {
		after, err := tx.NewestCheckpoint(false)
		if after != before {
			t.Error("nothing came, and a checkpoint was signed")
		}
		return err
	})
	now = now.Add(-48 * time.Hour) // the clock is set back
	happen(t, s, 1)
	turn()
	if newest() != 5 {
		t.Error("a clock that was set back keeps everybody waiting")
	}
	g.Key = key(t)
	if got := newest(); got != 0 {
		t.Errorf("a checkpoint of another key is shown: %d", got)
	}
	turn()
	if got := newest(); got != 5 {
		t.Errorf("the new key has signed %d records", got)
	}
	g.Key = nil
	turn()
	if _, err := g.Sign(t.Context()); !errors.Is(err, ErrNoKey) {
		t.Error(err)
	}
}

// Run ends when it is told to, and a database that fails does not end it.
func TestRunGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		broken := &failing{tries: make(chan struct{}, 3)}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- grower(broken, nil).Run(ctx) }()
		for range 3 {
			<-broken.tries
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

type failing struct {
	store.Store
	tries chan struct{}
}

func (f *failing) View(context.Context, func(*store.Tx) error) error {
	f.tries <- struct{}{}
	return errors.New("no database")
}
