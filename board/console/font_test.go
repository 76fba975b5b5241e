package console

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
)

// psf2 makes a font file: glyph n has all rows set to n's lowest byte; table is what stands for each glyph.
func psf2(width, height int, table ...string) []byte {
	stride := (width + 7) / 8
	b := append([]byte(nil), psf2Magic...)
	for _, v := range []int{0, psf2Header, psf2Table, len(table), stride * height, height, width} {
		b = binary.LittleEndian.AppendUint32(b, uint32(v))
	}
	for n := range table {
		b = append(b, bytes.Repeat([]byte{byte(n)}, stride*height)...)
	}
	for _, t := range table {
		b = append(append(b, t...), psf2Next)
	}
	return b
}

func psf1(height int, table map[int][]uint16) []byte {
	b := append([]byte(nil), psf1Magic...)
	b = append(b, 0x02, byte(height))
	for n := range 256 {
		b = append(b, bytes.Repeat([]byte{byte(n)}, height)...)
	}
	for n := range 256 {
		for _, c := range append(table[n], psf1Next) {
			b = binary.LittleEndian.AppendUint16(b, c)
		}
	}
	return b
}

func TestFontsAreRead(t *testing.T) {
	t.Parallel()
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	z.Write(psf2(16, 32, "", "ŵ\xfew\u0302", "a😀b", "ŵ"))
	z.Close()
	for name, c := range map[string]struct {
		file []byte
		size [2]int
		want map[rune]int
	}{
		"PSF 2, gzipped": {zipped.Bytes(), [2]int{16, 32}, map[rune]int{'ŵ': 1, 'a': 2, 'b': 2, 'w': -1}},
		"PSF 1":          {psf1(14, map[int][]uint16{7: {'x', 'y', psf1Sequence, 'z', 0x302}}), [2]int{8, 14}, map[rune]int{'x': 7, 'y': 7, 'z': -1}},
	} {
		f, err := ReadFont(bytes.NewReader(c.file))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if f.Width != c.size[0] || f.Height != c.size[1] {
			t.Errorf("%s: %d×%d", name, f.Width, f.Height)
		}
		for r, want := range c.want {
			if got := f.glyph(r); got != want {
				t.Errorf("%s: %c is glyph %d, want %d", name, r, got, want)
			}
		}
		if g := f.Glyphs[2]; len(g) != f.stride()*f.Height || g[0] != 2 {
			t.Errorf("%s: glyph 2 is % x", name, g)
		}
	}
}

func TestBrokenFontsAreRefused(t *testing.T) {
	t.Parallel()
	good := psf2(16, 32, "a", "b")
	with := func(at int, v byte) []byte {
		b := bytes.Clone(good)
		b[at] = v
		return b
	}
	for says, b := range map[string][]byte{
		"not a PSF font":                      []byte("BDF"),
		"unexpected EOF":                      good[:40],
		"its header has 1 bytes":              with(8, 1),
		"it has no Unicode table":             with(12, 0),
		"0 glyphs":                            with(16, 0),
		"glyphs of 16×0 in 64":                with(24, 0),
		"glyphs of 0×32 in 64":                with(28, 0),
		"glyphs of 17×32 in 64":               with(28, 17),
		"ends after 1 of 2":                   good[:len(good)-1],
		"not UTF-8":                           with(len(good)-2, 0x80),
		"more than 1048576 bytes":             append(bytes.Clone(good), make([]byte, maxFontFile)...),
		"PSF 2 of version 3, and only 0 is":   with(4, 3),
		"gzip: invalid header":                {0x1f, 0x8b, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		"256 glyphs of 0 rows":                psf1(0, nil),
		"its Unicode table ends after 255 of": psf1(8, nil)[:4+256*8+255*2],
	} {
		if _, err := ReadFont(bytes.NewReader(b)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
	if _, err := ReadFont(bytes.NewReader(psf1Magic)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
}

// latin is a font of 256 glyphs, each with a character but those that are told.
func latin(t *testing.T, free ...int) *Font {
	t.Helper()
	table := make([]string, 256)
	for n := range table {
		table[n] = string(rune(0x100 + n))
	}
	for _, n := range free {
		table[n] = ""
	}
	f, err := ReadFont(bytes.NewReader(psf2(16, 32, table...)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestWhatAFontLacksIsDrawn(t *testing.T) {
	t.Parallel()
	full, roomy := latin(t), latin(t, 1, 2, ' ', 250, 251)
	full.complete()
	roomy.complete()
	if n := roomy.slots(); n != 256 {
		t.Errorf("a font with free glyphs grew to %d", n)
	}
	if n := full.slots(); n != 512 || len(full.memory(32)) != 512*64 {
		t.Errorf("a full font has %d glyphs in %d bytes", n, len(full.memory(32)))
	}
	if roomy.glyph('█') == ' ' || roomy.Glyphs[' '][0] != ' ' {
		t.Error("the glyph that the kernel erases with was drawn over")
	}
	for _, f := range []*Font{full, roomy} {
		for r, rows := range map[rune][2]bool{'█': {true, true}, '▀': {true, false}, '▄': {false, true}} {
			if f.Pixel(r, 0, 0) != rows[0] || f.Pixel(r, 15, 15) != rows[0] || f.Pixel(r, 0, 16) != rows[1] || f.Pixel(r, 15, 31) != rows[1] {
				t.Errorf("%c is wrong", r)
			}
		}
		if f.glyph(0x100+'A') != 'A' || f.Glyphs['A'][0] != 'A' {
			t.Error("another glyph was changed")
		}
	}
	before := len(full.Table)
	full.complete()
	if len(full.Table) != before {
		t.Error("what is there was drawn again")
	}
}

func TestTick(t *testing.T) {
	t.Parallel()
	f := &Font{Width: 16, Height: 32}
	g := f.draw(tick(f))
	var b strings.Builder
	for y := 8; y < 26; y++ {
		for x := range 16 {
			b.WriteByte(" #"[g[2*y+x/8]>>(7-x%8)&1])
		}
		b.WriteByte('\n')
	}
	const want = `             ##
             ##
            ###
           ####
           ###
          ###
          ###
         ###
 ##     ####
 ###    ###
 ###   ###
  ###  ###
  #######
   ######
    ####
     ##
`
	trim := func(s string) string { // the lines that have something, and where
		lines := strings.Split(s, "\n")
		for i := range lines {
			lines[i] = strings.TrimRight(lines[i], " ")
		}
		return strings.Trim(strings.Join(lines, "\n"), "\n")
	}
	if trim(b.String()) != trim(want) {
		t.Errorf("\n%s", b.String())
	}
}

func TestDoubled(t *testing.T) {
	t.Parallel()
	f := &Font{Width: 9, Height: 2, Table: []Pair{{'x', 0}}, Glyphs: [][]byte{{0b10000001, 0x80, 0, 0}}}
	d := f.doubled()
	if d.Width != 18 || d.Height != 4 || !bytes.Equal(d.Glyphs[0], []byte{0xc0, 0x03, 0xc0, 0xc0, 0x03, 0xc0, 0, 0, 0, 0, 0, 0}) {
		t.Errorf("%d×%d % x", d.Width, d.Height, d.Glyphs[0])
	}
	for y := range d.Height {
		for x := range d.Width {
			if d.Pixel('x', x, y) != f.Pixel('x', x/2, y/2) {
				t.Errorf("%d, %d", x, y)
			}
		}
	}
	// In memory every glyph of the low form has 32 rows, whatever its height.
	if m := d.memory(32); len(m) != 256*3*32 || !bytes.Equal(m[:12], d.Glyphs[0]) {
		t.Errorf("%d bytes", len(m))
	}
}

func FuzzReadFont(f *testing.F) {
	f.Add(psf2(16, 32, "a", "ŵ\xfew"))
	f.Add(psf1(4, map[int][]uint16{1: {'x', psf1Sequence, 'z'}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		font, err := ReadFont(bytes.NewReader(b))
		if err != nil {
			return
		}
		font.complete()
		font.doubled().memory(2 * font.Height)
		for _, p := range font.Table {
			if int(p.Glyph) >= font.slots() {
				t.Fatalf("%c is glyph %d of %d", p.Rune, p.Glyph, font.slots())
			}
			font.Pixel(rune(p.Rune), font.Width-1, font.Height-1)
		}
	})
}
