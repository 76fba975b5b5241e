// Command count runs `go test` and ends with a line that counts:
//
//	test: 312 tests in 24 packages passed, 0 failed, 0 skipped
//
// Its arguments are go test's. A test is one that has no subtests of its own, a fuzz seed too. What a failing test wrote
// is shown whole when it ends, and in short once more before the last line: who reads only the end of a log sees what failed and why.
// What a passing one wrote is not shown. A skipped test is a failure: it looks like a test and tests nothing.
// Results are never taken from the cache.
//
// It is a tool for development.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

func main() {
	c := newCounter(os.Stdout)
	c.goTest(os.Args[1:])
	if !c.finish() {
		os.Exit(1)
	}
}

// goTest runs go test and reads what it says.
func (c *counter) goTest(args []string) {
	cmd := exec.Command("go", append([]string{"test", "-json", "-count=1"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		c.broke(fmt.Sprintf("run go test: %v", err))
		return
	}
	if err := c.read(out); err != nil {
		c.broke(fmt.Sprintf("read what go test says: %v", err))
		io.Copy(io.Discard, out)
	}
	failed := c.bad
	if err := cmd.Wait(); err != nil && failed == 0 {
		c.broke(fmt.Sprintf("go test %s: %v", strings.Join(args, " "), err))
	}
}

// event is a line of `go test -json`: see `go doc test2json`, and `go help buildjson` for the build's.
type event struct {
	Action      string
	Package     string
	Test        string
	Output      string
	Elapsed     float64 // seconds
	ImportPath  string  // of a build
	FailedBuild string  // why the package failed, as the build's ImportPath
}

type name struct{ pkg, test string } // test is "" for the package itself

type counter struct {
	out    io.Writer
	output map[name]*strings.Builder // of what has not ended
	build  map[string]*strings.Builder
	parent map[name]bool // has subtests
	ended  map[name]string

	packages, passed, failed, skipped int
	bad                               int       // whatever makes the whole a failure
	failures                          []failure // for the end
	began                             time.Time
}

// failure is what failed, and what was said of it.
type failure struct {
	what  string
	lines []string
}

func newCounter(out io.Writer) *counter {
	return &counter{
		out: out, began: time.Now(),
		output: map[name]*strings.Builder{}, build: map[string]*strings.Builder{}, parent: map[name]bool{}, ended: map[name]string{},
	}
}

func (c *counter) read(r io.Reader) error {
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) != nil {
				fmt.Fprintf(c.out, "%s", line) // go test speaks plainly when it cannot begin
			} else {
				c.take(e)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (c *counter) take(e event) {
	n := name{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		add(c.build, e.ImportPath, e.Output)
	case "output":
		add(c.output, n, e.Output)
	case "run":
		for t := e.Test; strings.Contains(t, "/"); {
			t = t[:strings.LastIndex(t, "/")]
			c.parent[name{e.Package, t}] = true
		}
	case "pass", "fail", "skip":
		if e.Test == "" {
			c.packageEnded(e)
		} else {
			c.testEnded(n, e)
		}
	}
}

func add[K comparable](m map[K]*strings.Builder, k K, s string) {
	if m[k] == nil {
		m[k] = new(strings.Builder)
	}
	m[k].WriteString(s)
}

func (c *counter) testEnded(n name, e event) {
	c.ended[n] = e.Action
	if e.Action == "pass" {
		delete(c.output, n)
		return
	}
	c.show(n, e.Action)
}

func (c *counter) show(n name, how string) {
	what := fmt.Sprintf("%s  %s %s", strings.ToUpper(how), n.pkg, n.test)
	said := ""
	if b := c.output[n]; b != nil {
		said = indent(b.String())
		delete(c.output, n)
	}
	fmt.Fprintf(c.out, "%s\n%s", what, said)
	if f := failureOf(what, said); len(f.lines) > 0 || !c.parent[n] {
		c.failures = append(c.failures, f)
	}
}

// failureOf leaves out what go test itself says of the course of a test.
func failureOf(what, said string) failure {
	f := failure{what: what}
	for line := range strings.Lines(said) {
		line = strings.TrimSuffix(line, "\n")
		if words := strings.TrimSpace(line); words != "" && words != "FAIL" && !strings.HasPrefix(words, "=== ") && !strings.HasPrefix(words, "--- ") {
			f.lines = append(f.lines, line)
		}
	}
	return f
}

func (c *counter) packageEnded(e event) {
	passed, failed, skipped := 0, 0, 0
	for n, how := range c.ended {
		if n.pkg != e.Package {
			continue
		}
		delete(c.ended, n)
		switch {
		case how == "skip":
			skipped++
		case c.parent[n]: // its subtests are counted
		case how == "fail":
			failed++
		default:
			passed++
		}
	}
	if e.Action == "skip" { // no test files
		c.forget(e.Package)
		return
	}
	c.packages++
	if e.Action == "fail" {
		if failed == 0 {
			failed = 1 // it did not build, or ended outside of a counted test
		}
		if b := c.build[e.FailedBuild]; b != nil {
			what, said := fmt.Sprintf("FAIL  %s does not build", e.Package), indent(b.String())
			fmt.Fprintf(c.out, "%s\n%s", what, said)
			c.failures = append(c.failures, failureOf(what, said))
			delete(c.build, e.FailedBuild)
			delete(c.output, name{e.Package, ""}) // which says only that
		}
		// Tests that were still running tell why it ended; the package's own words come last.
		var left []name
		for n := range c.output {
			if n.pkg == e.Package {
				left = append(left, n)
			}
		}
		slices.SortFunc(left, func(a, b name) int { return strings.Compare(b.test, a.test) })
		for _, n := range left {
			c.show(n, "fail")
		}
	}
	c.passed += passed
	c.failed += failed
	c.skipped += skipped
	c.bad += failed + skipped
	verdict := "ok  "
	if e.Action == "fail" || skipped > 0 {
		verdict = "FAIL"
	}
	fmt.Fprintf(c.out, "%s  %-44s %4d tests %7.1f s\n", verdict, e.Package, passed+failed+skipped, e.Elapsed)
	c.forget(e.Package)
}

func (c *counter) forget(pkg string) {
	for n := range c.output {
		if n.pkg == pkg {
			delete(c.output, n)
		}
	}
	for n := range c.parent {
		if n.pkg == pkg {
			delete(c.parent, n)
		}
	}
}

func (c *counter) broke(what string) {
	c.bad++
	fmt.Fprintln(c.out, "FAIL ", what)
	c.failures = append(c.failures, failureOf("FAIL  "+what, ""))
}

// finish prints the last line and tells whether all is well.
func (c *counter) finish() bool {
	for _, b := range c.build { // of a build that belongs to no package's tests
		if c.bad == 0 {
			c.bad++
		}
		fmt.Fprint(c.out, indent(b.String()))
		c.failures = append(c.failures, failureOf("FAIL  a build", indent(b.String())))
	}
	if c.passed == 0 && c.bad == 0 {
		c.broke("no test was found")
	}
	fmt.Fprintf(c.out, "time: %s\n", time.Since(c.began).Round(time.Second))
	c.again()
	fmt.Fprintf(c.out, "test: %d tests in %d packages passed, %d failed, %d skipped\n", c.passed, c.packages, c.failed, c.skipped)
	return c.bad == 0
}

// room is for so many lines of failures at the end: CI shows some thirty.
const room = 24

// again tells in short what failed, with as much of what each said as there is room for: its beginning, where an error or a panic is
// named, and its end.
func (c *counter) again() {
	if len(c.failures) == 0 {
		return
	}
	fmt.Fprintln(c.out, "what failed, in short:")
	told := c.failures[:min(len(c.failures), room-1)]
	each := room/len(told) - 1
	for _, f := range told {
		fmt.Fprintln(c.out, f.what)
		head, tail := f.lines, []string(nil)
		if len(head) > each {
			end := each / 3
			head, tail = f.lines[:each-end], f.lines[len(f.lines)-end:]
		}
		for _, line := range slices.Concat(head, tail) {
			fmt.Fprintln(c.out, line)
		}
	}
	if more := len(c.failures) - len(told); more > 0 {
		fmt.Fprintf(c.out, "and %d more\n", more)
	}
}

func indent(s string) string {
	return "    " + strings.ReplaceAll(strings.TrimSuffix(s, "\n"), "\n", "\n    ") + "\n"
}
