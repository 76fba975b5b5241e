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

// Tx is one transaction. It is for one goroutine and dies with the function that it was given to. After a statement that
// failed it runs no other, and an Update in which one failed fails.
type Tx struct {
	ctx    context.Context // once it is done, nothing more is run
	run    context.Context // of the statements
	tx     *sql.Tx
	queue  *queue // of prepared statements; nil where there are none
	failed error
}

// ready refuses to go on after a failure: the engine may have ended the transaction with it, and what follows would be
// stored on its own.
func (t *Tx) ready() error {
	if t.failed == nil {
		t.failed = t.ctx.Err()
	}
	return t.failed
}

func (t *Tx) exec(query string, args ...any) (n int64, err error) {
	if err := t.ready(); err != nil {
		return 0, err
	}
	var r sql.Result
	if st := t.statement(query); st != nil {
		r, err = st.ExecContext(t.run, args...)
	} else {
		r, err = t.tx.ExecContext(t.run, query, args...)
	}
	if err == nil {
		n, err = r.RowsAffected()
	}
	t.failed = err
	return n, err
}

// row scans one row; none is ErrNotFound.
func (t *Tx) row(query string, args []any, into ...any) error {
	err := ErrNotFound
	e := t.rows(query, args, func(scan func(...any) error) error {
		err = scan(into...)
		return err
	})
	if e != nil {
		return e
	}
	return err
}

// rows calls f for every row.
func (t *Tx) rows(query string, args []any, f func(scan func(...any) error) error) (err error) {
	if err := t.ready(); err != nil {
		return err
	}
	var rows *sql.Rows
	if st := t.statement(query); st != nil {
		rows, err = st.QueryContext(t.run, args...)
	} else {
		rows, err = t.tx.QueryContext(t.run, query, args...)
	}
	if err != nil {
		t.failed = err
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows.Scan); err != nil {
			return err
		}
	}
	t.failed = rows.Err()
	return t.failed
}

func (t *Tx) statement(query string) *sql.Stmt {
	if t.queue == nil {
		return nil
	}
	st := t.queue.statement(query)
	if st == nil {
		return nil
	}
	return t.tx.StmtContext(t.run, st)
}
