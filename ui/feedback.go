package ui

import (
	"strconv"
	"unicode/utf8"

	"latchkey/firmware/unlock"
)

// How it was: asked of who wishes, after a success and with the card out. No name and no reference stands on these screens.

// rating is from 1 to 5, in words.
func (f *Face) rating(p *page) {
	f.heading(p, f.say("rating-head"), f.say("rating-sub"))
	labels := f.words.row("rating")
	place := func(n int, r rect) {
		p.add(target{id: "rate " + strconv.Itoa(n), label: strconv.Itoa(n) + " " + labels[n-1], r: r, act: func() unlock.Input {
			return unlock.Rated{Stars: n}
		}})
	}
	y, bh := p.body, p.tall
	switch w := (p.cw - 4) / 5; {
	case p.cw >= 70: // side by side
		y += p.gap
		for n := range 5 {
			place(n+1, rect{p.x + n*(w+1) + (p.cw-5*w-4)/2, y, w, bh + 2*min(p.gap, 1)})
		}
	default: // the middle one between the others
		half := (p.cw - 1) / 2
		right := p.x + p.cw - half
		place(1, rect{p.x, y, half, bh})
		place(2, rect{right, y, half, bh})
		place(3, rect{p.x + half/2, y + bh, half, bh})
		place(4, rect{p.x, y + 2*bh, half, bh})
		place(5, rect{right, y + 2*bh, half, bh})
	}
	f.backRow(p)
}

// backRow is the way back and the language, at the bottom.
func (f *Face) backRow(p *page) {
	y := p.h - p.tall - min(p.gap, 1)
	p.button(rect{p.x, y, asideWidth, p.tall}, unlock.PressBack, f.say("back"), lookKey)
	f.language(p, rect{p.x + asideWidth + 1, y, languageWidth, p.tall})
	p.cancelBy(unlock.PressBack)
}

// written is a text of more than one row: what there is to say, or an address.
func (f *Face) written(p *page, head, sub string) {
	f.heading(p, head, sub)
	_, _, _, top, _ := letterGrid(p)
	y, refused := p.sub, f.hint != "" || f.view.Reason != ""
	switch {
	case p.roomy() && refused:
		y += p.subs
	case p.roomy():
		y += len(wrap(sub, p.cw))
	case refused: // two rows say why the last was not taken
		y++
	}
	if p.roomy() && top-y > 2 {
		y++
	}
	if f.warned() {
		y = max(y, warnRows) // what is typed stays in sight
	}
	f.lines(p, rect{p.x, y, p.cw, top - y})
	f.letterKeys(p, unlock.PressBack, f.say("back"))
	p.cancelBy(unlock.PressBack)
}

func (f *Face) comment(p *page) {
	sub := ""
	if p.roomy() {
		sub = f.say("comment-sub")
	}
	f.written(p, f.say("comment-head"), sub)
}

func (f *Face) contact(p *page) {
	sub := ""
	head := f.say("contact-short")
	if p.roomy() {
		head, sub = f.say("contact-head"), f.say("contact-sub")
	}
	f.written(p, head, sub)
}

// lines shows the end of what is typed, broken at blanks. Nothing of it is copied but onto the screen.
func (f *Face) lines(p *page, r rect) {
	p.fill(r, style(ink, pale))
	pen := p.canvas.pen(style(ink, pale).Bold(true))
	w := r.w - 2
	typed := f.typed.typed()
	starts := breaks(typed, w)
	from := max(len(starts)-r.h, 0)
	for i, start := range starts[from:] {
		end := len(typed)
		if n := from + i + 1; n < len(starts) {
			end = starts[n]
		}
		x := r.x + 1
		for line := typed[start:end]; len(line) > 0; x++ {
			c, size := utf8.DecodeRune(line)
			p.canvas.set(x, r.y+i, c, pen)
			line = line[size:]
		}
		if end == len(typed) {
			p.canvas.set(x, r.y+i, '_', pen)
		}
	}
}

// breaks are where the lines of a text begin, each of less than w characters, so that the cursor has its place.
func breaks(text []byte, w int) []int {
	starts := []int{0}
	start, blank, n := 0, 0, 0 // where the line and its last word begin, and its length
	for i, size := 0, 0; i < len(text); i += size {
		_, size = utf8.DecodeRune(text[i:])
		if n++; n == w {
			if blank <= start {
				blank = i
			}
			start = blank
			starts = append(starts, start)
			n = utf8.RuneCount(text[start : i+size])
		}
		if text[i] == ' ' {
			blank = i + 1
		}
	}
	return starts
}

func (f *Face) thanks(p *page) {
	y := p.head
	p.block(rect{0, y, p.w, p.tall}, f.say("thanks-head"), style(paper, green))
	y += p.tall + max(p.gap, 1)
	p.text(rect{p.x, y, p.cw, 3}, f.say("thanks-body"), style(ink, paper))
	y = p.h - p.tall - min(p.gap, 1)
	f.language(p, rect{p.x + p.cw - p.name, y, p.name, p.tall})
}
