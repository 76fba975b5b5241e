package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

// together runs Updates in one group, in their order, and tells what each returned; a panic comes back as an error. It is for
// a bubble of synctest. inside runs in the last of them, when all others have run, and is told which have returned.
func together(s *SQLite, inside func(returned []int), ctxs map[int]context.Context, fs ...func(*Tx) error) []error {
	errs := make([]error, len(fs))
	var mu sync.Mutex
	var returned []int
	queued := make(chan struct{})
	var wg sync.WaitGroup
	// The first has the turn until all others wait for it.
	fs = append([]func(*Tx) error{func(*Tx) error { <-queued; return nil }}, fs...)
	for i, f := range fs {
		ctx := context.Background()
		if c := ctxs[i-1]; c != nil {
			ctx = c
		}
		wg.Go(func() {
			var err error
			defer func() {
				if p := recover(); p != nil {
					err = fmt.Errorf("panic: %v", p)
				}
				mu.Lock()
				defer mu.Unlock()
				returned = append(returned, i-1)
				if i > 0 {
					errs[i-1] = err
				}
			}()
			err = s.Update(ctx, func(tx *Tx) error {
				if i == len(fs)-1 && inside != nil {
					synctest.Wait()
					mu.Lock()
					inside(slices.Sorted(slices.Values(returned)))
					mu.Unlock()
				}
				return f(tx)
			})
		})
		synctest.Wait()
	}
	close(queued)
	wg.Wait()
	return errs
}

func add(name string) func(*Tx) error {
	return func(tx *Tx) error { _, err := tx.AddKiosk(Kiosk{Name: name, State: KioskActive}); return err }
}

func names(t *testing.T, s Store) (list []string) {
	t.Helper()
	err := s.View(context.Background(), func(tx *Tx) error {
		all, err := tx.Kiosks()
		for _, k := range all {
			list = append(list, k.Name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

var errBoom = errors.New("boom")

// Updates that share a commit do not share their failures: who fails, panics, breaks a constraint or hangs up takes back
// its own writes alone, and none returns before the commit.
func TestOneOfAGroupFailsAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := open(t)
		seed(t, s)
		ctx, hangUp := context.WithCancel(context.Background())
		gone, cancel := context.WithCancel(context.Background())
		cancel()
		errs := together(s, func(returned []int) {
			if !slices.Equal(returned, []int{2, 4}) { // the panic, and the one that never ran
				t.Errorf("Updates %v returned before the commit", returned)
			}
			if got := names(t, s); !slices.Equal(got, []string{"k1"}) {
				t.Errorf("before the commit others saw %v", got)
			}
		}, map[int]context.Context{3: ctx, 4: gone},
			add("a"),
			func(tx *Tx) error { return errors.Join(add("failed")(tx), errBoom) },
			func(tx *Tx) error { add("panicked")(tx); panic("boom") },
			func(tx *Tx) error {
				err := add("hung-up")(tx)
				hangUp()
				return errors.Join(err, add("hung-up-2")(tx))
			},
			add("gone"),
			func(tx *Tx) error { // swallows what the database said, and goes on
				tx.exec(nil, `INSERT INTO kiosks (name) VALUES ('broken')`)
				add("after-broken")(tx)
				return nil
			},
			add("b"))
		for i, want := range []string{"", "boom", "panic: boom", "context canceled", "begin transaction: context canceled", "constraint failed", ""} {
			got := ""
			if errs[i] != nil {
				got = errs[i].Error()
			}
			if want == "" && got != "" || want != "" && !strings.Contains(got, want) {
				t.Errorf("Update %d: %q, want %q", i, got, want)
			}
		}
		if got := names(t, s); !slices.Equal(got, []string{"a", "b", "k1"}) {
			t.Errorf("stored: %v", got)
		}
	})
}

// The first of a group has no savepoint: what it takes back, or makes nothing of, is the transaction, and nobody else's.
func TestFirstOfAGroupFailsAlone(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]func(*Tx) error{
		"an error": func(tx *Tx) error { return errors.Join(add("failed")(tx), errBoom) },
		"a panic":  func(tx *Tx) error { add("panicked")(tx); panic("boom") },
		"a statement": func(tx *Tx) error {
			add("swallowed")(tx)
			tx.exec(nil, `INSERT INTO kiosks (name) VALUES ('broken')`)
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := open(t)
				var failed, after error
				var wg sync.WaitGroup
				wg.Go(func() {
					defer func() {
						if p := recover(); p != nil {
							failed = fmt.Errorf("panic: %v", p)
						}
					}()
					failed = s.Update(t.Context(), func(tx *Tx) error {
						wg.Go(func() { after = s.Update(t.Context(), add("after")) })
						synctest.Wait()
						return f(tx)
					})
				})
				wg.Wait()
				if got := names(t, s); failed == nil || after != nil || !slices.Equal(got, []string{"after"}) {
					t.Errorf("stored: %v; %v, %v", got, failed, after)
				}
			})
		})
	}
}

// When the engine throws the whole transaction away, nothing of the group is stored, not even what comes after, and every
// Update says so. The next one works.
func TestGroupThatIsLostIsLostWhole(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := open(t)
		seed(t, s)
		errs := together(s, nil, nil,
			add("a"),
			func(tx *Tx) error {
				tx.exec(nil, `INSERT OR ROLLBACK INTO kiosks (name, certificate, state, added_at) VALUES ('k1', x'00', 'active', 1)`)
				add("on-its-own")(tx)
				return nil
			},
			add("later"))
		if errs[0] == nil || errs[1] == nil {
			t.Errorf("Updates of a lost group: %v", errs)
		}
		// What came later was a new group.
		if got := names(t, s); errs[2] != nil || !slices.Equal(got, []string{"k1", "later"}) {
			t.Errorf("stored: %v, %v", got, errs[2])
		}
	})
}

// A commit that fails fails all, and leaves nothing behind.
func TestGroupWhoseCommitFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := open(t)
		seed(t, s)
		errs := together(s, nil, nil,
			add("a"),
			func(tx *Tx) error { // a debt that is asked for at the commit
				err := tx.exec(nil, `PRAGMA defer_foreign_keys = 1`)
				e := tx.exec(nil, `INSERT INTO secrets (card, generation, sealed) VALUES ('nobody', 0, x'00')`)
				return errors.Join(err, e)
			},
			add("b"))
		for i, err := range errs {
			if err == nil {
				t.Errorf("Update %d of a group that was not committed returned without an error", i)
			}
		}
		if got := names(t, s); !slices.Equal(got, []string{"k1"}) {
			t.Errorf("stored: %v", got)
		}
		update(t, s, add("next"))
	})
}

// A full group is committed although others wait.
func TestGroupIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := open(t)
		var fs []func(*Tx) error
		for i := range maxGroup {
			fs = append(fs, add(fmt.Sprint(i)))
		}
		together(s, func(returned []int) {
			if len(returned) != maxGroup {
				t.Errorf("%d Updates had returned, want those of one full group", len(returned))
			}
		}, nil, fs...)
	})
}

// What Update has returned from, another process sees: nothing is promised early.
func TestUpdateReturnsWhenCommitted(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "db")
	s, other := openAt(t, path), openAt(t, path)
	var wg sync.WaitGroup
	for i := range 3*maxGroup + 1 {
		wg.Go(func() {
			name := fmt.Sprint(i)
			if err := s.Update(context.Background(), add(name)); err != nil {
				t.Error(err)
				return
			}
			if err := other.View(context.Background(), func(tx *Tx) error { _, err := tx.Kiosk(name); return err }); err != nil {
				t.Errorf("after Update returned: %v", err)
			}
		})
	}
	wg.Wait()
	if n := len(names(t, other)); n != 3*maxGroup+1 {
		t.Errorf("%d of %d stored", n, 3*maxGroup+1)
	}
}
