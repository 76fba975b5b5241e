package retention

import (
	"bytes"
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/store"
	"latchkey/cmd/central/internal/tree"
)

// What was held for as long as policy has it loses what it says, by central's days and not by the clock of whoever wrote it; and that
// it was done stands in the ledger.
func TestWhatWasKeptLongEnoughIsErased(t *testing.T) {
	t.Parallel()
	s, err := store.OpenSQLite(context.Background(), filepath.Join(t.TempDir(), "central.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	start := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	now := start
	log := slog.New(slog.DiscardHandler)
	k := &Keeper{Store: s, Days: 30, Log: log, Now: func() time.Time { return now }}
	g := &tree.Grower{Store: s, Log: log, Now: k.Now}
	event := func(note string, at time.Time) {
		t.Helper()
		if err := s.Update(t.Context(), func(tx *store.Tx) error {
			return tx.AppendEvent(ledger.Event{At: at, Kind: ledger.Imported, Note: note})
		}); err != nil {
			t.Fatal(err)
		}
	}
	told := func() string {
		t.Helper()
		var list []string
		err := s.View(t.Context(), func(tx *store.Tx) error {
			events, err := tx.Events("")
			for _, e := range events {
				if e.Kind != ledger.Erased {
					list = append(list, e.Note)
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(list, "; ")
	}
	for day := range 40 {
		now = start.AddDate(0, 0, day)
		switch day {
		case 0:
			event("a", now)
		case 5:
			event("b", time.Unix(0, 1e6)) // a clock that was not set
		}
		if err := g.Append(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := k.Turn(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := map[bool]string{true: "a", false: "b; a"}[day < 5]
		switch {
		case day >= 36:
			want = "1 records from before 2026-11-23: kept for 30 days; 1 records from before 2026-11-28: kept for 30 days"
		case day >= 31:
			want = "b; 1 records from before 2026-11-23: kept for 30 days"
		}
		if got := told(); got != want {
			t.Fatalf("day %d: %q, want %q", day, got, want)
		}
	}
	k.Days, now = 0, now.AddDate(10, 0, 0)
	before := told()
	if err := k.Turn(t.Context()); err != nil || told() != before {
		t.Errorf("%v: erased although it is kept for ever: %s", err, told())
	}
}

// It says what is wrong and tries again, and ends when it is told to.
func TestAFailingDatabase(t *testing.T) {
	t.Parallel()
	s, err := store.OpenSQLite(context.Background(), filepath.Join(t.TempDir(), "central.db"))
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		ctx, stop := context.WithTimeout(t.Context(), 5*time.Minute+time.Second)
		defer stop()
		if err := (&Keeper{Store: s, Days: 30, Log: slog.New(slog.NewTextHandler(&b, nil)), Now: time.Now}).Run(ctx); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(b.String(), "not kept as policy has it"); n != 6 {
			t.Errorf("told %d times: %s", n, &b)
		}
	})
}
