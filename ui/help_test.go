package ui

import (
	"strings"
	"testing"

	"latchkey/firmware/unlock"
)

// Who is lost in the middle of a visit finds help with a finger, as with F1.
func TestHelpIsATapAwayOnEveryScreen(t *testing.T) {
	t.Parallel()
	for _, size := range sizes {
		for _, tag := range tags {
			for _, sample := range eachScreen(size != sizes[0]) {
				s := newStage(t, size[0], size[1])
				s.play(sample)
				s.speak(tag)
				key := s.page.find("help")
				switch {
				case sample.View.Screen == unlock.ScreenEngineer || sample.View.Screen == unlock.ScreenServiceCode:
					continue // of the kiosk's staff
				case s.warned():
					if key != nil {
						t.Errorf("%s: help lies on the warning", sample.Name)
					}
					continue
				case key == nil:
					t.Fatalf("%s at %v in %s: no key for help\n%s", sample.Name, size, tag, s.text())
				case !strings.Contains(s.text(), key.label):
					t.Errorf("%s at %v in %s: %q is not seen\n%s", sample.Name, size, tag, key.label, s.text())
				}
				typed := s.typed.n
				if got := s.tap(t, key.label); got != (unlock.Touched{}) || !s.helping || s.typed.n != typed {
					t.Errorf("%s at %v: %v", sample.Name, size, got)
				}
			}
		}
	}
}
