package console

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"unicode/utf8"
)

// Font is a font of the console: bitmaps, and which character is which.
type Font struct {
	Width, Height int      // pixels of a glyph
	Glyphs        [][]byte // rows of whole bytes from the top, the leftmost pixel in the highest bit
	Table         []Pair   // a character stands here once
}

// Pair says which glyph a character is (struct unipair of linux/kd.h, which ends at U+FFFF).
type Pair struct{ Rune, Glyph uint16 }

// Marks of the two PSF formats (linux/Documentation has none; kbd's psf.h and https://www.win.tue.nl/~aeb/linux/kbd/font-formats-1.html).
const (
	psf1Long     = 0x01 // mode: 512 glyphs, not 256
	psf1Tables   = 0x06 // mode: either bit says that there is a Unicode table
	psf1Next     = 0xffff
	psf1Sequence = 0xfffe
	psf2Table    = 0x01 // flags
	psf2Header   = 32   // bytes, or more
	psf2Next     = 0xff
	psf2Sequence = 0xfe
)

var (
	psf1Magic = []byte{0x36, 0x04}
	psf2Magic = []byte{0x72, 0xb5, 0x4a, 0x86}
	gzipMagic = []byte{0x1f, 0x8b}
)

// maxFontFile is more than a font of the largest size with a table of every character.
const maxFontFile = 1 << 20

// LoadFont reads a font file.
func LoadFont(path string) (*Font, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("font: %w", err)
	}
	defer file.Close()
	f, err := ReadFont(file)
	if err != nil {
		return nil, fmt.Errorf("font %s: %w", path, err)
	}
	return f, nil
}

// ReadFont reads a PSF font of version 1 or 2, gzipped or not. One without a Unicode table is an error, as is one that the kernel
// would not take. Sequences of several characters in the table are left out, and characters beyond U+FFFF.
func ReadFont(r io.Reader) (*Font, error) {
	b, err := readAll(r)
	if err == nil && bytes.HasPrefix(b, gzipMagic) {
		var z *gzip.Reader
		if z, err = gzip.NewReader(bytes.NewReader(b)); err == nil {
			b, err = readAll(z)
		}
	}
	switch {
	case err != nil:
		return nil, err
	case bytes.HasPrefix(b, psf2Magic):
		return readPSF2(b)
	case bytes.HasPrefix(b, psf1Magic):
		return readPSF1(b)
	}
	return nil, errors.New("not a PSF font")
}

func readAll(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxFontFile+1))
	if err == nil && len(b) > maxFontFile {
		err = fmt.Errorf("more than %d bytes", maxFontFile)
	}
	return b, err
}

func readPSF1(b []byte) (*Font, error) {
	if len(b) < 4 {
		return nil, io.ErrUnexpectedEOF
	}
	mode, f := b[2], &Font{Width: 8, Height: int(b[3])}
	n := 256
	if mode&psf1Long != 0 {
		n = 512
	}
	if mode&psf1Tables == 0 {
		return nil, errNoTable
	}
	table, err := f.cut(b[4:], n)
	if err != nil {
		return nil, err
	}
	sequence, glyph := false, 0
	for ; len(table) >= 2 && glyph < n; table = table[2:] {
		switch c := binary.LittleEndian.Uint16(table); {
		case c == psf1Next:
			sequence = false
			glyph++
		case c == psf1Sequence:
			sequence = true
		case !sequence:
			f.Table = append(f.Table, Pair{c, uint16(glyph)})
		}
	}
	return f, f.check(glyph)
}

func readPSF2(b []byte) (*Font, error) {
	if len(b) < psf2Header {
		return nil, io.ErrUnexpectedEOF
	}
	field := func(n int) int { return int(binary.LittleEndian.Uint32(b[4*n:])) }
	version, header, flags, n, each := field(1), field(2), field(3), field(4), field(5)
	f := &Font{Height: field(6), Width: field(7)}
	switch {
	case version != 0:
		return nil, fmt.Errorf("PSF 2 of version %d, and only 0 is known", version)
	case header < psf2Header || header > len(b):
		return nil, fmt.Errorf("its header has %d bytes", header)
	case f.Width < 1 || f.Width > maxFontWidth || f.Height < 1 || f.Height > maxFontHeight || each != f.stride()*f.Height:
		return nil, fmt.Errorf("glyphs of %d×%d in %d bytes", f.Width, f.Height, each)
	case flags&psf2Table == 0:
		return nil, errNoTable
	}
	table, err := f.cut(b[header:], n)
	if err != nil {
		return nil, err
	}
	sequence, glyph := false, 0
	for len(table) > 0 && glyph < n {
		switch table[0] {
		case psf2Next:
			sequence = false
			glyph++
			table = table[1:]
			continue
		case psf2Sequence:
			sequence = true
			table = table[1:]
			continue
		}
		c, size := utf8.DecodeRune(table)
		if c == utf8.RuneError && size < 3 {
			return nil, errors.New("its Unicode table is not UTF-8")
		}
		table = table[size:]
		if !sequence && c <= 0xffff {
			f.Table = append(f.Table, Pair{uint16(c), uint16(glyph)})
		}
	}
	return f, f.check(glyph)
}

var errNoTable = errors.New("it has no Unicode table")

// cut takes n glyphs from the front of b, and returns what is behind.
func (f *Font) cut(b []byte, n int) ([]byte, error) {
	each := f.stride() * f.Height
	if n < 1 || n > maxGlyphs || f.Height < 1 || f.Height > maxFontHeight {
		return nil, fmt.Errorf("%d glyphs of %d rows; the kernel takes %d of %d", n, f.Height, maxGlyphs, maxFontHeight)
	}
	if len(b) < n*each {
		return nil, io.ErrUnexpectedEOF
	}
	for range n {
		f.Glyphs = append(f.Glyphs, b[:each:each])
		b = b[each:]
	}
	return b, nil
}

// check ends reading: the table must have been told of every glyph. Of a character that stands in it twice, the first counts.
func (f *Font) check(told int) error {
	if told != len(f.Glyphs) {
		return fmt.Errorf("its Unicode table ends after %d of %d glyphs", told, len(f.Glyphs))
	}
	seen := map[uint16]bool{}
	f.Table = slices.DeleteFunc(f.Table, func(p Pair) bool {
		again := seen[p.Rune]
		seen[p.Rune] = true
		return again
	})
	return nil
}

// stride is the bytes of a row.
func (f *Font) stride() int { return (f.Width + 7) / 8 }

// Has tells whether the font has a character.
func (f *Font) Has(r rune) bool { return f.glyph(r) >= 0 }

func (f *Font) glyph(r rune) int {
	for _, p := range f.Table {
		if rune(p.Rune) == r {
			return int(p.Glyph)
		}
	}
	return -1
}

// Pixel tells whether a pixel of a character is set; no pixel is of a character that the font does not have.
func (f *Font) Pixel(r rune, x, y int) bool {
	g := f.glyph(r)
	return g >= 0 && f.Glyphs[g][y*f.stride()+x/8]&(0x80>>(x%8)) != 0
}

// slots is how many glyphs the kernel is given: fbcon takes 256 or 512.
func (f *Font) slots() int {
	if len(f.Glyphs) > maxGlyphs/2 {
		return maxGlyphs
	}
	return maxGlyphs / 2
}

// memory is the font as KDFONTOP has it, each glyph in so many rows.
func (f *Font) memory(rows int) []byte {
	b := make([]byte, f.slots()*f.stride()*rows)
	for i, g := range f.Glyphs {
		copy(b[i*f.stride()*rows:], g)
	}
	return b
}

// doubled is the font at twice its width and height.
func (f *Font) doubled() *Font {
	d := &Font{Width: 2 * f.Width, Height: 2 * f.Height, Table: f.Table}
	for _, g := range f.Glyphs {
		d.Glyphs = append(d.Glyphs, d.draw(func(x, y int) bool {
			return g[y/2*f.stride()+x/2/8]&(0x80>>(x/2%8)) != 0
		}))
	}
	return d
}

// draw makes a glyph of the pixels that are set.
func (f *Font) draw(set func(x, y int) bool) []byte {
	g := make([]byte, f.stride()*f.Height)
	for y := range f.Height {
		for x := range f.Width {
			if set(x, y) {
				g[y*f.stride()+x/8] |= 0x80 >> (x % 8)
			}
		}
	}
	return g
}
