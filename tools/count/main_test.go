package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

// asProgram makes the test's own program be count, so that what is tested is what is built here.
const asProgram = "COUNT_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// A person who runs it sees what failed and why, and a last line that is true.
func TestCount(t *testing.T) {
	t.Parallel()
	const fine = `
-- fine/fine_test.go --
package fine
import "testing"
func TestOne(t *testing.T) { t.Log("nobody reads this") }
func TestTwo(t *testing.T) { t.Run("a", func(*testing.T) {}); t.Run("b", func(*testing.T) {}) }
func FuzzThree(f *testing.F) { f.Add(1); f.Add(2); f.Fuzz(func(*testing.T, int) {}) }
-- none/none.go --
package none
`
	for _, test := range []struct {
		name, files, args string
		good              bool
		says              []string
		last              string
	}{
		{"all pass", fine, "./...", true, []string{"ok    m/fine"}, "test: 5 tests in 1 packages passed, 0 failed, 0 skipped"},
		{"a test fails", fine + `
-- a/a_test.go --
package a
import "testing"
func TestBad(t *testing.T) { t.Run("sub", func(t *testing.T) { t.Error("here is why") }) }
`, "./...", false, []string{"FAIL  m/a TestBad/sub", "here is why", "ok    m/fine"}, "test: 5 tests in 2 packages passed, 1 failed, 0 skipped"},
		{"one of those that fail says much", `
-- a/a_test.go --
package a
import "testing"
func TestBad(t *testing.T) { t.Error("here is why") }
func TestLoud(t *testing.T) { t.Error("why that"); for n := 0; n < 1000; n++ { t.Log(n) }; t.Error("what then") }
` + fine, "./...", false, []string{"here is why", "why that", "what then"}, "test: 5 tests in 2 packages passed, 2 failed, 0 skipped"},
		{"a parent fails by itself", `
-- a/a_test.go --
package a
import "testing"
func TestBad(t *testing.T) { t.Run("sub", func(t *testing.T) {}); t.Error("alone") }
`, "./...", false, []string{"alone"}, "test: 1 tests in 1 packages passed, 1 failed, 0 skipped"},
		{"a test is skipped", fine + `
-- a/a_test.go --
package a
import "testing"
func TestLazy(t *testing.T) { t.Skip("not today") }
`, "./...", false, []string{"SKIP  m/a TestLazy", "not today", "FAIL  m/a "}, "test: 5 tests in 2 packages passed, 0 failed, 1 skipped"},
		{"a package does not build", fine + `
-- a/a_test.go --
package a
import "testing"
func TestBad(t *testing.T) { missing() }
`, "./...", false, []string{"m/a does not build", "undefined: missing"}, "test: 5 tests in 2 packages passed, 1 failed, 0 skipped"},
		{"an import is missing", `
-- a/a_test.go --
package a
import _ "m/nowhere"
`, "./...", false, []string{"m/nowhere"}, "test: 0 tests in 1 packages passed, 1 failed, 0 skipped"},
		{"a test panics", `
-- a/a_test.go --
package a
import "testing"
func TestFirst(t *testing.T) {}
func TestBad(t *testing.T) { panic("oh no") }
`, "./...", false, []string{"oh no", "TestBad"}, "test: 1 tests in 1 packages passed, 1 failed, 0 skipped"},
		{"the program exits", `
-- a/a_test.go --
package a
import ("os"; "testing"; "fmt")
func TestMain(m *testing.M) { fmt.Println("last words"); os.Exit(3) }
func TestNever(t *testing.T) {}
`, "./...", false, []string{"last words"}, "test: 0 tests in 1 packages passed, 1 failed, 0 skipped"},
		{"nothing to test", `
-- none/none.go --
package none
`, "./...", false, []string{"no test was found"}, "test: 0 tests in 0 packages passed, 0 failed, 0 skipped"},
		{"no such package", fine, "./nowhere", false, []string{"nowhere"}, ""},
		{"no such flag value", fine, "-race=perhaps ./...", false, []string{"perhaps"}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			archive := txtar.Parse([]byte("-- go.mod --\nmodule m\n" + test.files))
			for _, f := range archive.Files {
				path := filepath.Join(dir, f.Name)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, f.Data, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.Command(os.Args[0], strings.Fields(test.args)...)
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off", asProgram+"=1")
			b, err := cmd.CombinedOutput()
			out := string(b)
			lines := strings.Split(strings.TrimSpace(out), "\n")
			if (err == nil) != test.good {
				t.Errorf("exit: %v, want good: %t", err, test.good)
			}
			for _, s := range test.says {
				if !strings.Contains(out, s) {
					t.Errorf("does not say %q", s)
				}
			}
			// Who is shown the end of a log sees it, too.
			if end := lines[max(0, len(lines)-30):]; !test.good {
				for _, s := range test.says {
					if !strings.HasPrefix(s, "ok ") && s != "FAIL  m/a " && !strings.Contains(strings.Join(end, "\n"), s) {
						t.Errorf("does not say %q in its last lines", s)
					}
				}
			}
			if strings.Contains(out, "nobody reads this") {
				t.Error("shows what a passing test wrote")
			}
			if last := lines[len(lines)-1]; test.last != "" && last != test.last {
				t.Errorf("last line %q, want %q", last, test.last)
			}
			if t.Failed() {
				t.Logf("it said:\n%s", out)
			}
		})
	}
}
