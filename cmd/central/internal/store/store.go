// Package store keeps what central knows, in SQL. Store is what an engine has to be: SQLite in a file, or PostgreSQL. Tx is the
// same for both: one schema, one set of queries.
//
// Every limit of the rules is read, judged and written inside one Update, so that it holds among any number of requests
// and processes. The package judges nothing itself and sees no secret in clear: what it is given is sealed already.
package store

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"github.com/pressly/goose/v3"
)

// Store is a database.
type Store interface {
	// Update runs f in one transaction, as if alone among writers: what f reads, nobody changes before it is done. It is
	// durable on disk when Update returns nil; on any error nothing happened, unless a server's connection broke during the
	// commit, when nobody knows: who repeats a request learns it. f may be run again, is run on what may not be the truth
	// then, and keeps nothing from a run that failed.
	Update(ctx context.Context, f func(*Tx) error) error
	// View runs f on one consistent state. f must not write.
	View(ctx context.Context, f func(*Tx) error) error
	// Serve says that central serves from the database, until release is called. Restore says that nobody may, and is refused
	// with ErrServed while somebody does; then it is Serve that is refused. What a restore has left half done is not served.
	Serve(ctx context.Context) (release func(), err error)
	Restore(ctx context.Context) (release func(), err error)
	Close() error

	// migrating runs f with the schema's migrations; there must be no other user.
	migrating(f func(*goose.Provider) error) error
}

// Open opens the database: a URL of PostgreSQL's, or the path of SQLite's file, which is made if need be. Its schema is
// brought up to date.
func Open(ctx context.Context, database string) (Store, error) {
	if IsPostgreSQL(database) {
		return OpenPostgreSQL(ctx, database)
	}
	return OpenSQLite(ctx, database)
}

// ErrServed: central serves from this database, or it is being restored.
var ErrServed = errors.New("the database is in use by a central that serves or restores: stop that first")

// ErrNotFound: there is no such row.
var ErrNotFound = errors.New("not found")

// Tx is one transaction. It is for one goroutine and dies with the function that it was given to. After a statement that
// failed it runs no other, and an Update in which one failed fails.
type Tx struct {
	session
	ctx    context.Context // once it is done, nothing more is run
	swept  *atomic.Int64   // when old answers were dropped last, milliseconds; the store's
	failed error
}

// session is a transaction of an engine's. keys are what the statement is about, for engines that run several writers at once.
type session interface {
	// exec runs a statement that answers nothing. Its error can come with a later one.
	exec(k keys, query string, args ...any) error
	// query calls each for every row, and passes on its error.
	query(k keys, query string, args []any, each func(scan func(...any) error) error) error
}

// ready refuses to go on after a failure: the engine may have ended the transaction with it, and what follows would be
// stored on its own.
func (t *Tx) ready() error {
	if t.failed == nil {
		t.failed = t.ctx.Err()
	}
	return t.failed
}

// exec runs a statement that answers nothing.
func (t *Tx) exec(k keys, query string, args ...any) error {
	if err := t.ready(); err != nil {
		return err
	}
	if t.failed = errNotText; text(args) {
		t.failed = t.session.exec(k, query, args...)
	}
	return t.failed
}

// row scans one row; none is ErrNotFound.
func (t *Tx) row(k keys, query string, args []any, into ...any) error {
	err := ErrNotFound
	e := t.rows(k, query, args, func(scan func(...any) error) error {
		err = scan(into...)
		return err
	})
	if e != nil {
		return e
	}
	return err
}

// rows calls f for every row.
func (t *Tx) rows(k keys, query string, args []any, f func(scan func(...any) error) error) error {
	if err := t.ready(); err != nil {
		return err
	}
	if !text(args) {
		return nil // no row has it
	}
	var own error
	err := t.session.query(k, query, args, func(scan func(...any) error) error {
		own = f(scan)
		return own
	})
	if own != nil {
		return own
	}
	t.failed = err
	return err
}

// errNotText: PostgreSQL keeps no text that is not UTF-8 or has a zero in it, and so nobody does.
var errNotText = errors.New("text that is not UTF-8, or has a zero in it, cannot be stored")

func text(args []any) bool {
	for _, a := range args {
		if v := reflect.ValueOf(a); v.Kind() == reflect.String && (!utf8.ValidString(v.String()) || strings.ContainsRune(v.String(), 0)) {
			return false
		}
	}
	return true
}

// truth scans what is stored as a number.
type truth struct{ into *bool }

// Scan implements sql.Scanner.
func (t truth) Scan(v any) error {
	switch v := v.(type) {
	case int64:
		*t.into = v != 0
	case bool: // of EXISTS, with PostgreSQL
		*t.into = v
	default:
		return fmt.Errorf("%T is not a truth", v)
	}
	return nil
}
