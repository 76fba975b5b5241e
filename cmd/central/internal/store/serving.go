package store

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sys/unix"
)

// Whoever serves holds a share of a lock, whoever restores holds it whole, for as long as the process lives: of a file beside
// SQLite's, or of the engine's for one connection.

// serving names the lock.
const serving = "serving"

// Serve implements Store.
func (s *SQLite) Serve(ctx context.Context) (release func(), err error) {
	release, err = s.hold(unix.LOCK_SH)
	return checked(ctx, s, release, err)
}

// checked lets nobody serve what was restored by half.
func checked(ctx context.Context, s Store, release func(), err error) (func(), error) {
	if err != nil {
		return nil, err
	}
	if err := wholly(ctx, s); err != nil {
		release()
		return nil, err
	}
	return release, nil
}

// Restore implements Store.
func (s *SQLite) Restore(context.Context) (release func(), err error) { return s.hold(unix.LOCK_EX) }

func (s *SQLite) hold(how int) (release func(), err error) {
	f, err := os.OpenFile(s.path+"."+serving, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock database: %w", err)
	}
	for err = unix.EINTR; errors.Is(err, unix.EINTR); {
		err = unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = ErrServed
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock database: %w", err)
	}
	return func() { f.Close() }, nil
}

// Serve implements Store.
func (p *PostgreSQL) Serve(ctx context.Context) (release func(), err error) {
	release, err = p.hold(ctx, `SELECT pg_try_advisory_lock_shared($1)`)
	return checked(ctx, p, release, err)
}

// Restore implements Store.
func (p *PostgreSQL) Restore(ctx context.Context) (release func(), err error) {
	return p.hold(ctx, `SELECT pg_try_advisory_lock($1)`)
}

func (p *PostgreSQL) hold(ctx context.Context, query string) (release func(), err error) {
	conn, err := pgx.ConnectConfig(ctx, p.pool.Config().ConnConfig)
	if err != nil {
		return nil, fmt.Errorf("lock database: %w", err)
	}
	var got bool
	if err = conn.QueryRow(ctx, query, lockID(serving)).Scan(&got); err == nil && !got {
		err = ErrServed
	}
	release = func() {
		after := context.WithoutCancel(ctx)
		// The server ends a connection a moment after it was closed. An error is that of one that it has ended already.
		_, _ = conn.Exec(after, `SELECT pg_advisory_unlock_all()`)
		conn.Close(after)
	}
	if err != nil {
		release()
		return nil, fmt.Errorf("lock database: %w", err)
	}
	return release, nil
}
