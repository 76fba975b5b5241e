package config

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"latchkey/cmd/central/internal/store"
)

// placeDatabase joins the paths in what is written as database to the folder, and refuses a URL that holds a secret.
func (c *Config) placeDatabase(dir string) error {
	if !store.IsPostgreSQL(c.Database) {
		if c.Database == "" {
			return errors.New("database is empty: write the path of SQLite's file, or a URL of PostgreSQL's")
		}
		if !filepath.IsAbs(c.Database) {
			c.Database = filepath.Join(dir, c.Database)
		}
		return nil
	}
	u, err := url.Parse(c.Database)
	if err != nil { // which would repeat the URL, and what is in it
		return errors.New("database is no URL: write it like \"postgres://central@db.example.nhs.uk/latchkey?sslmode=verify-full\"")
	}
	q := u.Query()
	if _, has := u.User.Password(); has || q.Has("password") || q.Has("sslpassword") {
		return errors.New("database holds a password: write it into a file, mode 0600, as HOST:PORT:DATABASE:USER:PASSWORD, " +
			"name that with passfile= in the URL, and change the password")
	}
	for _, name := range []string{"passfile", "sslcert", "sslkey", "sslrootcert"} {
		path := q.Get(name)
		if path == "" || name == "sslrootcert" && path == "system" {
			continue
		}
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
			q.Set(name, path)
		}
		info, err := os.Stat(path)
		if err != nil {
			return fmt.Errorf("database names the %s %s, which cannot be read: put it there, or correct its place", name, path)
		}
		if (name == "passfile" || name == "sslkey") && info.Mode().Perm()&0o077 != 0 {
			return fmt.Errorf("others can read %s, the %s of database: run chmod 600 on it", path, name)
		}
	}
	u.RawQuery = q.Encode()
	c.Database = u.String()
	return nil
}
