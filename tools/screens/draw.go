package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"sync"

	xdraw "golang.org/x/image/draw"
	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gomonobold"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"

	"latchkey/board/console"
)

// A cell of Lat38-TerminusBold32x16, in pixels.
const (
	cellWidth  = 16
	cellHeight = 32
	baseline   = 24
	stroke     = 2
)

var goMono = sync.OnceValue(func() *opentype.Font {
	parsed, err := opentype.Parse(gomonobold.TTF)
	if err != nil {
		panic(err) // it is compiled in
	}
	return parsed
})

// typeface is the letters of a picture, by how much of each pixel they cover. It is for one goroutine.
type typeface struct {
	bitmaps *console.Font // nil: Go Mono
	outline font.Face
	masks   map[rune]*[cellWidth * cellHeight]byte
}

// newTypeface takes the letters of the console's font; nil is Go Mono Bold, whose letters are 0.6 em wide, so high that they
// fill the cell's width.
func newTypeface(bitmaps *console.Font) *typeface {
	f, err := opentype.NewFace(goMono(), &opentype.FaceOptions{Size: cellWidth / 0.6, DPI: 72, Hinting: font.HintingFull})
	if err != nil {
		panic(err) // the options are constants
	}
	return &typeface{bitmaps, f, map[rune]*[cellWidth * cellHeight]byte{}}
}

func (t *typeface) mask(r rune) *[cellWidth * cellHeight]byte {
	if m := t.masks[r]; m != nil {
		return m
	}
	m := new([cellWidth * cellHeight]byte)
	t.masks[r] = m
	if t.bitmaps != nil && t.bitmaps.Has(r) {
		for i := range m {
			if t.bitmaps.Pixel(r, i%cellWidth, i/cellWidth) {
				m[i] = 0xff
			}
		}
		return m
	}
	img := &image.Alpha{Pix: m[:], Stride: cellWidth, Rect: image.Rect(0, 0, cellWidth, cellHeight)}
	if rs := shape(r); rs != nil {
		for _, s := range rs {
			draw.Draw(img, s, image.Opaque, image.Point{}, draw.Src)
		}
		return m
	}
	d := font.Drawer{Dst: img, Src: image.Opaque, Face: t.outline, Dot: fixed.P(0, baseline)}
	d.DrawString(string(r))
	return m
}

// arms of the box-drawing characters that the kiosk uses: left, right, up, down.
var arms = map[rune][4]bool{
	'─': {true, true, false, false}, '│': {false, false, true, true},
	'┌': {false, true, false, true}, '┐': {true, false, false, true},
	'└': {false, true, true, false}, '┘': {true, false, true, false},
	'┬': {true, true, false, true}, '┴': {true, true, true, false},
	'├': {false, true, true, true}, '┤': {true, false, true, true},
	'┼': {true, true, true, true},
}

// shape is the rectangles that draw a character which must meet its neighbours; nil if it is a letter.
func shape(r rune) []image.Rectangle {
	const cx, cy = (cellWidth - stroke) / 2, (cellHeight - stroke) / 2
	if a, is := arms[r]; is {
		var rs []image.Rectangle
		if a[0] {
			rs = append(rs, image.Rect(0, cy, cx+stroke, cy+stroke))
		}
		if a[1] {
			rs = append(rs, image.Rect(cx, cy, cellWidth, cy+stroke))
		}
		if a[2] {
			rs = append(rs, image.Rect(cx, 0, cx+stroke, cy+stroke))
		}
		if a[3] {
			rs = append(rs, image.Rect(cx, cy, cx+stroke, cellHeight))
		}
		return rs
	}
	switch r {
	case '█':
		return []image.Rectangle{image.Rect(0, 0, cellWidth, cellHeight)}
	case '▀':
		return []image.Rectangle{image.Rect(0, 0, cellWidth, cellHeight/2)}
	case '▄':
		return []image.Rectangle{image.Rect(0, cellHeight/2, cellWidth, cellHeight)}
	case '■':
		return []image.Rectangle{image.Rect(2, 10, 14, 22)}
	case '•':
		return []image.Rectangle{image.Rect(5, 11, 11, 21), image.Rect(3, 13, 13, 19)}
	case '▶':
		return wedge(func(i int) image.Rectangle { return image.Rect(2+2*i, 10+i, 4+2*i, 22-i) })
	case '◀':
		return wedge(func(i int) image.Rectangle { return image.Rect(12-2*i, 10+i, 14-2*i, 22-i) })
	case '▼':
		return wedge(func(i int) image.Rectangle { return image.Rect(2+i, 11+2*i, 14-i, 13+2*i) })
	}
	return nil
}

func wedge(slice func(i int) image.Rectangle) (rs []image.Rectangle) {
	for i := range 6 {
		rs = append(rs, slice(i))
	}
	return rs
}

func (g grid) picture(t *typeface) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, g.w*cellWidth, g.h*cellHeight))
	for y := range g.h {
		for x := range g.w {
			r, fg, bg := g.at(x, y)
			for i, cover := range t.mask(r) {
				at := img.PixOffset(x*cellWidth+i%cellWidth, y*cellHeight+i/cellWidth)
				img.Pix[at] = mix(fg.R, bg.R, cover)
				img.Pix[at+1] = mix(fg.G, bg.G, cover)
				img.Pix[at+2] = mix(fg.B, bg.B, cover)
				img.Pix[at+3] = 0xff
			}
		}
	}
	return img
}

func mix(fg, bg, cover byte) byte {
	return byte((int(fg)*int(cover) + int(bg)*(0xff-int(cover)) + 0x7f) / 0xff)
}

func scale(dst draw.Image, to image.Rectangle, src image.Image) {
	xdraw.CatmullRom.Scale(dst, to, src, src.Bounds(), draw.Src, nil)
}

func (g grid) svg() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="'Terminus','DejaVu Sans Mono','Liberation Mono',monospace" font-weight="bold" font-size="26" text-anchor="middle">`+"\n",
		g.w*cellWidth, g.h*cellHeight)
	for y := range g.h {
		for x := 0; x < g.w; {
			_, _, bg := g.at(x, y)
			from := x
			for x < g.w {
				if _, _, next := g.at(x, y); next != bg {
					break
				}
				x++
			}
			fmt.Fprintf(&b, `<path fill="%s" d="%s"/>`+"\n", hex(bg), path(image.Rect(from*cellWidth, y*cellHeight, x*cellWidth, (y+1)*cellHeight)))
		}
	}
	for y := range g.h {
		for x := range g.w {
			r, fg, _ := g.at(x, y)
			if r == ' ' {
				continue
			}
			if rs := shape(r); rs != nil {
				fmt.Fprintf(&b, `<path fill="%s" d="`, hex(fg))
				for _, s := range rs {
					b.WriteString(path(s.Add(image.Pt(x*cellWidth, y*cellHeight))))
				}
				b.WriteString("\"/>\n")
				continue
			}
			fmt.Fprintf(&b, `<text fill="%s" x="%d" y="%d">`, hex(fg), x*cellWidth+cellWidth/2, y*cellHeight+baseline)
			xml.EscapeText(&b, []byte(string(r)))
			b.WriteString("</text>\n")
		}
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

func hex(c color.RGBA) string { return fmt.Sprintf("#%02x%02x%02x", c.R, c.G, c.B) }

func path(r image.Rectangle) string {
	return fmt.Sprintf("M%d %dh%dv%dh-%dz", r.Min.X, r.Min.Y, r.Dx(), r.Dy(), r.Dx())
}
