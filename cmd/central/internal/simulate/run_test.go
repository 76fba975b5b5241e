package simulate

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"latchkey/firmware/journal"
	"latchkey/firmware/unlock"
	wires "latchkey/firmware/wire"
)

var (
	unlocks = flag.Int("unlocks", 200, "how many to simulate")
	seed    = flag.Uint64("seed", 0, "run this seed alone, and print its transcript")
	first   = flag.Uint64("first", 1, "seed to begin with")
)

func TestMain(m *testing.M) {
	journal.CheckMain()
	http.DefaultTransport.(*http.Transport).DialContext = dial
	os.Exit(m.Run())
}

// inMemory is a folder on a file system in memory, if there is one.
func inMemory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "simulate-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// matrix is every cell that a visit can come by.
func matrix() (list []cell) {
	for _, kind := range kinds {
		for name, f := range faults {
			for _, step := range f.at {
				if step == "rotate" && kind != "piv" && kind != "openpgp-admin" {
					continue // their PUK stays
				}
				if (step == "prove" || step == "reprove") && kind != "piv" && !(kind == "gids" && step == "reprove") {
					continue // nothing is asked of the card
				}
				list = append(list, cell{step, name, kind})
			}
		}
	}
	slices.SortFunc(list, func(a, b cell) int {
		return strings.Compare(a.step+a.fault+a.kind, b.step+b.fault+b.kind)
	})
	return list
}

func makeTemplate(t *testing.T) (tpl *template) {
	t.Helper()
	dir := inMemory(t)
	t.Run("template", func(t *testing.T) {
		cryptotest.SetGlobalRandom(t, 0)
		synctest.Test(t, func(t *testing.T) {
			var err error
			if tpl, err = newTemplate(dir); err != nil {
				t.Fatal(err)
			}
		})
	})
	return tpl
}

// episodes of one world.
const episodes = 30

// run plays one seed.
func run(t *testing.T, tpl *template, seed uint64, cells []cell) (w *world) {
	t.Helper()
	t.Run(fmt.Sprint(seed), func(t *testing.T) {
		dir := inMemory(t)
		cryptotest.SetGlobalRandom(t, seed)
		synctest.Test(t, func(t *testing.T) {
			var err error
			if w, err = newWorld(tpl, seed, dir); err != nil {
				t.Fatal(err)
			}
			for i := range episodes {
				w.rng = rand.New(rand.NewPCG(seed, uint64(i)+1))
				w.episode(cells[(int(seed)*episodes+i)%len(cells)])
				if len(w.broken) > 0 {
					break
				}
			}
			if err := w.settle(); err != nil {
				t.Error(err)
			}
			w.deliver()
			for _, k := range w.kiosks {
				w.evidence(k)
			}
			if err := w.close(); err != nil {
				t.Error(err)
			}
		})
	})
	return w
}

// episode is one card's way with a fault, and on until it is unlocked.
func (w *world) episode(at cell) {
	c, err := w.card(at.kind)
	if err != nil {
		w.breaks("harness", "%v", err)
		return
	}
	k := w.kiosks[w.rng.IntN(2)]
	w.say("episode: %s at %s, %s", at.fault, at.step, at.kind)
	time.Sleep(time.Duration(1+w.rng.IntN(5)) * time.Second)
	f := &fault{kind: at.fault, step: at.step, card: c}
	if slices.Contains(cardSteps, at.step) {
		f.skip = w.rng.IntN(2)
	}
	w.fault, w.victim = f, k.p
	var said unlock.View
	for visit := range 4 {
		if said, err = w.visit(k, c); err != nil {
			w.breaks("harness", "%v", err)
			return
		}
		unlocked := said.Screen == unlock.ScreenUnlocked
		if unlocked {
			c.spoilt = 0
			// what is still to be told goes on, and may go wrong
			if w.fault != nil {
				for range 100 {
					for o := w.next(); o != nil; o = w.next() {
						w.perform(o)
					}
					if w.fault == nil {
						break
					}
					time.Sleep(time.Second)
				}
			}
		}
		if err := w.settle(); err != nil {
			w.breaks("harness", "%v", err)
			return
		}
		w.look()
		if unlocked {
			return
		}
		if said.Reason == unlock.Reason(wires.CodeCardReferred) && c.spoilt > 1 {
			c.retired = true
			return
		}
		if visit > 0 {
			time.Sleep(time.Minute)
		}
	}
	w.breaks(cardIsNotBricked, "%s: after all is well again it is still %s %s", c.name, said.Screen, said.Reason)
}

func TestSimulate(t *testing.T) {
	tpl := makeTemplate(t)
	cells := matrix()
	if *seed != 0 {
		w := run(t, tpl, *seed, cells)
		fmt.Println(strings.Join(w.transcript, "\n"))
		return
	}
	began := time.Now()
	n, broken, hits := 0, 0, map[cell]int{}
	for s := *first; n < *unlocks; s++ {
		w := run(t, tpl, s, cells)
		n += w.unlocked
		for c, m := range w.hits {
			hits[c] += m
		}
		if len(w.broken) > 0 {
			broken++
			t.Errorf("seed %d: %s\nmake simulate SEED=%d\n%s", s, w.broken[0], s, strings.Join(w.transcript[max(0, len(w.transcript)-60):], "\n"))
			if broken > 2 {
				break
			}
		}
	}
	fmt.Printf("simulate: %d unlocks, %d invariants broken, %d of %d cells, %.0f/s\n", n, broken, len(hits), len(cells), float64(n)/time.Since(began).Seconds())
	for _, c := range cells {
		if hits[c] == 0 {
			fmt.Println("not hit:", c)
		}
	}
}
