package ui

import (
	"strings"
	"unicode/utf8"

	"github.com/gdamore/tcell/v2"

	"latchkey/firmware/unlock"
)

// Smallest screen: the official 7-inch panel with a 16×32 font.
const (
	minWidth  = 50
	minHeight = 15
)

type rect struct{ x, y, w, h int }

func (r rect) has(x, y int) bool { return x >= r.x && x < r.x+r.w && y >= r.y && y < r.y+r.h }

// near tells that a cell of the screen is in the rectangle or beside it.
func (r rect) near(x, y int) bool {
	return x >= 0 && y >= 0 && rect{r.x - 1, r.y - 1, r.w + 2, r.h + 2}.has(x, y)
}

func (r rect) centre() (x2, y2 int) { return 2*r.x + r.w, 2*r.y + r.h }

type look int

const (
	lookKey     look = iota // a key of a keyboard, a way aside
	lookPrimary             // the way on
	lookCell                // a key of two rows: no room for a box
	lookTitle               // in a title bar of one row
	lookBare                // drawn by the page itself
)

// target is what can be tapped or chosen with Enter. act does it and tells the machine.
type target struct {
	id    string
	r     rect
	label string
	look  look
	act   func() unlock.Input
}

// types tells that the target is a key of a keyboard that is used many times in a row.
func (t *target) types() bool { return strings.HasPrefix(t.id, "key ") || t.id == "delete" }

// page is one screen being laid out. Texts are painted at once, targets at the end, when the focus is known.
type page struct {
	canvas  *canvas
	w, h    int
	x, cw   int // the content's left edge and width
	bar     int // rows of the title bar
	head    int // row of the heading
	sub     int // first row of what stands below it; two rows from 20 rows on, else one
	subs    int
	body    int // first row of the body
	bottom  int // row after the last that the body may use
	gap     int // rows between blocks
	tall    int // rows of a band or a key; odd, so that a label stands in the middle
	name    int // columns of the key that names the other language
	targets []target
	first   string // what Enter does when nothing has the focus
	escape  func() unlock.Input
	cut     []string // texts that did not fit
	listens bool     // what is written is heard, too
	heard   []heard
}

// newPage lays out an empty page on a canvas that has been cleared.
func newPage(c *canvas) *page {
	p := &page{canvas: c, w: c.w, h: c.h}
	p.cw = min(p.w-2, 60+p.w/4, 94)
	p.x = (p.w - p.cw) / 2
	switch {
	case p.h >= 28:
		p.bar, p.head, p.sub, p.subs, p.body, p.gap, p.tall = 3, 4, 6, 2, 9, 2, 5
	case p.h >= 20:
		p.bar, p.head, p.sub, p.subs, p.body, p.gap, p.tall = 3, 4, 5, 2, 8, 1, 3
	default:
		p.bar, p.head, p.sub, p.subs, p.body, p.tall = 1, 1, 2, 1, 3, 3
	}
	p.bottom, p.name = p.h, languageSmall
	if p.roomy() && p.cw >= 60 {
		p.name = languageWidth
	}
	return p
}

func (p *page) roomy() bool { return p.gap > 0 }

func (p *page) fill(r rect, st tcell.Style) {
	pen := p.canvas.pen(st)
	for y := r.y; y < r.y+r.h; y++ {
		for x := r.x; x < r.x+r.w; x++ {
			p.canvas.set(x, y, ' ', pen)
		}
	}
}

// hear keeps a text for speech.
func (p *page) hear(x, y int, s string) {
	if p.listens {
		p.heard = append(p.heard, heard{x, y, s})
	}
}

// put writes one line.
func (p *page) put(x, y int, s string, st tcell.Style) {
	p.hear(x, y, s)
	p.line(x, y, s, st)
}

func (p *page) line(x, y int, s string, st tcell.Style) {
	pen := p.canvas.pen(st)
	if x < 0 || y < 0 || y >= p.h || x+width(s) > p.w {
		p.cut = append(p.cut, s)
	}
	for _, r := range s {
		p.canvas.set(x, y, r, pen)
		x++
	}
}

// centred writes one line in the middle of a row.
func (p *page) centred(r rect, s string, st tcell.Style) {
	if width(s) > r.w {
		p.cut = append(p.cut, s)
	}
	p.put(r.x+(r.w-width(s))/2, r.y+(r.h-1)/2, s, st)
}

// text writes a paragraph at the top of r and returns the rows that it took.
func (p *page) text(r rect, s string, st tcell.Style) int {
	p.hear(r.x, r.y, s)
	return p.paragraph(r, s, st)
}

// paragraph is the same, and nobody hears it.
func (p *page) paragraph(r rect, s string, st tcell.Style) int {
	lines := wrap(s, r.w)
	for i, l := range lines {
		if i >= r.h {
			p.cut = append(p.cut, s)
			return r.h
		}
		p.line(r.x, r.y+i, l, st)
	}
	return len(lines)
}

// block is a filled area with its text in the middle, line by line.
func (p *page) block(r rect, s string, st tcell.Style) {
	p.fill(r, st)
	p.hear(r.x, r.y, s)
	lines := wrap(s, r.w-2)
	if len(lines) > r.h {
		p.cut = append(p.cut, s)
		lines = lines[:r.h]
	}
	y := r.y + (r.h-len(lines))/2
	for i, l := range lines {
		p.line(r.x+(r.w-width(l))/2, y+i, l, st.Bold(true))
	}
}

func (p *page) box(r rect, st tcell.Style) {
	p.fill(r, st)
	pen := p.canvas.pen(st)
	for x := r.x + 1; x < r.x+r.w-1; x++ {
		p.canvas.set(x, r.y, '─', pen)
		p.canvas.set(x, r.y+r.h-1, '─', pen)
	}
	for y := r.y + 1; y < r.y+r.h-1; y++ {
		p.canvas.set(r.x, y, '│', pen)
		p.canvas.set(r.x+r.w-1, y, '│', pen)
	}
	p.canvas.set(r.x, r.y, '┌', pen)
	p.canvas.set(r.x+r.w-1, r.y, '┐', pen)
	p.canvas.set(r.x, r.y+r.h-1, '└', pen)
	p.canvas.set(r.x+r.w-1, r.y+r.h-1, '┘', pen)
}

// corners mark the way on.
func (p *page) corners(r rect, st tcell.Style) {
	pen := p.canvas.pen(st)
	for _, y := range [...]int{r.y, r.y + r.h - 1} {
		p.canvas.set(r.x, y, '■', pen)
		p.canvas.set(r.x+r.w-1, y, '■', pen)
	}
}

func (p *page) add(t target) { p.targets = append(p.targets, t) }

// button adds a target whose only doing is a press.
func (p *page) button(r rect, b unlock.Button, label string, l look) {
	p.add(target{id: string(b), r: r, label: label, look: l, act: func() unlock.Input { return unlock.Pressed{Button: b} }})
}

// cancelBy makes Esc the same as a press.
func (p *page) cancelBy(b unlock.Button) {
	p.escape = func() unlock.Input { return unlock.Pressed{Button: b} }
}

func (p *page) find(id string) *target {
	for i := range p.targets {
		if p.targets[i].id == id {
			return &p.targets[i]
		}
	}
	return nil
}

// at is the target under a tap. What was added last lies on top.
func (p *page) at(x, y int) *target {
	for i := len(p.targets) - 1; i >= 0; i-- {
		if p.targets[i].r.has(x, y) {
			return &p.targets[i]
		}
	}
	return nil
}

// paintTargets shows what a target is by characters as well as by colours: the focus by arrows, a press by brackets, the way on
// by its corners.
func (p *page) paintTargets(focus, pressed string) {
	for _, t := range p.targets {
		if t.look == lookBare {
			continue
		}
		st := style(ink, pale)
		if t.look == lookPrimary {
			st = style(paper, green)
		}
		label := t.label
		if t.id == focus {
			st = style(ink, yellow)
			label = "▶" + label + "◀"
			if width(t.label)+6 <= t.r.w {
				label = "▶ " + t.label + " ◀"
			}
		}
		if t.id == pressed {
			st, label = style(paper, ink), "["+t.label+"]"
		}
		switch t.look {
		case lookCell:
			p.cell(t, label, st)
			continue
		case lookTitle:
			bar := rect{t.r.x, t.r.y, t.r.w, p.bar}
			p.fill(bar, st)
			p.centred(bar, label, st.Bold(true))
			continue
		}
		p.box(t.r, st)
		if t.look == lookPrimary {
			p.corners(t.r, st)
		}
		p.centred(rect{t.r.x + 1, t.r.y, t.r.w - 2, t.r.h}, label, st.Bold(true))
	}
}

// cell draws a key of two rows: its label, and the lines to its right and below.
func (p *page) cell(t target, label string, st tcell.Style) {
	p.fill(t.r, st)
	pen := p.canvas.pen(st)
	p.put(t.r.x+(t.r.w-width(label))/2, t.r.y, label, st.Bold(true))
	last := t.r.y + t.r.h - 1
	for x := t.r.x; x < t.r.x+t.r.w-1; x++ {
		p.canvas.set(x, last, '─', pen)
	}
	for y := t.r.y; y < last; y++ {
		p.canvas.set(t.r.x+t.r.w-1, y, '│', pen)
	}
	p.canvas.set(t.r.x+t.r.w-1, last, '┘', pen)
}

// towards is the nearest target in a direction, or the same one.
func (p *page) towards(from *target, dx, dy int) *target {
	best, score := from, 0
	fx, fy := from.r.centre()
	for i := range p.targets {
		t := &p.targets[i]
		x, y := t.r.centre()
		// A row is about twice as high as a column is wide.
		along, across := (x-fx)*dx+(y-fy)*dy*2, (x-fx)*dy+(y-fy)*dx*2
		if along <= 0 {
			continue
		}
		if s := along + 3*max(across, -across); best == from || s < score {
			best, score = t, s
		}
	}
	return best
}

func width(s string) int { return utf8.RuneCountInString(s) }

// wrap breaks at spaces into as few lines as w allows, and makes these about equally long.
func wrap(s string, w int) []string {
	if s = strings.TrimSpace(s); s == "" {
		return nil
	}
	if width(s) <= w && !strings.Contains(s, "  ") {
		return []string{s}
	}
	words := strings.Fields(s)
	lines := greedy(words, w)
	longest := 0
	for _, word := range words {
		longest = max(longest, width(word))
	}
	for w--; len(lines) > 1 && w >= longest; w-- {
		narrower := greedy(words, w)
		if len(narrower) > len(lines) {
			break
		}
		lines = narrower
	}
	return lines
}

// greedy breaks within a word only if the word alone is too long.
func greedy(words []string, w int) []string {
	var lines []string
	line, room := "", 0 // what is left in it
	for _, word := range words {
		n := width(word)
		switch {
		case line != "" && n < room:
			line += " " + word
			room -= n + 1
			continue
		case line != "":
			lines = append(lines, line)
		}
		for ; n > w; n -= w {
			r := []rune(word)
			lines = append(lines, string(r[:w]))
			word = string(r[w:])
		}
		line, room = word, w-n
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// shorten drops the middle of an address that is too long: its ends are what a holder knows it by.
func shorten(s string, w int) string {
	r := []rune(s)
	if len(r) <= w {
		return s
	}
	front := (w - 1) / 2
	return string(r[:front]) + "…" + string(r[len(r)-(w-1-front):])
}
