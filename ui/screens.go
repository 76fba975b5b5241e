package ui

import (
	"strconv"
	"strings"

	"latchkey/firmware/unlock"
	"latchkey/firmware/wire"
)

func (f *Face) build(p *page) {
	f.title(p)
	switch f.view.Screen {
	case unlock.ScreenAttract:
		f.attract(p)
	case unlock.ScreenErrand:
		f.errand(p)
	case unlock.ScreenConsent:
		f.consent(p)
	case unlock.ScreenChannel:
		f.channels(p)
	case unlock.ScreenCode:
		f.code(p)
	case unlock.ScreenPresent, unlock.ScreenPasscode, unlock.ScreenRepeat:
		f.passcode(p)
	case unlock.ScreenReading:
		f.busy(p, f.say("reading"), f.say("leave-in"), false)
	case unlock.ScreenSending:
		f.busy(p, f.say("sending"), f.say("sending-to"), false)
	case unlock.ScreenChecking:
		f.busy(p, f.say("checking"), f.say("moment"), false)
	case unlock.ScreenVerifying:
		f.busy(p, f.say("verifying"), f.say("moment"), false)
	case unlock.ScreenWriting:
		f.busy(p, f.forErrand(f.say("writing"), f.say("changing"), f.say("setting")), f.say("do-not-take"), true)
	case unlock.ScreenUnlocked:
		f.unlocked(p)
	case unlock.ScreenAway:
		f.away(p)
	case unlock.ScreenWeak:
		f.weak(p)
	case unlock.ScreenRating:
		f.rating(p)
	case unlock.ScreenComment:
		f.comment(p)
	case unlock.ScreenContact:
		f.contact(p)
	case unlock.ScreenThanks:
		f.thanks(p)
	case unlock.ScreenServiceCode:
		f.serviceCode(p)
	case unlock.ScreenEngineer:
		f.engineer(p)
	default: // out of service, stopped, and any screen that this version does not know
		f.stopped(p)
	}
	if f.visited() && !f.warned() { // the warning stands in its place
		f.titleHelp(p)
	}
}

// title is the bar: the service, and where the holder is.
func (f *Face) title(p *page) {
	name := f.opts.Name
	if name == "" {
		name = f.say("name")
	}
	st := style(paper, blue)
	if f.opts.Debug {
		name, st = f.say("debug"), style(paper, red)
	}
	p.fill(rect{0, 0, p.w, p.bar}, st)
	row := p.bar / 2
	left := 1
	if p.roomy() {
		left = p.x
	}
	if f.visited() {
		left += f.titleHelpWidth() + 1
	}
	right := p.w - 1
	if p.roomy() {
		right = p.x + p.cw
	}
	step, names, short, done := f.steps()
	switch {
	case step > len(names):
		right -= width(done)
		p.put(right, row, done, st.Bold(true))
	case step > 0:
		if p.w < 80 || width(strings.Join(names, ""))+2*len(names)+left > right {
			names = short
		}
		for i := len(names) - 1; i >= 0; i-- {
			label, ls := " "+names[i]+" ", st
			if i+1 == step {
				label, ls = "▶"+names[i]+"◀", style(ink, paper).Bold(true)
			}
			right -= width(label)
			p.fill(rect{right, 0, width(label), p.bar}, ls)
			p.put(right, row, label, ls)
		}
	case (f.view.Screen == unlock.ScreenComment || f.view.Screen == unlock.ScreenContact) && f.most()-f.typed.count() < 100:
		left := strings.ReplaceAll(f.say("characters-left"), "{n}", strconv.Itoa(f.most()-f.typed.count()))
		right -= width(left)
		p.put(right, row, left, st)
	case f.view.Screen == unlock.ScreenEngineer || f.view.Screen == unlock.ScreenServiceCode:
		kiosk := shorten(f.opts.Kiosk, p.cw) // in full, since central is asked by this name
		right -= width(kiosk)
		p.put(right, row, kiosk, st.Bold(true))
	case vacant(f.view.Screen):
		state := f.state()
		right -= width(state)
		p.put(right, row, state, st.Bold(true))
	}
	if left+width(name) < right {
		p.put(left, row, name, st.Bold(true))
	}
}

// heading says what this screen is for, and under it one thing to know; or why the last try failed.
func (f *Face) heading(p *page, head, sub string) {
	st := style(ink, paper)
	note := f.hint
	if note == "" && f.view.Reason != "" {
		note = f.filled(f.told().note)
	}
	if note == "" {
		p.text(rect{p.x, p.head, p.cw, 1}, head, style(blue, paper).Bold(true))
		p.text(rect{p.x, p.sub, p.cw, p.subs}, sub, st)
		return
	}
	r := rect{p.x, p.sub, p.cw, p.subs}
	if p.roomy() {
		p.text(rect{p.x, p.head, p.cw, 1}, head, style(blue, paper).Bold(true))
	} else {
		r = rect{0, p.head, p.w, 2}
	}
	p.hear(0, p.bar, note) // first
	alarm := style(paper, red)
	p.fill(r, alarm)
	inner := rect{r.x + 3, r.y, r.w - 4, r.h}
	if !p.roomy() {
		inner = rect{r.x + 2, r.y, r.w - 3, r.h}
	}
	p.put(inner.x-2, r.y, "!", alarm.Bold(true))
	p.paragraph(inner, note, alarm.Bold(true))
}

// foot writes who can help and the case's reference at the bottom, and takes those rows from the body.
func (f *Face) foot(p *page) {
	st := style(ink, paper)
	help, reference := "", ""
	if f.help() != "" {
		help = f.filled(f.say("help"))
	}
	if r := f.view.Reference; r != "" {
		if len(r) == 8 {
			r = r[:4] + " " + r[4:]
		}
		reference = strings.ReplaceAll(f.say("reference"), "{reference}", r)
	}
	p.bottom -= min(p.gap, 1)
	if lines := wrap(help, p.cw); len(lines) > 0 {
		p.bottom -= len(lines)
		p.text(rect{p.x, p.bottom, p.cw, len(lines)}, help, st.Bold(true))
	}
	if reference == "" {
		return
	}
	y := p.bottom
	if help == "" || width(help)+3+width(reference) > p.cw {
		p.bottom--
		y = p.bottom
		p.put(p.x, y, reference, st.Bold(true))
		return
	}
	p.put(p.x+p.cw-width(reference), y, reference, st.Bold(true))
}

// state of the kiosk, at a glance.
func (f *Face) state() string {
	switch {
	case f.setup != nil && f.setup.Stage != SetupDone:
		return f.say("setup-state")
	case f.setup != nil:
		return f.say("state-starting")
	case f.view.Screen == unlock.ScreenOutOfService && f.view.Reason == "":
		return f.say("state-starting")
	case f.view.Screen == unlock.ScreenOutOfService:
		return f.say("state-out")
	case f.view.CentralUp:
		return f.say("ready")
	case f.view.NotServed == "":
		return f.say("state-no-network")
	}
	return f.say("not-ready")
}

func (f *Face) attract(p *page) {
	switch {
	case !f.view.CentralUp:
		f.unserved(p)
		return
	case f.opts.Quiet != nil && f.opts.Quiet(f.now):
		f.quiet(p)
		return
	}
	st := style(ink, paper)
	p.bottom -= min(p.gap, 1)
	f.helpLine(p)
	band := f.vacantRow(p)
	p.block(band, f.say("insert"), style(paper, blue))
	y := p.head
	w := p.cw
	if p.roomy() && p.cw >= 3*cardWidth { // beside the steps, not over them
		w -= cardWidth + 4
		f.card(p, p.x+p.cw-cardWidth, p.head+1+p.gap/2)
		y = p.head + 1 + p.gap/2
	}
	y += p.text(rect{p.x, y, w, p.bottom - y}, f.say("attract-head"), style(blue, paper).Bold(true)) + max(p.gap, 1)
	for i, s := range f.words.row("attract-steps") {
		n := strconv.Itoa(i + 1)
		p.put(p.x+1, y, " "+n+" ", style(paper, blue).Bold(true))
		p.put(p.x+6, y, s, st)
		y += 1 + p.gap
	}
	y++
	if p.roomy() {
		p.text(rect{p.x, y, p.cw, p.bottom - y}, f.say("attract-time")+" "+f.say("attract-also"), st)
		return
	}
	y += p.text(rect{p.x, y, p.cw, p.bottom - y}, f.say("attract-time"), st)
	p.text(rect{p.x, y, p.cw, p.bottom - y}, f.say("attract-also"), st)
}

// unserved is the first screen while central does not answer, or does not serve this kiosk: waiting helps with one of them.
func (f *Face) unserved(p *page) {
	p.bottom -= min(p.gap, 1)
	f.helpLine(p)
	head, body := f.say("cannot-now"), f.say("cannot-now-do")
	_, known := wire.Lookup(f.view.NotServed)
	if known {
		s := f.words.tell(unlock.Reason(f.view.NotServed), "")
		head, body = s.head, s.body
	}
	y := p.head
	p.block(rect{0, y, p.w, p.tall}, "! "+head, style(paper, red))
	y += p.tall + max(p.gap, 1)
	f.vacantRow(p)
	y += p.text(rect{p.x, y, p.cw, p.bottom - y}, body, style(ink, paper)) + p.gap/2
	if !known {
		y += p.text(rect{p.x, y, p.cw, p.bottom - y}, f.say("cannot-now-also"), style(ink, paper)) + p.gap/2
	}
	if f.view.NotServed == wire.CodeKioskUnconfirmed {
		if n := f.confirming(p, y); n > 0 && !p.roomy() {
			return // every row is taken
		} else if n > 0 {
			y += n + p.gap
		}
	}
	f.nextKiosk(p, y)
}

// helpLine says who helps, and takes its rows from the body.
func (f *Face) helpLine(p *page) {
	if f.help() == "" {
		return
	}
	lines := wrap(f.filled(f.say("help")), p.cw)
	p.bottom -= len(lines)
	p.text(rect{p.x, p.bottom, p.cw, len(lines)}, f.filled(f.say("help")), style(ink, paper).Bold(true))
}

// vacantRow is the last row of a screen without a walk: what is left of its keys is returned.
func (f *Face) vacantRow(p *page) rect {
	p.bottom -= p.tall + min(p.gap, 1)
	w := p.cw - 2*p.name - 2
	f.helpKey(p, rect{p.x + w + 1, p.bottom, p.name, p.tall})
	f.language(p, rect{p.x + p.cw - p.name, p.bottom, p.name, p.tall})
	return rect{p.x, p.bottom, w, p.tall}
}

// nextKiosk says where another one stands, and returns the rows that this took.
func (f *Face) nextKiosk(p *page, y int) int {
	next := f.opts.NextKiosk
	if f.words.tag == Welsh && f.opts.NextKioskWelsh != "" {
		next = f.opts.NextKioskWelsh
	}
	if next == "" {
		return 0
	}
	const most = 70 // two rows of the smallest screen
	say := strings.ReplaceAll(f.say("next-kiosk"), "{next}", shorten(next, most))
	if !p.roomy() && y+1+len(wrap(say, p.cw)) <= p.bottom {
		y++
	}
	return p.text(rect{p.x, y, p.cw, p.bottom - y}, say, style(ink, paper).Bold(true))
}

const cardWidth = 22

// asideWidth is that of the button that leads back or out.
const asideWidth = 14

// card draws a smartcard above a slot, for a large screen.
func (f *Face) card(p *page, x, y int) {
	p.box(rect{x, y, cardWidth, 9}, style(ink, pale))
	p.box(rect{x + 3, y + 3, 6, 4}, style(ink, yellow))
	for i := range 3 {
		p.put(x+12, y+3+i, "───────", style(ink, pale))
	}
	p.put(x+cardWidth/2-3, y+9, "▼  ▼  ▼", style(ink, paper).Bold(true))
}

func (f *Face) consent(p *page) {
	st := style(ink, paper)
	p.text(rect{p.x, p.head, p.cw, 1}, f.say("consent-head"), style(blue, paper).Bold(true))
	y := p.head + 1 + max(p.gap, 1)
	if !p.roomy() && !f.view.Expiring.IsZero() {
		y-- // every row is needed
	}
	y += p.text(rect{p.x, y, p.cw, 2}, f.forErrand(f.say("consent-to"), f.say("consent-to"), f.say("consent-set")), st) + p.gap
	name := rect{p.x, y, p.cw - p.name - 1, 3}
	holder := f.view.Holder
	if lines := wrap(holder, name.w-4); len(lines) > 3 {
		holder = strings.Join(lines[:2], " ") + " " + shorten(strings.Join(lines[2:], " "), name.w-4)
	}
	p.block(name, holder, style(ink, pale))
	y += 3 + p.gap
	y += p.text(rect{p.x, y, p.cw, 1}, f.say("consent-if"), st.Bold(true))
	y += p.text(rect{p.x, y, p.cw, 1}, f.say("consent-else"), st.Bold(true)) + max(p.gap, 1)
	if n := f.expiring(p, y); n > 0 {
		y += n + p.gap
	}
	bh := p.tall
	bw := (p.cw - 2) / 2
	p.button(rect{p.x, y, bw, bh}, unlock.PressNotMe, f.say("not-me"), lookKey)
	f.language(p, rect{p.x + p.cw - p.name, name.y, p.name, name.h})
	p.button(rect{p.x + p.cw - bw, y, bw, bh}, unlock.PressContinue, f.say("yes-me"), lookPrimary)
	p.first = string(unlock.PressContinue)
	p.cancelBy(unlock.PressNotMe)
}

func (f *Face) channels(p *page) {
	f.heading(p, f.say("channel-head"), f.say("channel-sub"))
	bh := p.tall
	if p.body+4*bh+1 > p.h {
		bh = 3
	}
	all := f.view.Channels
	const at = 3
	from := min(f.channel, max(len(all)-1, 0))
	for i, c := range all[from:min(from+at, len(all))] {
		label := f.say("to-email")
		if c.Kind == wire.Mobile {
			label = f.say("to-mobile")
		}
		room := p.cw - 6 - width(label) + len("{address}")
		p.add(target{
			id: "channel " + c.ID, look: lookPrimary,
			label: strings.ReplaceAll(label, "{address}", shorten(c.Masked, room)),
			r:     rect{p.x, p.body + i*bh, p.cw, bh},
			act:   func() unlock.Input { return unlock.ChannelChosen{ID: c.ID} },
		})
		if i == 0 {
			p.first = "channel " + c.ID
		}
	}
	aside, label := unlock.PressCancel, f.say("cancel")
	if f.view.Code != nil {
		aside, label = unlock.PressBack, f.say("back")
	}
	y := p.body + at*bh + min(p.gap, 1)
	p.button(rect{p.x, y, asideWidth, bh}, aside, label, lookKey)
	f.language(p, rect{p.x + asideWidth + 1, y, p.name, bh})
	p.cancelBy(aside)
	if len(all) > at {
		p.add(target{id: "other", label: f.say("another-address"), r: rect{p.x + p.cw - 24, y, 24, bh}, act: func() unlock.Input {
			f.channel = from + at
			if f.channel >= len(all) {
				f.channel = 0
			}
			f.focus = ""
			return unlock.Touched{}
		}})
	}
}

func (f *Face) code(p *page) {
	c := f.view.Code
	if c == nil {
		f.busy(p, f.say("sending"), f.say("moment"), false)
		return
	}
	room := p.cw - width(f.say("code-head")) + len("{address}")
	head := strings.ReplaceAll(f.say("code-head"), "{address}", shorten(c.Masked, room))
	f.heading(p, head, f.say("code-not"))

	left := f.keypad(p)
	st := style(ink, paper)
	w := left - p.x - 1 - 3*min(p.gap, 1)
	y := p.body
	if f.now.Before(c.ExpiresAt) {
		valid, left := f.filled(f.say("code-valid")), f.filled(f.say("code-left"))
		if !p.roomy() {
			valid, left = valid+" "+left, ""
		}
		y += p.text(rect{p.x, y, w, 3}, valid, st.Bold(true))
		y += p.text(rect{p.x, y, w, 1}, left, st.Bold(true))
	} else {
		y += p.text(rect{p.x, y, w, 2}, f.filled(f.say("code-over")), st.Bold(true))
	}
	y += p.gap / 2
	y += p.text(rect{p.x, y, w, 2}, f.filled(f.say("code-sent")+" "+f.say("code-junk")), st)
	if p.roomy() {
		y++
	} else {
		y = p.body + 4
	}
	f.boxes(p, rect{p.x, y, w, 3}, c.Digits)
	y += 3 + min(p.gap, 1)
	if f.now.Before(c.ExpiresAt) {
		p.text(rect{p.x, y, w, 2}, f.filled(f.say("take-along")), st)
	}

	bh := p.tall
	by := p.body + 3*bh
	cw, lw, space := asideWidth, languageWidth, 1
	if p.cw < 70 { // side by side, up to the keypad
		cw, lw, space = width(f.say("cancel"))+2, languageTag, 0
		w = max(w, left-p.x)
	}
	p.button(rect{p.x, by, cw, bh}, unlock.PressCancel, f.say("cancel"), lookKey)
	p.cancelBy(unlock.PressCancel)
	resend := rect{p.x + cw + space + lw + space, by, w - cw - lw - 2*space, bh}
	switch wait := c.ResendAt.Sub(f.now); {
	case c.SendsLeft <= 0:
	case wait > 0:
		p.centred(resend, strings.ReplaceAll(f.say("resend-in"), "{wait}", clockDown(wait)), st)
	default:
		p.button(resend, unlock.PressResend, f.say("resend"), lookKey)
	}
	f.language(p, rect{p.x + cw + space, by, lw, bh})
}

// boxes shows the code's digits, one in each box.
func (f *Face) boxes(p *page, r rect, digits int) {
	each := min((r.w-1)/max(digits, 1), 7)
	if each < 2 {
		each = 2
	}
	st := style(ink, paper)
	typed := f.typed.typed()
	for i := range digits {
		x := r.x + i*each
		p.box(rect{x, r.y, each + 1, 3}, st)
		if i > 0 {
			p.put(x, r.y, "┬", st)
			p.put(x, r.y+2, "┴", st)
		}
		switch {
		case i < len(typed):
			p.canvas.set(x+each/2, r.y+1, rune(typed[i]), p.canvas.pen(st.Bold(true)))
		case i == len(typed):
			p.line(x+each/2, r.y+1, "_", st)
		}
	}
}

// busy has nothing to choose. Its squares move once a second, so that the holder sees the kiosk is alive.
func (f *Face) busy(p *page, what, also string, warning bool) {
	f.language(p, rect{p.x + p.cw - p.name, p.h - p.tall - min(p.gap, 1), p.name, p.tall})
	middle := p.bar + (p.h-p.bar)/2
	p.centred(rect{p.x, middle - 4, p.cw, 1}, what, style(ink, paper).Bold(true))
	f.squares(p, rect{p.x, middle - 2, p.cw, 1})
	if warning {
		p.block(rect{p.x, middle, p.cw, p.tall}, also, style(ink, yellow))
		return
	}
	p.centred(rect{p.x, middle + 1, p.cw, 1}, also, style(ink, paper))
}

// warnRows are what the warning takes of the top.
const warnRows = 3

// warn lies over the title when the visit is about to end for want of a touch.
func (f *Face) warn(p *page) {
	if f.view.WarnAt.IsZero() || f.now.Before(f.view.WarnAt) || !f.now.Before(f.view.EndsAt) {
		return
	}
	st := style(ink, yellow)
	p.fill(rect{0, 0, p.w, warnRows}, st)
	ends := strings.ReplaceAll(f.say("ends-in"), "{ends}", clockDown(f.view.EndsAt.Sub(f.now)))
	p.put(1, 0, "! "+f.say("still"), st.Bold(true))
	bw := width(f.say("more-time")) + 8
	p.text(rect{3, 1, p.w - bw - 5, 1}, ends, st)
	p.add(target{id: "more time", label: f.say("more-time"), look: lookPrimary, r: rect{p.w - bw - 1, 0, bw, warnRows},
		act: func() unlock.Input { return unlock.Touched{} }})
	p.first = "more time"
}
