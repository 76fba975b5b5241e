package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"latchkey/firmware/wire/ra"
)

// A central that was killed leaves its socket behind. Whoever asks is told what to do, and the next central takes its place.
func TestAfterAPowerCut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := newCentral(dir); err != nil {
		t.Fatal(err)
	}
	first := serving(t, dir)
	run := commands(t, dir)
	run("kiosk", "add", "k1", "--cert", filepath.Join(dir, "k1.pem"))
	first.kill()
	if _, err := os.Lstat(filepath.Join(dir, "central.sock")); err != nil {
		t.Fatal("it left no socket behind, and this test shows nothing", err)
	}
	out, err := self("kiosk", "list", "--config", filepath.Join(dir, "central.toml")).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "central is not running here (nobody answers at ") || bytes.Count(out, []byte("\n")) != 1 {
		t.Errorf("%v: %s", err, out)
	}
	serving(t, dir)
	if out := run("kiosk", "list"); !strings.Contains(out, "k1") {
		t.Error(out)
	}
}

// Imports are bounded, and one that is as large as they may be goes through the socket.
func TestALargeImport(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := newCentral(dir); err != nil {
		t.Fatal(err)
	}
	serving(t, dir)
	holders, cards := filepath.Join(dir, "holders.csv"), filepath.Join(dir, "cards.csv")
	var b bytes.Buffer
	fmt.Fprintln(&b, "holder_id,name,email,mobile,status")
	const n = 20000
	for i := range n {
		fmt.Fprintf(&b, "h%d,Mr John Rigby,john.rigby%d@nhs.net,,active\n", i, i)
	}
	write := func(path string, b []byte) {
		t.Helper()
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(holders, b.Bytes())
	write(cards, []byte("serial,profile,holder_id,secret,card_certificate,status\n"))
	if got := decode[ra.Import](t, commands(t, dir)("import", holders, cards, "--json")); !got.Imported || got.NewHolders != n {
		t.Errorf("%+v", got)
	}
	write(cards, bytes.Repeat([]byte("x"), ra.MaxImport))
	out, err := self("import", holders, cards, "--config", filepath.Join(dir, "central.toml")).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "the files have more than 64 MiB together: import them in several parts") {
		t.Errorf("%v: %s", err, out)
	}
}
