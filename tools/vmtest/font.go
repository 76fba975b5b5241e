package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"io"
	"os"
	"unicode/utf8"
)

// font is a console font, by character: rows of pixels, the leftmost in the highest bit. It is read here apart from how the kiosk reads
// it, so that the one is held to the other.
type font map[rune][]uint16

const (
	cellWidth  = 16
	cellHeight = 32
)

// readFont reads a gzipped PC Screen Font of version 2 with cells of 16×32 (the format: man 5 psf, or the header psf.h of kbd).
func readFont(path string) (font, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("font %s: %w", path, err)
	}
	b, err := io.ReadAll(unzipped)
	if err != nil {
		return nil, fmt.Errorf("font %s: %w", path, err)
	}
	var header struct{ Magic, Version, Size, Flags, Glyphs, Bytes, Height, Width uint32 }
	if err := binary.Read(bytes.NewReader(b), binary.LittleEndian, &header); err != nil {
		return nil, fmt.Errorf("font %s: %w", path, err)
	}
	const (
		magic       = 0x864ab572
		hasUnicode  = 1
		separator   = 0xff
		beginsChain = 0xfe
	)
	end := uint64(header.Size) + uint64(header.Glyphs)*uint64(header.Bytes)
	if header.Magic != magic || header.Flags&hasUnicode == 0 || header.Width != cellWidth || header.Height != cellHeight || uint64(len(b)) < end {
		return nil, fmt.Errorf("font %s: it is not a PSF of version 2 with cells of %d×%d and a table of characters", path, cellWidth, cellHeight)
	}
	characters := bytes.Split(b[end:], []byte{separator})
	glyphs := font{}
	for n := range int(header.Glyphs) {
		if n >= len(characters) {
			return nil, errors.New("font " + path + ": its table of characters ends too early")
		}
		rows := make([]uint16, cellHeight)
		for y := range rows {
			rows[y] = binary.BigEndian.Uint16(b[int(header.Size)+n*int(header.Bytes)+2*y:])
		}
		alone, _, _ := bytes.Cut(characters[n], []byte{beginsChain})
		for len(alone) > 0 {
			r, size := utf8.DecodeRune(alone)
			if _, is := glyphs[r]; !is {
				glyphs[r] = rows
			}
			alone = alone[size:]
		}
	}
	return glyphs, nil
}

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
func (p page) differs(f font, picture image.Image) error {
	w, h := p.columns*cellWidth*p.scale, p.rows*cellHeight*p.scale
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
	for dy := range cellHeight * p.scale {
		for dx := range cellWidth * p.scale {
			want := c.bg
			if glyph[dy/p.scale]&(1<<(cellWidth-1-dx/p.scale)) != 0 {
				want = c.fg
			}
			x, y := column*cellWidth*p.scale+dx, row*cellHeight*p.scale+dy
			if color.RGBAModel.Convert(picture.At(x, y)) != want {
				return x, y, false
			}
		}
	}
	return 0, 0, true
}
