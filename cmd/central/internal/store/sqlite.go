package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"net/url"
	"os"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// SQLite is a Store in one file. Several processes of one machine may use it at once: the service and its commands.
type SQLite struct {
	write *sql.DB // one connection: writers queue for it, instead of polling the file's lock
	read  *sql.DB
	queue *queue
}

var _ Store = (*SQLite)(nil)

// OpenSQLite opens the file, making it (mode 0600) if need be, and brings its schema up to date.
func OpenSQLite(ctx context.Context, path string) (*SQLite, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	f.Close()
	s := &SQLite{queue: newQueue()}
	if s.write, err = sql.Open("sqlite", dsn(path, "immediate")); err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	s.write.SetMaxOpenConns(1)
	if s.read, err = sql.Open("sqlite", dsn(path, "deferred")+"&_pragma=query_only(1)"); err != nil {
		s.write.Close()
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	if err := s.migrate(ctx); err != nil {
		s.Close()
		return nil, fmt.Errorf("bring database %s up to date: %w", path, err)
	}
	return s, nil
}

// dsn: WAL with synchronous=FULL is durable at commit (sqlite.org/pragma.html#pragma_synchronous); a writing transaction
// takes its lock at its beginning, so that what it reads stays true.
func dsn(path, lock string) string {
	u := url.URL{Scheme: "file", Opaque: url.PathEscape(path)}
	return u.String() + "?_txlock=" + lock +
		"&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)"
}

func (s *SQLite) migrate(ctx context.Context) error {
	p, err := s.migrations()
	if err != nil {
		return err
	}
	_, err = p.Up(ctx)
	return err
}

func (s *SQLite) migrations() (*goose.Provider, error) {
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectSQLite3, s.write, files)
}

// View implements Store.
func (s *SQLite) View(ctx context.Context, f func(*Tx) error) error {
	tx, err := s.read.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	defer tx.Rollback() // there is nothing to commit
	return f(&Tx{ctx: ctx, run: ctx, tx: tx})
}

// Close implements Store.
func (s *SQLite) Close() error {
	err := s.read.Close()
	if e := s.write.Close(); e != nil {
		err = e
	}
	return err
}
