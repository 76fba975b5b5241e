package store

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Schema says which version of the schema a database has, 0 if none, and the newest that this program knows. It changes
// nothing. An SQLite file that is not there is os.ErrNotExist.
func Schema(ctx context.Context, database string) (has, newest int64, err error) {
	files, err := fs.Glob(migrationFiles, "migrations/*.sql")
	if err != nil {
		return 0, 0, err
	}
	for _, f := range files {
		number, _, _ := strings.Cut(path.Base(f), "_")
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("migration %s has no number", f)
		}
		newest = max(newest, n)
	}
	// goose's own table; a version that was taken back has its row removed.
	const version = `SELECT COALESCE(MAX(version_id), 0) FROM goose_db_version`
	if IsPostgreSQL(database) {
		c, err := configPG(database)
		if err != nil {
			return 0, newest, err
		}
		pool, err := pgxpool.NewWithConfig(ctx, c)
		if err != nil {
			return 0, newest, err
		}
		defer pool.Close()
		if err := (&PostgreSQL{pool: pool}).fit(ctx); err != nil {
			return 0, newest, err
		}
		var there bool
		if err := pool.QueryRow(ctx, `SELECT to_regclass('goose_db_version') IS NOT NULL`).Scan(&there); err != nil || !there {
			return 0, newest, err
		}
		err = pool.QueryRow(ctx, version).Scan(&has)
		return has, newest, err
	}
	if _, err := os.Stat(database); err != nil {
		return 0, newest, err
	}
	db, err := sql.Open("sqlite", dsn(database)+"&_pragma=query_only(1)")
	if err != nil {
		return 0, newest, err
	}
	defer db.Close()
	var there bool
	if err := db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'goose_db_version')`).Scan(&there); err != nil || !there {
		return 0, newest, err
	}
	err = db.QueryRowContext(ctx, version).Scan(&has)
	return has, newest, err
}
