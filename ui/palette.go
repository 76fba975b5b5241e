package ui

import (
	"fmt"
	"image/color"
	"io"

	"github.com/gdamore/tcell/v2"
)

// The face draws with the first eight colours alone: a Linux console has no more for backgrounds, and tcell finds only
// these there.
const (
	ink    = 0 // text
	red    = 1 // it went wrong
	green  = 2 // the way on
	yellow = 3 // focus and warnings, as on NHS pages
	blue   = 4 // title bar, what is to be known
	violet = 5 // not used
	pale   = 6 // keys
	paper  = 7 // the page
)

// Palette is what the sixteen colours of the console are on this kiosk. The bright half repeats the first, so that bold
// text keeps its colour on a console that shows bold as bright.
var Palette = [16]color.RGBA{
	ink:    {0x15, 0x1f, 0x28, 0xff},
	red:    {0x96, 0x0f, 0x0f, 0xff},
	green:  {0x00, 0x57, 0x2b, 0xff},
	yellow: {0xff, 0xe2, 0x3d, 0xff},
	blue:   {0x00, 0x38, 0x7a, 0xff},
	violet: {0x4a, 0x1d, 0x6b, 0xff},
	pale:   {0xd8, 0xe7, 0xf4, 0xff},
	paper:  {0xff, 0xff, 0xff, 0xff},

	8 + ink:    {0x15, 0x1f, 0x28, 0xff},
	8 + red:    {0x96, 0x0f, 0x0f, 0xff},
	8 + green:  {0x00, 0x57, 0x2b, 0xff},
	8 + yellow: {0xff, 0xe2, 0x3d, 0xff},
	8 + blue:   {0x00, 0x38, 0x7a, 0xff},
	8 + violet: {0x4a, 0x1d, 0x6b, 0xff},
	8 + pale:   {0xd8, 0xe7, 0xf4, 0xff},
	8 + paper:  {0xff, 0xff, 0xff, 0xff},
}

// SetPalette gives a Linux console the kiosk's colours (console_codes(4), "ESC ] P nrrggbb"). Other terminals wait for
// the end of that sequence for ever: only for TERM=linux, and before tcell starts.
func SetPalette(w io.Writer) error {
	var b []byte
	for n, c := range Palette {
		b = fmt.Appendf(b, "\x1b]P%x%02x%02x%02x", n, c.R, c.G, c.B)
	}
	if _, err := w.Write(b); err != nil {
		return fmt.Errorf("set the console's palette: %w", err)
	}
	return nil
}

func style(fg, bg int) tcell.Style {
	return tcell.StyleDefault.Foreground(tcell.PaletteColor(fg)).Background(tcell.PaletteColor(bg))
}
