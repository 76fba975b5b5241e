// Command mutants puts bugs into the code, one at a time, and sees whether the fault harness notices: a harness that cannot fail is
// worth nothing. It ends with one line:
//
//	mutants: 30 killed of 30
//
// A mutant is an edit of one file (list.go), of the kind that somebody makes by mistake, that breaks one of the invariants that no
// fault may break. It is built with go test -overlay: no file of the tree is touched. It counts as killed only if the simulation
// (cmd/central/internal/simulate) finds an invariant broken, or a start from one of the journal's crash states
// (firmware/journal) goes wrong; that a program does not build, panics or hangs does not count, nor a seed that breaks the code without the bug, and no unit test is run. One that
// would have no effect at all is no mutant: it is replaced by another, not excused.
//
// It is a tool for development, and runs at the top of the repository.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

func main() {
	only := flag.String("only", "", "names of mutants, with commas between; \"few\": one of each invariant")
	unlocks := flag.Int("unlocks", 6000, "how many the simulation plays before a mutant counts as alive")
	atOnce := flag.Int("at-once", 2, "mutants tried at the same time")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *only, *unlocks, *atOnce); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

// fate is what became of a mutant.
type fate struct {
	by    string // what was seen; empty if nothing was
	after string // how much was tried until then
	seed  string // that plays it again; empty if chance has no part in it
	err   error  // that nothing can be said
}

func run(ctx context.Context, only string, unlocks, atOnce int) error {
	chosen, err := choose(only)
	if err != nil {
		return err
	}
	for _, m := range list { // also those that are not chosen: the list is to fit the source as a whole
		if _, mutated := m.mutated(); mutated != nil {
			err = errors.Join(err, mutated)
		}
	}
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "mutants-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)

	began := time.Now()
	if err := asItIs(ctx, dir); err != nil {
		return err
	}
	fates := make([]fate, len(chosen))
	next := make(chan int)
	var workers sync.WaitGroup
	for range atOnce {
		workers.Go(func() {
			for i := range next {
				fates[i] = chosen[i].try(ctx, dir, unlocks)
				fmt.Println(row(chosen[i], fates[i]))
			}
		})
	}
	fmt.Printf(form, "mutant", "breaks that", "seen by the", "after", "seed")
	fmt.Println()
	for i := range chosen {
		next <- i
	}
	close(next)
	workers.Wait()
	fmt.Printf("%.0f s\n", time.Since(began).Seconds())
	return verdict(chosen, fates)
}

// verdict is the closing line; an error if a mutant lives.
func verdict(chosen []mutant, fates []fate) error {
	killed := 0
	for i, m := range chosen {
		switch f := fates[i]; {
		case f.err != nil:
			fmt.Printf("%s: %v\n", m.name, f.err)
		case f.by == "":
			fmt.Printf("%s is alive after %s: %s\n", m.name, f.after, m.why)
		default:
			killed++
		}
	}
	fmt.Printf("mutants: %d killed of %d\n", killed, len(chosen))
	if killed < len(chosen) {
		return errors.New("the fault harness does not see every bug")
	}
	return nil
}

const form = "%-40s  %-24s  %-58s  %-14s %s"

func row(m mutant, f fate) string {
	by := f.by
	switch {
	case f.err != nil:
		by = "nothing can be said"
	case by == "":
		by = "nobody: it is alive"
	}
	return strings.TrimRight(fmt.Sprintf(form, m.name, m.breaks, by, f.after, f.seed), " ")
}

// few are the first of each invariant.
const few = "few"

func choose(only string) (chosen []mutant, err error) {
	if only == "" {
		return list, nil
	}
	if only == few {
		seen := map[invariant]bool{}
		for _, m := range list {
			if !seen[m.breaks] {
				chosen = append(chosen, m)
			}
			seen[m.breaks] = true
		}
		return chosen, nil
	}
	for _, name := range strings.Split(only, ",") {
		i := slices.IndexFunc(list, func(m mutant) bool { return m.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no mutant %q; the names stand in tools/mutants/list.go", name)
		}
		chosen = append(chosen, list[i])
	}
	return chosen, nil
}

// mutated is the file with the bug in it.
func (m mutant) mutated() (string, error) {
	b, err := os.ReadFile(m.file)
	if err != nil {
		return "", fmt.Errorf("mutant %s: %w", m.name, err)
	}
	if n := strings.Count(string(b), m.old); n != 1 {
		return "", fmt.Errorf("mutant %s: its text stands in %s %d times, and is to stand there once: bring tools/mutants/list.go up to date:\n%s", m.name, m.file, n, m.old)
	}
	return strings.Replace(string(b), m.old, m.new, 1), nil
}

// overlay writes what go build -overlay reads, and the file with the bug in it.
func (m mutant) overlay(dir string) (path string, err error) {
	text, err := m.mutated()
	if err != nil {
		return "", err
	}
	there, err := filepath.Abs(m.file)
	if err != nil {
		return "", err
	}
	bad := filepath.Join(dir, m.name+".go")
	list, err := json.Marshal(map[string]map[string]string{"Replace": {there: bad}})
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, m.name+".json")
	return path, errors.Join(os.WriteFile(bad, []byte(text), 0o600), os.WriteFile(path, list, 0o600))
}
