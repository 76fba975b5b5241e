package ui

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gdamore/tcell/v2"

	"latchkey/firmware/secret"
	"latchkey/firmware/unlock"
	"latchkey/ui/samples"
)

func TestACardThatIsNotLockedOffersWhatItCan(t *testing.T) {
	t.Parallel()
	for _, size := range sizes {
		s := newStage(t, size[0], size[1])
		v := samples.Of(unlock.ScreenErrand, "")
		s.Show(v, samples.Now)
		got := s.words()
		for _, want := range []string{"Your smartcard is not locked", "There are 3 tries left", "What would you like to do?", "Change my passcode", "I have forgotten it", "Cancel"} {
			if !strings.Contains(got, want) {
				t.Errorf("at %v %q is missing:\n%s", size, want, s.text())
			}
		}

		v.CanChange, v.TriesLeft = false, 1
		s.Show(v, samples.Now)
		if got := s.words(); s.page.find(string(unlock.PressChange)) != nil || !strings.Contains(got, "One try is left") {
			t.Errorf("at %v, with one try left:\n%s", size, s.text())
		}
		v.CanChange, v.TriesLeft = true, -1
		s.Show(v, samples.Now)
		if got := s.words(); strings.Contains(got, "tries") || strings.Contains(got, "-1") {
			t.Errorf("at %v, tries that the card does not tell:\n%s", size, s.text())
		}
	}
}

func TestWrongPresentPasscodesCountDownHonestly(t *testing.T) {
	t.Parallel()
	for _, size := range sizes {
		for _, digits := range []bool{true, false} {
			s := newStage(t, size[0], size[1])
			v := samples.Of(unlock.ScreenPresent, unlock.ReasonPresentWrong)
			v.Rules.DigitsOnly = digits
			s.Show(v, samples.Now)
			if got := s.words(); !strings.Contains(got, "That is not your passcode. 2 tries left before the card locks: we stop before the last one.") {
				t.Errorf("at %v:\n%s", size, s.text())
			}
			v.TriesLeft = -1
			s.Show(v, samples.Now)
			if got := s.words(); !strings.Contains(got, "That is not your passcode.") || strings.Contains(got, "we stop") {
				t.Errorf("at %v, for a card that does not tell, we promise what we cannot know:\n%s", size, s.text())
			}
		}
	}
}

func TestThePresentPasscodeIsWipedWhenItIsForgotten(t *testing.T) {
	t.Parallel()
	s := newStage(t, 50, 15)
	s.Show(samples.Of(unlock.ScreenPresent, ""), samples.Now)
	s.write("280193")
	s.tap(t, "I have forgotten it")
	s.Show(samples.Of(unlock.ScreenReading, ""), samples.Now)
	if !secret.New(append([]byte(nil), s.typed.buf.Reveal()...)).Equal(secret.New(make([]byte, s.typed.buf.Len()))) {
		t.Error("something remains of what was typed")
	}
}

func TestTheStepsAreThoseOfTheErrand(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		screen unlock.Screen
		errand unlock.Errand
		want   string // in the title bar
	}{
		{unlock.ScreenReading, "", "Help Smartcard Unlock"},
		{unlock.ScreenReading, unlock.ErrandUnlock, "Help ▶1 Confirm◀ 2 Code 3 Passcode"},
		{unlock.ScreenReading, unlock.ErrandForgotten, "Help ▶1 Confirm◀ 2 Code 3 Passcode"},
		{unlock.ScreenErrand, "", "Help Smartcard Unlock"},
		{unlock.ScreenPresent, unlock.ErrandChange, "Help Smartcard Unlock ▶1 Present◀ 2 New"},
		{unlock.ScreenVerifying, unlock.ErrandChange, "Help Smartcard Unlock ▶1 Present◀ 2 New"},
		{unlock.ScreenPasscode, unlock.ErrandChange, "Help Smartcard Unlock 1 Present ▶2 New◀"},
		{unlock.ScreenPasscode, unlock.ErrandForgotten, "Help 1 Confirm 2 Code ▶3 Passcode◀"},
		{unlock.ScreenWriting, unlock.ErrandChange, "Help Smartcard Unlock 1 Present ▶2 New◀"},
		{unlock.ScreenUnlocked, unlock.ErrandChange, "Help Smartcard Unlock 2 of 2 steps done"},
		{unlock.ScreenUnlocked, unlock.ErrandUnlock, "Help Smartcard Unlock 3 of 3 steps done"},
	} {
		s := newStage(t, 50, 15)
		v := samples.Of(c.screen, "")
		v.Errand = c.errand
		s.Show(v, samples.Now)
		first, _, _ := strings.Cut(s.text(), "\n")
		if got := strings.Join(strings.Fields(first), " "); got != strings.TrimSpace(c.want) {
			t.Errorf("%s for %q: %s", c.screen, c.errand, got)
		}
	}
}

// A holder whose card was never locked must not be told that it is, nor that it was unlocked.
func TestNothingFalseIsSaidOfACardThatIsNotLocked(t *testing.T) {
	t.Parallel()
	early := []unlock.Reason{ // with these a walk ends before it is known whether the card is locked, or because it is
		unlock.ReasonNotOurs, unlock.ReasonUninitialised, unlock.ReasonRetired, unlock.ReasonExpired, unlock.ReasonNowLocked,
		unlock.ReasonPresentLast,
	}
	for _, size := range sizes {
		s := newStage(t, size[0], size[1])
		say := func(v unlock.View) {
			s.Show(v, samples.Now)
			said := strings.ToLower(strings.ReplaceAll(s.words(), "Smartcard Unlock", "")) // the service's name
			if strings.Contains(said, "unlock") || strings.Contains(said, " locked") {
				t.Errorf("%s, %s, for %q at %v:\n%s", v.Screen, v.Reason, v.Errand, size, s.text())
			}
		}
		for _, e := range []unlock.Errand{unlock.ErrandChange, unlock.ErrandForgotten} {
			for _, r := range samples.Reasons() {
				if !slices.Contains(early, r) {
					say(samples.Kept(samples.Of(unlock.ScreenStopped, r), e))
				}
			}
			for _, screen := range []unlock.Screen{unlock.ScreenPasscode, unlock.ScreenWriting, unlock.ScreenUnlocked} {
				say(samples.Kept(samples.Of(screen, ""), e))
			}
		}
		say(samples.Kept(samples.Of(unlock.ScreenConsent, ""), unlock.ErrandForgotten))
		say(samples.Kept(samples.Of(unlock.ScreenAway, ""), unlock.ErrandForgotten))
		for _, r := range []unlock.Reason{unlock.ReasonCancelled, unlock.ReasonIdle, unlock.ReasonRemoved, unlock.ReasonHung} {
			v := samples.Of(unlock.ScreenStopped, r)
			v.Errand = "" // the errand screen was shown
			say(v)
		}
	}
	s := newStage(t, 50, 15)
	s.Show(samples.Of(unlock.ScreenStopped, unlock.ReasonCancelled), samples.Now)
	if !strings.Contains(s.words(), "It is still locked.") {
		t.Errorf("a locked card that stays so:\n%s", s.text())
	}
}

func TestACardThatExpiresSoonIsSpokenOf(t *testing.T) {
	t.Parallel()
	for _, size := range sizes {
		for _, screen := range []unlock.Screen{unlock.ScreenErrand, unlock.ScreenConsent, unlock.ScreenUnlocked} {
			s := newStage(t, size[0], size[1])
			v := samples.Of(screen, "")
			v.Expiring = time.Date(2027, 9, 30, 12, 0, 0, 0, time.UTC) // as long as a date can be
			s.Show(v, samples.Now)
			if got := s.words(); !strings.Contains(got, "on 30 September 2027. Ask your Registration Authority to renew it before then.") || len(s.page.cut) > 0 {
				t.Errorf("%s at %v, cut %q:\n%s", screen, size, s.page.cut, s.text())
			}
		}
	}
}

func TestAWithdrawnSeriesIsNamed(t *testing.T) {
	t.Parallel()
	for series, want := range map[string]string{
		"NHS smartcard of series 4, 5 or 6": "It is an NHS smartcard of series 4, 5 or 6.",
		"PIV card":                          "It is a PIV card.",
		"IDPrime card":                      "It is an IDPrime card.",
		"Oberthur card":                     "It is an Oberthur card.",
		"University card":                   "It is a University card.",
		"JCOP card":                         "It is a JCOP card.",
		"":                                  "It is of a kind that was withdrawn.",
	} {
		s := newStage(t, 50, 15)
		v := samples.Of(unlock.ScreenStopped, unlock.ReasonRetired)
		v.Series = series
		s.Show(v, samples.Now)
		if got := s.words(); !strings.Contains(got, want) || !strings.Contains(got, "Registration Authority can give you a new one") {
			t.Errorf("%q:\n%s", series, s.text())
		}
	}
	s := newStage(t, 50, 15)
	v := samples.Of(unlock.ScreenStopped, unlock.ReasonRetired)
	v.Series = strings.Repeat("of a name far too long ", 9)
	s.Show(v, samples.Now)
	if len(s.page.cut) > 0 {
		t.Errorf("cut %q:\n%s", s.page.cut, s.text())
	}
}

func TestTheKeyboardForAPresentPasscodeFollowsItsRules(t *testing.T) {
	t.Parallel()
	for _, digits := range []bool{true, false} {
		s := newStage(t, 50, 15)
		v := samples.Of(unlock.ScreenPresent, "")
		v.Rules.DigitsOnly = digits
		s.Show(v, samples.Now)
		if letters := s.page.find("key q") != nil; letters == digits {
			t.Errorf("digits only %v, letters are offered %v", digits, letters)
		}
		s.Handle(tcell.NewEventKey(tcell.KeyRune, '7', tcell.ModNone), samples.Now)
		if !strings.Contains(s.text(), "•") || strings.Contains(s.words(), "too short") {
			t.Errorf("one character:\n%s", s.text())
		}
	}
}

// On a narrow screen that is tall enough for the roomy layout the warning is still whole: so wide is the kiosk beside the
// pane of make run.
func TestTheWarningOfExpiryIsWhole(t *testing.T) {
	t.Parallel()
	for _, size := range append([][2]int{{50, 24}, {60, 30}, {70, 24}}, sizes...) {
		for _, screen := range []unlock.Screen{unlock.ScreenErrand, unlock.ScreenConsent, unlock.ScreenUnlocked} {
			s := newStage(t, size[0], size[1])
			v := samples.Of(screen, "")
			v.Expiring = samples.Now.AddDate(0, 0, 80)
			s.Show(v, samples.Now)
			if !strings.Contains(s.words(), "renew it before then.") {
				t.Errorf("%s at %v:\n%s", screen, size, s.text())
			}
		}
	}
}

// Of a card that does not tell its tries nobody knows that it is not locked.
func TestACardThatDoesNotTellIsNotCalledUnlocked(t *testing.T) {
	t.Parallel()
	for _, size := range sizes {
		s := newStage(t, size[0], size[1])
		v := samples.Of(unlock.ScreenErrand, "")
		v.TriesLeft = -1
		s.Show(v, samples.Now)
		if w := s.words(); strings.Contains(w, "is not locked") || !strings.Contains(w, "does not say if it is locked") {
			t.Errorf("at %v:\n%s", size, s.text())
		}
	}
}
