package ui

import "latchkey/firmware/unlock"

// weak says that the passcode is among the first that somebody would try, and what of it.
func (f *Face) weak(p *page) {
	s := f.told()
	y := p.head
	p.block(rect{0, y, p.w, p.tall}, "! "+f.filled(s.head), style(ink, yellow))
	y += p.tall + max(p.gap, 1)
	bottom := p.h - p.tall - min(p.gap, 1)
	y += p.text(rect{p.x, y, p.cw, bottom - y}, f.filled(s.body), style(ink, paper)) + p.gap
	if f.view.WeakAllowed {
		if !p.roomy() && y+1+len(wrap(f.say("weak-choice"), p.cw)) <= bottom {
			y++
		}
		p.text(rect{p.x, y, p.cw, bottom - y}, f.say("weak-choice"), style(ink, paper).Bold(true))
	}
	w := (p.cw - p.name - 2) / 2
	p.button(rect{p.x, bottom, w, p.tall}, unlock.PressBack, f.say("choose-another"), lookPrimary)
	if f.view.WeakAllowed {
		p.button(rect{p.x + w + 1, bottom, w, p.tall}, unlock.PressContinue, f.say("use-anyway"), lookKey)
	}
	f.language(p, rect{p.x + p.cw - p.name, bottom, p.name, p.tall})
	p.first = string(unlock.PressBack)
	p.cancelBy(unlock.PressBack)
}
