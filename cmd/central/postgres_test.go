package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"latchkey/tools/postgres"
)

// The configuration names a database of PostgreSQL's: what one command puts there, the next finds, also at another central, and
// no file is made. One that is not there is an error that names it.
func TestCommandsOnPostgreSQL(t *testing.T) {
	t.Parallel()
	url, err := postgres.Shared(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	central := func(database string) string {
		t.Helper()
		dir := t.TempDir()
		if err := newCentral(dir); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "central.toml"), []byte("database = \""+database+"\"\n"+settings), 0o600); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	one, two := central(url), central(url)
	serving(t, one)
	serving(t, two)
	commands(t, one)("kiosk", "add", "k1", "--cert", filepath.Join(one, "k1.pem"))
	if out := commands(t, two)("kiosk", "disable", "k1"); !strings.Contains(out, "k1 disabled") {
		t.Error(out)
	}
	if out := commands(t, one)("kiosk", "list"); !strings.Contains(out, "k1") || !strings.Contains(out, "disabled") {
		t.Error(out)
	}
	if files, _ := filepath.Glob(filepath.Join(one, "*.db*")); len(files) > 0 {
		t.Errorf("made %v", files)
	}
	none := central(strings.Replace(url, "/test", "/none", 1))
	if out, err := self("serve", "--config", filepath.Join(none, "central.toml")).CombinedOutput(); err == nil || !strings.Contains(string(out), `database "none`) {
		t.Errorf("%v: %s", err, out)
	}
}
