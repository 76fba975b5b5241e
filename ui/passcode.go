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
	p.box(rect{p.x, y, w, 3}, st)
	f.dots(p, rect{p.x + 2, y + 1, w - 4, 1}, rect{p.x + 2, y + 3, w - 4, 1}, paper)
	by := p.body + 3*p.tall
	if present {
		p.button(rect{p.x, by - p.tall, w, p.tall}, unlock.PressForgotten, f.say("forgotten"), lookKey)
	}
	p.button(rect{p.x, by, asideWidth, p.tall}, aside, asideLabel, lookKey)
	f.language(p, rect{p.x + asideWidth + 1, by, languageWidth, p.tall})
}

// dots shows how much has been typed, and nothing else of it.
func (f *Face) dots(p *page, field, count rect, background int) {
	n := f.typed.n
	line := strings.Repeat("• ", min(n, (field.w-1)/2)) + "_"
	p.put(field.x, field.y, line, style(ink, background).Bold(true))
	if n == 0 {
		return
	}
	typed := f.say("typed")
	if n > f.view.Rules.Max {
		typed = f.say("too-long")
	}
	p.text(count, strings.ReplaceAll(typed, "{n}", strconv.Itoa(n)), style(ink, paper))
}
