package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/pressly/goose/v3"
	"golang.org/x/sys/unix"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// SQLite is a Store in one file. Several processes of one machine may use it at once: the service and its commands.
type SQLite struct {
	path    string
	schema  *sql.DB // for migrations
	queue   *queue  // writers wait in it, instead of polling the file's lock
	readers readers
	swept   atomic.Int64
}

var _ Store = (*SQLite)(nil)

// OpenSQLite opens the file, making it (mode 0600) if need be, and brings its schema up to date.
func OpenSQLite(ctx context.Context, path string) (*SQLite, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err == nil {
		err = f.Close()
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("open database: %w", err)
	}
	s := &SQLite{path: path, queue: newQueue()}
	if s.schema, err = sql.Open("sqlite", dsn(path)+"&_txlock=immediate"); err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	if err := s.migrate(ctx, filepath.Dir(path)); err != nil {
		s.Close()
		return nil, fmt.Errorf("bring database %s up to date: %w", path, err)
	}
	s.schema.SetMaxIdleConns(0)
	return s, nil
}

// dsn: WAL with synchronous=FULL is durable at commit (sqlite.org/pragma.html#pragma_synchronous).
func dsn(path string) string {
	u := url.URL{Scheme: "file", Opaque: url.PathEscape(path)}
	return u.String() + "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)"
}

// writing is dsn for who writes. What a savepoint may have to bring back stays in memory (it is nothing that outlives the
// process), as do the pages that are in use; and pages that change again and again are taken from the log into the file less often.
func writing(path string) string {
	return dsn(path) + "&_pragma=temp_store(MEMORY)&_pragma=cache_size(-65536)&_pragma=wal_autocheckpoint(4000)"
}

// migrate lets one process at a time look what there is to do. The lock is of the folder: closing a file that SQLite has open
// would take SQLite's own locks (sqlite.org/howtocorrupt.html §2.2).
func (s *SQLite) migrate(ctx context.Context, dir string) error {
	p, err := s.migrations()
	if err != nil {
		return err
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	for err = unix.EINTR; errors.Is(err, unix.EINTR); {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", dir, err)
	}
	return bringUp(ctx, p)
}

func (s *SQLite) migrations() (*goose.Provider, error) {
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectSQLite3, s.schema, files)
}

// Close implements Store.
func (s *SQLite) Close() error {
	return errors.Join(s.queue.close(), s.readers.close(), s.schema.Close())
}
