// Command screens makes pictures of the kiosk's screens from the code that draws them: a PNG and an SVG for each sample of
// latchkey/ui/samples, at 50×15, 100×30 and 120×33 cells, in English and in Welsh (100x30/NAME.png, 100x30/NAME.cy.png), and
// for each language a sheet of all of them at 50×15 (all.png, all.cy.png). They have the kiosk's own colours, and cells of
// 16×32 pixels, so that 50×15 cells are the 800×480 of the 7-inch panel. The letters are those of the console's font,
// if this machine has it (Debian's console-setup-linux); else Go Mono's, whose widths are the same. The README's sheet has
// always these, so that it is the same on every machine.
//
// It is a tool for development.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gdamore/tcell/v2"
	"github.com/spf13/cobra"

	"latchkey/board/console"
	"latchkey/ui"
	"latchkey/ui/samples"
)

// options of the pictured kiosk.
var options = ui.Options{
	Help: "x4050 or the walk-in centre", HelpWelsh: "x4050 neu'r ganolfan galw heibio",
	NextKiosk: "by the main entrance", NextKioskWelsh: "wrth y brif fynedfa",
	Kiosk: "ward-7", HalfBlocks: true,
	Engineer: func() (all []ui.Fact) {
		for _, f := range samples.Facts {
			all = append(all, ui.Fact(f))
		}
		return all
	},
	Do:    func(ui.Action) (string, error) { return "Done.", nil },
	Touch: func() (x, y float64, ok bool) { return 0, 0, false },
	Say:   func(string, string, bool) {},
}

// sheetOf is what the README shows.
var sheetOf = []string{
	"attract", "consent", "code-half", "passcode-half", "unlocked-rate", "stopped-card-expired", "errand-expiring", "present-half",
	"out-of-service-no-reader", "rating",
}

// welshOf are shown in Welsh below these.
var welshOf = []string{"attract", "code-half"}

// sizes in cells: the 7-inch panel, one of twice its size, and 1920×1080.
var sizes = [][2]int{{50, 15}, {100, 30}, {120, 33}}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "screens:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	var out, sheet, only, fontFile string
	cmd := &cobra.Command{
		Use:           "screens",
		Short:         "Make pictures of the kiosk's screens from the code that draws them",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(*cobra.Command, []string) error {
			if out == "" && sheet == "" {
				return errors.New("nothing to do: give --out DIR, --sheet FILE, or both")
			}
			if out != "" {
				bitmaps, err := console.LoadFont(fontFile)
				if errors.Is(err, fs.ErrNotExist) {
					fmt.Println("letters of Go Mono: there is no " + fontFile + " (Debian: console-setup-linux)")
				} else if err != nil {
					return err
				}
				if err := all(out, only, bitmaps); err != nil {
					return err
				}
			}
			if sheet == "" {
				return nil
			}
			b, err := readmeSheet()
			if err != nil {
				return err
			}
			return os.WriteFile(sheet, b, 0o644)
		},
	}
	f := cmd.Flags()
	f.StringVar(&out, "out", "", "`folder` for the pictures of all screens")
	f.StringVar(&sheet, "sheet", "", "PNG `file` for the README's sheet, such as ui/testdata/kiosk.png")
	f.StringVar(&only, "only", "*", "names of the screens for --out, as a file name `pattern`")
	f.StringVar(&fontFile, "font", "/usr/share/consolefonts/Lat38-TerminusBold32x16.psf.gz", "the console's font for --out: a PSF `file`")
	cmd.SetArgs(args)
	return cmd.Execute()
}

// work is one picture to be made.
type work struct {
	sample   samples.Sample
	language string
	size     [2]int
}

// name of its files, without what tells their kind.
func (w work) name() string {
	name := filepath.Join(fmt.Sprintf("%dx%d", w.size[0], w.size[1]), w.sample.Name)
	if w.language == ui.Welsh {
		name += ".cy"
	}
	return name
}

func all(dir, pattern string, bitmaps *console.Font) error {
	var chosen []samples.Sample
	for _, s := range samples.Drawn() {
		is, err := filepath.Match(pattern, s.Name)
		if err != nil {
			return fmt.Errorf("pattern %q: %w", pattern, err)
		}
		if is {
			chosen = append(chosen, s)
		}
	}
	if len(chosen) == 0 {
		return fmt.Errorf("no screen is named %q", pattern)
	}
	for _, size := range sizes {
		if err := os.MkdirAll(filepath.Join(dir, fmt.Sprintf("%dx%d", size[0], size[1])), 0o755); err != nil {
			return err
		}
	}
	var group sync.WaitGroup
	todo, failures := make(chan work), make([]error, runtime.GOMAXPROCS(0))
	for i := range failures {
		group.Go(func() {
			letters := newTypeface(bitmaps)
			for w := range todo {
				if failures[i] == nil {
					failures[i] = w.write(dir, letters)
				}
			}
		})
	}
	for _, s := range chosen {
		for _, language := range []string{ui.English, ui.Welsh} {
			for _, size := range sizes {
				todo <- work{s, language, size}
			}
		}
	}
	close(todo)
	group.Wait()
	if err := errors.Join(failures...); err != nil {
		return err
	}
	for language, name := range map[string]string{ui.English: "all.png", ui.Welsh: "all.cy.png"} {
		var cards []work
		for _, s := range chosen {
			cards = append(cards, work{s, language, sizes[0]})
		}
		b, err := contactSheet(cards, 5, 2, newTypeface(bitmaps))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (w work) write(dir string, letters *typeface) error {
	g, err := w.show()
	if err != nil {
		return err
	}
	var b bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestSpeed}
	if err := encoder.Encode(&b, g.picture(letters)); err != nil {
		return err
	}
	file := filepath.Join(dir, w.name())
	if err := os.WriteFile(file+".png", b.Bytes(), 0o644); err != nil {
		return err
	}
	return os.WriteFile(file+".svg", g.svg(), 0o644)
}

// readmeSheet is two screens across, at five eighths of their size.
func readmeSheet() ([]byte, error) {
	var cards []work
	for i, name := range append(slices.Clone(sheetOf), welshOf...) {
		s, err := named(name)
		if err != nil {
			return nil, err
		}
		w := work{s, ui.English, sizes[0]}
		if i >= len(sheetOf) {
			w.language = ui.Welsh
		}
		cards = append(cards, w)
	}
	return contactSheet(cards, 2, 5, newTypeface(nil))
}

// contactSheet is pictures in rows, each at so many eighths of its size.
func contactSheet(cards []work, across, eighths int, letters *typeface) ([]byte, error) {
	const margin = 24
	w, h := sizes[0][0]*cellWidth*eighths/8, sizes[0][1]*cellHeight*eighths/8
	down := (len(cards) + across - 1) / across
	sheet := image.NewRGBA(image.Rect(0, 0, across*w+(across+1)*margin, down*h+(down+1)*margin))
	draw.Draw(sheet, sheet.Bounds(), image.NewUniform(color.RGBA{0x5b, 0x66, 0x70, 0xff}), image.Point{}, draw.Src)
	for i, card := range cards {
		g, err := card.show()
		if err != nil {
			return nil, err
		}
		x, y := margin+(i%across)*(w+margin), margin+(i/across)*(h+margin)
		scale(sheet, image.Rect(x, y, x+w, y+h), g.picture(letters))
	}
	var b bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(&b, sheet); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func named(name string) (samples.Sample, error) {
	for _, s := range samples.Drawn() {
		if s.Name == name {
			return s, nil
		}
	}
	return samples.Sample{}, fmt.Errorf("no sample %q", name)
}

// grid is what stands on a screen.
type grid struct {
	w, h  int
	cells []tcell.SimCell
}

func (w work) show() (grid, error) {
	screen := tcell.NewSimulationScreen("UTF-8")
	if err := screen.Init(); err != nil {
		return grid{}, fmt.Errorf("open a simulated screen: %w", err)
	}
	defer screen.Fini()
	screen.SetSize(w.size[0], w.size[1])
	o := options
	o.Quiet = func(time.Time) bool { return w.sample.Quiet }
	o.Debug = w.sample.Debug
	if w.sample.Confirming {
		o.Fingerprint = samples.Fingerprint
	}
	face := ui.New(screen, o)
	if w.sample.Setup != nil {
		face.ShowSetup(ui.SetupView(*w.sample.Setup), samples.Now)
	} else {
		face.Show(w.sample.View, samples.Now)
	}
	tap := func(x, y int) {
		face.Handle(tcell.NewEventMouse(x, y, tcell.Button1, tcell.ModNone), samples.Now)
		face.Handle(tcell.NewEventMouse(x, y, tcell.ButtonNone, tcell.ModNone), samples.Now)
	}
	for _, label := range w.sample.Taps {
		x, y, ok := find(screen, label)
		if ok { // a large screen has no key for more of what it shows at once
			tap(x, y)
		}
	}
	for _, r := range w.sample.Typed {
		// Taps and keys type alike; without a key the focus stays hidden, as on a kiosk without a keyboard.
		face.Handle(tcell.NewEventKey(tcell.KeyRune, r, tcell.ModNone), samples.Now)
	}
	if w.language == ui.Welsh {
		face.Handle(tcell.NewEventKey(tcell.KeyF2, 0, tcell.ModNone), samples.Now)
	}
	if len(w.sample.Taps) == 0 {
		tap(-1, -1)
	}
	cells, columns, rows := screen.GetContents()
	return grid{columns, rows, append([]tcell.SimCell(nil), cells...)}, nil
}

// find is the lowest place where a label stands: keys stand below what explains them.
func find(screen tcell.SimulationScreen, label string) (x, y int, ok bool) {
	cells, w, h := screen.GetContents()
	for y := h - 1; y >= 0; y-- {
		row := make([]rune, w)
		for x := range w {
			row[x] = cells[y*w+x].Runes[0]
		}
		if before, _, found := strings.Cut(string(row), label); found {
			return utf8.RuneCountInString(before), y, true
		}
	}
	return 0, 0, false
}

func (g grid) at(x, y int) (r rune, fg, bg color.RGBA) {
	c := g.cells[y*g.w+x]
	f, b, _ := c.Style.Decompose()
	r = ' '
	if len(c.Runes) > 0 {
		r = c.Runes[0]
	}
	return r, ui.Palette[f&0xf], ui.Palette[b&0xf]
}
