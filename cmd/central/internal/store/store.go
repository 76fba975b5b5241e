// Package store keeps what central knows, in SQL. Store is what an engine has to be; Tx is the same for all of them: one
// schema, one set of queries.
//
// Every limit of the rules is read, judged and written inside one Update, so that it holds among any number of requests
// and processes. The package judges nothing itself and sees no secret in clear: what it is given is sealed already.
package store

import (
	"context"
	"database/sql"
	"errors"
)

// Store is a database.
type Store interface {
	// Update runs f in one transaction, alone among writers: what f reads, nobody changes before it is done. It is
	// durable on disk when Update returns nil; on any error nothing happened. f may be run again and keeps nothing from
	// a run that failed.
	Update(ctx context.Context, f func(*Tx) error) error
	// View runs f on one consistent state. f must not write.
	View(ctx context.Context, f func(*Tx) error) error
	Close() error
}

// ErrNotFound: there is no such row.
var ErrNotFound = errors.New("not found")

// Tx is one transaction. It is for one goroutine and dies with the function that it was given to.
type Tx struct {
	ctx context.Context
	tx  *sql.Tx
}

func (t *Tx) exec(query string, args ...any) (int64, error) {
	r, err := t.tx.ExecContext(t.ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// row scans one row; none is ErrNotFound.
func (t *Tx) row(query string, args []any, into ...any) error {
	err := t.tx.QueryRowContext(t.ctx, query, args...).Scan(into...)
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	return err
}

// rows calls f for every row.
func (t *Tx) rows(query string, args []any, f func(scan func(...any) error) error) error {
	rows, err := t.tx.QueryContext(t.ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}
