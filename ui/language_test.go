package ui

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gdamore/tcell/v2"

	"latchkey/firmware/unlock"
	"latchkey/ui/samples"
)

// asked are the messages that the code asks for by name.
func asked(t *testing.T) (ids map[string]bool) {
	t.Helper()
	ids = map[string]bool{}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	call := regexp.MustCompile(`\b(say|row|tries|count)\("([a-z0-9.-]+)"`)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range call.FindAllStringSubmatch(string(b), -1) {
			if m[1] != "row" {
				ids[m[2]] = true
				continue
			}
			for n := range english().row(m[2]) {
				ids[m[2]+"-"+strconv.Itoa(n+1)] = true
			}
		}
	}
	return ids
}

func TestNoMessageIsMissingAndNoneIsUnused(t *testing.T) {
	t.Parallel()
	want := asked(t)
	for _, r := range append(samples.Reasons(), "starting", "unknown") {
		for _, id := range []string{"story." + string(r), "kept." + string(r)} {
			for _, part := range []string{".head", ".body", ".note"} {
				if english().say(id+part) != "" { // that nothing is missing on the screen, other tests say
					want[id+part] = true
				}
			}
		}
	}
	for _, r := range append(slices.Clone(samples.SetupRetried), samples.SetupRefused...) {
		want["setup."+r+".what"], want["setup."+r+".do"] = true, true
	}
	for _, w := range []*words{english(), welsh()} {
		for id := range want {
			if w.plain[id] == "" {
				t.Errorf("%s: %s is missing", w.tag, id)
			}
		}
		for id := range w.plain {
			if !want[id] {
				t.Errorf("%s: nobody asks for %s", w.tag, id)
			}
		}
	}
}

// same are messages that are no words of any language.
var same = []string{"ok", "spoken-at", "lower", "capitals", "signs"}

func TestTheWelshFileIsWelsh(t *testing.T) {
	t.Parallel()
	words := regexp.MustCompile(`(?i)\b(the|your|you|card|code|passcode|kiosk|please|is|and|not|it|of|to|new|left|try|again|[a-z]+ing)\b`)
	braces := regexp.MustCompile(`{[a-z]+}`)
	for id, s := range welsh().plain {
		if s == english().plain[id] && !slices.Contains(same, id) {
			t.Errorf("%s is as in English: %s", id, s)
		}
		if english := words.FindString(braces.ReplaceAllString(s, "")); english != "" {
			t.Errorf("%s: %q is left in %s", id, english, s)
		}
		facts := func(s string) []string { f := braces.FindAllString(s, -1); slices.Sort(f); return f }
		if a, b := facts(english().plain[id]), facts(s); !slices.Equal(a, b) {
			t.Errorf("%s tells %v in English and %v in Welsh", id, a, b)
		}
	}
}

func TestNumbersAreSaidAsTheLanguageDoes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		w    *words
		id   string
		n    int
		want string
	}{
		{english(), "tries-left", 1, "1 try left."}, {english(), "tries-left", 2, "2 tries left."},
		{english(), "minutes", 1, "1 minute"}, {english(), "minutes", 15, "15 minutes"},
		{welsh(), "tries-left", 1, "1 cynnig ar ôl."}, {welsh(), "tries-left", 2, "2 gynnig ar ôl."},
		{welsh(), "tries-left", 3, "3 chynnig ar ôl."}, {welsh(), "tries-left", 4, "4 cynnig ar ôl."},
		{welsh(), "tries-left", 6, "6 chynnig ar ôl."}, {welsh(), "tries-left", 10, "10 cynnig ar ôl."},
		{welsh(), "minutes", 0, "0 munud"}, {welsh(), "minutes", 2, "2 funud"}, {welsh(), "minutes", 15, "15 munud"},
	} {
		if got := c.w.count(c.id, c.n); got != c.want {
			t.Errorf("%s, %d in %s: %q, not %q", c.id, c.n, c.w.tag, got, c.want)
		}
	}
	for _, w := range []*words{english(), welsh()} {
		for _, id := range []string{"tries-left", "tries-left-card", "tries-before-lock", "minutes"} {
			for n := 1; n < 30; n++ {
				if got := w.count(id, n); !strings.Contains(got, strconv.Itoa(n)+" ") {
					t.Errorf("%s, %d in %s: %q", id, n, w.tag, got)
				}
			}
		}
		if got := w.day(time.Date(2027, 9, 30, 0, 0, 0, 0, time.UTC)); got != map[string]string{English: "30 September 2027", Welsh: "30 Medi 2027"}[w.tag] {
			t.Error(got)
		}
	}
}

func TestEveryScreenOffersTheOtherLanguage(t *testing.T) {
	t.Parallel()
	for _, size := range [][2]int{{50, 15}, {100, 30}} {
		for _, sample := range samples.All() {
			if sample.View.Screen == unlock.ScreenEngineer {
				continue // it is in English
			}
			s := newStage(t, size[0], size[1])
			s.play(sample)
			typed := string(s.typed.typed())
			before := s.text()
			for _, label := range []string{"Cymraeg", "English"} {
				key := s.page.find("language")
				if key == nil {
					t.Fatalf("%s at %v: no way to another language:\n%s", sample.Name, size, s.text())
				}
				if key.label != label && key.label != map[string]string{"Cymraeg": "CY", "English": "EN"}[label] || !strings.Contains(s.text(), key.label) {
					t.Errorf("%s at %v: the key says %q, not %q:\n%s", sample.Name, size, key.label, label, s.text())
				}
				if got := s.tap(t, key.label); got != (unlock.Touched{}) {
					t.Errorf("%s at %v: %v", sample.Name, size, got)
				}
				if label == "Cymraeg" && s.text() == before {
					t.Errorf("%s at %v: nothing has changed", sample.Name, size)
				}
			}
			if got := string(s.typed.typed()); got != typed {
				t.Errorf("%s at %v: of %q remains %q", sample.Name, size, typed, got)
			}
		}
	}
}

// In both languages, so that no Welsh key lies on another or is too small; in English TestTargetsAreLargeEnoughForGloves says so.
func TestWelshKeysAreWhereEnglishOnesAre(t *testing.T) {
	t.Parallel()
	for _, size := range sizes {
		for _, sample := range samples.All() {
			s := newStage(t, size[0], size[1])
			s.play(sample)
			ids := func() map[string]bool {
				m := map[string]bool{}
				for _, c := range s.page.targets {
					m[c.id] = true
				}
				return m
			}
			in := ids()
			s.speak(Welsh)
			if !maps.Equal(in, ids()) {
				t.Errorf("%s at %v: %v in English, %v in Welsh", sample.Name, size, in, ids())
			}
			for i, c := range s.page.targets {
				w, h := 6, 3
				if sample.Letters() {
					w, h = 5, 2
				}
				if c.r.w < w || c.r.h < h || c.r.x < 0 || c.r.x+c.r.w > size[0] || c.r.y+c.r.h > size[1] {
					t.Errorf("%s at %v: %q is %v", sample.Name, size, c.id, c.r)
				}
				for _, d := range s.page.targets[i+1:] {
					if c.r.x < d.r.x+d.r.w && d.r.x < c.r.x+c.r.w && c.r.y < d.r.y+d.r.h && d.r.y < c.r.y+c.r.h {
						t.Errorf("%s at %v: %q lies on %q", sample.Name, size, c.id, d.id)
					}
				}
			}
		}
	}
}

// The language is the holder's, and the next holder finds English.
func TestALanguageIsRememberedForTheWalk(t *testing.T) {
	t.Parallel()
	speaks := func(s stage, after string, want *words) {
		t.Helper()
		if s.Face.words != want {
			t.Errorf("after %s the kiosk speaks %s", after, s.Face.words.tag)
		}
	}
	for _, last := range []unlock.Screen{unlock.ScreenUnlocked, unlock.ScreenStopped, unlock.ScreenAway} {
		s := newStage(t, 50, 15)
		s.Show(samples.Of(unlock.ScreenAttract, ""), samples.Now)
		s.tap(t, "Cymraeg")
		for _, screen := range []unlock.Screen{
			unlock.ScreenReading, unlock.ScreenConsent, unlock.ScreenChannel, unlock.ScreenSending, unlock.ScreenCode,
			unlock.ScreenChecking, unlock.ScreenPasscode, unlock.ScreenRepeat, unlock.ScreenWriting, last,
		} {
			s.Show(samples.Of(screen, ""), samples.Now.Add(2*chosenFor))
			speaks(s, string(screen), welsh())
		}
		s.Show(samples.Of(unlock.ScreenAttract, ""), samples.Now.Add(2*chosenFor))
		speaks(s, "a walk that ended with "+string(last), english())

		s.Show(samples.Of(last, ""), samples.Now)
		s.press(tcell.KeyF2)
		speaks(s, "F2", welsh())
		s.Show(samples.Of(unlock.ScreenReading, ""), samples.Now)
		speaks(s, "a card that came at once after "+string(last), english())
	}

	s := newStage(t, 50, 15)
	v := samples.Of(unlock.ScreenAttract, "")
	s.Show(v, samples.Now)
	s.press(tcell.KeyF2)
	s.Show(v, samples.Now.Add(chosenFor-time.Second))
	speaks(s, "a while", welsh())
	s.Show(v, samples.Now.Add(chosenFor))
	speaks(s, "a minute in which nobody came", english())

	s.Show(samples.Of(unlock.ScreenConsent, ""), samples.Now)
	s.press(tcell.KeyF2)
	s.Show(samples.Of(unlock.ScreenOutOfService, unlock.ReasonJournalFull), samples.Now)
	speaks(s, "a walk that broke off", english())
}

// Where the house begins in Welsh, so does every walk, and English is a key away.
func TestAHouseMayBeginInWelsh(t *testing.T) {
	t.Parallel()
	s := newStage(t, 50, 15)
	s.opts.Language = Welsh
	s.Face.words = s.first()
	s.Show(samples.Of(unlock.ScreenAttract, ""), samples.Now)
	if !strings.Contains(s.text(), welsh().say("name")) {
		t.Errorf("the first screen:\n%s", s.text())
	}
	s.tap(t, "English")
	if !strings.Contains(s.text(), english().say("name")) {
		t.Errorf("after the key:\n%s", s.text())
	}
	s.Show(samples.Of(unlock.ScreenConsent, ""), samples.Now)
	s.Show(samples.Of(unlock.ScreenAttract, ""), samples.Now.Add(time.Second))
	if !strings.Contains(s.text(), welsh().say("name")) {
		t.Errorf("after a walk in English:\n%s", s.text())
	}
}

// Enter does nothing where there is nothing to do but to change the language: who presses it in haste stays with their own.
func TestEnterAloneDoesNotChangeTheLanguage(t *testing.T) {
	t.Parallel()
	for _, screen := range []unlock.Screen{unlock.ScreenAttract, unlock.ScreenReading, unlock.ScreenWriting, unlock.ScreenUnlocked} {
		s := newStage(t, 50, 15)
		s.Show(samples.Of(screen, ""), samples.Now)
		s.press(tcell.KeyEnter)
		if s.Face.words != english() {
			t.Errorf("%s: Enter changed the language", screen)
		}
		for s.press(tcell.KeyTab); s.focused().id != "language"; s.press(tcell.KeyTab) {
		}
		if !strings.Contains(s.text(), "▶Cymraeg◀") {
			t.Errorf("%s: the focus is not seen:\n%s", screen, s.text())
		}
		s.press(tcell.KeyEnter)
		if s.Face.words != welsh() {
			t.Errorf("%s: Tab and Enter did not change it", screen)
		}
	}
}

func TestWhoHelpsIsSaidInTheLanguageThatTheHouseHas(t *testing.T) {
	t.Parallel()
	s := newStage(t, 50, 15)
	s.Show(samples.Of(unlock.ScreenStopped, unlock.ReasonHung), samples.Now)
	for _, c := range []struct{ welsh, want string }{
		{testOptions.HelpWelsh, "Angen help? " + testOptions.HelpWelsh}, {"", "Angen help? " + testOptions.Help},
	} {
		s.opts.HelpWelsh = c.welsh
		s.Face.words = welsh()
		s.draw()
		if !strings.Contains(s.words(), c.want) {
			t.Errorf("%q is missing:\n%s", c.want, s.text())
		}
	}
}
