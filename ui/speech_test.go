package ui

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/gdamore/tcell/v2"

	"latchkey/card"
	"latchkey/firmware/unlock"
	"latchkey/firmware/wire"
	"latchkey/ui/samples"
)

// heardBy is a stage whose texts for the speaker are kept.
func heardBy(t *testing.T, w, h int) (stage, *[]string) {
	s := newStage(t, w, h)
	var said []string
	s.opts.Say = func(text, _ string, _ bool) { said = append(said, text) }
	return s, &said
}

// TestEveryScreenIsSpokenAsBefore keeps what is said of each sample.
func TestEveryScreenIsSpokenAsBefore(t *testing.T) {
	t.Parallel()
	for _, tag := range tags {
		var got strings.Builder
		for _, sample := range samples.All() {
			s := newStage(t, 50, 15)
			s.play(sample)
			s.speak(tag)
			s.press(tcell.KeyTab)
			spoken := s.Spoken()
			fmt.Fprintf(&got, "%s\n\t%s\n", sample.Name, spoken)
			if len(strings.Fields(spoken)) < 4 {
				t.Errorf("%s in %s: only %q is said", sample.Name, tag, spoken)
			}
			for _, r := range spoken {
				if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune(" .,:;?'’()-/", r) {
					t.Errorf("%s in %s: nobody can say %q in %q", sample.Name, tag, r, spoken)
				}
			}
			for _, word := range strings.Fields(spoken) {
				if strings.Contains(strings.Trim(word, ".,:;?"), ":") {
					t.Errorf("%s in %s: %q is no word", sample.Name, tag, word)
				}
			}
		}
		file := filepath.Join("testdata", "spoken", tag+".txt")
		if *update {
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got.String() != string(want) {
			was := strings.Split(string(want), "\n")
			for _, line := range strings.Split(got.String(), "\n") {
				if !slices.Contains(was, line) {
					t.Errorf("%s: new or changed; if that is meant: go test ./ui -update\n%s", file, line)
				}
			}
		}
	}
}

// passcodes are typed where they are asked for, in both keyboards, by all means, and what is said is the same for each.
func TestNothingOfAPasscodeIsSaid(t *testing.T) {
	t.Parallel()
	type means func(s stage, passcode string)
	typing := func(s stage, passcode string) { s.write(passcode) }
	tapping := func(s stage, passcode string) {
		for _, c := range passcode {
			r := s.page.find("key " + string(c)).r
			s.mouseAt(r.x+1, r.y, tcell.Button1)
			s.mouseAt(r.x+1, r.y, tcell.ButtonNone)
		}
	}
	scanning := func(s stage, passcode string) { // only into a room that may hear it
		s.press(tcell.KeyF1)
		s.press(tcell.KeyF1)
		for _, c := range passcode {
			for range s.page.targets { // all of them, so that the way does not tell
				s.press(tcell.KeyDown)
				if s.focused().id == "key "+string(c) {
					s.press(tcell.KeyEnter)
				}
			}
		}
	}
	for _, screen := range []unlock.Screen{unlock.ScreenPresent, unlock.ScreenPasscode, unlock.ScreenRepeat} {
		for _, digits := range []bool{true, false} {
			for name, by := range map[string]means{"typing": typing, "tapping": tapping, "scanning": scanning} {
				var first []string
				for _, passcode := range []string{"135790", "864208"} {
					s, said := heardBy(t, 50, 15)
					v := samples.Of(screen, "")
					v.Rules.DigitsOnly = digits
					s.Show(v, samples.Now)
					s.press(tcell.KeyF5)
					by(s, passcode)
					if r := s.page.find(showID); r != nil {
						s.mouseAt(r.r.x+1, r.r.y, tcell.Button1)
						if !strings.Contains(s.text(), passcode) && !strings.Contains(s.text(), strings.Join(strings.Split(passcode, ""), " ")) {
							t.Fatalf("%s: %q is not shown:\n%s", screen, passcode, s.text())
						}
						*said = append(*said, s.Spoken())
						s.mouseAt(r.r.x+1, r.r.y, tcell.ButtonNone)
					}
					s.press(tcell.KeyBackspace)
					*said = append(*said, s.Spoken())
					slices.Sort(*said)
					if first == nil {
						first = *said
					} else if !slices.Equal(first, *said) {
						t.Errorf("%s, digits %v, %s: one passcode sounds\n%q, the other\n%q", screen, digits, name, first, *said)
					}
				}
			}
		}
	}
}

func TestKeysAreEchoed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		screen unlock.Screen
		keys   string
		want   string
	}{
		{unlock.ScreenCode, "47", "4|7"},
		{unlock.ScreenPasscode, "47", "Character 1.|Character 2."},
		{unlock.ScreenContact, "aZ.@", "a|capital Z|full stop|at sign"},
		{unlock.ScreenComment, "a~ !", "a|tilde|Space|exclamation mark"},
		{unlock.ScreenCode, "x", "Use digits only, 0 to 9."},
	} {
		s, said := heardBy(t, 50, 15)
		s.Show(samples.Of(c.screen, ""), samples.Now)
		s.press(tcell.KeyF5)
		*said = nil
		s.write(c.keys)
		if got := strings.Join(*said, "|"); got != c.want {
			t.Errorf("%s, %q: %q is said, not %q", c.screen, c.keys, got, c.want)
		}
	}
	s, said := heardBy(t, 50, 15)
	v := samples.Of(unlock.ScreenPasscode, "")
	v.Rules = card.Rules{Min: 4, Max: 8}
	s.Show(v, samples.Now)
	s.Headphones(true, samples.Now)
	*said = nil
	s.press(tcell.KeyTab)
	s.press(tcell.KeyUp)
	if got := strings.Join(*said, "|"); !strings.HasPrefix(got, "OK|") || strings.Contains(got, "headphones") {
		t.Errorf("into headphones keys are named: %q", got)
	}
	s.write("a")
	s.press(tcell.KeyBackspace)
	if got := (*said)[len(*said)-2:]; got[0] != "Character 1." || got[1] != "Deleted. 0 left." {
		t.Errorf("%q", got)
	}
}

// A room that hears which key has the focus hears the passcode.
func TestKeysOfAPasscodeAreNamedOnlyIntoHeadphones(t *testing.T) {
	t.Parallel()
	for _, in := range []bool{false, true} {
		s, said := heardBy(t, 50, 15)
		s.Show(samples.Of(unlock.ScreenPasscode, ""), samples.Now)
		s.press(tcell.KeyF5)
		s.Headphones(in, samples.Now)
		s.press(tcell.KeyTab)
		s.press(tcell.KeyUp)
		want := map[bool]string{false: "A key. Put headphones in to hear which.", true: "9"}[in]
		if got := (*said)[len(*said)-1]; got != want || strings.HasSuffix(s.Spoken(), "You are on: 9.") != in {
			t.Errorf("headphones %v: %q, %q", in, got, s.Spoken())
		}
	}
}

func TestEveryCharacterHasAName(t *testing.T) {
	t.Parallel()
	for _, w := range []*words{english(), welsh()} {
		f := &Face{words: w}
		names := map[string]rune{}
		for c := ' '; c <= '~'; c++ {
			name := f.spokenCharacter(c)
			if other, is := names[name]; is || name == "" {
				t.Errorf("%s: %q and %q are both called %q", w.tag, c, other, name)
			}
			names[name] = c
		}
	}
}

// Speech is for one holder, as headphones are.
func TestSpeechEndsWithTheWalk(t *testing.T) {
	t.Parallel()
	s, said := heardBy(t, 50, 15)
	show := func(screen unlock.Screen) { s.Show(samples.Of(screen, ""), samples.Now.Add(time.Hour)) }
	s.Show(samples.Of(unlock.ScreenConsent, ""), samples.Now)
	if len(*said) > 0 {
		t.Fatalf("nobody asked for %q", *said)
	}
	s.press(tcell.KeyF5)
	if len(*said) != 1 || !strings.Contains((*said)[0], "issued to. Joanna Smith.") {
		t.Errorf("the speech key: %q", *said)
	}
	s.Show(samples.Of(unlock.ScreenConsent, ""), samples.Now.Add(time.Second))
	if len(*said) != 1 {
		t.Errorf("the same screen is said again: %q", *said)
	}
	show(unlock.ScreenStopped)
	show(unlock.ScreenAttract)
	if last := (*said)[len(*said)-1]; last != "" {
		t.Errorf("the end does not silence the voice: %q", last)
	}
	*said = nil
	show(unlock.ScreenReading)
	show(unlock.ScreenConsent)
	if len(*said) > 0 {
		t.Errorf("the next holder hears %q", *said)
	}
	s.Headphones(true, samples.Now)
	show(unlock.ScreenStopped)
	show(unlock.ScreenAttract)
	show(unlock.ScreenReading)
	if n := len(*said); n != 4 || !strings.Contains((*said)[3], "Reading your card") {
		t.Errorf("with headphones left in: %q", *said)
	}
	s.Headphones(false, samples.Now)
	if last := (*said)[len(*said)-1]; last != "" {
		t.Errorf("headphones are out, and the kiosk says %q", last)
	}
}

func TestSpeechIsInTheLanguageOfTheWalk(t *testing.T) {
	t.Parallel()
	s := newStage(t, 50, 15)
	var said []string
	s.opts.Say = func(text, language string, _ bool) { said = append(said, language+" "+text) }
	s.Show(samples.Of(unlock.ScreenConsent, ""), samples.Now)
	s.press(tcell.KeyF5)
	s.press(tcell.KeyF2)
	if len(said) != 2 || !strings.HasPrefix(said[0], "en Step 1 Confirm") || !strings.HasPrefix(said[1], "cy Cam 1 Cadarnhau") {
		t.Errorf("%q", said)
	}
}

func TestTheWarningIsSpoken(t *testing.T) {
	t.Parallel()
	s, said := heardBy(t, 50, 15)
	v := samples.Of(unlock.ScreenConsent, "")
	v.WarnAt, v.EndsAt = samples.Now.Add(time.Second), samples.Now.Add(21*time.Second)
	s.Show(v, samples.Now)
	s.press(tcell.KeyF5)
	*said = nil
	for n := range 4 {
		s.Show(v, samples.Now.Add(time.Duration(n)*time.Second))
	}
	if len(*said) != 1 || !strings.HasPrefix((*said)[0], "Are you still there? This visit ends in 20 seconds.") {
		t.Errorf("%q", *said)
	}
}

// Who listens hears first what went wrong, and nothing that is there for eyes alone.
func TestWhatIsHeardIsWorthHearing(t *testing.T) {
	t.Parallel()
	s := newStage(t, 50, 15)
	for _, sample := range samples.All() {
		s.Show(unlock.View{Screen: unlock.ScreenAttract}, samples.Now.Add(time.Hour))
		s.play(sample)
		s.press(tcell.KeyTab)
		spoken := s.Spoken()
		if strings.Contains(spoken, "underscore") {
			t.Errorf("%s: the cursor is read out: %s", sample.Name, spoken)
		}
		if busy(sample.View.Screen) && strings.Contains(spoken, "choice") {
			t.Errorf("%s: there is nothing to choose: %s", sample.Name, spoken)
		}
	}
	for _, c := range []struct {
		screen unlock.Screen
		reason unlock.Reason
		want   string
	}{
		{unlock.ScreenCode, unlock.Reason(wire.CodeCodeWrong), "Step 2 Enter the code. That code is not right."},
		{unlock.ScreenPasscode, unlock.ReasonDiffers, "Step 3 Choose a passcode. The two passcodes were not the same."},
		{unlock.ScreenContact, unlock.ReasonContactForm, "That is not an email address."},
		{unlock.ScreenServiceCode, "", "ward-7. Enter one-time code number 97"},
	} {
		v := samples.Of(c.screen, c.reason)
		v.ServiceNumber = 97
		s.Show(v, samples.Now)
		if got := s.Spoken(); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s, %s: begins with %q", c.screen, c.reason, got[:min(len(got), 90)])
		}
	}
}
