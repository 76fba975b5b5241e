package ui

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"image/color"

	"github.com/gdamore/tcell/v2"

	"latchkey/firmware/unlock"
	"latchkey/ui/samples"
)

var update = flag.Bool("update", false, "write the golden screens")

// The help line of the seeds' house.
var testOptions = Options{
	Help: "x4050 or the walk-in centre", HelpWelsh: "x4050 neu'r ganolfan galw heibio",
	NextKiosk: "by the main entrance, next to the library", NextKioskWelsh: "wrth y brif fynedfa, ger y llyfrgell",
	Kiosk: "ward-7",
	Engineer: func() (all []Fact) {
		for _, f := range samples.Facts {
			all = append(all, Fact(f))
		}
		return all
	},
	Do: func(a Action) (string, error) {
		switch a.(type) {
		case ActExport:
			return "Written: /data/export/ward-7-20261123T141919Z.json (14 kB): versions, facts, log.", nil
		case ActClearCase:
			return "", errors.New("the case is still open: shut it first")
		}
		return "Done.", nil
	},
	Touch: func() (x, y float64, ok bool) { return 0.5, 0.5, true },
}

var sizes = [][2]int{{50, 15}, {80, 24}, {100, 30}, {120, 33}}

// stage is a face on a simulated screen.
type stage struct {
	*Face
	sim tcell.SimulationScreen
}

func newStage(t *testing.T, w, h int) stage {
	t.Helper()
	sim := tcell.NewSimulationScreen("UTF-8")
	if err := sim.Init(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sim.Fini)
	sim.SetSize(w, h)
	return stage{New(sim, testOptions), sim}
}

// speak is what a holder does who wants another language than English.
func (s stage) speak(tag string) {
	if tag != English {
		s.Handle(tcell.NewEventKey(tcell.KeyF2, 0, tcell.ModNone), samples.Now)
	}
}

var tags = []string{English, Welsh}

func (s stage) play(sample samples.Sample) {
	s.opts.Quiet = func(time.Time) bool { return sample.Quiet }
	s.opts.Debug, s.opts.Fingerprint = sample.Debug, ""
	if sample.Confirming {
		s.opts.Fingerprint = samples.Fingerprint
	}
	if sample.Setup != nil {
		s.ShowSetup(SetupView(*sample.Setup), samples.Now)
		return
	}
	s.Show(sample.View, samples.Now)
	for _, label := range sample.Taps {
		for _, target := range s.page.targets {
			if target.label == label {
				x, y := target.r.x+target.r.w/2, target.r.y+target.r.h/2
				s.last = tap{}
				s.Handle(tcell.NewEventMouse(x, y, tcell.Button1, tcell.ModNone), samples.Now)
				s.Handle(tcell.NewEventMouse(x, y, tcell.ButtonNone, tcell.ModNone), samples.Now)
				break
			}
		}
	}
	for _, r := range sample.Typed {
		s.Handle(tcell.NewEventKey(tcell.KeyRune, r, tcell.ModNone), samples.Now)
	}
}

// text is what stands on the screen, line by line.
func (s stage) text() string {
	cells, w, h := s.sim.GetContents()
	var b strings.Builder
	for y := range h {
		var line strings.Builder
		for x := range w {
			line.WriteString(string(cells[y*w+x].Runes))
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	return b.String()
}

// pairs are the colours that a cell can have, letter on ground, by one character each.
var pairs = map[[2]tcell.Color]rune{
	{ink, paper}: ' ', {blue, paper}: 'b', {red, paper}: 'r',
	{ink, pale}: 'k', {ink, yellow}: 'y',
	{paper, blue}: 'B', {paper, red}: 'R', {paper, green}: 'G', {paper, ink}: 'I',
	{pale, ink}: 'n', {yellow, ink}: 'h', // at night
}

// colours are those of the screen, one character a cell, so that a changed colour is seen as a changed word is.
func (s stage) colours(t *testing.T) string {
	t.Helper()
	cells, w, h := s.sim.GetContents()
	var b strings.Builder
	for y := range h {
		var line strings.Builder
		for x := range w {
			fg, bg, _ := cells[y*w+x].Style.Decompose()
			pair, is := pairs[[2]tcell.Color{fg - tcell.ColorValid, bg - tcell.ColorValid}]
			if !is {
				t.Fatalf("at %d,%d: colour %v on %v has no letter", x, y, fg, bg)
			}
			line.WriteRune(pair)
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	return b.String()
}

// words is the text in one line, with single spaces.
func (s stage) words() string { return strings.Join(strings.Fields(s.text()), " ") }

func TestScreensLookAsTheyDid(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, sample := range samples.Drawn() {
		name := sample.Name + ".txt"
		if known[name] {
			t.Fatalf("two samples are named %s", sample.Name)
		}
		known[name] = true
		for tag, folder := range map[string]string{English: "testdata", Welsh: "testdata/cy"} {
			var got bytes.Buffer
			for _, size := range [][2]int{{50, 15}, {100, 30}, {120, 33}} {
				s := newStage(t, size[0], size[1])
				s.play(sample)
				s.speak(tag)
				fmt.Fprintf(&got, "%s at %d×%d\n%s", sample.Name, size[0], size[1], s.text())
				if size[0] == minWidth {
					fmt.Fprintf(&got, "in colours\n%s", s.colours(t))
				}
			}
			file := filepath.Join(folder, name)
			if *update {
				if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
				continue
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatalf("%v; if the sample is new: go test ./ui -update", err)
			}
			if !bytes.Equal(got.Bytes(), want) {
				t.Errorf("%s has changed; if that is meant: go test ./ui -update\ngot\n%s\nwant\n%s", file, got.Bytes(), want)
			}
		}
	}
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	inWelsh, err := filepath.Glob("testdata/cy/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range append(files, inWelsh...) {
		if !known[filepath.Base(f)] {
			if *update {
				os.Remove(f)
				continue
			}
			t.Errorf("%s belongs to no sample", f)
		}
	}
}

// In Lat38-TerminusBold32x16, beyond ASCII, and used here.
const inTheFont = "•■·…─│┌┐└┘├┤┬┴┼▶◀▼×’°–âêîôûŵŷÂÊÎÔÛŴŶ"

func TestNothingIsCutAndEveryCharacterIsInTheFont(t *testing.T) {
	t.Parallel()
	for _, size := range sizes {
		for _, tag := range tags {
			for _, sample := range samples.Drawn() {
				s := newStage(t, size[0], size[1])
				s.play(sample)
				s.speak(tag)
				if len(s.page.cut) > 0 {
					t.Errorf("%s at %v in %s: cut: %q\n%s", sample.Name, size, tag, s.page.cut, s.text())
				}
				if s.page.find("key {") == nil && strings.ContainsAny(s.text(), "{}") {
					t.Errorf("%s at %v in %s: a word was not filled in:\n%s", sample.Name, size, tag, s.text())
				}
				for _, r := range s.text() {
					if (r < ' ' || r > '~') && r != '\n' && !strings.ContainsRune(inTheFont+accents, r) {
						t.Errorf("%s in %s: %q is not in the console's font", sample.Name, tag, r)
					}
				}
			}
		}
	}
}

func TestEveryReasonHasItsOwnWords(t *testing.T) {
	t.Parallel()
	errands := []unlock.Errand{"", unlock.ErrandUnlock, unlock.ErrandChange, unlock.ErrandForgotten}
	for _, r := range samples.Reasons() {
		for i := range len(errands) * len(tags) {
			e, w := errands[i/len(tags)], []*words{english(), welsh()}[i%len(tags)]
			if s := w.tell(r, e); s.head == w.say("story.unknown.head") && r != unlock.ReasonImpossible || s.body == "" || s.note == "" {
				t.Errorf("reason %s has no words of its own in %s", r, w.tag)
			}
		}
	}
	for n := range len(sizes) * len(tags) {
		size, tag := sizes[n/len(tags)], tags[n%len(tags)]
		s := newStage(t, size[0], size[1])
		show := func(v unlock.View) {
			s.Face.words = map[string]*words{English: english(), Welsh: welsh()}[tag]
			s.chosen, s.view.Screen = samples.Now, v.Screen // the walk goes on
			s.Show(v, samples.Now)
		}
		for _, r := range samples.Reasons() {
			for i := range 2 * len(errands) {
				v := samples.Of(unlock.ScreenStopped, r)
				in := i%2 == 0
				v.CardIn, v.Errand = in, errands[i/2]
				v.ReturnBefore = samples.Of(unlock.ScreenAway, "").ReturnBefore // the most that can stand there
				show(v)
				if len(s.page.cut) > 0 {
					t.Errorf("stopped, %s for %q at %v in %s: cut: %q\n%s", r, v.Errand, size, tag, s.page.cut, s.text())
				}
				take := s.say("take-card")
				if r == unlock.ReasonTwoCards {
					take = s.say("take-all")
				}
				if in && !strings.Contains(s.text(), take) {
					t.Errorf("stopped, %s at %v: does not say %q", r, size, take)
				}
			}
			for _, where := range []unlock.Screen{unlock.ScreenOutOfService, unlock.ScreenErrand, unlock.ScreenPresent, unlock.ScreenChannel, unlock.ScreenCode, unlock.ScreenPasscode} {
				show(samples.Of(where, r))
				if len(s.page.cut) > 0 {
					t.Errorf("%s, %s at %v in %s: cut: %q\n%s", where, r, size, tag, s.page.cut, s.text())
				}
			}
		}
	}
}

func TestAReasonOfTomorrowIsStillAnswered(t *testing.T) {
	t.Parallel()
	s := newStage(t, 50, 15)
	s.Show(samples.Of(unlock.ScreenStopped, "a-code-that-central-learns-next-year"), samples.Now)
	if got := s.words(); !strings.Contains(got, "Something went wrong") || !strings.Contains(got, "Take your card") {
		t.Error(got)
	}
}

func TestTextCanBeReadByWeakEyes(t *testing.T) {
	t.Parallel()
	for _, sample := range samples.Drawn() {
		for _, focus := range []bool{false, true} {
			s := newStage(t, 50, 15)
			s.play(sample)
			if focus {
				s.Handle(tcell.NewEventKey(tcell.KeyTab, 0, tcell.ModNone), samples.Now)
			}
			cells, w, _ := s.sim.GetContents()
			for i, c := range cells {
				if string(c.Runes) == " " {
					continue
				}
				fg, bg, _ := c.Style.Decompose()
				if fg < tcell.PaletteColor(0) || fg > tcell.PaletteColor(7) || bg < tcell.PaletteColor(0) || bg > tcell.PaletteColor(7) {
					t.Fatalf("%s: a colour that a Linux console does not have at %d,%d", sample.Name, i%w, i/w)
				}
				if got := contrast(Palette[fg&7], Palette[bg&7]); got < 7 {
					t.Fatalf("%s: contrast %.1f at %d,%d, %q", sample.Name, got, i%w, i/w, c.Runes)
				}
			}
		}
	}
}

// contrast of two colours, WCAG 2.2, "contrast ratio".
func contrast(a, b color.RGBA) float64 {
	la, lb := luminance(a), luminance(b)
	return (max(la, lb) + 0.05) / (min(la, lb) + 0.05)
}

// luminance is WCAG 2.2's "relative luminance".
func luminance(c color.RGBA) float64 {
	linear := func(v uint8) float64 {
		s := float64(v) / 255
		if s <= 0.04045 {
			return s / 12.92
		}
		return math.Pow((s+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(c.R) + 0.7152*linear(c.G) + 0.0722*linear(c.B)
}

func TestPaletteIsSet(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := SetPalette(&b); err != nil {
		t.Fatal(err)
	}
	if got := b.String(); len(got) != 16*10 || !strings.HasPrefix(got, "\x1b]P0151f28\x1b]P1") || !strings.HasSuffix(got, "\x1b]Pfffffff") {
		t.Errorf("%q", got)
	}
}
