package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

const (
	// pgConns bounds one process; PostgreSQL's own max_connections has to bear that of all.
	pgConns = 16
	// pgTries bounds how often an Update is run.
	pgTries = 4
	// pgIdle ends a transaction whose process does not go on with it, so that nobody waits for its locks for ever.
	pgIdle = "10s"
)

// PostgreSQL is a Store in a PostgreSQL database, 15 or newer. Any number of processes on any machines may use it at once.
// The statements are of a dialect that CockroachDB has, too, but its advisory locks do nothing: it was not tried, and is
// refused.
type PostgreSQL struct {
	pool  *pgxpool.Pool
	swept atomic.Int64
}

var _ Store = (*PostgreSQL)(nil)

// IsPostgreSQL says whether a database is named as one of PostgreSQL's, not as a file.
func IsPostgreSQL(database string) bool {
	return strings.HasPrefix(database, "postgres://") || strings.HasPrefix(database, "postgresql://")
}

// OpenPostgreSQL opens the database at the URL (postgresql.org/docs/15/libpq-connect.html §34.1.1.2) and brings its schema up to
// date. The password comes from no variable of the environment: what libpq's passfile says is taken.
func OpenPostgreSQL(ctx context.Context, url string) (*PostgreSQL, error) {
	c, err := configPG(url)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	pool, err := pgxpool.NewWithConfig(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	p := &PostgreSQL{pool: pool}
	err = p.fit(ctx)
	if err == nil {
		err = p.migrate(ctx)
	}
	if err != nil {
		p.Close()
		return nil, fmt.Errorf("open database %s on %s: %w", c.ConnConfig.Database, c.ConnConfig.Host, err)
	}
	return p, nil
}

// configPG judges the URL.
func configPG(url string) (*pgxpool.Config, error) {
	if os.Getenv("PGPASSWORD") != "" {
		return nil, errors.New("PGPASSWORD is set, and a variable of the environment is no place for a password: " +
			"write it into a file, mode 0600, and name that with passfile= in the URL or in PGPASSFILE")
	}
	c, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err // it names the URL without its password
	}
	if err := private(c.ConnConfig); err != nil {
		return nil, err
	}
	c.MaxConns = pgConns
	c.ConnConfig.RuntimeParams["application_name"] = "latchkey-central"
	c.ConnConfig.RuntimeParams["idle_in_transaction_session_timeout"] = pgIdle
	return c, nil
}

// private refuses a server that is reached over a network without TLS, or under a certificate that is not looked at.
func private(c *pgx.ConnConfig) error {
	ways := []pgconn.FallbackConfig{{Host: c.Host, TLSConfig: c.TLSConfig}}
	for _, f := range c.Fallbacks {
		ways = append(ways, *f)
	}
	for _, w := range ways {
		ip := net.ParseIP(w.Host)
		local := strings.HasPrefix(w.Host, "/") || w.Host == "localhost" || ip != nil && ip.IsLoopback()
		if !local && (w.TLSConfig == nil || w.TLSConfig.InsecureSkipVerify || w.TLSConfig.ServerName == "") {
			return fmt.Errorf("it is on %s, and what is kept there must not travel in clear or to anybody else: add sslmode=verify-full to the URL", w.Host)
		}
	}
	return nil
}

// fit refuses a server that is another product, and one that loses what it has acknowledged.
func (p *PostgreSQL) fit(ctx context.Context) error {
	return p.View(ctx, func(t *Tx) error {
		var version string
		if err := t.row(nil, `SELECT version()`, nil, &version); err != nil {
			return err
		}
		if !strings.HasPrefix(version, "PostgreSQL ") {
			return fmt.Errorf("the server is %.40q, and central was tried with PostgreSQL alone", version)
		}
		return t.rows(nil, `SELECT name FROM pg_settings WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit') AND setting = 'off' ORDER BY name`, nil,
			func(scan func(...any) error) error {
				var name string
				if err := scan(&name); err != nil {
					return err
				}
				return fmt.Errorf("its setting %s is off, so that a power cut could take back what kiosks were told: set it on", name)
			})
	})
}

// migrate lets one process at a time look what there is to do.
func (p *PostgreSQL) migrate(ctx context.Context) error {
	provider, err := p.migrations()
	if err != nil {
		return err
	}
	defer provider.Close() // not the pool
	return p.pool.AcquireFunc(ctx, func(conn *pgxpool.Conn) error {
		if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock($1)`, lockID(migrating)); err != nil {
			return err
		}
		err := bringUp(ctx, provider)
		_, e := conn.Exec(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock($1)`, lockID(migrating))
		return errors.Join(err, e)
	})
}

func (p *PostgreSQL) migrations() (*goose.Provider, error) {
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectPostgres, stdlib.OpenDBFromPool(p.pool), files)
}

// Update implements Store.
func (p *PostgreSQL) Update(ctx context.Context, f func(*Tx) error) (err error) {
	alone := false
	for try := 1; ; try++ {
		err = p.try(ctx, alone, f)
		if try == pgTries || !errors.Is(err, errNotAlone) && !gaveWay(err) {
			return err
		}
		alone = true // so that it comes to its end
	}
}

// try runs f once.
func (p *PostgreSQL) try(ctx context.Context, alone bool, f func(*Tx) error) error {
	conn, err := p.pool.Acquire(ctx) // may wait for a free one, so long as there is somebody who asks
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	defer conn.Release() // which closes the connection if the transaction is still open: f panicked
	// A statement that is interrupted takes its connection along, and a commit that is interrupted leaves nobody who knows
	// whether it happened, so that none is: Tx looks at ctx between them.
	run := context.WithoutCancel(ctx)
	s := beginPG(run, conn.Conn(), alone)
	t := &Tx{ctx: ctx, session: s, swept: &p.swept}
	err = f(t)
	switch {
	case t.failed != nil: // also if f made nothing of it
		err = fmt.Errorf("transaction: %w", errors.Join(err, t.failed))
	case err == nil:
		if err = s.commit(); err == nil {
			return nil
		}
		err = fmt.Errorf("commit transaction: %w", err)
	}
	return errors.Join(err, s.rollback())
}

// gaveWay says whether the engine ended a transaction for the sake of another (postgresql.org/docs/15/errcodes-appendix.html):
// serialization_failure, deadlock_detected. It had no effect then.
func gaveWay(err error) bool {
	var p *pgconn.PgError
	return errors.As(err, &p) && (p.Code == "40001" || p.Code == "40P01")
}

// View implements Store.
func (p *PostgreSQL) View(ctx context.Context, f func(*Tx) error) error {
	return pgx.BeginTxFunc(ctx, p.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		return f(&Tx{ctx: ctx, session: &pgView{ctx, tx}, swept: &p.swept})
	})
}

// Close implements Store.
func (p *PostgreSQL) Close() error {
	p.pool.Close()
	return nil
}
