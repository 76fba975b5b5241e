package ui

import (
	"slices"
	"testing"
	"time"

	"github.com/gdamore/tcell/v2"

	"latchkey/firmware/unlock"
	"latchkey/ui/samples"
)

// tapAt is a tap at a place, so long after samples.Now.
func (s stage) tapAt(x, y int, after time.Duration) unlock.Input {
	now := samples.Now.Add(after)
	s.Handle(tcell.NewEventMouse(x, y, tcell.Button1, tcell.ModNone), now)
	return s.Handle(tcell.NewEventMouse(x, y, tcell.ButtonNone, tcell.ModNone), now)
}

// A hand that trembles taps twice. The second tap must not do what has come under the finger.
func TestTheSecondOfADoubleTapDoesNothing(t *testing.T) {
	t.Parallel()
	const twice, later = 200 * time.Millisecond, time.Second
	few := eachScreen(true)
	s := newStage(t, 50, 15)
	pages := map[string]*page{}
	for _, to := range few {
		s.Show(unlock.View{Screen: unlock.ScreenAttract}, samples.Now.Add(time.Hour))
		s.play(to)
		pages[to.Name] = s.page
	}
	for _, from := range few {
		s.Show(unlock.View{Screen: unlock.ScreenAttract}, samples.Now.Add(time.Hour))
		s.play(from)
		for _, was := range slices.Clone(s.page.targets) {
			x, y := was.r.centre()
			x, y = x/2, y/2
			for _, to := range few {
				if to.View.Screen == from.View.Screen || was.id == "language" || was.types() || to.Typed != "" || pages[to.Name].at(x, y) == nil {
					continue
				}
				s.Show(unlock.View{Screen: unlock.ScreenAttract}, samples.Now.Add(time.Hour))
				s.Show(from.View, samples.Now)
				if s.page.find(was.id) == nil {
					continue // it was there after other taps
				}
				s.tapAt(x, y, later)
				s.Show(to.View, samples.Now.Add(later))
				if got := s.tapAt(x, y, later+twice); got != (unlock.Touched{}) || s.typed.n > 0 || s.helping || s.Face.words.tag != English {
					t.Fatalf("%s, a double tap on %q: %v on %s, %d typed", from.Name, was.id, got, to.Name, s.typed.n)
				}
			}
		}
	}
}

func TestADoubleTapTurnsAKeyOnceAndTypesTwice(t *testing.T) {
	t.Parallel()
	const twice = 200 * time.Millisecond
	s := newStage(t, 50, 15)
	s.Show(samples.Of(unlock.ScreenCode, ""), samples.Now)
	at := func(id string) (x, y int) {
		x, y = s.page.find(id).r.centre()
		return x / 2, y / 2
	}
	x, y := at("key 1")
	s.tapAt(x, y, 0)
	s.tapAt(x, y, twice)
	x, y = at("key 2")
	s.tapAt(x, y, twice)
	if got := string(s.typed.typed()); got != "112" {
		t.Errorf("typed: %q", got)
	}
	x, y = at("language")
	s.tapAt(x, y, twice)
	s.tapAt(x, y, 2*twice)
	if s.Face.words.tag != Welsh {
		t.Error("a double tap leaves the language as it was")
	}
	s.tapAt(x, y, 10*twice)
	if s.Face.words.tag != English {
		t.Error("a tap after a while does nothing")
	}
}

// A finger that slips a little at the edge of a key has still tapped on it.
func TestAFingerMaySlipAtTheEdge(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		dx, dy int
		want   any
	}{
		{0, 0, press(unlock.PressContinue)}, {1, 1, press(unlock.PressContinue)}, {2, 0, unlock.Touched{}}, {0, 2, unlock.Touched{}},
	} {
		s := newStage(t, 50, 15)
		s.Show(samples.Of(unlock.ScreenConsent, ""), samples.Now)
		yes := s.page.find(string(unlock.PressContinue)).r
		x, y := yes.x, yes.y
		s.mouseAt(x, y, tcell.Button1)
		if got := s.mouseAt(x-c.dx, y-c.dy, tcell.ButtonNone); plain(got) != c.want {
			t.Errorf("released %d columns and %d rows beside it: %v", c.dx, c.dy, got)
		}
	}
	// A finger that was none is lifted beside the screen.
	s := newStage(t, 50, 15)
	s.Show(samples.Of(unlock.ScreenEngineer, ""), samples.Now)
	s.tap(t, "Touch")
	s.tap(t, "Start")
	s.mouseAt(0, 0, tcell.Button1)
	s.mouseAt(-1, -1, tcell.ButtonNone)
	if s.service.cross != 1 {
		t.Error("a ghost's touch counts")
	}
}

// Who is quick is not kept waiting: a tap elsewhere counts at once.
func TestAQuickFingerIsNotTakenForATremblingOne(t *testing.T) {
	t.Parallel()
	v := samples.Of(unlock.ScreenUnlocked, "")
	v.CardIn, v.CanRate = false, true
	s := newStage(t, 50, 15)
	s.Show(v, samples.Now)
	x, y := s.page.find(string(unlock.PressFeedback)).r.centre()
	s.tapAt(x/2, y/2, 0)
	s.Show(samples.Of(unlock.ScreenRating, ""), samples.Now)
	x, y = s.page.find("rate 5").r.centre()
	if got := s.tapAt(x/2, y/2, 100*time.Millisecond); got != (unlock.Rated{Stars: 5}) {
		t.Errorf("%v", got)
	}
}

// Who taps on and on, three times a second, is no hand that trembles.
func TestTappingOnIsHeeded(t *testing.T) {
	t.Parallel()
	s := newStage(t, 50, 15)
	s.Show(samples.Of(unlock.ScreenConsent, ""), samples.Now)
	x, y := s.page.find(string(unlock.PressContinue)).r.centre()
	acted := 0
	for after := time.Duration(0); after < 5*time.Second; after += 300 * time.Millisecond {
		if s.tapAt(x/2, y/2, after) == (unlock.Pressed{Button: unlock.PressContinue}) {
			acted++
		}
	}
	if acted < 3 || acted > 5 {
		t.Errorf("of 17 taps in five seconds %d acted, want one in each or so", acted)
	}
}
