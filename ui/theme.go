package ui

import "github.com/gdamore/tcell/v2"

// theme is how the roles of the palette are shown. Screens are drawn in the plain one; the others turn each pair of a
// foreground and a background into another pair of the same eight colours, so that the console's palette stays.
type theme int

const (
	plainTheme    theme = iota
	contrastTheme       // light on dark: white and yellow on black, keys filled with white
	quietTheme          // dark, with little that shines: the first screen in quiet hours
)

// style is a style as the theme shows it.
func (t theme) style(st tcell.Style) tcell.Style {
	fg, bg, attr := st.Decompose()
	if attr&tcell.AttrBlink != 0 {
		return st.Blink(false)
	}
	f, b := t.pair(int(fg-tcell.PaletteColor(0)), int(bg-tcell.PaletteColor(0)))
	return style(f, b).Attributes(attr)
}

// pair is the pair of colours for two roles.
func (t theme) pair(fg, bg int) (int, int) {
	if t == plainTheme {
		return fg, bg
	}
	lit := paper
	if t == quietTheme {
		lit = pale
	}
	switch bg {
	case paper, pale: // the page, and keys that stand out by their lines
		if fg == ink {
			return lit, ink
		}
		return yellow, ink // headings
	case yellow: // focus and warnings
		return ink, yellow
	case ink: // a press
		return ink, lit
	case red:
		return yellow, ink // what went wrong has its mark
	}
	if t == quietTheme {
		return lit, ink
	}
	if bg == green {
		return ink, pale // not one with the title bar above
	}
	return ink, paper // title bar, what is to be known
}
