package ui

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gdamore/tcell/v2"

	"latchkey/firmware/unlock"
	"latchkey/ui/samples"
)

// told makes what an input carries comparable.
func told(in unlock.Input) any {
	switch in := in.(type) {
	case unlock.CommentTyped:
		return "comment " + string(in.Text.Reveal())
	case unlock.ContactTyped:
		return "contact " + string(in.Address.Reveal())
	case unlock.ServiceCodeTyped:
		return "service " + string(in.Code.Reveal())
	}
	return in
}

func TestWhatComesAfterAWalkCanBeDoneByTapsAndByKeys(t *testing.T) {
	t.Parallel()
	rate := samples.Of(unlock.ScreenUnlocked, "")
	rate.CanRate = true
	weak := samples.Of(unlock.ScreenWeak, samples.Weak[0])
	for _, c := range []struct {
		view unlock.View
		taps string // labels, separated by blanks; _ within a label is a blank
		keys string // typed
		last tcell.Key
		want any
	}{
		{view: rate, taps: "Tell_us_how_it_was", want: unlock.Pressed{Button: unlock.PressFeedback}},
		{view: weak, taps: "Choose_another", want: unlock.Pressed{Button: unlock.PressBack}},
		{view: weak, taps: "Use_it_anyway", want: unlock.Pressed{Button: unlock.PressContinue}},
		{view: weak, last: tcell.KeyEnter, want: unlock.Pressed{Button: unlock.PressBack}}, // in haste, the safe way
		{view: weak, last: tcell.KeyEscape, want: unlock.Pressed{Button: unlock.PressBack}},
		{view: samples.Of(unlock.ScreenRating, ""), taps: "5_Very_good", want: unlock.Rated{Stars: 5}},
		{view: samples.Of(unlock.ScreenRating, ""), taps: "1_Very_poor", want: unlock.Rated{Stars: 1}},
		{view: samples.Of(unlock.ScreenRating, ""), keys: "2", want: unlock.Rated{Stars: 2}},
		{view: samples.Of(unlock.ScreenRating, ""), keys: "6", want: unlock.Touched{}},
		{view: samples.Of(unlock.ScreenRating, ""), last: tcell.KeyEnter, want: unlock.Touched{}}, // no answer is nearer than another
		{view: samples.Of(unlock.ScreenRating, ""), taps: "Back", want: unlock.Pressed{Button: unlock.PressBack}},
		{view: samples.Of(unlock.ScreenComment, ""), taps: "o k Space ABC G Delete Next", want: "comment ok "},
		{view: samples.Of(unlock.ScreenComment, ""), taps: "Next", want: "comment "},
		{view: samples.Of(unlock.ScreenComment, ""), keys: "It was good.", last: tcell.KeyEnter, want: "comment It was good."},
		{view: samples.Of(unlock.ScreenComment, ""), keys: strings.Repeat("x", maxComment+9), last: tcell.KeyEnter, want: "comment " + strings.Repeat("x", maxComment)},
		{view: samples.Of(unlock.ScreenContact, ""), taps: "Submit", want: "contact "},
		{view: samples.Of(unlock.ScreenContact, ""), keys: "j@nhs.net", last: tcell.KeyEnter, want: "contact j@nhs.net"},
		{view: samples.Of(unlock.ScreenContact, ""), last: tcell.KeyEscape, want: unlock.Pressed{Button: unlock.PressBack}},
		{view: samples.Of(unlock.ScreenServiceCode, ""), taps: "7 H Q 2 M Z OK", want: "service 7HQ2MZ"},
		{view: samples.Of(unlock.ScreenServiceCode, ""), keys: "oil u-é 7hq2m 7hq2m 7hq2m", last: tcell.KeyEnter, want: "service 0117HQ2M7HQ2M7H"},
		{view: samples.Of(unlock.ScreenServiceCode, ""), last: tcell.KeyEnter, want: unlock.Touched{}},
		{view: samples.Of(unlock.ScreenServiceCode, unlock.ReasonServiceNone), keys: "7", last: tcell.KeyEnter, want: unlock.Pressed{Button: unlock.PressBack}},
		{view: samples.Of(unlock.ScreenEngineer, ""), taps: "Close", want: unlock.Pressed{Button: unlock.PressClose}},
		{view: samples.Of(unlock.ScreenEngineer, ""), last: tcell.KeyEscape, want: unlock.Pressed{Button: unlock.PressClose}},
	} {
		s := newStage(t, 50, 15)
		s.Show(c.view, samples.Now)
		var got unlock.Input
		for _, label := range strings.Fields(c.taps) {
			got = s.tap(t, strings.ReplaceAll(label, "_", " "))
		}
		for _, r := range c.keys {
			got = s.Handle(tcell.NewEventKey(tcell.KeyRune, r, tcell.ModNone), samples.Now)
		}
		if c.last != 0 {
			got = s.press(c.last)
		}
		if told(got) != c.want {
			t.Errorf("%s, taps %q, keys %q: %v, not %v\n%s", c.view.Screen, c.taps, c.keys, told(got), c.want, s.text())
		}
	}
}

func TestTheKiosksWholeNameStandsWhereItsCodeIsAskedFor(t *testing.T) {
	t.Parallel()
	s := newStage(t, 50, 15)
	s.opts.Kiosk = "birmingham-midland-metropolitan-level-5-a"
	s.Show(samples.Of(unlock.ScreenServiceCode, ""), samples.Now)
	if !strings.Contains(s.text(), s.opts.Kiosk) || len(s.page.cut) > 0 {
		t.Errorf("%q\n%s", s.page.cut, s.text())
	}
}

// What a holder says is not tied to the holder: neither name nor reference is beside it.
func TestNoNameStandsBesideARating(t *testing.T) {
	t.Parallel()
	for _, screen := range []unlock.Screen{unlock.ScreenRating, unlock.ScreenComment, unlock.ScreenContact, unlock.ScreenThanks} {
		v := samples.Of(screen, "")
		v.Holder, v.Reference = "Joanna Smith", "3f2a91c0"
		s := newStage(t, 100, 30)
		s.Show(v, samples.Now)
		if text := s.text(); strings.Contains(text, "Joanna") || strings.Contains(text, "3f2a") {
			t.Errorf("%s:\n%s", screen, text)
		}
	}
}

func TestALongCommentShowsItsEnd(t *testing.T) {
	t.Parallel()
	for _, size := range sizes {
		s := newStage(t, size[0], size[1])
		s.Show(samples.Of(unlock.ScreenComment, ""), samples.Now)
		s.write(strings.Repeat("lorem ipsum ", 24) + "the end")
		if text := s.text(); !strings.Contains(text, "the end_") || strings.Count(text, "ipsum") < 6 {
			t.Errorf("%v: more than a row of it should stand there, and its end:\n%s", size, text)
		}
		if !strings.Contains(s.text(), "5 left") {
			t.Errorf("%v: it is not told how much is left:\n%s", size, s.text())
		}
		s.write(strings.Repeat("x", 5))
		if len(s.page.cut) > 0 || s.typed.n != maxComment {
			t.Errorf("%v: %q, %d", size, s.page.cut, s.typed.n)
		}
	}
	for _, c := range []struct {
		text string
		w    int
		want []int
	}{
		{"", 9, []int{0}}, {"one two", 9, []int{0}}, {"one two three", 9, []int{0, 8}}, {"abcdefghijklm", 5, []int{0, 4, 8, 12}},
	} {
		if got := breaks([]byte(c.text), c.w); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q at %d breaks at %v, not %v", c.text, c.w, got, c.want)
		}
	}
}

// Whatever a holder does: the page is the machine's to open.
func TestNoHoldersScreenLeadsToTheEngineersPage(t *testing.T) {
	t.Parallel()
	allowed := map[unlock.Screen]bool{unlock.ScreenEngineer: true}
	for _, sample := range samples.All() {
		if allowed[sample.View.Screen] {
			continue
		}
		s := newStage(t, 50, 15)
		s.opts.Do = func(a Action) (string, error) { t.Errorf("%s: %T was done", sample.Name, a); return "", nil }
		s.opts.Engineer = func() []Fact { t.Errorf("%s: the facts were asked for", sample.Name); return nil }
		s.play(sample)
		for i := range s.page.targets {
			s := newStage(t, 50, 15)
			s.opts.Do, s.opts.Engineer = nil, nil
			s.play(sample)
			switch in := s.page.targets[i].act().(type) {
			case unlock.ServiceAsked:
				t.Errorf("%s: a key asks for the engineer's page", sample.Name)
			case unlock.Pressed:
				if in.Button == unlock.PressClose {
					t.Errorf("%s: a key of the engineer's page", sample.Name)
				}
			}
		}
		for _, k := range []tcell.Key{tcell.KeyEnter, tcell.KeyTab, tcell.KeyEscape, tcell.KeyF1, tcell.KeyF2, tcell.KeyF5, tcell.KeyF12} {
			s := newStage(t, 50, 15)
			s.play(sample)
			if _, asks := s.press(k).(unlock.ServiceAsked); asks && !vacant(sample.View.Screen) {
				t.Errorf("%s: key %v asks for the engineer's page", sample.Name, k)
			}
		}
	}
}

func TestTheTouchPanelIsCalibratedByFourCrosses(t *testing.T) {
	t.Parallel()
	s := newStage(t, 50, 15)
	var raw [2]float64
	var done []Action
	s.opts.Touch = func() (x, y float64, ok bool) { return raw[0], raw[1], true }
	s.opts.Do = func(a Action) (string, error) { done = append(done, a); return "The panel is calibrated.", nil }
	s.Show(samples.Of(unlock.ScreenEngineer, ""), samples.Now)
	s.tap(t, "Touch")
	s.tap(t, "Start")
	s.press(tcell.KeyEnter) // no finger
	for n := range 4 {
		raw = [2]float64{float64(n) / 10, 1 - float64(n)/10}
		s.last = tap{}
		s.mouseAt(49, 14, tcell.Button1) // anywhere: the panel is out
		s.mouseAt(49, 14, tcell.ButtonNone)
	}
	if len(done) != 1 {
		t.Fatalf("done: %v", done)
	}
	points := done[0].(ActCalibrate).Points
	corners := map[[2]bool]bool{}
	for n, p := range points {
		corners[[2]bool{p.WantedX > 0.5, p.WantedY > 0.5}] = true
		if p.RawX != float64(n)/10 || math.Abs(p.RawY-1+float64(n)/10) > 1e-9 || p.WantedX <= 0 || p.WantedX >= 1 {
			t.Errorf("cross %d: %+v", n+1, p)
		}
	}
	if len(corners) != 4 {
		t.Errorf("the crosses do not stand in four corners: %+v", points)
	}
	if !strings.Contains(s.text(), "The panel is calibrated.") {
		t.Errorf("its answer is missing:\n%s", s.text())
	}

	s.tap(t, "Start")
	if got := s.press(tcell.KeyEscape); got != (unlock.Touched{}) || !strings.Contains(s.text(), "Stopped") || len(done) != 1 {
		t.Errorf("Esc: %v, %d done\n%s", got, len(done), s.text())
	}
}

func TestTheLightsAreTheKiosksAgain(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(s stage){
		"another tab": func(s stage) { s.tap(t, "Facts") },
		"the end":     func(s stage) { s.Show(samples.Of(unlock.ScreenAttract, ""), samples.Now) },
	} {
		s := newStage(t, 50, 15)
		var asked []string
		s.opts.Do = func(a Action) (string, error) { asked = append(asked, a.(ActLights).State); return "", nil }
		s.Show(samples.Of(unlock.ScreenEngineer, ""), samples.Now)
		s.tap(t, "Lights")
		for _, state := range Lights {
			s.tap(t, state)
		}
		leave(s)
		if want := append(append([]string(nil), Lights...), ""); !reflect.DeepEqual(asked, want) {
			t.Errorf("%s: lights were asked for %q, not %q", name, asked, want)
		}
	}
}

func TestAnEngineerSeesWhatIsBadAndWhatWentWrong(t *testing.T) {
	t.Parallel()
	s := newStage(t, 50, 15)
	s.Show(samples.Of(unlock.ScreenEngineer, ""), samples.Now)
	seen := s.text()
	s.tap(t, "More")
	seen += s.text()
	for _, f := range samples.Facts {
		if !strings.Contains(seen, f.Label) || f.Bad && !strings.Contains(seen, "! "+f.Label) {
			t.Errorf("%s is not seen:\n%s", f.Label, seen)
		}
	}
	s.opts.Do = func(Action) (string, error) { return "", errors.New("the case is still open") }
	s.tap(t, "Tools")
	s.tap(t, "Case looked at")
	if !strings.Contains(s.text(), "! the case is still open") {
		t.Errorf("the failure is not told:\n%s", s.text())
	}
	s.Show(samples.Of(unlock.ScreenAttract, ""), samples.Now)
	s.Show(samples.Of(unlock.ScreenEngineer, ""), samples.Now)
	if strings.Contains(s.text(), "still open") || !strings.Contains(s.text(), "Kiosk") {
		t.Errorf("the page begins anew:\n%s", s.text())
	}
}

// In the quiet hours the first screen is calm only while all is well.
func TestAQuietKioskStillSaysWhatItCannot(t *testing.T) {
	t.Parallel()
	quiet := true
	s := newStage(t, 50, 15)
	s.opts.Quiet = func(time.Time) bool { return quiet }
	v := samples.Of(unlock.ScreenAttract, "")
	s.Show(v, samples.Now)
	if got := s.words(); !strings.Contains(got, "Insert your smartcard") || !strings.Contains(got, "x4050") || strings.Contains(got, "3 simple steps") {
		t.Error(got)
	}
	v.CentralUp = false
	s.Show(v, samples.Now)
	if got := s.words(); !strings.Contains(got, "cannot be reached") {
		t.Error(got)
	}
	v.CentralUp, quiet = true, false
	s.Show(v, samples.Now)
	if got := s.words(); !strings.Contains(got, "3 simple steps") {
		t.Error(got)
	}
}

func TestTheNextKioskIsNamedWhereThisOneCannotServe(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		view  unlock.View
		named bool
	}{
		{samples.Of(unlock.ScreenOutOfService, unlock.ReasonNoReader), true},
		{samples.Of(unlock.ScreenStopped, unlock.ReasonImpossible), true},
		{samples.Of(unlock.ScreenStopped, unlock.ReasonExpired), false},
		{samples.Of(unlock.ScreenOutOfService, ""), false},
		{samples.Of(unlock.ScreenAttract, ""), false},
	} {
		for tag, place := range map[string]string{English: testOptions.NextKiosk, Welsh: testOptions.NextKioskWelsh} {
			s := newStage(t, 50, 15)
			s.Show(c.view, samples.Now)
			s.speak(tag)
			if strings.Contains(s.words(), place) != c.named {
				t.Errorf("%s, %q in %s:\n%s", c.view.Screen, c.view.Reason, tag, s.text())
			}
			s.opts.NextKiosk, s.opts.NextKioskWelsh = "", ""
			s.draw()
			if got := s.words(); strings.Contains(got, "next kiosk") || strings.Contains(got, "ciosg nesaf") || strings.Contains(got, place) {
				t.Errorf("no such place is configured: %s", got)
			}
		}
	}
}
