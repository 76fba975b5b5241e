package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"latchkey/tools/postgres"
)

func openPG(t *testing.T) (*PostgreSQL, string) {
	t.Helper()
	url, err := postgres.Shared(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p, err := OpenPostgreSQL(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p, url
}

func TestADatabaseThatIsNotPrivateIsRefused(t *testing.T) {
	t.Parallel()
	for url, fine := range map[string]bool{
		"postgres://c@db.nhs.uk/l?sslmode=verify-full":       true,
		"postgres://c@127.0.0.1/l":                           true,
		"postgres:///l?host=/run/postgresql":                 true,
		"postgres://c@db.nhs.uk/l?sslmode=disable":           false,
		"postgres://c@db.nhs.uk/l":                           false,
		"postgres://c@db.nhs.uk/l?sslmode=require":           false,
		"postgres://c@db.nhs.uk/l?sslmode=verify-ca":         false,
		"postgres:///l?host=/run/postgresql,db.nhs.uk":       false,
		"postgres://c@127.0.0.1,db.nhs.uk/l?sslmode=disable": false,
	} {
		c, err := pgx.ParseConfig(url)
		if err != nil {
			t.Fatal(err)
		}
		if err := private(c); (err == nil) != fine || err != nil && !strings.Contains(err.Error(), "on db.nhs.uk, and") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestADatabaseThatForgetsIsRefused(t *testing.T) {
	t.Parallel()
	p, url := openPG(t)
	if _, err := p.pool.Exec(t.Context(), `DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || current_database() || ' SET synchronous_commit = off'; END $$`); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Schema(t.Context(), url); err == nil || !strings.Contains(err.Error(), "synchronous_commit is off") {
		t.Errorf("the check before the start: %v", err)
	}
	if again, err := OpenPostgreSQL(t.Context(), url); err == nil || !strings.Contains(err.Error(), "synchronous_commit is off") {
		t.Errorf("%v", err)
		if err == nil {
			again.Close()
		}
	}
}

func TestPasswordsAreNotTakenFromTheEnvironment(t *testing.T) {
	t.Setenv("PGPASSWORD", "hunter2")
	_, err := OpenPostgreSQL(t.Context(), "postgres:///l?host=/nowhere")
	if err == nil || !strings.Contains(err.Error(), "write it into a file") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%v", err)
	}
}

// Two Updates that wait for each other: the engine parts them, and both come to their end.
func TestADeadlockIsRunAgain(t *testing.T) {
	t.Parallel()
	p, _ := openPG(t)
	update(t, p, func(tx *Tx) error { return errors.Join(add("a")(tx), add("b")(tx)) })
	var met = [2]chan struct{}{make(chan struct{}), make(chan struct{})}
	done := make(chan error)
	for i, names := range [][2]string{{"a", "b"}, {"b", "a"}} {
		go func() {
			first := true
			done <- p.Update(context.Background(), func(tx *Tx) error {
				_, err := tx.Kiosk(names[0])
				if first && err == nil {
					first = false
					close(met[i])
					<-met[1-i]
				}
				if err == nil {
					_, err = tx.Kiosk(names[1])
				}
				return errors.Join(err, add(fmt.Sprintf("new-%d", i))(tx))
			})
		}()
	}
	if err := errors.Join(<-done, <-done); err != nil {
		t.Error(err)
	}
	if got := names(t, p); len(got) != 4 {
		t.Errorf("stored: %v", got)
	}
}

// A serialization failure is run again, and not for ever.
func TestSerializationFailuresAreRunAgain(t *testing.T) {
	t.Parallel()
	p, _ := openPG(t)
	fail := func(tx *Tx) error {
		return tx.exec(nil, `DO $$ BEGIN RAISE EXCEPTION 'not now' USING ERRCODE = 'serialization_failure'; END $$`)
	}
	for failures, want := range map[int]bool{1: true, pgTries - 1: true, pgTries: false} {
		runs := 0
		err := p.Update(context.Background(), func(tx *Tx) error {
			runs++
			err := add(fmt.Sprintf("k%d", failures))(tx)
			if runs <= failures {
				err = errors.Join(err, fail(tx))
			}
			return err
		})
		if (err == nil) != want || runs != min(failures+1, pgTries) {
			t.Errorf("%d failures: %d runs, %v", failures, runs, err)
		}
	}
	if got := names(t, p); len(got) != 2 {
		t.Errorf("stored: %v", got)
	}
}

// The server breaks the connection in the middle of an Update: nothing of it is stored, and the next one works.
func TestABrokenConnection(t *testing.T) {
	t.Parallel()
	p, _ := openPG(t)
	err := p.Update(context.Background(), func(tx *Tx) error {
		if err := add("a")(tx); err != nil {
			return err
		}
		return tx.exec(nil, `SELECT pg_terminate_backend(pg_backend_pid())`)
	})
	if err == nil {
		t.Error("an Update on a broken connection succeeded")
	}
	update(t, p, add("b"))
	if got := names(t, p); len(got) != 1 || got[0] != "b" {
		t.Errorf("stored: %v", got)
	}
}
