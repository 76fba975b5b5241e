package ui

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gdamore/tcell/v2"

	"latchkey/card"
	"latchkey/firmware/unlock"
	"latchkey/firmware/wire"
	"latchkey/ui/samples"
)

func (s stage) press(k tcell.Key) unlock.Input {
	return s.Handle(tcell.NewEventKey(k, 0, tcell.ModNone), samples.Now)
}

func (s stage) write(text string) {
	for _, r := range text {
		s.Handle(tcell.NewEventKey(tcell.KeyRune, r, tcell.ModNone), samples.Now)
	}
}

func (s stage) mouseAt(x, y int, b tcell.ButtonMask) unlock.Input {
	return s.Handle(tcell.NewEventMouse(x, y, b, tcell.ModNone), samples.Now)
}

// tap finds a label on the screen, as a finger would, and taps on it, some time after the last tap.
func (s stage) tap(t *testing.T, label string) unlock.Input {
	t.Helper()
	for _, c := range s.page.targets {
		if c.label == label {
			x, y := c.r.x+c.r.w/2, c.r.y+c.r.h/2
			s.last = tap{}
			s.mouseAt(x, y, tcell.Button1)
			return s.mouseAt(x, y, tcell.ButtonNone)
		}
	}
	t.Fatalf("nothing on the screen is labelled %q:\n%s", label, s.text())
	return nil
}

// plain makes an input comparable: a typed secret becomes its text.
func plain(in unlock.Input) any {
	switch in := in.(type) {
	case unlock.CodeTyped:
		return "code " + string(in.Code.Reveal())
	case unlock.PasscodeTyped:
		return "passcode " + string(in.Passcode.Reveal())
	}
	return in
}

func press(b unlock.Button) any { return unlock.Pressed{Button: b} }

func TestEveryScreenCanBeUsedByTapsAlone(t *testing.T) {
	t.Parallel()
	free := samples.Of(unlock.ScreenPasscode, "")
	free.Rules = card.Rules{Min: 4, Max: 8}
	old := samples.Of(unlock.ScreenPresent, "")
	old.Rules.DigitsOnly = false
	back := samples.Of(unlock.ScreenChannel, "")
	back.Code = samples.Of(unlock.ScreenCode, "").Code
	for _, c := range []struct {
		view unlock.View
		taps string // labels, separated by blanks; _ within a label is a blank
		want any
	}{
		{samples.Of(unlock.ScreenErrand, ""), "Change_my_passcode", press(unlock.PressChange)},
		{samples.Of(unlock.ScreenErrand, ""), "I_have_forgotten_it", press(unlock.PressForgotten)},
		{samples.Of(unlock.ScreenErrand, ""), "Cancel", press(unlock.PressCancel)},
		{samples.Of(unlock.ScreenPresent, ""), "2 8 0 1 Del 9 OK", "passcode 2809"},
		{samples.Of(unlock.ScreenPresent, ""), "2 I_have_forgotten_it", press(unlock.PressForgotten)},
		{samples.Of(unlock.ScreenPresent, ""), "Back", press(unlock.PressBack)},
		{old, "p ABC Q Space 7 OK", "passcode pQ 7"},
		{old, "I_forgot", press(unlock.PressForgotten)},
		{old, "Back", press(unlock.PressBack)},
		{samples.Of(unlock.ScreenConsent, ""), "Yes,_this_is_me", press(unlock.PressContinue)},
		{samples.Of(unlock.ScreenConsent, ""), "No,_this_is_not_me", press(unlock.PressNotMe)},
		{samples.Of(unlock.ScreenChannel, ""), "Email_to_j•••@nhs.net", unlock.ChannelChosen{ID: "e1"}},
		{samples.Of(unlock.ScreenChannel, ""), "Text_to_••••_123", unlock.ChannelChosen{ID: "m1"}},
		{samples.Of(unlock.ScreenChannel, ""), "Cancel", press(unlock.PressCancel)},
		{back, "Back", press(unlock.PressBack)},
		{samples.Of(unlock.ScreenCode, ""), "4 7 2 Del Del 9 0 1 8 6 OK", "code 490186"},
		{samples.Of(unlock.ScreenCode, ""), "1 Send_again", press(unlock.PressResend)},
		{samples.Of(unlock.ScreenCode, ""), "Cancel", press(unlock.PressCancel)},
		{samples.Of(unlock.ScreenCode, ""), "OK", unlock.Touched{}},
		{samples.Of(unlock.ScreenPasscode, ""), "2 8 0 1 9 3 OK", "passcode 280193"},
		{samples.Of(unlock.ScreenPasscode, ""), "Cancel", press(unlock.PressCancel)},
		{samples.Of(unlock.ScreenRepeat, ""), "2 8 0 1 9 3 OK", "passcode 280193"},
		{samples.Of(unlock.ScreenRepeat, ""), "Back", press(unlock.PressBack)},
		{free, "p ABC Q abc 7 #+= $ abc Space Delete Delete z OK", "passcode pQ7z"},
		{free, "Cancel", press(unlock.PressCancel)},
	} {
		s := newStage(t, 50, 15)
		s.Show(c.view, samples.Now)
		var got unlock.Input
		for _, label := range strings.Fields(c.taps) {
			got = s.tap(t, strings.ReplaceAll(label, "_", " "))
		}
		if plain(got) != c.want {
			t.Errorf("%s, taps %s: got %v, want %v", c.view.Screen, c.taps, plain(got), c.want)
		}
	}
}

func TestEveryScreenCanBeUsedByKeysAlone(t *testing.T) {
	t.Parallel()
	free := samples.Of(unlock.ScreenPasscode, "")
	free.Rules = card.Rules{Min: 4, Max: 8}
	old := samples.Of(unlock.ScreenPresent, "")
	old.Rules.DigitsOnly = false
	last := samples.Of(unlock.ScreenErrand, unlock.ReasonPresentLast)
	const (
		tab, back, enter, esc, up, left = tcell.KeyTab, tcell.KeyBacktab, tcell.KeyEnter, tcell.KeyEscape, tcell.KeyUp, tcell.KeyLeft
		down, del                       = tcell.KeyDown, tcell.KeyBackspace2
	)
	for name, c := range map[string]struct {
		view unlock.View
		keys []any // text or tcell.Key
		want any
	}{
		"change":           {samples.Of(unlock.ScreenErrand, ""), []any{enter}, press(unlock.PressChange)},
		"forgotten":        {samples.Of(unlock.ScreenErrand, ""), []any{down, down, enter}, press(unlock.PressForgotten)},
		"forgotten by tab": {samples.Of(unlock.ScreenErrand, ""), []any{tab, tab, enter}, press(unlock.PressForgotten)},
		"only forgotten":   {last, []any{enter}, press(unlock.PressForgotten)},
		"neither":          {samples.Of(unlock.ScreenErrand, ""), []any{esc}, press(unlock.PressCancel)},
		"present":          {samples.Of(unlock.ScreenPresent, ""), []any{"280x1", del, "9", enter}, "passcode 2809"},
		"present forgot":   {samples.Of(unlock.ScreenPresent, ""), []any{tab, tab, enter}, press(unlock.PressForgotten)},
		"present back":     {samples.Of(unlock.ScreenPresent, ""), []any{"1", esc}, press(unlock.PressBack)},
		"present, any":     {old, []any{"a Z9#", enter}, "passcode a Z9#"},
		"yes":              {samples.Of(unlock.ScreenConsent, ""), []any{enter}, press(unlock.PressContinue)},
		"yes by space":     {samples.Of(unlock.ScreenConsent, ""), []any{tab, " "}, press(unlock.PressContinue)},
		"no by tab":        {samples.Of(unlock.ScreenConsent, ""), []any{tab, tab, tab, enter}, press(unlock.PressNotMe)},
		"no by arrow":      {samples.Of(unlock.ScreenConsent, ""), []any{left, left, enter}, press(unlock.PressNotMe)},
		"no by escape":     {samples.Of(unlock.ScreenConsent, ""), []any{esc}, press(unlock.PressNotMe)},
		"email":            {samples.Of(unlock.ScreenChannel, ""), []any{enter}, unlock.ChannelChosen{ID: "e1"}},
		"text":             {samples.Of(unlock.ScreenChannel, ""), []any{down, down, enter}, unlock.ChannelChosen{ID: "m1"}},
		"no channel":       {samples.Of(unlock.ScreenChannel, ""), []any{esc}, press(unlock.PressCancel)},
		"code":             {samples.Of(unlock.ScreenCode, ""), []any{"47", del, "2x 9018", enter}, "code 429018"},
		"code, too many":   {samples.Of(unlock.ScreenCode, ""), []any{"4729018", enter}, "code 472901"},
		"resend":           {samples.Of(unlock.ScreenCode, ""), []any{tab, tab, tab, enter}, press(unlock.PressResend)},
		"resend by arrows": {samples.Of(unlock.ScreenCode, ""), []any{left, left, left, left, enter}, press(unlock.PressResend)},
		"code cancelled":   {samples.Of(unlock.ScreenCode, ""), []any{"1", esc}, press(unlock.PressCancel)},
		"code by space":    {samples.Of(unlock.ScreenCode, ""), []any{tcell.KeyRight, left, left, left, " "}, press(unlock.PressResend)},
		"nothing typed":    {samples.Of(unlock.ScreenCode, ""), []any{enter}, unlock.Touched{}},
		"passcode":         {samples.Of(unlock.ScreenPasscode, ""), []any{"280193", enter}, "passcode 280193"},
		"by arrows":        {samples.Of(unlock.ScreenPasscode, ""), []any{up, up, up, enter, left, enter, tab, tab, tab, tab, "1280", enter}, "passcode 651280"},
		"too long":         {samples.Of(unlock.ScreenPasscode, ""), []any{"2801937465", enter}, unlock.Touched{}},
		"no longer":        {samples.Of(unlock.ScreenPasscode, ""), []any{"280193746", enter, del, enter}, "passcode 28019374"},
		"too short":        {samples.Of(unlock.ScreenRepeat, ""), []any{"28019", enter, "3", enter}, "passcode 280193"},
		"repeat":           {samples.Of(unlock.ScreenRepeat, ""), []any{"280193", enter}, "passcode 280193"},
		"back":             {samples.Of(unlock.ScreenRepeat, ""), []any{esc}, press(unlock.PressBack)},
		"any characters":   {free, []any{"a Z9#é~", enter}, "passcode a Z9#~"},
	} {
		s := newStage(t, 50, 15)
		s.Show(c.view, samples.Now)
		var got unlock.Input
		for _, k := range c.keys {
			switch k := k.(type) {
			case tcell.Key:
				got = s.press(k)
			case string:
				for _, r := range k {
					got = s.Handle(tcell.NewEventKey(tcell.KeyRune, r, tcell.ModNone), samples.Now)
				}
			}
		}
		if plain(got) != c.want {
			t.Errorf("%s: got %v, want %v\n%s", name, plain(got), c.want, s.text())
		}
	}
}

func TestEveryTargetIsReachedByTabAndByArrows(t *testing.T) {
	t.Parallel()
	for _, sample := range samples.All() {
		s := newStage(t, 50, 15)
		s.play(sample)
		s.press(tcell.KeyTab) // shows where the focus is
		byTab, byArrows := map[string]bool{}, map[string]bool{}
		for range s.page.targets {
			byTab[s.focused().id] = true
			s.press(tcell.KeyTab)
		}
		var spread func(from *target)
		spread = func(from *target) {
			if byArrows[from.id] {
				return
			}
			byArrows[from.id] = true
			for _, d := range [][2]int{{1, 0}, {-1, 0}, {0, 1}, {0, -1}} {
				spread(s.page.towards(from, d[0], d[1]))
			}
		}
		if len(s.page.targets) > 0 {
			spread(s.focused())
		}
		for _, c := range s.page.targets {
			if !byTab[c.id] || !byArrows[c.id] {
				t.Errorf("%s: %q is reached by tab %v, by arrows %v", sample.Name, c.id, byTab[c.id], byArrows[c.id])
			}
		}
	}
}

func TestTheFocusShowsWithoutColour(t *testing.T) {
	t.Parallel()
	for _, sample := range samples.All() {
		s := newStage(t, 50, 15)
		s.play(sample)
		seen := map[string]string{}
		for range s.page.targets {
			s.press(tcell.KeyTab)
			id := s.focused().id
			if other, is := seen[s.text()]; is && other != id {
				t.Errorf("%s: focus on %q looks like focus on %q", sample.Name, id, other)
			}
			seen[s.text()] = id
		}
	}
}

func TestTargetsAreLargeEnoughForGloves(t *testing.T) {
	t.Parallel()
	for _, size := range sizes {
		for _, sample := range samples.All() {
			s := newStage(t, size[0], size[1])
			s.play(sample)
			for i, c := range s.page.targets {
				w, h := 6, 3
				if sample.Letters() {
					w, h = 5, 2
				}
				if c.r.w < w || c.r.h < h {
					t.Errorf("%s at %v: %q is %d×%d cells", sample.Name, size, c.id, c.r.w, c.r.h)
				}
				if c.r.x < 0 || c.r.y < 0 || c.r.x+c.r.w > size[0] || c.r.y+c.r.h > size[1] {
					t.Errorf("%s at %v: %q leaves the screen", sample.Name, size, c.id)
				}
				for _, d := range s.page.targets[i+1:] {
					if c.r.x < d.r.x+d.r.w && d.r.x < c.r.x+c.r.w && c.r.y < d.r.y+d.r.h && d.r.y < c.r.y+c.r.h {
						t.Errorf("%s at %v: %q lies on %q", sample.Name, size, c.id, d.id)
					}
				}
				corner := s.page.at(c.r.x+c.r.w-1, c.r.y+c.r.h-1)
				if corner == nil || corner.id != c.id {
					t.Errorf("%s at %v: a tap on the corner of %q misses it", sample.Name, size, c.id)
				}
			}
		}
	}
}

func TestATapIsAPressAndAReleaseOnTheSameTarget(t *testing.T) {
	t.Parallel()
	s := newStage(t, 50, 15)
	s.Show(samples.Of(unlock.ScreenConsent, ""), samples.Now)
	yes, no := s.page.find(string(unlock.PressContinue)).r, s.page.find(string(unlock.PressNotMe)).r

	if got := s.mouseAt(yes.x, yes.y, tcell.Button1); got != (unlock.Touched{}) {
		t.Errorf("press: %v", got)
	}
	if got := s.mouseAt(no.x, no.y, tcell.Button1); got != nil {
		t.Errorf("drag: %v", got)
	}
	if got := s.mouseAt(no.x, no.y, tcell.ButtonNone); got != (unlock.Touched{}) {
		t.Errorf("release elsewhere: %v", got)
	}
	if got := s.mouseAt(1, 2, tcell.Button1); got != (unlock.Touched{}) {
		t.Errorf("press beside everything: %v", got)
	}
	if got := s.mouseAt(1, 2, tcell.ButtonNone); got != (unlock.Touched{}) {
		t.Errorf("release beside everything: %v", got)
	}
	if got := s.mouseAt(yes.x, yes.y, tcell.ButtonNone); got != nil {
		t.Errorf("a mouse that only moves: %v", got)
	}

	// The screen changes under the finger: the new one has a button of the same name in the same place.
	s.Show(samples.Of(unlock.ScreenCode, ""), samples.Now)
	cancel := s.page.find(string(unlock.PressCancel)).r
	s.mouseAt(cancel.x, cancel.y, tcell.Button1)
	s.Show(samples.Of(unlock.ScreenPasscode, ""), samples.Now)
	if under := s.page.at(cancel.x, cancel.y); under == nil || under.id != string(unlock.PressCancel) {
		t.Fatal("the test wants two screens with the same button in the same place")
	}
	if got := s.mouseAt(cancel.x, cancel.y, tcell.ButtonNone); got != (unlock.Touched{}) {
		t.Errorf("release on what has just appeared: %v", got)
	}
}

func TestControlKeysDoNothing(t *testing.T) {
	t.Parallel()
	for _, sample := range samples.All() {
		s := newStage(t, 50, 15)
		s.play(sample)
		before := s.text()
		for _, ev := range []*tcell.EventKey{
			tcell.NewEventKey(tcell.KeyCtrlC, 0, tcell.ModCtrl), tcell.NewEventKey(tcell.KeyCtrlZ, 0, tcell.ModCtrl),
			tcell.NewEventKey(tcell.KeyCtrlBackslash, 0, tcell.ModCtrl), tcell.NewEventKey(tcell.KeyCtrlSpace, 0, tcell.ModCtrl),
			tcell.NewEventKey(tcell.KeyRune, '1', tcell.ModAlt), tcell.NewEventKey(tcell.KeyF1, 0, tcell.ModAlt),
		} {
			if got := s.Handle(ev, samples.Now); got != nil {
				t.Errorf("%s: %s gives %v", sample.Name, ev.Name(), got)
			}
		}
		if s.text() != before {
			t.Errorf("%s: control keys changed the screen", sample.Name)
		}
	}
}

func TestAnySignOfLifePutsOffTheEnd(t *testing.T) {
	t.Parallel()
	for _, screen := range samples.Screens {
		s := newStage(t, 50, 15)
		s.Show(samples.Of(screen, ""), samples.Now)
		for _, k := range []tcell.Key{tcell.KeyTab, tcell.KeyUp, tcell.KeyF5, tcell.KeyHome, tcell.KeyBackspace} {
			if got := s.press(k); got != (unlock.Touched{}) {
				t.Errorf("%s: key %d gives %v", screen, k, got)
			}
		}
		if got := s.Handle(tcell.NewEventKey(tcell.KeyRune, 'x', tcell.ModNone), samples.Now); got != (unlock.Touched{}) {
			t.Errorf("%s: x gives %v", screen, got)
		}
	}
}

func TestTheIdleWarningCanBeAnsweredByTapAndByKey(t *testing.T) {
	t.Parallel()
	v := samples.Of(unlock.ScreenConsent, "")
	v.WarnAt, v.EndsAt = samples.Now, samples.Now.Add(17*time.Second)
	s := newStage(t, 50, 15)

	s.Show(v, samples.Now.Add(-time.Second))
	if strings.Contains(s.text(), "Are you still there?") {
		t.Error("the warning comes too early")
	}
	s.Show(v, samples.Now)
	if got := s.words(); !strings.Contains(got, "Are you still there?") || !strings.Contains(got, "This visit ends in 0:17") {
		t.Error(got)
	}
	if got := s.tap(t, "More time"); got != (unlock.Touched{}) {
		t.Errorf("tap: %v", got)
	}
	s.Show(v, samples.Now)
	if got := s.press(tcell.KeyEnter); got != (unlock.Touched{}) {
		t.Errorf("Enter, meant for the warning or not: %v", got)
	}
	v.WarnAt, v.EndsAt = samples.Now.Add(time.Minute), samples.Now.Add(2*time.Minute)
	s.Show(v, samples.Now)
	if got := s.press(tcell.KeyEnter); got != press(unlock.PressContinue) {
		t.Errorf("Enter after it has gone: %v", got)
	}
}

func TestWhatWasTypedStaysThroughAResize(t *testing.T) {
	t.Parallel()
	s := newStage(t, 50, 15)
	s.Show(samples.Of(unlock.ScreenCode, ""), samples.Now)
	s.write("472")
	for _, size := range [][2]int{{100, 30}, {40, 10}, {50, 15}} {
		s.sim.SetSize(size[0], size[1])
		if got := s.Handle(tcell.NewEventResize(size[0], size[1]), samples.Now); got != nil {
			t.Errorf("resize gives %v", got)
		}
		if size[0] < minWidth {
			if got := s.words(); !strings.Contains(got, "This screen is too small") {
				t.Errorf("too small: %s", got)
			}
			s.write("9") // nobody sees it, so it is not taken
		}
	}
	s.write("901")
	if got := plain(s.press(tcell.KeyEnter)); got != "code 472901" {
		t.Error(got)
	}
}

func TestWhatWasTypedIsWiped(t *testing.T) {
	t.Parallel()
	typed := []byte("280193")
	for name, end := range map[string]func(s stage){
		"submitted":      func(s stage) { s.press(tcell.KeyEnter) },
		"another screen": func(s stage) { s.Show(samples.Of(unlock.ScreenStopped, unlock.ReasonRemoved), samples.Now) },
		"another case":   func(s stage) { v := s.view; v.Reference = "00000000"; s.Show(v, samples.Now) },
		"deleted one by one": func(s stage) {
			for range typed {
				s.press(tcell.KeyBackspace)
			}
		},
		"the repeat is wanted": func(s stage) { s.Show(samples.Of(unlock.ScreenRepeat, ""), samples.Now) },
	} {
		s := newStage(t, 50, 15)
		s.Show(samples.Of(unlock.ScreenPasscode, ""), samples.Now)
		s.write(string(typed))
		memory := s.typed.buf.Reveal()
		if !bytes.HasPrefix(memory, typed) {
			t.Fatalf("the test looks at the wrong memory: %q", memory)
		}
		end(s)
		if !bytes.Equal(memory, make([]byte, len(memory))) || s.typed.n != 0 {
			t.Errorf("%s: %q remains", name, memory)
		}
		if strings.Contains(s.text(), "•") {
			t.Errorf("%s: dots remain:\n%s", name, s.text())
		}
	}
}

func TestAViewOfTheSameScreenKeepsWhatWasTyped(t *testing.T) {
	t.Parallel()
	s := newStage(t, 50, 15)
	v := samples.Of(unlock.ScreenCode, "")
	s.Show(v, samples.Now)
	s.write("472")
	s.Show(v, samples.Now.Add(time.Second))
	if got := string(s.typed.typed()); got != "472" {
		t.Errorf("%q", got)
	}
}

func TestThePasscodeIsNowhereOnTheScreen(t *testing.T) {
	t.Parallel()
	screens := []unlock.View{samples.Of(unlock.ScreenPresent, ""), samples.Of(unlock.ScreenPasscode, ""), samples.Of(unlock.ScreenRepeat, "")}
	for i := range screens {
		v := screens[i]
		v.Rules = card.Rules{Min: 4, Max: 8}
		screens = append(screens, v)
	}
	for _, v := range screens {
		var first []tcell.SimCell
		for _, passcode := range []string{"135790", "864208"} {
			s := newStage(t, 50, 15)
			s.Show(v, samples.Now)
			s.write(passcode)
			cells, _, _ := s.sim.GetContents()
			if first == nil {
				first = append(first, cells...)
			} else if !reflect.DeepEqual(first, cells) {
				t.Errorf("%s: the screen tells one passcode from another", v.Screen)
			}
		}
	}
}

func TestTheCodeScreenSaysWhatTheHolderMustKnow(t *testing.T) {
	t.Parallel()
	london, err := time.LoadLocation("Europe/London")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 7, 1, 13, 19, 19, 0, time.UTC)
	v := samples.Of(unlock.ScreenCode, "")
	v.Code.SentAt, v.Code.ExpiresAt, v.Code.ResendAt = now.Add(-time.Minute), now.Add(9*time.Minute), now.Add(30*time.Second)
	for _, size := range sizes {
		s := newStage(t, size[0], size[1])
		s.opts.Zone = london
		s.Show(v, now)
		got := s.words()
		for _, want := range []string{"Enter the code sent to j•••@nhs.net", "This code is not your new passcode.", "Valid for 10 minutes", "14:28", "9:00 left", "Sent at 14:18.", "Again in 0:30", "back"} {
			if !strings.Contains(got, want) {
				t.Errorf("at %v %q is missing:\n%s", size, want, s.text())
			}
		}
		s.Show(v, now.Add(30*time.Second))
		if s.page.find(string(unlock.PressResend)) == nil {
			t.Errorf("at %v the code cannot be sent again when it may", size)
		}
		v2 := v
		c := *v.Code
		c.SendsLeft = 0
		v2.Code = &c
		s.Show(v2, now.Add(30*time.Second))
		if s.page.find(string(unlock.PressResend)) != nil {
			t.Errorf("at %v a sending is offered that there is not", size)
		}
	}
}

func TestAttractShowsWhetherTheServiceIsThere(t *testing.T) {
	t.Parallel()
	s := newStage(t, 50, 15)
	v := samples.Of(unlock.ScreenAttract, "")
	s.Show(v, samples.Now)
	if got := s.words(); !strings.Contains(got, "Ready") || !strings.Contains(got, "Insert your smartcard") {
		t.Error(got)
	}
	v.CentralUp = false
	s.Show(v, samples.Now)
	if got := s.words(); strings.Contains(got, "Ready") || strings.Contains(got, "Insert") || !strings.Contains(got, "cannot be reached") {
		t.Error(got)
	}
	v.NotServed = wire.CodeKioskUnconfirmed
	s.Show(v, samples.Now)
	if got := s.words(); strings.Contains(got, "cannot be reached") || strings.Contains(got, "Insert") || !strings.Contains(got, "This kiosk is not in service") {
		t.Error(got)
	}
}

func TestMoreChannelsThanFitCanAllBeChosen(t *testing.T) {
	t.Parallel()
	for _, sample := range samples.All() {
		if sample.Name != "channel-four" {
			continue
		}
		s := newStage(t, 50, 15)
		s.play(sample)
		s.tap(t, "Another address")
		if got := s.tap(t, "Email to s•••@uhbw.nhs.uk"); got != (unlock.ChannelChosen{ID: "e3"}) {
			t.Error(got)
		}
		s.tap(t, "Another address")
		if got := s.press(tcell.KeyEnter); got != (unlock.ChannelChosen{ID: "e1"}) {
			t.Error(got)
		}
	}
}

func TestWrapLosesNothing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		s    string
		w    int
		want string
	}{
		{"", 10, ""},
		{"one two three four", 10, "one two|three four"},
		{"These steps should take no longer than 5 minutes.", 48, "These steps should take|no longer than 5 minutes."},
		{"abcdefghij k", 4, "abcd|efgh|ij k"},
	} {
		if got := strings.Join(wrap(c.s, c.w), "|"); got != c.want {
			t.Errorf("wrap(%q, %d) = %q, want %q", c.s, c.w, got, c.want)
		}
	}
	if got := shorten("j•••@sandwell.nhs.uk", 11); got != "j•••@…hs.uk" {
		t.Error(got)
	}
}
