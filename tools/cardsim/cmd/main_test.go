package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// run is the command as a developer types it.
func run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	c := command()
	c.SetArgs(args)
	c.SetOut(&out)
	c.SetErr(&out)
	err := c.ExecuteContext(t.Context())
	return out.String(), err
}

func TestCreateShowBlock(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "a.card")
	if _, err := run(t, "create", file, "--holder", "Alex Morgan", "--days", "-1", "--gzip"); err != nil {
		t.Fatal(err)
	}
	if _, err := run(t, "create", file); err == nil {
		t.Error("a card that is there was overwritten")
	}
	if _, err := run(t, "block", file); err != nil {
		t.Fatal(err)
	}
	text, err := run(t, "show", file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"0 of 3", "CN=Alex Morgan", "gzip"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if strings.Contains(text, "123456") {
		t.Errorf("a secret is in\n%s", text)
	}
	twin := filepath.Join(filepath.Dir(file), "b.card")
	if _, err := run(t, "create", twin, "--imitates", file); err != nil {
		t.Fatal(err)
	}
	firstLine := func(s string) string { return strings.SplitN(s, "\n", 2)[0] }
	if other, err := run(t, "show", twin); err != nil || firstLine(other) != firstLine(text) {
		t.Errorf("%v: the counterfeit has another serial:\n%s", err, other)
	}
}

func TestPrintOrder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	order := filepath.Join(dir, "order.toml")
	text := `
[[card]]
file = "alex.card"
profile = "piv"
holder_id = "1001"
name = "Alex Morgan"
email = "alex.morgan@nhs.net"
passcode = "246802"
blocked = true
not_after = 2030-01-01T00:00:00Z
quirks = { gzip = true, lie = true }

[[card]]
file = "twin.card"
profile = "piv-any"
stranger = true
imitates = "alex.card"
`
	if err := os.WriteFile(order, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := run(t, "print", order, filepath.Join(dir, "out")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"alex.card", "twin.card", "holders.csv", "cards.csv"} {
		if _, err := os.Stat(filepath.Join(dir, "out", name)); err != nil {
			t.Error(err)
		}
	}
	if err := os.WriteFile(order, []byte(strings.Replace(text, "blocked", "blokced", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := run(t, "print", order, filepath.Join(dir, "out2")); err == nil || !strings.Contains(err.Error(), "blokced") {
		t.Errorf("misspelt key: %v", err)
	}
}

func TestHelpSaysThatItIsASimulator(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--help"}, {"create", "--help"}, {"print", "--help"}, {"show", "--help"}, {"block", "--help"}, {"attach", "--help"}} {
		if text, err := run(t, args...); err != nil || !strings.Contains(text, "simulator") {
			t.Errorf("%v: %v\n%s", args, err, text)
		}
	}
}
