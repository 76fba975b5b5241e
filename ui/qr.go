package ui

import "rsc.io/qr"

// quietZone is the margin of a code, in modules (ISO/IEC 18004, 6.3.8: four; readers in telephones are content with two, and
// a light page lies around ours).
const quietZone = 2

// qr draws a QR code in the middle of r, dark on light in every theme. Where Options.HalfBlocks says that the font has them, a
// cell is one module wide and two high; elsewhere a module is two full cells. It draws nothing and returns false where
// that does not fit.
func (f *Face) qr(p *page, r rect, text string) bool {
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		return false
	}
	size := code.Size + 2*quietZone
	w, h := 2*size, size
	if f.opts.HalfBlocks {
		w, h = size, (size+1)/2
	}
	if w > r.w || h > r.h {
		return false
	}
	x, y := r.x+(r.w-w)/2, r.y+(r.h-h)/2
	st := style(ink, paper)
	plain, dark := p.canvas.fixed(st), p.canvas.fixed(style(paper, ink))
	black := func(i, j int) bool { return code.Black(i-quietZone, j-quietZone) }
	for j := range h {
		for i := range w {
			mark, pen := ' ', plain
			switch {
			case !f.opts.HalfBlocks:
				if black(i/2, j) {
					pen = dark
				}
			case black(i, 2*j) && black(i, 2*j+1):
				pen = dark
			case black(i, 2*j):
				mark = '▀'
			case black(i, 2*j+1):
				mark = '▄'
			}
			p.canvas.set(x+i, y+j, mark, pen)
		}
	}
	return true
}
