package office

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/store"
	"latchkey/firmware/durable"
)

// Backup writes the database into a new file, mode 0600, while others serve from it. When it is durable, kiosks are told that
// they may forget what is in it. The keys are not in it.
func Backup(ctx context.Context, s store.Store, path, by string, now time.Time) (b store.Backup, err error) {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return b, refuse("there is a %s already: give the backup a new name, nothing is overwritten", path)
	}
	partial := path + ".partial"
	f, err := os.OpenFile(partial, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return b, refuse("there is a %s: another backup is under way, or was broken off; then remove it", partial)
	}
	if err != nil {
		return b, fmt.Errorf("back up: %w", err)
	}
	defer os.Remove(partial)
	b, err = store.WriteBackup(ctx, s, f, now)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return b, err
	}
	if err := os.Link(partial, path); err != nil { // a rename would overwrite
		return b, fmt.Errorf("back up: %w", err)
	}
	if err := durable.SyncDir(filepath.Dir(path)); err != nil {
		return b, fmt.Errorf("back up: %w", err)
	}
	err = s.Update(ctx, func(tx *store.Tx) error { return tx.RecordBackup(b, by, now) })
	return b, err
}

// Restored is what the RA has to put right after a restore.
type Restored struct {
	Backup store.Backup
	Epoch  store.Epoch
	Kiosks []string // to be confirmed again; cards wait for them
	Frozen int      // cards that stay frozen
}

// Restore loads a backup into the empty database of a central that is stopped, and opens a new epoch.
func Restore(ctx context.Context, s store.Store, path string, now time.Time) (r Restored, err error) {
	release, err := s.Restore(ctx)
	if err != nil {
		return r, err
	}
	defer release()
	open := func() (io.ReadCloser, error) { return os.Open(path) }
	if r.Backup, r.Epoch, err = store.RestoreBackup(ctx, s, open, now); err != nil {
		if errors.Is(err, store.ErrNotEmpty) {
			return r, refuse("%v: a backup is restored into a new database alone. Name another one in central.toml (database), or make this one empty", err)
		}
		return r, err
	}
	err = s.View(ctx, func(tx *store.Tx) (err error) {
		if r.Kiosks, err = tx.Missing(r.Epoch.Number); err != nil {
			return err
		}
		cards, err := tx.Cards()
		for _, c := range cards {
			if !c.FrozenAt.IsZero() {
				r.Frozen++
			}
		}
		return err
	})
	return r, err
}

// EpochState is how far central is in getting back what a restore made it forget.
type EpochState struct {
	store.Epoch
	Missing []string // kiosks that have not sent their journal again, by name; while there are some, cards are not served
}

// ShowEpoch says which epoch it is, and which kiosks it waits for.
func ShowEpoch(ctx context.Context, s store.Store) (e EpochState, err error) {
	err = s.View(ctx, func(tx *store.Tx) (err error) {
		if e.Epoch, err = tx.Epoch(); err != nil || !e.Recovering() {
			return err
		}
		if e.Missing, err = tx.Missing(e.Number); err == nil && len(e.Missing) == 0 {
			e.RecoveredAt = e.OpenedAt // all are back; the next card's proof writes down when
		}
		return err
	})
	return e, err
}

// recovering finds an epoch in which something is waited for.
func recovering(tx *store.Tx) (store.Epoch, error) {
	e, err := tx.Epoch()
	if err == nil && !e.Recovering() {
		err = refuse("nothing is waited for: central was not restored, or all kiosks are back")
	}
	return e, err
}

// GiveUpKiosk waits no longer for a kiosk's journal after a restore: it burnt, or will not be back soon. Cards that it has
// served since the backup may have a PUK that central does not know of, and lose tries at their next walk. What it sends later
// is taken all the same.
func GiveUpKiosk(ctx context.Context, s store.Store, name, by string, now time.Time) error {
	return s.Update(ctx, func(tx *store.Tx) error {
		e, err := recovering(tx)
		if err != nil {
			return err
		}
		k, err := tx.Kiosk(name)
		if errors.Is(err, store.ErrNotFound) {
			return refuse("there is no kiosk %s: \"central kiosk list\" names them", name)
		}
		if err != nil {
			return err
		}
		if k.SentEpoch >= e.Number {
			return refuse("the kiosk %s is not waited for: it has sent its journal", name)
		}
		k.SentEpoch = e.Number
		note := fmt.Sprintf("given up in epoch %d", e.Number)
		return errors.Join(tx.SetKioskSent(k), tx.AppendEvent(ledger.Event{At: now, Kind: ledger.KioskReleased, Kiosk: name, Note: note, By: by}))
	})
}

// ReleaseCard lets one card be served after a restore although kiosks are missing: its holder is known to have been at none of
// them since the backup.
func ReleaseCard(ctx context.Context, s store.Store, serial, by string, now time.Time) error {
	return s.Update(ctx, func(tx *store.Tx) error {
		e, err := recovering(tx)
		if err != nil {
			return err
		}
		c, err := cardNamed(tx, serial)
		if err != nil {
			return err
		}
		note := fmt.Sprintf("epoch %d", e.Number)
		return errors.Join(tx.ReleaseCard(c.Serial, e.Number),
			tx.AppendEvent(ledger.Event{At: now, Kind: ledger.CardReleased, Card: c.Serial, Note: note, By: by}))
	})
}
