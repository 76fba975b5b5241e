package ui

import (
	"strconv"
	"strings"

	"latchkey/firmware/unlock"
)

// passcode asks for a passcode: the present one, a new one, or the new one again.
func (f *Face) passcode(p *page) {
	head, sub, more := f.say("choose-head"), f.rulesOf(f.view.Rules), f.forErrand(f.say("same-as-before"), f.say("present-right"), f.say("same-as-before"))
	short := f.say("choose-of")
	if f.view.Rules.Min == f.view.Rules.Max {
		short = f.say("choose-one")
	}
	aside, asideLabel := unlock.PressCancel, f.say("cancel")
	switch f.view.Screen {
	case unlock.ScreenPresent:
		head, sub, more = f.say("present-head"), f.say("present-sub"), f.say("present-stop")
		if f.view.TriesLeft < 0 {
			more = f.say("present-blind")
		}
		short = head
		aside, asideLabel = unlock.PressBack, f.say("back")
	case unlock.ScreenRepeat:
		head, sub, more = f.say("repeat-head"), f.say("repeat-sub"), f.say("repeat-left")
		short = ""
		aside, asideLabel = unlock.PressBack, f.say("back")
	}
	p.cancelBy(aside)
	if !f.view.Rules.DigitsOnly {
		if !p.roomy() && short != "" {
			// One row each: the keyboard below says which characters.
			head, sub = f.filled(short), more
		} else {
			sub += " " + more
		}
		f.heading(p, head, f.filled(sub))
		f.letters(p, aside, asideLabel)
		return
	}
	f.heading(p, head, f.filled(sub))
	left := f.keypad(p)
	w := left - p.x - 1 - 3*min(p.gap, 1)
	st := style(ink, paper)
	present := f.view.Screen == unlock.ScreenPresent
	if present && f.view.Reason == unlock.ReasonPresentWrong {
		more = f.say("present-again")
	}
	y := p.body
	if n := p.text(rect{p.x, y, w, 3}, f.filled(more), st); present {
		y += max(n, 2) + p.gap/2
	} else {
		y += 3
	}
	sw := width(f.say("show")) + 4
	p.box(rect{p.x, y, w - sw, 3}, st)
	f.dots(p, rect{p.x + 2, y + 1, w - sw - 4, 1}, rect{p.x + 2, y + 3, w - 4, 1}, paper)
	by := p.body + 3*p.tall
	if present {
		p.button(rect{p.x, by - p.tall, w, p.tall}, unlock.PressForgotten, f.say("forgotten"), lookKey)
	}
	p.button(rect{p.x, by, asideWidth, p.tall}, aside, asideLabel, lookKey)
	f.language(p, rect{p.x + asideWidth + 1, by, languageWidth, p.tall})
	p.add(f.showKey(rect{p.x + w - sw, y, sw, 3}))
}

// dots shows how much has been typed, and nothing else of it but while the holder wants to see it.
func (f *Face) dots(p *page, field, count rect, background int) {
	typed := f.typed.typed()
	pen := p.canvas.pen(style(ink, background).Bold(true))
	step := 1
	if 2*f.view.Rules.Max < field.w {
		step = 2
	}
	x, shows := field.x, f.reveals() && !p.listens
	for _, c := range typed[:min(len(typed), (field.w-1)/step)] {
		dot := '•'
		if shows {
			if dot = rune(c); c == ' ' {
				dot = '·'
			}
		}
		p.canvas.set(x, field.y, dot, pen)
		x += step
	}
	p.canvas.set(x, field.y, '_', pen)
	n, rules := len(typed), f.view.Rules
	if n == 0 {
		return
	}
	say := f.say("typed")
	switch {
	case n > rules.Max:
		say = f.say("too-long")
	case n < rules.Min:
		say = f.say("typed-more")
	}
	say = strings.NewReplacer("{n}", strconv.Itoa(n), "{more}", strconv.Itoa(rules.Min-n)).Replace(say)
	p.text(count, say, style(ink, paper))
}
