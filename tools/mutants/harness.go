package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// atMost is how long one mutant is looked at: some send the harness in circles. A slow machine needs some minutes.
const atMost = 40 * time.Minute

// try builds the harness with the bug in it, and runs it until it notices.
func (m mutant) try(ctx context.Context, dir string, unlocks int) fate {
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	overlay, err := m.overlay(dir)
	if err != nil {
		return fate{err: err}
	}
	binary := filepath.Join(dir, m.name+".test")
	defer os.Remove(binary)
	if err := build(ctx, binary, m.seenBy, "-overlay", overlay); err != nil {
		return fate{err: fmt.Errorf("it does not build, so it is no mutant: %w", err)}
	}
	if m.seenBy == crashes {
		return crash(ctx, binary, 64, 8, 1)
	}
	about := "-about=" + firstFault[m.name]
	f := simulation(ctx, binary, about, "-broken=1", "-unlocks="+strconv.Itoa(unlocks))
	if f.seed == "" {
		return f
	}
	switch sane := simulation(ctx, filepath.Join(dir, unchanged), about, "-seed="+f.seed); {
	case sane.err != nil:
		return sane
	case sane.by != "":
		return fate{err: fmt.Errorf("seed %s breaks the code without the bug, too (%s)", f.seed, sane.by)}
	}
	return f
}

func build(ctx context.Context, binary string, h harness, how ...string) error {
	c := exec.CommandContext(ctx, "go", slices.Concat([]string{"test", "-c", "-ldflags=-s -w", "-o", binary}, how, []string{string(h)})...)
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

// unchanged is the simulation of the code as it is: a seed that kills a mutant must not break that.
const unchanged = "unchanged.test"

// asItIs builds what the mutants are held against, and sees that the journal starts without a bug.
func asItIs(ctx context.Context, dir string) error {
	if err := build(ctx, filepath.Join(dir, unchanged), simulator); err != nil {
		return err
	}
	binary := filepath.Join(dir, "unchanged-journal.test")
	if err := build(ctx, binary, crashes); err != nil {
		return err
	}
	f := crash(ctx, binary, 64)
	if f.by != "" {
		return fmt.Errorf("without any bug, %s", f.by)
	}
	return f.err
}

// simulation plays until an invariant breaks.
func simulation(ctx context.Context, binary string, how ...string) fate {
	c := exec.CommandContext(ctx, binary, append([]string{"-test.run=^TestSimulate$", "-test.timeout=0", "-part"}, how...)...)
	var out, cried bytes.Buffer
	c.Stdout, c.Stderr = &out, &cried
	err := c.Run()
	at := bytes.Index(out.Bytes(), []byte(`{"Unlocks"`))
	if at < 0 {
		return fate{err: fmt.Errorf("the simulation ended without a word (%v):\n%s%s", err, last(out.Bytes()), last(cried.Bytes()))}
	}
	var sum struct {
		Unlocks int
		Broken  []string
	}
	if err := json.NewDecoder(bytes.NewReader(out.Bytes()[at:])).Decode(&sum); err != nil {
		return fate{err: err}
	}
	f := fate{after: fmt.Sprint(sum.Unlocks, " unlocks")}
	if len(sum.Broken) == 0 {
		return f
	}
	what, _, _ := strings.Cut(sum.Broken[0], ":")
	if strings.HasPrefix(what, "the simulation itself") {
		return fate{err: fmt.Errorf("the simulation broke, and no invariant:\n%s", sum.Broken[0])}
	}
	f.by = "simulation: " + what
	if m := seedLine.FindStringSubmatch(sum.Broken[0]); m != nil {
		f.seed = m[1]
	}
	return f
}

var (
	seedLine  = regexp.MustCompile(`SEED=(\d+)`)
	crashLine = regexp.MustCompile(`(?m)^crash: (\d+) states, (\d+) broken$`)
)

// crash starts the journal from few states, then from more, until a start goes wrong.
func crash(ctx context.Context, binary string, points ...int) fate {
	tried := 0
	for _, oneIn := range points {
		c := exec.CommandContext(ctx, binary, "-test.run=^TestCrashStates$", "-test.timeout=0", "-one-in="+strconv.Itoa(oneIn))
		out, err := c.CombinedOutput()
		m := crashLine.FindSubmatch(out)
		if m == nil {
			return fate{err: fmt.Errorf("the crash states ended without a word (%v):\n%s", err, last(out))}
		}
		n, err := strconv.Atoi(string(m[1]))
		if err != nil {
			return fate{err: err}
		}
		tried += n
		if string(m[2]) != "0" {
			return fate{by: "crash states: " + string(m[2]) + " starts go wrong", after: fmt.Sprint(tried, " states")}
		}
	}
	return fate{after: fmt.Sprint(tried, " states")}
}

// last is the end of what a program said.
func last(b []byte) []byte { return b[max(0, len(b)-1500):] }
