package ui

import (
	"testing"

	"github.com/gdamore/tcell/v2"

	"latchkey/firmware/unlock"
	"latchkey/ui/samples"
)

// counted is a screen that counts what it is told.
type counted struct {
	tcell.SimulationScreen
	cells, shows, syncs int
}

func (c *counted) SetContent(x, y int, r rune, more []rune, st tcell.Style) {
	c.cells++
	c.SimulationScreen.SetContent(x, y, r, more, st)
}

func (c *counted) Show() {
	c.shows++
	c.SimulationScreen.Show()
}

func (c *counted) Sync() {
	c.syncs++
	c.SimulationScreen.Sync()
}

// The console of a small board is slow: a key costs the cells that it changes, and a view that says the same costs nothing.
func TestOnlyWhatChangedIsSent(t *testing.T) {
	t.Parallel()
	s := newStage(t, minWidth, minHeight)
	screen := &counted{SimulationScreen: s.sim}
	f := New(screen, testOptions)
	view := samples.Of(unlock.ScreenPasscode, "")
	f.Show(view, samples.Now)
	f.Handle(tcell.NewEventResize(minWidth, minHeight), samples.Now) // as tcell tells of the size that it finds
	if screen.cells != minWidth*minHeight || screen.syncs != 1 || screen.shows != 0 {
		t.Errorf("the first page took %d cells, was sent whole %d times, and in part %d times", screen.cells, screen.syncs, screen.shows)
	}
	press := func() {
		f.Handle(tcell.NewEventKey(tcell.KeyRune, '5', tcell.ModNone), samples.Now)
	}
	press()
	press()
	screen.cells, screen.shows = 0, 0
	press()
	// The dot, the space and the mark after it, and how many they are.
	if screen.cells != 4 || screen.shows != 1 {
		t.Errorf("a key took %d cells and was shown %d times", screen.cells, screen.shows)
	}
	f.Show(view, samples.Now)
	if screen.cells != 4 || screen.shows != 1 {
		t.Errorf("the same view took %d cells more", screen.cells-4)
	}
	screen.cells, screen.shows, screen.syncs = 0, 0, 0
	screen.SetSize(80, 24)
	f.Handle(tcell.NewEventResize(80, 24), samples.Now)
	if screen.cells != 80*24 || screen.syncs != 1 || screen.shows != 0 {
		t.Errorf("a new size took %d cells, was sent whole %d times, and in part %d times", screen.cells, screen.syncs, screen.shows)
	}
}

// The kernel may write to the console, too: the next holder finds a clean screen.
func TestTheFirstScreenIsSentWhole(t *testing.T) {
	t.Parallel()
	s := newStage(t, minWidth, minHeight)
	screen := &counted{SimulationScreen: s.sim}
	f := New(screen, testOptions)
	for range 2 {
		f.Show(samples.Of(unlock.ScreenUnlocked, ""), samples.Now)
		screen.shows, screen.syncs = 0, 0
		f.Show(samples.Of(unlock.ScreenAttract, ""), samples.Now)
		f.Show(samples.Of(unlock.ScreenAttract, ""), samples.Now)
		if screen.syncs != 1 || screen.shows != 0 {
			t.Errorf("the first screen was sent whole %d times, and in part %d times", screen.syncs, screen.shows)
		}
	}
}
