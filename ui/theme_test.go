package ui

import (
	"slices"
	"strings"
	"testing"

	"github.com/gdamore/tcell/v2"

	"latchkey/firmware/unlock"
	"latchkey/ui/samples"
)

// Every pair of colours that a screen draws, lines and marks of the focus among them, in every theme.
func TestEveryPairOfColoursIsToldByWeakEyes(t *testing.T) {
	t.Parallel()
	seen := map[tcell.Style]string{}
	look := func(s stage, name string) {
		for _, c := range s.canvas.shown {
			if c.r != ' ' {
				seen[s.canvas.styles[c.pen]] = name
			}
		}
	}
	for n, size := range [][2]int{{50, 15}, {100, 30}} {
		for _, sample := range eachScreen(n > 0) {
			s := newStage(t, size[0], size[1])
			s.play(sample)
			look(s, sample.Name)
			if len(s.page.targets) > 0 {
				s.mouseAt(s.page.targets[0].r.x, s.page.targets[0].r.y, tcell.Button1)
				look(s, sample.Name+", pressed")
			}
			s.press(tcell.KeyTab)
			look(s, sample.Name+", with a focus")
			s.press(tcell.KeyF1)
			look(s, sample.Name+", with help")
		}
	}
	for _, theme := range []theme{plainTheme, contrastTheme, quietTheme} {
		for st, where := range seen {
			fg, bg, _ := theme.style(st).Decompose()
			f, b := int(fg-tcell.PaletteColor(0)), int(bg-tcell.PaletteColor(0))
			if f < 0 || f > 7 || b < 0 || b > 7 {
				t.Errorf("theme %d: %d on %d in %s is beyond eight colours", theme, f, b, where)
			} else if got := contrast(Palette[f], Palette[b]); got < 7 {
				t.Errorf("theme %d: contrast of %d on %d in %s is %.1f", theme, f, b, where, got)
			}
		}
	}
}

// On a screen without colours the focus, a press, what went wrong and the way on are still told apart.
func TestNoMeaningIsInColourAlone(t *testing.T) {
	t.Parallel()
	for _, sample := range samples.All() {
		s := newStage(t, 50, 15)
		s.play(sample)
		row := func(y int) []rune { return []rune(strings.Split(s.text()+strings.Repeat("\n", 15), "\n")[y]) }
		corner := func(r rect) rune {
			if line := row(r.y); r.x < len(line) {
				return line[r.x]
			}
			return ' '
		}
		for _, c := range s.page.targets {
			if c.look == lookBare || c.look == lookCell || c.look == lookTitle {
				continue
			}
			if marked := corner(c.r) == '■'; marked != (c.look == lookPrimary) {
				t.Errorf("%s: %q is the way on: %v; marked so: %v", sample.Name, c.id, c.look == lookPrimary, marked)
			}
		}
		for _, c := range slices.Clone(s.page.targets) {
			if c.look == lookBare {
				continue
			}
			plain := s.text()
			s.last = tap{}
			s.mouseAt(c.r.x+c.r.w/2, c.r.y+c.r.h/2, tcell.Button1)
			pressed := s.text()
			s.mouseAt(-1, -1, tcell.ButtonNone)
			if pressed == plain || !strings.Contains(pressed, "["+c.label+"]") {
				t.Errorf("%s: a press on %q is not seen:\n%s", sample.Name, c.id, pressed)
			}
		}
		cells, w, h := s.sim.GetContents()
		for y := range h {
			alarm, marked := false, false
			for x := range w {
				_, bg, _ := cells[y*w+x].Style.Decompose()
				alarm = alarm || bg == tcell.PaletteColor(red)
			}
			for back := range min(y, 5) + 1 { // the mark stands on the first line of the text
				marked = marked || strings.Contains(string(row(y-back)), "!")
			}
			for on := range min(h-y, 5) {
				marked = marked || strings.Contains(string(row(y+on)), "!")
			}
			if alarm && !marked {
				t.Errorf("%s: only its colour says that something is wrong:\n%s", sample.Name, s.text())
				break
			}
		}
	}
}

func TestHighContrastTurnsTheWholeScreen(t *testing.T) {
	t.Parallel()
	s := newStage(t, 50, 15)
	s.Show(samples.Of(unlock.ScreenConsent, ""), samples.Now)
	before := s.text()
	s.press(tcell.KeyF1)
	s.tap(t, "High contrast")
	s.press(tcell.KeyEscape)
	if s.text() != before {
		t.Errorf("it says something else:\n%s", s.text())
	}
	cells, w, h := s.sim.GetContents()
	_, bg, _ := cells[(h-1)*w].Style.Decompose()
	if bg != tcell.PaletteColor(ink) {
		t.Error("the page is not dark")
	}
}
