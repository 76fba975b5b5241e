// Package letters reads what a picture of a machine's console says, by the glyphs of its font: a cell is one character of
// 16×32 pixels in one colour on another. It recognises nothing: a cell that is no glyph to the pixel is U+FFFD.
package letters

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
	"strings"
	"unicode/utf8"
)

// Size of a cell, in pixels.
const (
	CellWidth  = 16
	CellHeight = 32
)

// Font is a console font, by character: rows of pixels, the leftmost in the highest bit. It is read here apart from how the kiosk reads
// it, so that the one is held to the other.
type Font map[rune][]uint16

// ReadFont reads a gzipped PC Screen Font of version 2 with cells of 16×32 (the format: man 5 psf, or the header psf.h of kbd).
func ReadFont(path string) (Font, error) {
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
	if header.Magic != magic || header.Flags&hasUnicode == 0 || header.Width != CellWidth || header.Height != CellHeight || uint64(len(b)) < end {
		return nil, fmt.Errorf("font %s: it is not a PSF of version 2 with cells of %d×%d and a table of characters", path, CellWidth, CellHeight)
	}
	characters := bytes.Split(b[end:], []byte{separator})
	glyphs := Font{}
	for n := range int(header.Glyphs) {
		if n >= len(characters) {
			return nil, errors.New("font " + path + ": its table of characters ends too early")
		}
		rows := make([]uint16, CellHeight)
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

type glyph [CellHeight]uint16

// Reader reads pictures.
type Reader struct{ glyphs map[glyph]rune }

// NewReader has a font's glyphs at hand. Of characters that look the same it reads that with the lowest number.
func NewReader(f Font) *Reader {
	r := &Reader{map[glyph]rune{}}
	for c, rows := range f {
		g := glyph(rows)
		if was, is := r.glyphs[g]; !is || c < was {
			r.glyphs[g] = c
		}
	}
	return r
}

// Page is what stands on a console: its rows.
type Page []string

func (p Page) String() string { return strings.Join(p, "\n") }

// Flat is the page's words, without the lines that they are broken into.
func (p Page) Flat() string { return strings.Join(strings.Fields(strings.Join(p, " ")), " ") }

// FindLast is the pixel in the middle of a text that stands in one row, the lowest that has it; false if none has.
func (p Page) FindLast(text string) (at image.Point, found bool) {
	for y := len(p) - 1; y >= 0; y-- {
		if before, _, is := strings.Cut(p[y], text); is {
			x := 2*utf8.RuneCountInString(before) + utf8.RuneCountInString(text)
			return image.Pt(x*CellWidth/2, (2*y+1)*CellHeight/2), true
		}
	}
	return at, false
}

// Read reads a picture.
func (r *Reader) Read(picture image.Image) Page {
	size := picture.Bounds().Size()
	page := make(Page, size.Y/CellHeight)
	for y := range page {
		row := make([]rune, size.X/CellWidth)
		for x := range row {
			row[x] = r.cell(picture, picture.Bounds().Min.Add(image.Pt(x*CellWidth, y*CellHeight)))
		}
		page[y] = string(row)
	}
	return page
}

func (r *Reader) cell(picture image.Image, at image.Point) rune {
	var g, inverse glyph
	ground := color.RGBAModel.Convert(picture.At(at.X, at.Y)) // the corner of most glyphs is empty
	ink, inked := ground, false
	for y := range CellHeight {
		for x := range CellWidth {
			bit := uint16(1) << (CellWidth - 1 - x)
			c := color.RGBAModel.Convert(picture.At(at.X+x, at.Y+y))
			switch {
			case c == ground:
				inverse[y] |= bit
			case !inked:
				ink, inked = c, true
				g[y] |= bit
			case c == ink:
				g[y] |= bit
			default:
				return utf8.RuneError
			}
		}
	}
	if !inked {
		return ' '
	}
	for _, g := range []glyph{g, inverse} {
		if c, is := r.glyphs[g]; is {
			return c
		}
	}
	return utf8.RuneError
}
