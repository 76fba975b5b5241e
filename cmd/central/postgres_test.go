package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"latchkey/tools/postgres"
)

// The configuration names a database of PostgreSQL's: what one command puts there, the next finds, and no file is made. One
// that is not there is an error that names it.
func TestCommandsOnPostgreSQL(t *testing.T) {
	t.Parallel()
	url, err := postgres.Shared(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "c")
	if out, err := self("init", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := makePKI(dir); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "central.toml")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	central := func(database string, args ...string) (string, error) {
		t.Helper()
		named := bytes.Replace(text, []byte(`#database = "central.db"`), []byte(`database = "`+database+`"`), 1)
		if err := os.WriteFile(config, named, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := self(append(args, "--config", config)...).CombinedOutput()
		return string(out), err
	}
	if out, err := central(url, "kiosk", "add", "k1", "--cert", filepath.Join(dir, "k1.pem")); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := central(url, "kiosk", "disable", "k1"); err != nil || !strings.Contains(out, "k1 disabled") {
		t.Errorf("%v: %s", err, out)
	}
	if out, err := central(url, "kiosk", "list"); err != nil || !strings.Contains(out, "k1") || !strings.Contains(out, "disabled") {
		t.Errorf("%v: %s", err, out)
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "*.db*")); len(files) > 0 {
		t.Errorf("made %v", files)
	}
	if out, err := central(strings.Replace(url, "/test", "/none", 1), "kiosk", "list"); err == nil || !strings.Contains(out, `database "none`) {
		t.Errorf("%v: %s", err, out)
	}
}
