package simulate

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"latchkey/cmd/central/internal/store"
	"latchkey/firmware/journal"
	"latchkey/firmware/unlock"
	wires "latchkey/firmware/wire"
)

func TestMain(m *testing.M) {
	journal.CheckMain()
	runtime.GOMAXPROCS(1) // one goroutine runs at a time, and to hand over from core to core takes as long as what it does
	debug.SetGCPercent(400)
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

// matrix is every cell that a visit can come by: whatever a visit without faults does.
func matrix(seen map[string]map[string]int) (list []cell) {
	for _, kind := range kinds {
		for name, f := range ways {
			for _, step := range f.at {
				if c := (cell{step, name, kind}); seen[kind][step] > 0 && c.possible() {
					list = append(list, c)
				}
			}
		}
	}
	slices.SortFunc(list, func(a, b cell) int {
		return strings.Compare(a.step+a.fault+a.kind, b.step+b.fault+b.kind)
	})
	// Neighbours are unlike one another.
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

// simulator is what all runs share.
type simulator struct {
	*template
	steps map[string]map[string]int // that a visit without faults takes, by kind: how many ops
	cells []cell
}

func newSimulator(t *testing.T) *simulator {
	t.Helper()
	s := &simulator{}
	dir := inMemory(t)
	t.Run("template", func(t *testing.T) {
		cryptotest.SetGlobalRandom(t, 0)
		synctest.Test(t, func(t *testing.T) {
			var err error
			if s.template, err = newTemplate(dir); err != nil {
				t.Fatal(err)
			}
		})
	})
	s.bubble(t, "survey", 0, func(w *world) {
		w.steps = map[string]map[string]int{}
		for _, kind := range kinds {
			w.steps[kind] = map[string]int{}
			w.surveyed = kind
			w.episode(cell{kind: kind}, cell{})
		}
		s.steps = w.steps
		w.steps = nil
	})
	s.cells = matrix(s.steps)
	return s
}

// bubble runs f in a world.
func (s *simulator) bubble(t *testing.T, name string, seed uint64, f func(*world)) (w *world) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		dir := inMemory(t)
		cryptotest.SetGlobalRandom(t, seed)
		synctest.Test(t, func(t *testing.T) {
			var err error
			if w, err = newWorld(s.template, seed, dir); err != nil {
				t.Fatal(err)
			}
			w.surveySteps = s.steps
			f(w)
			if err := w.close(); err != nil {
				t.Error(err)
			}
		})
	})
	return w
}

// episodes of one world.
const episodes = 40

// watchedOneIn worlds have their tree grow and be watched: it costs a fifth.
const watchedOneIn = 3

// plan is which episodes of a world take place, and whether a second visit goes wrong, too.
type plan struct {
	from, to int
	second   bool
}

// ofOneCell is the upper half of the seeds whose episodes are about one cell, so many.
func ofOneCell(i, episodes int) uint64 { return uint64(episodes)<<48 | uint64(i+1)<<32 }

// about is the cell of such a seed, and how many episodes it has; -1 and all for others.
func about(seed uint64) (i, n int) {
	if seed>>32 == 0 {
		return -1, episodes
	}
	return int(seed>>32&0xffff) - 1, int(seed >> 48)
}

var whole = plan{0, episodes, true}

// run plays one seed.
func (s *simulator) run(t *testing.T, seed uint64, p plan) *world {
	t.Helper()
	return s.bubble(t, fmt.Sprint("seed ", seed), seed, func(w *world) {
		if seed%watchedOneIn == 0 && !*calm {
			w.history = &history{stores: map[*kiosk]*memory{}}
		}
		if err := w.backUp(); err != nil {
			w.breaks(harness, "%v", err)
		}
		one, n := about(seed)
		for i := p.from; i < min(p.to, n) && len(w.broken) == 0; i++ {
			w.rng = rand.New(rand.NewPCG(seed, uint64(i)+1))
			first := s.cells[(int(seed)*episodes+i)%len(s.cells)]
			if *only != "" {
				first = s.named(t, *only)
			} else if one >= 0 {
				first = s.cells[one%len(s.cells)]
			}
			second := s.cells[w.rng.IntN(len(s.cells))]
			if slices.Contains(writing, first.step) && w.rng.IntN(2) == 0 { // what went wrong goes wrong again
				for !slices.Contains(writing, second.step) {
					second = s.cells[w.rng.IntN(len(s.cells))]
				}
			}
			if second.kind = first.kind; !p.second || s.steps[second.kind][second.step] == 0 || !second.possible() {
				second = cell{}
			}
			if w.at = i; *calm {
				first, second = cell{kind: "piv"}, cell{}
			}
			w.episode(first, second)
			if w.history != nil && i%4 == 3 && len(w.broken) == 0 {
				if err := w.showHistory(); err != nil {
					w.breaks(harness, "%v", err)
				}
			}
		}
		if err := w.settle(); err != nil {
			w.breaks(harness, "%v", err)
		}
		if len(w.broken) > 0 {
			return
		}
		w.deliver()
		for _, k := range w.kiosks {
			w.evidence(k)
		}
		if w.history != nil && len(w.broken) == 0 {
			if err := w.audited(); err != nil {
				w.breaks(harness, "%v", err)
			}
		}
	})
}

// episode is one card's way through a fault, perhaps a second, and on until it is unlocked.
func (w *world) episode(first, second cell) {
	if err := w.tryEpisode(first, second); err != nil {
		w.breaks(harness, "%v", err)
	}
}

func (w *world) tryEpisode(first, second cell) error {
	w.start = len(w.transcript)
	w.say("episode %d: %s; %s at %s; %s at %s", w.at, first.kind, first.fault, first.step, second.fault, second.step)
	c, err := w.card(first.kind)
	if err != nil {
		return err
	}
	place := w.rng.IntN(2)
	time.Sleep(time.Duration(1+w.rng.IntN(5)) * time.Second)
	w.restored = false
	if first.fault == "disk rolled back" || second.fault == "disk rolled back" {
		for _, k := range w.kiosks {
			if k.older, err = os.ReadFile(k.disk); err != nil {
				return err
			}
		}
	}
	if first.fault == "disk rolled back" && first.step != "entries" && w.rng.IntN(2) == 0 {
		if err := w.writeUnseen(w.kiosks[place]); err != nil {
			return err
		}
	}
	var said unlock.View
	referred := false
	for visit := range 16 {
		k := w.kiosks[place]
		w.fault = nil
		switch {
		case visit == 0 && first.fault != "":
			w.await(first, k, c)
		case visit == 1 && second.fault != "":
			w.await(second, k, c)
		}
		restores, spoilt := w.restores, c.spoilt
		if said, err = w.visit(k, c); err != nil {
			return err
		}
		for range 3 { // what is still to be told goes on, and may go wrong
			for o := w.next(); o != nil; o = w.next() {
				w.perform(o)
			}
			if w.fault == nil || said.Screen != unlock.ScreenUnlocked {
				break
			}
			time.Sleep(time.Second)
		}
		if err := w.settle(); err != nil {
			return err
		}
		if err := w.replaceForks(); err != nil {
			return err
		}
		recovering := said.Reason == unlock.Reason(wires.CodeCardRecovering) || w.restored && said.Screen != unlock.ScreenUnlocked
		unlocked := said.Screen == unlock.ScreenUnlocked
		if unlocked && w.restores > restores { // a card's evidence is taken in when it comes again
			w.restored = true
			if err := c.sim.Block(); err != nil {
				return err
			}
			continue
		}
		if !recovering && (w.restores == 0 || unlocked) {
			w.look(c)
		}
		switch {
		case unlocked:
			if c.spoilt == spoilt { // else its PUK may not be replaced
				c.spoilt = 0
			}
			return nil
		case said.Reason == unlock.Reason(wires.CodeCardReferred) && (c.spoilt > 1 || c.strangers || c.lied || w.restores > 0):
			if c.retired = referred; referred {
				return nil
			}
			referred = true // the holder tries again, as people do
		case said.Reason == unlock.ReasonPUKBlocked && c.strangers:
			c.retired = true
			return nil
		case visit > 6 && !w.restored:
			w.breaks(cardIsNotBricked, "%s: after all is well again it is still %s %s", c.name, said.Screen, said.Reason)
			return nil
		case visit > 0:
			time.Sleep(20 * time.Second)
			if said.Reason == unlock.Reason(wires.CodeGrantUnsettled) || recovering {
				w.ahead.Add(int64(max(time.Hour, w.latest.Sub(w.now())))) // after leaps of the clock that is how long it can take
			}
		}
		// After a restore the card waits for what each kiosk has to tell, so none is left out for long.
		if visit > 1 && (w.rng.IntN(2) == 0 || visit > 7) {
			place = 1 - place
		}
	}
	w.breaks(cardIsNotBricked, "%s: after all is well again it is still %s %s", c.name, said.Screen, said.Reason)
	return nil
}

// writeUnseen has a kiosk write entries that central learns of by nothing but the head that the next Begin shows.
func (w *world) writeUnseen(k *kiosk) error {
	w.say("%s: entries are withheld", k.name)
	w.withheld = "entries"
	return errors.Join(k.p.tell(k.p.box, unlock.CaseOpened{}), k.p.tell(k.p.box, unlock.CaseCleared{}))
}

// await has a fault happen in the visit that begins now.
func (w *world) await(at cell, k *kiosk, c *plastic) {
	f := &fault{kind: at.fault, step: at.step, card: c}
	if slices.Contains(cardSteps, at.step) {
		f.skip = w.rng.IntN(w.surveySteps[at.kind][at.step])
	}
	w.fault, w.victim = f, k.p
}

// replaceForks puts new kiosks in the places of those whose journals are not central's any more, as an engineer does. Whether what
// happened can be seen is looked at before.
func (w *world) replaceForks() error {
	for i, k := range w.kiosks {
		if !k.forked {
			continue
		}
		w.say("%s: is taken out of service", k.name)
		if k.behind {
			if err := k.p.tell(k.p.box, unlock.CaseOpened{}); err != nil { // so that it has something to tell
				return err
			}
			w.seenFork(k)
		}
		w.update(func(tx *store.Tx) error { return tx.DisableKiosk(k.name) })
		w.disabled = append(w.disabled, k.name)
		if err := k.off(); err != nil {
			return err
		}
		// A backup from before would lack what stands in that journal alone.
		if err := errors.Join(w.addKiosk(i), w.backUp()); err != nil {
			return err
		}
	}
	for _, k := range w.clones {
		if err := k.off(); err != nil {
			return err
		}
	}
	w.clones = nil
	return nil
}
