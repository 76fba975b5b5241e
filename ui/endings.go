package ui

import "latchkey/firmware/unlock"

// The last screens of a walk.

func (f *Face) unlocked(p *page) {
	f.foot(p)
	st := style(ink, paper)
	y := p.head
	head := f.forErrand(english.unlockedHead, english.changedHead, english.setHead)
	p.block(rect{0, y, p.w, p.tall}, head, style(paper, green))
	y += p.tall + max(p.gap, 1)
	take, look := english.unlockedTake, style(ink, yellow)
	if !f.view.CardIn {
		take, look = english.unlockedOut, style(ink, pale)
	}
	y += p.text(rect{p.x, y, p.cw, 4}, english.unlockedUse, st)
	if n := f.expiring(p, y+p.gap); n > 0 {
		y += p.gap + n + p.gap
	} else {
		y += max(p.gap, 1)
	}
	p.block(rect{p.x, y, p.cw, p.tall}, take, look)
}

func (f *Face) away(p *page) {
	f.foot(p)
	st := style(ink, paper)
	y := p.head
	p.block(rect{0, y, p.w, p.tall}, f.filled(english.awayHead), style(paper, blue))
	y += p.tall + max(p.gap, 1)
	y += p.text(rect{p.x, y, p.cw, p.bottom - y}, f.filled(english.awayWhat), st.Bold(true)) + max(p.gap, 1)
	p.text(rect{p.x, y, p.cw, p.bottom - y}, f.forErrand(english.awayDo, english.awayDo, english.awayForgotten), st)
}

// stopped tells why a walk ended, or why none can begin.
func (f *Face) stopped(p *page) {
	f.foot(p)
	s := f.told()
	head, st := "! "+f.filled(s.head), style(paper, red)
	if s.calm {
		head, st = f.filled(s.head), style(paper, blue)
	}
	y := p.head
	p.block(rect{0, y, p.w, p.tall}, head, st)
	y += p.tall + max(p.gap, 1)
	if f.view.CardIn && f.view.Screen == unlock.ScreenStopped {
		p.bottom -= p.tall + min(p.gap, 1)
		take := english.takeCard
		if f.view.Reason == unlock.ReasonTwoCards {
			take = english.takeAll
		}
		p.block(rect{p.x, p.bottom, p.cw, p.tall}, take, style(ink, yellow))
	}
	plain := style(ink, paper)
	y += p.text(rect{p.x, y, p.cw, p.bottom - y}, f.filled(s.body), plain)
	if !f.view.ReturnBefore.IsZero() && f.now.Before(f.view.ReturnBefore) {
		y += p.gap
		p.text(rect{p.x, y, p.cw, p.bottom - y}, f.filled(english.comeBack), plain.Bold(true))
	}
}
