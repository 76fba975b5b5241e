package ui

import (
	"testing"

	"rsc.io/qr"

	"latchkey/firmware/unlock"
	"latchkey/ui/samples"
)

// What is drawn is the code, module by module, whatever the theme.
func TestACodeIsDrawnWhole(t *testing.T) {
	t.Parallel()
	const text = "LATCHKEY:kiosk-7:12"
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		t.Fatal(err)
	}
	for _, half := range []bool{true, false} {
		for _, theme := range []theme{plainTheme, contrastTheme, quietTheme} {
			s := newStage(t, 100, 40)
			s.opts.HalfBlocks, s.contrast = half, theme == contrastTheme
			s.Show(samples.Of(unlock.ScreenAttract, ""), samples.Now)
			s.canvas.turn(theme)
			s.canvas.clear(s.screen, style(ink, paper))
			if !s.qr(newPage(&s.canvas), rect{0, 0, 100, 40}, text) {
				t.Fatal("it does not fit")
			}
			s.canvas.show(s.screen)
			cells, w, _ := s.sim.GetContents()
			size := code.Size + 2*quietZone
			cw, ch := 2*size, size
			if half {
				cw, ch = size, (size+1)/2
			}
			left, top := (100-cw)/2, (40-ch)/2
			for j := range size {
				for i := range size {
					x, y := left+2*i, top+j
					if half {
						x, y = left+i, top+j/2
					}
					c := cells[y*w+x]
					fg, bg, _ := c.Style.Decompose()
					colour := bg
					if upper := c.Runes[0] == '▀'; half && (upper && j%2 == 0 || c.Runes[0] == '▄' && j%2 == 1) {
						colour = fg
					}
					if dark := Palette[colour&7] == Palette[ink]; dark != code.Black(i-quietZone, j-quietZone) {
						t.Fatalf("half blocks %v, theme %d: module %d,%d is dark: %v", half, theme, i, j, dark)
					}
				}
			}
		}
	}
	s := newStage(t, 50, 15)
	s.Show(samples.Of(unlock.ScreenAttract, ""), samples.Now)
	if s.qr(newPage(&s.canvas), rect{0, 3, 50, 12}, text) {
		t.Error("a code that does not fit is drawn")
	}
}
