package ui

import "github.com/gdamore/tcell/v2"

// canvas is where a page is drawn. Only cells that differ from what stands on the screen reach tcell, which takes a cell
// that was emptied and then written as before for a changed one, and would send the whole screen for each key.
type canvas struct {
	w, h         int
	drawn, shown []cell
}

type cell struct {
	r     rune // 0 if nothing was shown yet
	style tcell.Style
}

// clear begins a new page of the screen's size.
func (c *canvas) clear(s tcell.Screen, st tcell.Style) {
	if w, h := s.Size(); w != c.w || h != c.h {
		c.w, c.h = w, h
		c.drawn, c.shown = make([]cell, w*h), make([]cell, w*h)
	}
	for i := range c.drawn {
		c.drawn[i] = cell{' ', st}
	}
}

// set writes one cell. What lies outside the screen is not written.
func (c *canvas) set(x, y int, r rune, st tcell.Style) {
	if x >= 0 && y >= 0 && x < c.w && y < c.h {
		c.drawn[y*c.w+x] = cell{r, st}
	}
}

// show brings the page to the screen.
func (c *canvas) show(s tcell.Screen) {
	changed := false
	for i, now := range c.drawn {
		if now != c.shown[i] {
			s.SetContent(i%c.w, i/c.w, now.r, nil, now.style)
			changed = true
		}
	}
	c.drawn, c.shown = c.shown, c.drawn
	if changed {
		s.Show()
	}
}
