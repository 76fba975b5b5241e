package main

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/gdamore/tcell/v2"
	"github.com/rivo/uniseg"
)

var (
	plain   = tcell.StyleDefault
	strong  = plain.Bold(true)
	faint   = plain.Dim(true)
	button  = plain.Reverse(true)
	warning = plain.Bold(true).Foreground(tcell.ColorRed)
)

// What the pane keeps free of cards: two rows of buttons, and as much as the longest sheet but the mail has.
const (
	buttonRows = 2
	sheetRows  = 9
)

// code is what a one-time code looks like in a mail.
var code = regexp.MustCompile(`\b[0-9]{6,8}\b`)

// draw shows the pane, from the top: title, cards (by pages where there is little room), buttons, and the sheet in whatever
// room is left.
func (p *pane) draw(s tcell.Screen) {
	s.Clear()
	s.HideCursor()
	p.taps = p.taps[:0]
	width, height := s.Size()
	put(s, 0, 0, "You", strong)
	hint, style := switchKey+": come here", faint
	if p.focus {
		hint, style = switchKey+": to the kiosk", plain
	}
	put(s, width-len(hint), 0, hint, style)

	y := 1
	p.rows = height - y - buttonRows - sheetRows
	from, to := p.page()
	for n, h := range p.state.Hands[from:to] {
		n += from
		style, mark := plain, ""
		if n == p.chosen {
			style = button
		}
		if n == p.state.In {
			mark = "in"
		}
		put(s, 0, y, fmt.Sprintf(" %s %-*s%2s ", h.Key, width-6, h.Name, mark), style)
		p.tap(0, y, width, func() error { p.choose(n); return nil })
		y++
	}
	if size, all := p.pageSize(), len(p.state.Hands); size < all {
		put(s, 0, y, fmt.Sprintf(" Tab: more cards (%d of %d)", from/size+1, (all+size-1)/size), plain)
		p.tap(0, y, width, func() error { p.leaf(); return nil })
		y++
	}

	in := "i Insert"
	if p.state.In >= 0 {
		in = "t Take out"
	}
	x := p.button(s, 0, y, in, p.toggle)
	x = p.button(s, x+1, y, "p Prove it", p.ask)
	if p.state.Busy {
		put(s, x+1, y, "…", plain)
	}
	y++
	x = p.button(s, 0, y, "c Card", func() error { p.turn(cardSheet); return nil })
	p.button(s, x+1, y, fmt.Sprintf("m Mail %d", len(p.state.Mails)), func() error { p.readMail(); return nil })
	y++
	p.drawSheet(s, y, width, height-y)
}

// button returns where the next may begin.
func (p *pane) button(s tcell.Screen, x, y int, label string, do func() error) int {
	put(s, x, y, "["+label+"]", strong)
	width := uniseg.StringWidth(label) + 2
	p.tap(x, y, width, do)
	return x + width
}

func (p *pane) tap(x, y, width int, do func() error) {
	p.taps = append(p.taps, tap{x, y, width, do})
}

// row is one line of the sheet.
type row struct {
	text  string
	style tcell.Style
}

func (p *pane) drawSheet(s tcell.Screen, y, width, height int) {
	var rows []row
	add := func(style tcell.Style, text string) {
		for _, line := range wrap(text, width) {
			rows = append(rows, row{line, style})
		}
	}
	if p.state.Notice != "" {
		add(warning, p.state.Notice)
	}
	switch p.sheet {
	case cardSheet:
		p.card(add)
	case mailSheet:
		p.letter(add)
	case askSheet:
		add(strong, "Prove it")
		if p.state.In >= 0 {
			add(plain, "The card comes out of the kiosk for this.")
		}
		add(plain, "Passcode that you set there:")
		add(strong, "> "+strings.Repeat("•", len(p.typed))+"_")
		add(plain, "Enter: ask "+p.state.Hands[p.chosen].Client+". Esc: no. Empty: the old one only. A wrong one costs the card a try.")
	case proofSheet:
		if len(p.state.Proof) == 0 {
			add(plain, "Asking …")
		}
		for _, text := range p.state.Proof {
			add(plain, text)
		}
	}
	p.top = max(0, min(p.top, len(rows)-height))
	for n, r := range rows[p.top:] {
		if n == height {
			break
		}
		put(s, 0, y+n, r.text, r.style)
		if p.sheet == mailSheet {
			for _, at := range code.FindAllStringIndex(r.text, -1) {
				put(s, uniseg.StringWidth(r.text[:at[0]]), y+n, r.text[at[0]:at[1]], button)
			}
		}
	}
	if p.top+height < len(rows) && height > 0 {
		put(s, width-1, y+height-1, "↓", strong)
	}
}

func (p *pane) card(add func(tcell.Style, string)) {
	if p.chosen >= len(p.state.Hands) {
		return
	}
	h := p.state.Hands[p.chosen]
	if h.Holder != "" {
		add(strong, h.Holder)
	}
	if h.Was != "" {
		add(plain, "old passcode "+h.Was)
	}
	add(plain, h.Expect)
}

func (p *pane) letter(add func(tcell.Style, string)) {
	if len(p.state.Mails) == 0 {
		add(faint, "No mail yet.")
		return
	}
	m := p.state.Mails[p.mail]
	if n := len(p.state.Mails); n > 1 {
		next := "the one before"
		if p.mail == 0 {
			next = "the newest"
		}
		add(faint, fmt.Sprintf("%d of %d, m: %s", p.mail+1, n, next))
	}
	add(plain, "To "+m.To)
	add(strong, m.Subject)
	for _, line := range strings.Split(strings.TrimSpace(m.Text), "\n") {
		if line = strings.TrimSpace(line); line != "" {
			add(plain, line)
		}
	}
}

func put(s tcell.Screen, x, y int, text string, style tcell.Style) {
	for g := uniseg.NewGraphemes(text); g.Next(); x += g.Width() {
		runes := g.Runes()
		s.SetContent(x, y, runes[0], runes[1:], style)
	}
}

// wrap breaks text at blanks into lines of at most width columns; a longer word is cut.
func wrap(text string, width int) []string {
	var lines []string
	line, used := "", 0
	for _, word := range strings.Fields(text) {
		n := uniseg.StringWidth(word)
		if line != "" && used+1+n <= width {
			line, used = line+" "+word, used+1+n
			continue
		}
		if line != "" {
			lines = append(lines, line)
		}
		line, used = word, n
		for used > width && width > 0 {
			head, rest := cut(line, width)
			lines = append(lines, head)
			line, used = rest, uniseg.StringWidth(rest)
		}
	}
	return append(lines, line)
}

// cut splits text where width columns are full.
func cut(text string, width int) (head, rest string) {
	used := 0
	for g := uniseg.NewGraphemes(text); g.Next(); {
		if used += g.Width(); used > width {
			from, _ := g.Positions()
			return text[:from], text[from:]
		}
	}
	return text, ""
}
