package main

import (
	"errors"
	"fmt"
	"image/color"
	"strings"
	"time"

	"github.com/gdamore/tcell/v2"

	"latchkey/firmware/unlock"
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

// double is the kiosk's face beside the machine: it is given what the kiosk is given, and says what must be on the screen then.
type double struct {
	face   *ui.Face
	screen tcell.SimulationScreen
	scale  int // of the console's font
	now    time.Time
}

// newDouble has so many cells of the console's font, and can double them if the machine's kernel can.
func newDouble(columns, rows int, large bool) (*double, error) {
	d := &double{screen: tcell.NewSimulationScreen("UTF-8"), scale: 1}
	if err := d.screen.Init(); err != nil {
		return nil, fmt.Errorf("open a simulated screen: %w", err)
	}
	d.screen.SetSize(columns, rows)
	options := ui.Options{Help: help, HelpWelsh: helpWelsh}
	if large {
		options.LargePrint = func(on bool) error {
			d.scale = 1
			if on {
				d.scale = 2
			}
			d.screen.SetSize(columns/d.scale, rows/d.scale)
			return nil
		}
	}
	d.face = ui.New(d.screen, options)
	return d, nil
}

func (d *double) show(v unlock.View) { d.face.Show(v, d.now) }

func (d *double) press(k tcell.Key) { d.handle(tcell.NewEventKey(k, 0, tcell.ModNone)) }

func (d *double) tap(x, y int) {
	d.handle(tcell.NewEventMouse(x, y, tcell.Button1, tcell.ModNone))
	d.handle(tcell.NewEventMouse(x, y, tcell.ButtonNone, tcell.ModNone))
}

func (d *double) handle(e tcell.Event) {
	scale := d.scale
	d.now = d.now.Add(tapsApart)
	d.face.Handle(e, d.now)
	if d.scale != scale {
		d.face.Handle(tcell.NewEventResize(d.screen.Size()), d.now)
	}
}

// page is what is to stand on the screen now.
func (d *double) page() page {
	cells, w, h := d.screen.GetContents()
	p := page{columns: w, rows: h, scale: d.scale}
	for _, c := range cells {
		fg, bg, _ := c.Style.Decompose()
		shown := cell{' ', colour(fg), colour(bg)}
		if len(c.Runes) > 0 {
			shown.r = c.Runes[0]
		}
		p.cells = append(p.cells, shown)
	}
	return p
}

func colour(c tcell.Color) color.RGBA { return ui.Palette[c&0xf] }

// find is the cell in the middle of a text on the page.
func (p page) find(text string) (x, y int, err error) {
	for row, line := range strings.Split(p.String(), "\n") {
		if before, _, is := strings.Cut(line, text); is {
			return len([]rune(before)) + len([]rune(text))/2, row, nil
		}
	}
	return 0, 0, errors.New("the page has no " + text)
}

func (p page) String() string {
	var b strings.Builder
	for i, c := range p.cells {
		if i > 0 && i%p.columns == 0 {
			b.WriteByte('\n')
		}
		b.WriteRune(c.r)
	}
	return b.String()
}
