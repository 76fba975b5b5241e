package ui

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gdamore/tcell/v2"

	"latchkey/card"
	"latchkey/firmware/unlock"
	"latchkey/ui/samples"
)

// With up, down, select and help, and nothing else, every target of every screen is reached, in turn and around, and seen.
func TestEveryTargetIsReachedByAKeypadOfFourKeys(t *testing.T) {
	t.Parallel()
	for _, up := range []bool{true, false} {
		step, back := tcell.KeyDown, tcell.KeyUp
		if up {
			step, back = back, step
		}
		for _, sample := range eachScreen(up) {
			s := newStage(t, 50, 15)
			s.play(sample)
			s.press(tcell.KeyF1) // help
			s.press(tcell.KeyF1) // and back
			want := []string{}
			for _, c := range s.page.targets {
				want = append(want, c.id)
			}
			if len(want) == 0 {
				continue
			}
			if got := s.focused().id; got != want[0] || s.focused().look != lookBare && !strings.Contains(s.text(), "▶") {
				t.Errorf("%s: the focus begins on %q, not on %q", sample.Name, got, want[0])
			}
			var got []string
			for range want {
				got = append(got, s.focused().id)
				r := s.focused().r
				if s.focused().look == lookTitle {
					r.h = s.page.bar
				}
				if s.focused().look != lookBare && !strings.Contains(strings.Split(s.text(), "\n")[r.y+(r.h-1)/2], "▶") {
					t.Errorf("%s: the focus on %q is not seen:\n%s", sample.Name, s.focused().id, s.text())
				}
				s.press(step)
			}
			if s.focused().id != want[0] {
				t.Errorf("%s: it does not go round", sample.Name)
			}
			s.press(back)
			if s.focused().id != got[len(got)-1] {
				t.Errorf("%s: the way back is another", sample.Name)
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("%s: %q are reached, of %q", sample.Name, got, want)
			}
		}
	}
}

// pick moves on to a target and selects it.
func (s stage) pick(t *testing.T, id string) (in unlock.Input) {
	t.Helper()
	for range s.page.targets {
		if s.focused().id == id {
			return s.press(tcell.KeyEnter)
		}
		s.press(tcell.KeyDown)
	}
	t.Fatalf("%q is not reached:\n%s", id, s.text())
	return nil
}

func TestAKeypadOfFourKeysDoesAll(t *testing.T) {
	t.Parallel()
	free := samples.Of(unlock.ScreenPasscode, "")
	free.Rules = card.Rules{Min: 4, Max: 8}
	idle := samples.Of(unlock.ScreenConsent, "")
	idle.WarnAt, idle.EndsAt = samples.Now, samples.Now.Add(20*time.Second)
	rating := samples.Of(unlock.ScreenRating, "")
	for name, c := range map[string]struct {
		view unlock.View
		ids  []string
		want any
	}{
		"yes":       {samples.Of(unlock.ScreenConsent, ""), []string{"continue"}, press(unlock.PressContinue)},
		"no":        {samples.Of(unlock.ScreenConsent, ""), []string{"not-me"}, press(unlock.PressNotMe)},
		"code":      {samples.Of(unlock.ScreenCode, ""), []string{"key 4", "key 7", "delete", "key 0", "key 1", "key 1", "key 5", "key 9", "ok"}, "code 401159"},
		"again":     {samples.Of(unlock.ScreenCode, ""), []string{"resend"}, press(unlock.PressResend)},
		"letters":   {free, []string{"key p", "capitals", "key Q", "signs", "key $", "signs", "key  ", "key z", "show", "ok"}, "passcode pQ$ z"},
		"language":  {samples.Of(unlock.ScreenCode, ""), []string{"key 4", "language"}, unlock.Touched{}},
		"more time": {idle, []string{"more time"}, unlock.Touched{}},
		"help":      {samples.Of(unlock.ScreenAttract, ""), []string{"help", "contrast", "language", "back"}, unlock.Touched{}},
		"rating":    {rating, []string{"rate 4"}, unlock.Rated{Stars: 4}},
	} {
		s := newStage(t, 50, 15)
		s.Show(c.view, samples.Now)
		s.press(tcell.KeyF1)
		s.pick(t, "back")
		var got unlock.Input
		for _, id := range c.ids {
			got = s.pick(t, id)
		}
		if plain(got) != c.want {
			t.Errorf("%s: %v, not %v", name, plain(got), c.want)
		}
	}
}

// A keyboard's arrows seek the nearest target again when a key comes that no keypad has, and for the next holder.
func TestAKeypadIsToldFromAKeyboard(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(s stage){
		"left":    func(s stage) { s.press(tcell.KeyLeft) },
		"a digit": func(s stage) { s.write("1") },
		"a tap":   func(s stage) { s.tap(t, "Cymraeg") },
		"the end": func(s stage) {
			s.Show(samples.Of(unlock.ScreenStopped, ""), samples.Now)
			s.Show(samples.Of(unlock.ScreenAttract, ""), samples.Now)
		},
	} {
		s := newStage(t, 50, 15)
		s.Show(samples.Of(unlock.ScreenPasscode, ""), samples.Now)
		s.press(tcell.KeyF1)
		s.press(tcell.KeyF1)
		if s.press(tcell.KeyDown); s.focused().id != "key 2" {
			t.Errorf("%s: down leads to %q", name, s.focused().id)
		}
		end(s)
		s.Show(samples.Of(unlock.ScreenRepeat, ""), samples.Now)
		s.focus, s.keys = "key 1", true
		if s.press(tcell.KeyDown); s.focused().id != "key 4" {
			t.Errorf("after %s down leads to %q", name, s.focused().id)
		}
	}
}

// eachScreen is one sample of each screen, and those in which something was typed; or else all.
func eachScreen(few bool) (chosen []samples.Sample) {
	seen := map[unlock.Screen]bool{}
	for _, sample := range samples.All() {
		if few && seen[sample.View.Screen] && sample.Typed == "" {
			continue
		}
		seen[sample.View.Screen] = true
		chosen = append(chosen, sample)
	}
	return chosen
}

func TestHelpLiesOverEveryScreen(t *testing.T) {
	t.Parallel()
	for n := range 2 * len(sizes) * len(tags) {
		size, tag, options := sizes[n/2%len(sizes)], tags[n/2/len(sizes)], n%2 == 0
		s := newStage(t, size[0], size[1])
		if options {
			s.opts.Say, s.opts.LargePrint = func(string, string, bool) {}, func(bool) error { return nil }
		}
		for _, sample := range eachScreen(size != sizes[0]) {
			s.Show(unlock.View{Screen: unlock.ScreenAttract}, samples.Now.Add(time.Hour))
			s.play(sample)
			s.speak(tag)
			s.keys = false
			s.draw()
			before, typed := s.text(), string(s.typed.typed())
			s.press(tcell.KeyF1)
			if len(s.page.cut) > 0 {
				t.Fatalf("%s at %v in %s: cut %q\n%s", sample.Name, size, tag, s.page.cut, s.text())
			}
			if got := s.page.find("large") != nil; got != (options && size[0] >= 100) {
				t.Errorf("at %v large print is offered: %v", size, got)
			}
			if s.page.find("aloud") != nil != options {
				t.Error("reading aloud is not offered as it can be done")
			}
			if s.warned() && s.page.find("more time") == nil {
				t.Errorf("%s: the warning is hidden", sample.Name)
			}
			for i, c := range s.page.targets {
				if c.r.w < 6 || c.r.h < 3 {
					t.Errorf("%s at %v: %q is %v", sample.Name, size, c.id, c.r)
				}
				for _, d := range s.page.targets[i+1:] {
					if c.r.y < d.r.y+d.r.h && d.r.y < c.r.y+c.r.h && c.r.x < d.r.x+d.r.w && d.r.x < c.r.x+c.r.w {
						t.Errorf("%s at %v in %s: %q lies on %q", sample.Name, size, tag, c.id, d.id)
					}
				}
			}
			s.write("9") // nobody sees it, so it is not taken
			s.press(tcell.KeyBackspace)
			s.press(tcell.KeyEscape)
			s.keys = false
			s.draw()
			if s.text() != before || string(s.typed.typed()) != typed {
				t.Errorf("%s at %v: after help the screen is\n%s\nand was\n%s", sample.Name, size, s.text(), before)
			}
		}
	}
	s := newStage(t, 50, 15)
	s.Show(samples.Of(unlock.ScreenConsent, ""), samples.Now)
	s.press(tcell.KeyF1)
	s.Show(samples.Of(unlock.ScreenConsent, ""), samples.Now.Add(time.Second))
	if !strings.Contains(s.words(), "Is this your name?") {
		t.Errorf("help is gone:\n%s", s.text())
	}
	s.Show(samples.Of(unlock.ScreenStopped, unlock.ReasonRemoved), samples.Now)
	if !strings.Contains(s.words(), "Your card was taken out") {
		t.Errorf("help hides a new screen:\n%s", s.text())
	}
}

func TestWhatAHolderChoseIsForOneWalk(t *testing.T) {
	t.Parallel()
	s := newStage(t, 100, 30)
	var large []bool
	s.opts.LargePrint = func(on bool) error { large = append(large, on); return nil }
	s.Show(samples.Of(unlock.ScreenAttract, ""), samples.Now)
	s.press(tcell.KeyF1)
	s.tap(t, "High contrast")
	s.tap(t, "Large print")
	s.Show(samples.Of(unlock.ScreenAttract, ""), samples.Now.Add(chosenFor-time.Second))
	s.Show(samples.Of(unlock.ScreenConsent, ""), samples.Now.Add(time.Hour))
	if !s.contrast || !s.large || s.canvas.theme != contrastTheme {
		t.Error("lost within the walk")
	}
	s.Show(samples.Of(unlock.ScreenUnlocked, ""), samples.Now.Add(time.Hour))
	s.Show(samples.Of(unlock.ScreenAttract, ""), samples.Now.Add(time.Hour))
	if s.contrast || s.large || s.canvas.theme != plainTheme || !slices.Equal(large, []bool{true, false}) {
		t.Errorf("the next holder finds contrast %v, large %v after %v", s.contrast, s.large, large)
	}

	s.opts.LargePrint = func(bool) error { return errors.New("this kernel cannot") }
	s.press(tcell.KeyF1)
	s.tap(t, "Large print")
	if s.large || !strings.Contains(s.words(), "! This screen cannot show larger print.") {
		t.Errorf("nothing is said:\n%s", s.text())
	}
}

func TestAPasscodeIsShownWhileTheKeyIsHeld(t *testing.T) {
	t.Parallel()
	letters := samples.Of(unlock.ScreenPasscode, "")
	letters.Rules = card.Rules{Min: 4, Max: 8}
	for _, size := range sizes[:2] {
		for _, v := range []unlock.View{samples.Of(unlock.ScreenPresent, ""), samples.Of(unlock.ScreenPasscode, ""), samples.Of(unlock.ScreenRepeat, ""), letters} {
			for name, end := range map[string]func(s stage, x, y int){
				"released":      func(s stage, x, y int) { s.mouseAt(x, y, tcell.ButtonNone) },
				"slid off":      func(s stage, x, y int) { s.mouseAt(0, y, tcell.Button1) },
				"a key":         func(s stage, _, _ int) { s.press(tcell.KeyTab) },
				"five seconds":  func(s stage, _, _ int) { s.Show(v, samples.Now.Add(showFor)) },
				"another":       func(s stage, _, _ int) { w := v; w.Reference = "x"; s.Show(w, samples.Now) },
				"nobody there?": func(s stage, _, _ int) { w := v; w.WarnAt = samples.Now; s.Show(w, samples.Now) },
			} {
				for _, held := range []bool{true, false} {
					s := newStage(t, size[0], size[1])
					s.Show(v, samples.Now)
					s.write("28019376")
					dots := s.text()
					r := s.page.find(showID).r
					x, y := r.x+1, r.y+1
					if held {
						s.mouseAt(x, y, tcell.Button1)
					} else {
						if name == "slid off" || name == "released" {
							continue // there is no finger
						}
						s.focus = showID
						s.press(tcell.KeyEnter)
					}
					if got := strings.ReplaceAll(s.text(), " ", ""); !strings.Contains(got, "28019376_") || strings.Contains(got, "••") {
						t.Fatalf("%s at %v: not shown:\n%s", v.Screen, size, s.text())
					}
					end(s, x, y)
					if got := strings.ReplaceAll(s.text(), " ", ""); strings.Contains(got, "28019376") || !strings.Contains(dots, "•") {
						t.Errorf("%s at %v, %s: still shown:\n%s", v.Screen, size, name, s.text())
					}
				}
			}
		}
	}
}

func TestWhatACardRefusesIsRefusedBeforeItIsTried(t *testing.T) {
	t.Parallel()
	s := newStage(t, 50, 15)
	s.Show(samples.Of(unlock.ScreenPasscode, ""), samples.Now)
	s.write("2801")
	if !strings.Contains(s.words(), "4 typed, 2 more") {
		t.Errorf("it does not say how many are missing:\n%s", s.text())
	}
	if got := s.press(tcell.KeyEnter); got != (unlock.Touched{}) {
		t.Errorf("too short: %v", got)
	}
	if !strings.Contains(s.words(), "That passcode is too short. Use 6 to 8 digits.") || string(s.typed.typed()) != "2801" {
		t.Errorf("%s", s.text())
	}
	s.write("93")
	if got := plain(s.press(tcell.KeyEnter)); got != "passcode 280193" {
		t.Error(got)
	}
}

// A known gesture, and no more than that, asks for the engineer's page, and only where no holder is served.
func TestTheEngineersPageIsAskedForOnlyWhereNobodyIsServed(t *testing.T) {
	t.Parallel()
	tap := func(s stage, x, y int, at time.Time) unlock.Input {
		s.Handle(tcell.NewEventMouse(x, y, tcell.Button1, tcell.ModNone), at)
		return s.Handle(tcell.NewEventMouse(x, y, tcell.ButtonNone, tcell.ModNone), at)
	}
	for _, sample := range eachScreen(true) {
		s := newStage(t, 50, 15)
		s.play(sample)
		want := vacant(sample.View.Screen)
		if got := s.press(tcell.KeyF12) == (unlock.ServiceAsked{}); got != want {
			t.Errorf("%s: F12 asks for it: %v", sample.Name, got)
		}
		var last unlock.Input
		for n := range serviceTaps {
			last = tap(s, 2, 0, samples.Now.Add(time.Duration(n)*700*time.Millisecond))
			if n < serviceTaps-1 && last == (unlock.ServiceAsked{}) {
				t.Errorf("%s: after %d taps", sample.Name, n+1)
			}
		}
		if got := last == (unlock.ServiceAsked{}); got != want {
			t.Errorf("%s: five taps ask for it: %v", sample.Name, got)
		}
	}
	s := newStage(t, 50, 15)
	s.Show(samples.Of(unlock.ScreenAttract, ""), samples.Now)
	for n := range 9 {
		if got := tap(s, 2, 0, samples.Now.Add(time.Duration(n)*time.Second)); got != (unlock.Touched{}) {
			t.Errorf("slow taps: %v", got)
		}
	}
}

func TestAResizeKeepsTheFocusAndWhatWasTyped(t *testing.T) {
	t.Parallel()
	for _, sample := range eachScreen(true) {
		s := newStage(t, 50, 15)
		s.play(sample)
		typed := string(s.typed.typed())
		s.press(tcell.KeyTab)
		s.press(tcell.KeyTab)
		if s.focused() == nil {
			continue
		}
		id := s.focused().id
		for _, size := range append(slices.Clone(sizes), sizes[0]) {
			s.sim.SetSize(size[0], size[1])
			s.Handle(tcell.NewEventResize(size[0], size[1]), samples.Now)
			if s.focused() == nil || s.focused().id != id || string(s.typed.typed()) != typed {
				t.Errorf("%s at %v: the focus was on %q; of %q remains %q", sample.Name, size, id, typed, s.typed.typed())
			}
		}
	}
}
