package simulate

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var (
	unlocks   = flag.Int("unlocks", 0, "how many to simulate; 0: as many as a test should")
	seed      = flag.Uint64("seed", 0, "play this seed alone, and print its transcript")
	first     = flag.Uint64("first", 1, "seed to begin with")
	step      = flag.Uint64("step", 1, "from one seed to the next")
	processes = flag.Int("processes", 1, "that share the work")
	part      = flag.Bool("part", false, "be one of several processes: say in JSON what came of it")
	want      = flag.Int("want", 0, "fail if a cell was hit less often")
	enough    = flag.Int("broken", 3, "stop after so many seeds that break an invariant")
	only      = flag.String("about", "", "a cell, as it is printed, that all first faults are")
	calm      = flag.Bool("calm", false, "no faults, and PIV cards alone: for the benchmark")
)

// tally is what came of many seeds.
type tally struct {
	Unlocks, Visits int
	Hits            map[string]int // by cell
	Broken          []string       // with seed and transcript
	Seconds         float64        // that the playing took
}

func (c cell) String() string { return c.step + " / " + c.fault + " / " + c.kind }

// named is the cell of a name.
func (s *simulator) named(t *testing.T, name string) cell {
	t.Helper()
	i := slices.IndexFunc(s.cells, func(c cell) bool { return c.String() == name })
	if i < 0 {
		t.Fatalf("there is no cell %q", name)
	}
	return s.cells[i]
}

func (t *tally) add(w *world) {
	t.Unlocks += w.unlocked
	t.Visits += w.visits
	for c, n := range w.hits {
		t.Hits[c.String()] += n
	}
}

// sayEvery so many unlocks a process says how far it is.
const sayEvery = 5000

// play plays seeds until there are enough unlocks.
func (s *simulator) play(t *testing.T, n int, from, step uint64) *tally {
	sum, said := &tally{Hits: map[string]int{}}, 0
	for seed := from; sum.Unlocks < n && len(sum.Broken) < *enough; seed += step {
		w := s.run(t, seed, whole)
		sum.add(w)
		if sum.Unlocks/sayEvery > said {
			said = sum.Unlocks / sayEvery
			fmt.Fprintf(os.Stderr, "from seed %d on: %d unlocks of %d, %d invariants broken\n", from, sum.Unlocks, n, len(sum.Broken))
		}
		if len(w.broken) > 0 {
			sum.Broken = append(sum.Broken, s.shrink(t, w))
		}
	}
	return sum
}

// fill plays the cells that were not hit often enough, no longer than it takes.
func (s *simulator) fill(t *testing.T, sum *tally, want int, from, step uint64) {
	t.Helper()
	for i, c := range s.cells {
		for k := from; len(sum.Broken) == 0 && k < from+20*step; k += step {
			missing := want - sum.Hits[c.String()]
			if missing <= 0 {
				break
			}
			w := s.run(t, ofOneCell(i, min(episodes, missing+missing/4+1))|k, whole)
			sum.add(w)
			if len(w.broken) > 0 {
				sum.Broken = append(sum.Broken, s.shrink(t, w))
			}
		}
	}
}

// shrink looks for less that breaks an invariant as well, and tells how.
func (s *simulator) shrink(t *testing.T, w *world) string {
	was := w
	for _, p := range []plan{{w.at, w.at + 1, false}, {w.at, w.at + 1, true}, {max(0, w.at-1), w.at + 1, false}, {max(0, w.at-3), w.at + 1, true}} {
		if less := s.run(t, w.seed, p); len(less.broken) > 0 {
			was = less
			break
		}
	}
	return fmt.Sprintf("%s\nreplay with: make simulate SEED=%d\n%s", was.broken[0], w.seed, strings.Join(was.transcript[was.start:], "\n"))
}

func TestSimulate(t *testing.T) {
	n := *unlocks
	if n == 0 {
		n = ofATest
	}
	var sum *tally
	s := newSimulator(t)
	began := time.Now()
	switch {
	case *seed != 0:
		w := s.run(t, *seed, whole)
		fmt.Println(strings.Join(w.transcript, "\n"))
		sum = &tally{Hits: map[string]int{}}
		sum.add(w)
		sum.Broken = w.broken
	case *processes > 1:
		sum = share(t, n, *processes)
	default:
		sum = s.play(t, n, *first, *step)
	}
	if *processes == 1 && *seed == 0 {
		s.fill(t, sum, *want, *first, *step)
	}
	sum.Seconds = time.Since(began).Seconds()
	if *part {
		if err := json.NewEncoder(os.Stdout).Encode(sum); err != nil {
			t.Fatal(err)
		}
		return
	}
	for _, b := range sum.Broken {
		t.Error(b)
	}
	s.report(t, sum)
}

// share has several processes play, since what is random is the process's.
func share(t testing.TB, n, processes int, more ...string) *tally {
	t.Helper()
	type said struct {
		out []byte
		err error
	}
	all := make(chan said)
	for i := range processes {
		go func() {
			child := exec.CommandContext(t.Context(), os.Args[0], append([]string{"-test.run=^TestSimulate$", "-test.timeout=0", "-part",
				fmt.Sprintf("-unlocks=%d", (n+processes-1)/processes), fmt.Sprintf("-want=%d", (*want+processes-1)/processes), fmt.Sprintf("-first=%d", *first+uint64(i)), fmt.Sprintf("-step=%d", processes)}, more...)...)
			child.Stderr = os.Stderr
			out, err := child.Output()
			all <- said{out, err}
		}()
	}
	sum := &tally{Hits: map[string]int{}}
	for range processes {
		got := <-all
		at := bytes.Index(got.out, []byte("{\"Unlocks\""))
		if at < 0 {
			t.Fatalf("a part of the simulation ended without a word: %v\n%s", got.err, got.out)
		}
		var one tally
		if err := json.NewDecoder(bytes.NewReader(got.out[at:])).Decode(&one); err != nil {
			t.Fatal(err)
		}
		sum.Unlocks, sum.Visits, sum.Broken = sum.Unlocks+one.Unlocks, sum.Visits+one.Visits, append(sum.Broken, one.Broken...)
		sum.Seconds = max(sum.Seconds, one.Seconds)
		for c, n := range one.Hits {
			sum.Hits[c] += n
		}
	}
	return sum
}

// What is simulated is measured where nothing goes wrong: P-256 cards, all cores, no disk.
func BenchmarkUnlocks(b *testing.B) {
	const n = 1000
	for b.Loop() {
		sum := share(b, n, runtime.NumCPU(), "-calm")
		if len(sum.Broken) > 0 {
			b.Fatal(sum.Broken[0])
		}
		b.ReportMetric(float64(sum.Unlocks)/sum.Seconds, "unlocks/s")
	}
}

// report prints the matrix, steps and faults, with how often its cells were hit: in all, and the one that was hit least, of the kinds of card.
func (s *simulator) report(t *testing.T, sum *tally) {
	t.Helper()
	steps := slices.Concat(cardSteps, netSteps, journalSteps)
	least := map[[2]string]int{}
	hit := 0
	var missed []string
	for _, c := range s.cells {
		n := sum.Hits[c.String()]
		if n > 0 && n >= *want {
			hit++
		} else {
			missed = append(missed, fmt.Sprintf("%s: %d", c, n))
		}
		at := [2]string{c.fault, c.step}
		if was, is := least[at]; !is || n < was {
			least[at] = n
		}
	}
	if *want > 0 || testing.Verbose() {
		fmt.Printf("%-24s", "hits of the least, of "+fmt.Sprint(len(kinds)))
		for _, step := range steps {
			fmt.Printf("%8s", step)
		}
		fmt.Println()
		names := make([]string, 0, len(ways))
		for name := range ways {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			fmt.Printf("%-24s", name)
			for _, step := range steps {
				if n, is := least[[2]string{name, step}]; is {
					fmt.Printf("%8d", n)
				} else {
					fmt.Printf("%8s", ".")
				}
			}
			fmt.Println()
		}
		for _, m := range missed {
			fmt.Println("not often enough:", m)
		}
	}
	if *want > 0 && len(missed) > 0 {
		t.Errorf("%d cells were hit less than %d times", len(missed), *want)
	}
	fmt.Printf("%d visits, %.0f unlocks/s\n", sum.Visits, float64(sum.Unlocks)/sum.Seconds)
	fmt.Printf("simulate: %d unlocks, %d invariants broken, %d of %d cells\n", sum.Unlocks, len(sum.Broken), hit, len(s.cells))
}

// A seed says all: whoever plays it again sees the same.
func TestASeedGivesOneTranscript(t *testing.T) {
	s := newSimulator(t)
	for _, seed := range []uint64{3, 8} {
		once, again := s.run(t, seed, whole), s.run(t, seed, whole)
		if !slices.Equal(once.transcript, again.transcript) {
			for i := range min(len(once.transcript), len(again.transcript)) {
				if once.transcript[i] != again.transcript[i] {
					t.Fatalf("seed %d, line %d:\n%s\nand again:\n%s", seed, i, strings.Join(once.transcript[max(0, i-8):i+3], "\n"), strings.Join(again.transcript[max(0, i-8):i+3], "\n"))
				}
			}
			t.Fatalf("seed %d: %d lines and %d", seed, len(once.transcript), len(again.transcript))
		}
	}
}

// A kiosk whose clock is set shows another time, and knows how much went by.
func TestClockThatIsSet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := &kiosk{w: &world{began: time.Now()}}
		before := k.now()
		k.ahead.Add(-int64(2 * time.Hour))
		time.Sleep(time.Second)
		after := k.now()
		if went, shown := after.Sub(before), after.Round(0).Sub(before.Round(0)); went != time.Second || shown != time.Second-2*time.Hour {
			t.Errorf("%s went by, and the clock shows %s", went, shown)
		}
	})
}
