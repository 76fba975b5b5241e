package main

import (
	"fmt"
	"image"
	"image/color"

	"latchkey/tools/qemu/letters"
)

// cell is what is to stand on a place of the screen.
type cell struct {
	r      rune
	fg, bg color.RGBA
}

// page is a screen's cells, row by row.
type page struct {
	columns, rows int
	scale         int // of the font: 2 is large print
	cells         []cell
}

// differs says where a picture is not the page, to the pixel.
func (p page) differs(f letters.Font, picture image.Image) error {
	w, h := p.columns*letters.CellWidth*p.scale, p.rows*letters.CellHeight*p.scale
	if size := picture.Bounds().Size(); size.X != w || size.Y != h {
		return fmt.Errorf("the picture has %d×%d pixels, and %d×%d cells have %d×%d", size.X, size.Y, p.columns, p.rows, w, h)
	}
	wrong, first := 0, ""
	for i, c := range p.cells {
		glyph, is := f[c.r]
		if !is {
			return fmt.Errorf("the console's font has no %q", c.r)
		}
		column, row := i%p.columns, i/p.columns
		if x, y, same := p.shows(picture, column, row, glyph, c); !same {
			if wrong++; wrong == 1 {
				first = fmt.Sprintf("column %d, row %d: not %q in %v on %v: pixel %d,%d is %v", column, row, c.r, c.fg, c.bg, x, y, picture.At(x, y))
			}
		}
	}
	if wrong > 0 {
		return fmt.Errorf("%d of %d cells are not as the kiosk draws them, the first at %s", wrong, len(p.cells), first)
	}
	return nil
}

func (p page) shows(picture image.Image, column, row int, glyph []uint16, c cell) (x, y int, same bool) {
	for dy := range letters.CellHeight * p.scale {
		for dx := range letters.CellWidth * p.scale {
			want := c.bg
			if glyph[dy/p.scale]&(1<<(letters.CellWidth-1-dx/p.scale)) != 0 {
				want = c.fg
			}
			x, y := column*letters.CellWidth*p.scale+dx, row*letters.CellHeight*p.scale+dy
			if color.RGBAModel.Convert(picture.At(x, y)) != want {
				return x, y, false
			}
		}
	}
	return 0, 0, true
}
