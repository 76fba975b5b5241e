package letters

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"image"
	"image/color"
	"os"
	"path/filepath"
	"testing"
)

// rows of a glyph that is a bar of some width.
func rows(bits uint16) []uint16 {
	list := make([]uint16, CellHeight)
	for i := range list {
		list[i] = bits
	}
	list[0] = 0
	return list
}

func draw(picture *image.RGBA, cell image.Point, glyph []uint16, ink, ground color.RGBA) {
	for y := range CellHeight {
		for x := range CellWidth {
			c := ground
			if glyph[y]&(1<<(CellWidth-1-x)) != 0 {
				c = ink
			}
			picture.Set(cell.X*CellWidth+x, cell.Y*CellHeight+y, c)
		}
	}
}

func TestAPictureIsRead(t *testing.T) {
	t.Parallel()
	f := Font{' ': rows(0), 'h': rows(0x7800), 'i': rows(0x0180), 'і': rows(0x0180)}
	corner := rows(0xF000)
	corner[0] = 0xF000
	f['▌'] = corner // lit where most glyphs are empty
	white, blue, red := color.RGBA{255, 255, 255, 255}, color.RGBA{0, 0, 180, 255}, color.RGBA{200, 0, 0, 255}
	picture := image.NewRGBA(image.Rect(0, 0, 3*CellWidth, 2*CellHeight))
	for at, glyph := range map[image.Point][]uint16{{0, 0}: f['▌'], {1, 0}: f['h'], {2, 0}: f['i'], {0, 1}: f[' '], {1, 1}: f['i'], {2, 1}: rows(0x5555)} {
		draw(picture, at, glyph, white, blue)
	}
	r := NewReader(f)
	if got := r.Read(picture).String(); got != "▌hi\n i\uFFFD" {
		t.Errorf("it reads %q", got)
	}
	picture.Set(2*CellWidth, CellHeight-1, red)
	page := r.Read(picture)
	if got := page.String(); got != "▌h\uFFFD\n i\uFFFD" {
		t.Errorf("with a pixel of a third colour it reads %q", got)
	}
	if at, found := page.FindLast("i"); !found || at != image.Pt(CellWidth+CellWidth/2, CellHeight+CellHeight/2) {
		t.Errorf("the i is at %v, %t", at, found)
	}
	if _, found := page.FindLast("x"); found {
		t.Error("an x is found that is not there")
	}
}

func TestAFontIsRead(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	header := []uint32{0x864ab572, 0, 32, 1, 2, 64, 32, 16}
	if err := binary.Write(&b, binary.LittleEndian, header); err != nil {
		t.Fatal(err)
	}
	glyphs := make([]byte, 2*64)
	glyphs[0], glyphs[64+63] = 0x80, 1
	b.Write(glyphs)
	b.WriteString("ŵw\xfee\u0302\xffx\xff")
	path := filepath.Join(t.TempDir(), "font.gz")
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	w.Write(b.Bytes())
	w.Close()
	if err := os.WriteFile(path, zipped.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := ReadFont(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(f) != 3 || f['ŵ'][0] != 0x8000 || f['w'][0] != 0x8000 || f['x'][31] != 1 {
		t.Errorf("it has %v", f)
	}
	if err := os.WriteFile(path, zipped.Bytes()[:20], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadFont(path); err == nil {
		t.Error("half a font is taken")
	}
}
