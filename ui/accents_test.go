package ui

import (
	"strings"
	"testing"

	"github.com/gdamore/tcell/v2"

	"latchkey/firmware/unlock"
	"latchkey/ui/samples"
)

const welshComment = "Roedd y ciosg yn y tŷ bwyta. Dŵr, tân, môr a sŵn! A ŵyr rhywun pam?"

// A Welsh speaker writes Welsh: on a keyboard, and with the keys on the screen.
func TestACommentTakesWelsh(t *testing.T) {
	t.Parallel()
	s := newStage(t, 50, 15)
	s.Show(samples.Of(unlock.ScreenComment, ""), samples.Now)
	s.write(welshComment)
	if got := string(s.typed.typed()); got != welshComment {
		t.Fatalf("typed: %q", got)
	}
	if !strings.Contains(s.text(), "ŵyr rhywun pam?_") {
		t.Errorf("it is not seen:\n%s", s.text())
	}
	s.write("ŷ")
	s.press(tcell.KeyBackspace)
	if got, ok := s.press(tcell.KeyEnter).(unlock.CommentTyped); !ok || string(got.Text.Reveal()) != welshComment {
		t.Errorf("submitted: %v", got)
	}

	s.Show(samples.Of(unlock.ScreenContact, ""), samples.Now)
	s.Show(samples.Of(unlock.ScreenComment, ""), samples.Now)
	s.tap(t, "#+=")
	for _, key := range "âêîôûŵŷï" {
		s.tap(t, string(key))
	}
	if got := string(s.typed.typed()); got != "âêîôûŵŷï" {
		t.Errorf("tapped: %q", got)
	}
	s.typed.wipe()
	s.write(strings.Repeat("ŵ", maxComment+1))
	if got := strings.Count(string(s.typed.typed()), "ŵ"); got != maxComment {
		t.Errorf("%d characters are taken", got)
	}
}

// Neither an address nor a passcode has such letters.
func TestAccentsAreForCommentsAlone(t *testing.T) {
	t.Parallel()
	for _, sample := range samples.All() {
		if sample.View.Screen == unlock.ScreenComment || !sample.Letters() {
			continue
		}
		s := newStage(t, 50, 15)
		s.play(sample)
		before := s.typed.n
		s.write("ŵ")
		if s.typed.n != before {
			t.Errorf("%s takes it", sample.Name)
		}
		if s.page.find("signs") != nil {
			s.tap(t, "#+=")
		}
		if s.page.find("key ŵ") != nil {
			t.Errorf("%s has a key for it", sample.Name)
		}
	}
}

func TestAccentsAreSpoken(t *testing.T) {
	t.Parallel()
	s, said := heardBy(t, 50, 15)
	s.Show(samples.Of(unlock.ScreenComment, ""), samples.Now)
	s.press(tcell.KeyF5)
	*said = nil
	s.write("ŵŴ")
	s.press(tcell.KeyBackspace)
	if got := strings.Join(*said, "|"); got != "ŵ|capital Ŵ|Deleted. 1 left." {
		t.Errorf("%q is said", got)
	}
}
