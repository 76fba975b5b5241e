package console

import "math"

// drawn are the characters that this package can draw at any size, where a font has none.
var drawn = []struct {
	char rune
	set  func(f *Font) func(x, y int) bool
}{
	{'█', func(*Font) func(x, y int) bool { return func(int, int) bool { return true } }},
	{'▀', func(f *Font) func(x, y int) bool { return func(_, y int) bool { return y < f.Height/2 } }},
	{'▄', func(f *Font) func(x, y int) bool { return func(_, y int) bool { return y >= f.Height/2 } }},
	{'✓', tick},
}

// complete draws what the font lacks into glyphs that no character uses; a font of 256 grows if there are too few. With more
// than 256 the console has eight foreground colours, not sixteen; the kiosk's palette has no more.
func (f *Font) complete() {
	used := make([]bool, maxGlyphs)
	for _, p := range f.Table {
		used[p.Glyph] = true
	}
	used[' '] = true // the kernel erases with this one, whatever the table says
	next := 0
	for _, d := range drawn {
		if f.Has(d.char) {
			continue
		}
		for next < maxGlyphs && used[next] {
			next++
		}
		if next == maxGlyphs {
			return
		}
		for len(f.Glyphs) <= next {
			f.Glyphs = append(f.Glyphs, make([]byte, f.stride()*f.Height))
		}
		used[next] = true
		f.Glyphs[next] = f.draw(d.set(f))
		f.Table = append(f.Table, Pair{uint16(d.char), uint16(next)})
	}
}

// tick is two strokes, in parts of the width; a cell is twice as high as wide.
func tick(f *Font) func(x, y int) bool {
	type point struct{ x, y float64 }
	from, knee, to := point{0.12, 1.10}, point{0.38, 1.45}, point{0.88, 0.60}
	const half = 0.085 // of the stroke's breadth
	near := func(p, a, b point) bool {
		dx, dy := b.x-a.x, b.y-a.y
		t := max(0, min(1, ((p.x-a.x)*dx+(p.y-a.y)*dy)/(dx*dx+dy*dy)))
		return math.Hypot(p.x-a.x-t*dx, p.y-a.y-t*dy) <= half
	}
	return func(x, y int) bool {
		p := point{(float64(x) + 0.5) / float64(f.Width), 2 * (float64(y) + 0.5) / float64(f.Height)}
		return near(p, from, knee) || near(p, knee, to)
	}
}
