package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/pressly/goose/v3"
)

// ErrRowsLost: the older schema has no place for rows that are there.
var ErrRowsLost = errors.New("rows would be lost")

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

// addedIn names the tables that a version of the schema brought.
var addedIn = map[int64][]string{
	2: {"enrolments", "organisations", "positions", "freeze_words", "strikes", "messages", "epochs", "evidence"},
}
