// Command bench runs the module's Go benchmarks, shows their lines as they come (benchstat reads them), and ends with one
// line for each figure that the project holds itself to:
//
//	figure NAME VALUE UNIT aim OP AIM ok|missed
//
// A figure that cannot be measured says none and why, and counts as missed. A missed aim is no error: the exit status
// tells whether all benchmarks ran.
//
// Packages run one after the other, so that none disturbs another. It is a tool for development.
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const module = "latchkey/"

func main() {
	packages, err := withBenchmarks(".")
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	args := append([]string{"test", "-run", "^$", "-bench", ".", "-benchmem", "-p", "1", "-timeout", "30m"}, packages...)
	cmd := exec.Command("go", args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	var found results
	if err == nil {
		found, err = read(io.TeeReader(out, os.Stdout))
		if waited := cmd.Wait(); err == nil {
			err = waited
		}
	}
	report(os.Stdout, found)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: not every benchmark ran:", err)
		os.Exit(1)
	}
}

// withBenchmarks lists the packages below root that have a benchmark, as patterns for go test. A text search is enough
// and spares building every test of the module.
func withBenchmarks(root string) (list []string, err error) {
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); d.IsDir() && path != root && (name[0] == '.' || name == "testdata" || name == "bin") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		dir := "./" + filepath.ToSlash(filepath.Dir(path))
		if (bytes.HasPrefix(b, []byte("func Benchmark")) || bytes.Contains(b, []byte("\nfunc Benchmark"))) && !slices.Contains(list, dir) {
			list = append(list, dir)
		}
		return nil
	})
	return list, err
}

type key struct{ benchmark, unit string }

type results map[key]float64

// read takes the lines of go test -bench: see golang.org/design/14313-benchmark-format.
func read(r io.Reader) (results, error) {
	found := results{}
	pkg := ""
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		if p, is := strings.CutPrefix(line, "pkg: "); is {
			pkg = strings.TrimPrefix(p, module)
			continue
		}
		fields := strings.Fields(line)
		if len(fields) < 4 || len(fields)%2 != 0 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		name := strings.TrimPrefix(fields[0], "Benchmark")
		if i := strings.LastIndexByte(name, '-'); i > 0 { // GOMAXPROCS
			if _, err := strconv.Atoi(name[i+1:]); err == nil {
				name = name[:i]
			}
		}
		for i := 2; i < len(fields); i += 2 {
			v, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return found, fmt.Errorf("benchmark line %q: %w", line, err)
			}
			found[key{pkg + "." + name, fields[i+1]}] = v
		}
	}
	return found, lines.Err()
}

func report(w io.Writer, found results) {
	for _, f := range figures {
		aim := fmt.Sprintf("aim %s %s", f.aim.op, number(f.aim.of))
		if f.value == nil {
			fmt.Fprintf(w, "figure %s none %s %s missed (not built yet: %s)\n", f.name, f.unit, aim, f.why)
			continue
		}
		v, ok := f.value(found)
		if !ok {
			why := "its benchmark gave no result"
			if f.why != "" {
				why += "; " + f.why
			}
			fmt.Fprintf(w, "figure %s none %s %s missed (%s)\n", f.name, f.unit, aim, why)
			continue
		}
		verdict := "missed"
		if f.aim.met(v) {
			verdict = "ok"
		}
		fmt.Fprintf(w, "figure %s %s %s %s %s\n", f.name, number(v), f.unit, aim, verdict)
	}
}

func number(v float64) string {
	if v >= 1000 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}
