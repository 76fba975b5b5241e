package ui

import "latchkey/firmware/unlock"

// The last screens of a walk.

func (f *Face) unlocked(p *page) {
	f.foot(p)
	st := style(ink, paper)
	y := p.head
	head := f.forErrand(f.say("unlocked-head"), f.say("changed-head"), f.say("set-head"))
	p.block(rect{0, y, p.w, p.tall}, head, style(paper, green))
	y += p.tall + max(p.gap, 1)
	take, look := f.say("unlocked-take"), style(ink, yellow)
	if !f.view.CardIn {
		take, look = f.say("unlocked-out"), style(ink, pale)
	}
	y += p.text(rect{p.x, y, p.cw, 4}, f.say("unlocked-use"), st)
	if n := f.expiring(p, y+p.gap); n > 0 {
		y += p.gap + n + p.gap
	} else {
		y += max(p.gap, 1)
	}
	if f.view.CanRate {
		if !p.roomy() {
			take = f.say("go") // the key takes its room
		}
		w := width(f.say("feedback")) + 4 + 4*min(p.gap, 1)
		p.block(rect{p.x, y, p.cw - p.name - w - 2, p.tall}, take, look)
		p.button(rect{p.x + p.cw - p.name - w - 1, y, w, p.tall}, unlock.PressFeedback, f.say("feedback"), lookKey)
	} else {
		p.block(rect{p.x, y, p.cw - p.name - 1, p.tall}, take, look)
	}
	f.language(p, rect{p.x + p.cw - p.name, y, p.name, p.tall})
}

func (f *Face) away(p *page) {
	f.foot(p)
	st := style(ink, paper)
	y := p.head
	p.block(rect{0, y, p.w, p.tall}, f.filled(f.say("away-head")), style(paper, blue))
	f.language(p, rect{p.x + p.cw - p.name, y, p.name, p.tall})
	y += p.tall + max(p.gap, 1)
	y += p.text(rect{p.x, y, p.cw, p.bottom - y}, f.filled(f.say("away-what")), st.Bold(true)) + max(p.gap, 1)
	p.text(rect{p.x, y, p.cw, p.bottom - y}, f.forErrand(f.say("away-do"), f.say("away-do"), f.say("away-forgotten")), st)
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
	if vacant(f.view.Screen) {
		f.vacantRow(p)
	} else {
		p.bottom -= p.tall + min(p.gap, 1)
		f.language(p, rect{p.x + p.cw - p.name, p.bottom, p.name, p.tall})
	}
	if f.view.CardIn && f.view.Screen == unlock.ScreenStopped {
		take := f.say("take-card")
		if f.view.Reason == unlock.ReasonTwoCards {
			take = f.say("take-all")
		}
		p.block(rect{p.x, p.bottom, p.cw - p.name - 1, p.tall}, take, style(ink, yellow))
	}
	plain := style(ink, paper)
	y += p.text(rect{p.x, y, p.cw, p.bottom - y}, f.filled(s.body), plain)
	back := !f.view.ReturnBefore.IsZero() && f.now.Before(f.view.ReturnBefore)
	if s.elsewhere && (p.roomy() || !back) { // the code that is out is for this kiosk
		y += p.gap / 2
		y += f.nextKiosk(p, y)
	}
	if back {
		y += p.gap
		p.text(rect{p.x, y, p.cw, p.bottom - y}, f.filled(f.say("come-back")), plain.Bold(true))
	}
}
