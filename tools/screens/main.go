// Command screens makes pictures of the kiosk's screens from the code that draws them: one PNG and one SVG for each
// sample of latchkey/ui/samples in English and in Welsh (NAME.png and NAME.cy.png), in the kiosk's own colours and with cells of 16×32 pixels, so that 50×15 cells are the
// 800×480 of the 7-inch panel. The letters are Go Mono's, since the console's font is a bitmap; its widths are the same.
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
	"os"
	"path/filepath"
	"slices"

	"github.com/gdamore/tcell/v2"
	"github.com/spf13/cobra"

	"latchkey/ui"
	"latchkey/ui/samples"
)

// options of the pictured kiosk.
var options = ui.Options{Help: "x4050 or the walk-in centre", HelpWelsh: "x4050 neu'r ganolfan galw heibio"}

// sheetOf is what the README shows.
var sheetOf = []string{"attract", "consent", "code-half", "passcode-half", "unlocked", "stopped-card-expired", "errand-expiring", "present-half"}

// welshOf are shown in Welsh below these.
var welshOf = []string{"attract", "code-half"}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "screens:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	var out, sheet, only string
	var columns, rows int
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
			if columns < 50 || rows < 15 {
				return fmt.Errorf("a kiosk's screen has at least 50 columns and 15 rows, not %d and %d", columns, rows)
			}
			if out != "" {
				if err := all(out, only, columns, rows); err != nil {
					return err
				}
			}
			if sheet == "" {
				return nil
			}
			b, err := contactSheet()
			if err != nil {
				return err
			}
			return os.WriteFile(sheet, b, 0o644)
		},
	}
	f := cmd.Flags()
	f.StringVar(&out, "out", "", "`folder` for one PNG and one SVG of each screen")
	f.StringVar(&sheet, "sheet", "", "PNG `file` for the contact sheet, such as ui/testdata/kiosk.png")
	f.StringVar(&only, "only", "*", "names of the screens for --out, as a file name `pattern`")
	f.IntVar(&columns, "columns", 50, "columns of the kiosk's screens for --out")
	f.IntVar(&rows, "rows", 15, "rows of the kiosk's screens for --out")
	cmd.SetArgs(args)
	return cmd.Execute()
}

func all(dir, pattern string, columns, rows int) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	n := 0
	for _, s := range samples.All() {
		is, err := filepath.Match(pattern, s.Name)
		if err != nil {
			return fmt.Errorf("pattern %q: %w", pattern, err)
		}
		if !is {
			continue
		}
		n++
		for language, file := range map[string]string{ui.English: s.Name, ui.Welsh: s.Name + ".cy"} {
			g, err := show(s, language, columns, rows)
			if err != nil {
				return err
			}
			var b bytes.Buffer
			if err := png.Encode(&b, g.picture()); err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(dir, file+".png"), b.Bytes(), 0o644); err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(dir, file+".svg"), g.svg(), 0o644); err != nil {
				return err
			}
		}
	}
	if n == 0 {
		return fmt.Errorf("no screen is named %q", pattern)
	}
	return nil
}

// contactSheet is the PNG of the README: two screens across, at five eighths of their size.
func contactSheet() ([]byte, error) {
	const (
		columns, rows = 50, 15
		margin        = 24
		across        = 2
	)
	w, h := columns*cellWidth*5/8, rows*cellHeight*5/8
	names := append(slices.Clone(sheetOf), welshOf...)
	down := (len(names) + across - 1) / across
	sheet := image.NewRGBA(image.Rect(0, 0, across*w+(across+1)*margin, down*h+(down+1)*margin))
	draw.Draw(sheet, sheet.Bounds(), image.NewUniform(color.RGBA{0x5b, 0x66, 0x70, 0xff}), image.Point{}, draw.Src)
	for i, name := range names {
		language := ui.English
		if i >= len(sheetOf) {
			language = ui.Welsh
		}
		s, err := named(name)
		if err != nil {
			return nil, err
		}
		g, err := show(s, language, columns, rows)
		if err != nil {
			return nil, err
		}
		x, y := margin+(i%across)*(w+margin), margin+(i/across)*(h+margin)
		scale(sheet, image.Rect(x, y, x+w, y+h), g.picture())
	}
	var b bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(&b, sheet); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func named(name string) (samples.Sample, error) {
	for _, s := range samples.All() {
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

func show(s samples.Sample, language string, columns, rows int) (grid, error) {
	screen := tcell.NewSimulationScreen("UTF-8")
	if err := screen.Init(); err != nil {
		return grid{}, fmt.Errorf("open a simulated screen: %w", err)
	}
	defer screen.Fini()
	screen.SetSize(columns, rows)
	face := ui.New(screen, options)
	face.Show(s.View, samples.Now)
	for _, r := range s.Typed {
		// Taps and keys type alike; without a key the focus stays hidden, as on a kiosk without a keyboard.
		face.Handle(tcell.NewEventKey(tcell.KeyRune, r, tcell.ModNone), samples.Now)
	}
	if language == ui.Welsh {
		face.Handle(tcell.NewEventKey(tcell.KeyF2, 0, tcell.ModNone), samples.Now)
	}
	face.Handle(tcell.NewEventMouse(-1, -1, tcell.Button1, tcell.ModNone), samples.Now)
	face.Handle(tcell.NewEventMouse(-1, -1, tcell.ButtonNone, tcell.ModNone), samples.Now)
	cells, w, h := screen.GetContents()
	return grid{w, h, append([]tcell.SimCell(nil), cells...)}, nil
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
