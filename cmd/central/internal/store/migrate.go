package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/pressly/goose/v3"
)

// ErrRowsLost: the older schema has no place for rows that are there.
var ErrRowsLost = errors.New("rows would be lost")

// ErrNewer: a newer central has brought the schema further than this one knows.
var ErrNewer = errors.New("the database was used by a newer central: install that one again, or take the schema back with its \"central migrate --back\"")

// bringUp brings the schema up to date.
func bringUp(ctx context.Context, p *goose.Provider) error {
	has, err := p.GetDBVersion(ctx)
	if err != nil {
		return err
	}
	all := p.ListSources()
	if newest := all[len(all)-1].Version; has > newest {
		return fmt.Errorf("%w (schema %d, this one knows %d)", ErrNewer, has, newest)
	}
	_, err = p.Up(ctx)
	return err
}

// Migrate says which version the schema has, which Open has brought up to date, or takes it one back. It is refused while
// central serves, and if a table that the older schema does not have has rows.
func Migrate(ctx context.Context, s Store, back bool) (version int64, err error) {
	err = s.View(ctx, func(tx *Tx) (err error) {
		version, err = tx.schema()
		return err
	})
	if err != nil || !back {
		return version, err
	}
	release, err := s.Restore(ctx)
	if err != nil {
		return version, err
	}
	defer release()
	if version <= 1 {
		return version, errors.New("the schema is the first one: there is nothing to go back to")
	}
	err = s.View(ctx, func(tx *Tx) error {
		for _, table := range addedIn[version] {
			var one int64
			err := tx.row(keys{everything}, `SELECT 1 FROM `+table+` LIMIT 1`, nil, &one)
			switch {
			case err == nil:
				return fmt.Errorf("%w: schema %d has no table %s", ErrRowsLost, version-1, table)
			case !errors.Is(err, ErrNotFound):
				return err
			}
		}
		for what, where := range forgottenBefore[version] {
			var one int64
			err := tx.row(keys{everything}, `SELECT 1 FROM `+where+` LIMIT 1`, nil, &one)
			switch {
			case err == nil:
				return fmt.Errorf("%w: schema %d does not know of %s", ErrRowsLost, version-1, what)
			case !errors.Is(err, ErrNotFound):
				return err
			}
		}
		return nil
	})
	if err != nil {
		return version, fmt.Errorf("migrate back: %w", err)
	}
	err = s.migrating(func(p *goose.Provider) error {
		_, err := p.Down(ctx)
		return err
	})
	if err != nil {
		return version, fmt.Errorf("migrate back: %w", err)
	}
	return version - 1, nil
}

func (s *SQLite) migrating(f func(*goose.Provider) error) error {
	p, err := s.migrations()
	if err != nil {
		return err
	}
	return f(p) // to close it would close the database
}

func (p *PostgreSQL) migrating(f func(*goose.Provider) error) error {
	provider, err := p.migrations()
	if err != nil {
		return err
	}
	defer provider.Close() // not the pool
	return f(provider)
}

// forgottenBefore names what a version's columns keep back, which the older central would serve again.
var forgottenBefore = map[int64]map[string]string{
	2: {"frozen cards": "cards WHERE frozen_at > 0", "kiosks in quarantine": "kiosks WHERE quarantined_at > 0", "holders in quarantine": "holders WHERE quarantined_at > 0"},
	3: {"kiosks whose case was opened": "kiosks WHERE case_told_at > 0"},
	5: {"kiosks that were let begin a new journal": "kiosks WHERE log > 1", "entries that were erased": "entries WHERE body IS NULL"},
}

// addedIn names the tables that a version of the schema brought.
var addedIn = map[int64][]string{
	2: {"enrolments", "organisations", "positions", "freeze_words", "strikes", "messages", "epochs", "evidence"},
	3: {"feedback"},
	4: {"service_chains", "service_cards", "service_serials"},
	5: {"tree_leaves", "tree_hashes", "tree_checkpoints"},
	6: {"kiosk_keys", "tree_days", "tree_erased"},
}
