// Package retention erases what the evidence says once it was kept as long as policy has it, and notes each day how large the tree
// is, by which it knows how old a record is: clocks of kiosks can be wrong. Leaves stay, and so the tree and all its proofs.
//
// It erases nothing of a visit that is not over, and no row of another table.
package retention

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/store"
)

const (
	every = time.Hour
	slow  = time.Minute // between tries while the database fails
	batch = 500         // records of one transaction
)

// Keeper does it. All fields are needed. Any number of processes may run one on the same database.
type Keeper struct {
	Store store.Store
	Days  int // that bodies and salts are kept; 0: for ever
	Log   *slog.Logger
	Now   func() time.Time
}

// Run does it until ctx is done.
func (k *Keeper) Run(ctx context.Context) error {
	for {
		wait := every
		if err := k.Turn(ctx); err != nil && ctx.Err() == nil {
			k.Log.Error("the evidence is not kept as policy has it", "err", err)
			wait = slow
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// Turn does it once.
func (k *Keeper) Turn(ctx context.Context) error {
	now := k.Now()
	if err := k.Store.Update(ctx, func(tx *store.Tx) error { return tx.NoteDay(now) }); err != nil {
		return err
	}
	for more := true; more; {
		err := k.Store.Update(ctx, func(tx *store.Tx) (err error) {
			more, err = tx.ReadEntries(batch)
			return err
		})
		if err != nil {
			return err
		}
	}
	if k.Days == 0 {
		return nil
	}
	before := now.AddDate(0, 0, -k.Days)
	for more := true; more; {
		err := k.Store.Update(ctx, func(tx *store.Tx) error {
			size, err := tx.TreeBefore(before)
			if err != nil {
				return err
			}
			var n int64
			if n, more, err = tx.Erase(size, batch); err != nil || n == 0 {
				return err
			}
			note := fmt.Sprintf("%d records from before %s: kept for %d days", n, before.UTC().Format(time.DateOnly), k.Days)
			return tx.AppendEvent(ledger.Event{At: now, Kind: ledger.EvidenceErased, Note: note})
		})
		if err != nil {
			return err
		}
	}
	return nil
}
