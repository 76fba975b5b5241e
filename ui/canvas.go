package ui

import (
	"slices"

	"github.com/gdamore/tcell/v2"
)

// canvas is where a page is drawn. Only cells that differ from what stands on the screen reach tcell, which takes a cell
// that was emptied and then written as before for a changed one, and would send the whole screen for each key.
type canvas struct {
	w, h         int
	drawn, shown []cell
	styles       []tcell.Style // by pen; a page has a dozen
	themed       []tcell.Style // the same as they are shown
	theme        theme
	whole        bool // what stands on the screen is not known: all of it is sent next
}

// pen is a style by its number: cells that are small are quickly compared.
type pen int32

type cell struct {
	r   rune // 0 if nothing was shown yet
	pen pen
}

// clear begins a new page of the screen's size.
func (c *canvas) clear(s tcell.Screen, st tcell.Style) {
	if w, h := s.Size(); w != c.w || h != c.h {
		c.w, c.h = w, h
		c.drawn, c.shown = make([]cell, w*h), make([]cell, w*h)
		c.whole = true
	}
	blank := cell{' ', c.pen(st)}
	for i := range c.drawn {
		c.drawn[i] = blank
	}
}

func (c *canvas) pen(st tcell.Style) pen {
	i := slices.Index(c.styles, st)
	if i < 0 {
		i = len(c.styles)
		c.styles, c.themed = append(c.styles, st), append(c.themed, c.theme.style(st))
	}
	return pen(i)
}

// fixed is a pen that no theme changes.
func (c *canvas) fixed(st tcell.Style) pen {
	// No page blinks: the attribute marks such a style, and themes take it away.
	return c.pen(st.Blink(true))
}

// turn shows all that is drawn from now on in a theme.
func (c *canvas) turn(t theme) {
	if t == c.theme {
		return
	}
	c.theme = t
	for i, st := range c.styles {
		c.themed[i] = t.style(st)
	}
	clear(c.shown) // nothing looks as it did
}

// set writes one cell. What lies outside the screen is not written.
func (c *canvas) set(x, y int, r rune, p pen) {
	if x >= 0 && y >= 0 && x < c.w && y < c.h {
		c.drawn[y*c.w+x] = cell{r, p}
	}
}

// show brings the page to the screen.
func (c *canvas) show(s tcell.Screen) {
	changed := false
	for i, now := range c.drawn {
		if now != c.shown[i] {
			s.SetContent(i%c.w, i/c.w, now.r, nil, c.themed[now.pen])
			changed = true
		}
	}
	c.drawn, c.shown = c.shown, c.drawn
	switch {
	case c.whole:
		c.whole = false
		s.Sync()
	case changed:
		s.Show()
	}
}
