package main

import (
	"errors"
	"fmt"
	"image/color"
	"strings"
	"time"

	"github.com/gdamore/tcell/v2"

	"latchkey/firmware/unlock"
	"latchkey/tools/qemu"
	"latchkey/ui"
)

// What the configurations in the machine say of who helps. Its Welsh has the letters that few fonts have.
const (
	help      = "Call extension 4050."
	helpWelsh = "Ffoniwch Dŷ'r Tŵr, 4050."
)

// Pages of a kiosk that is out of service.
var (
	noReader = unlock.View{Screen: unlock.ScreenOutOfService, Reason: unlock.ReasonNoDaemon}
	opened   = unlock.View{Screen: unlock.ScreenOutOfService, Reason: unlock.ReasonCaseOpened}
)

// draw is what ui draws of a view on the machine's screen.
func draw(v unlock.View, welsh bool) (page, error) {
	screen := tcell.NewSimulationScreen("UTF-8")
	if err := screen.Init(); err != nil {
		return page{}, fmt.Errorf("open a simulated screen: %w", err)
	}
	defer screen.Fini()
	screen.SetSize(qemu.Width/cellWidth, qemu.Height/cellHeight)
	face := ui.New(screen, ui.Options{Help: help, HelpWelsh: helpWelsh})
	face.Show(v, time.Time{})
	if welsh {
		face.Handle(tcell.NewEventKey(tcell.KeyF2, 0, tcell.ModNone), time.Time{})
		// Drawn as after a tap: without a key the focus stays hidden.
		face.Handle(tcell.NewEventMouse(-1, -1, tcell.Button1, tcell.ModNone), time.Time{})
		face.Handle(tcell.NewEventMouse(-1, -1, tcell.ButtonNone, tcell.ModNone), time.Time{})
	}
	cells, w, h := screen.GetContents()
	p := page{name: fmt.Sprintf("%s, %s, Welsh %t", v.Screen, v.Reason, welsh), columns: w, rows: h}
	for _, c := range cells {
		fg, bg, _ := c.Style.Decompose()
		shown := cell{' ', colour(fg), colour(bg)}
		if len(c.Runes) > 0 {
			shown.r = c.Runes[0]
		}
		p.cells = append(p.cells, shown)
	}
	return p, nil
}

func colour(c tcell.Color) color.RGBA { return ui.Palette[c&0xf] }

// find is the middle of a text on the page, in pixels.
func (p page) find(text string) (x, y int, err error) {
	for row := range p.rows {
		var line []rune
		for _, c := range p.cells[row*p.columns : (row+1)*p.columns] {
			line = append(line, c.r)
		}
		if before, _, is := strings.Cut(string(line), text); is {
			column := len([]rune(before)) + len([]rune(text))/2
			return column*cellWidth + cellWidth/2, row*cellHeight + cellHeight/2, nil
		}
	}
	return 0, 0, errors.New("the page has no " + text)
}

// has tells whether a character stands on the page.
func (p page) has(r rune) bool {
	for _, c := range p.cells {
		if c.r == r {
			return true
		}
	}
	return false
}
