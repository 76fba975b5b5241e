package ui

import (
	"strconv"
	"strings"

	"latchkey/firmware/unlock"
	"latchkey/firmware/wire"
)

// steps of a walk, by screen: the step that is under way; 4 is all done.
var stepOf = map[unlock.Screen]int{
	unlock.ScreenReading: 1, unlock.ScreenConsent: 1,
	unlock.ScreenChannel: 2, unlock.ScreenSending: 2, unlock.ScreenCode: 2, unlock.ScreenChecking: 2, unlock.ScreenAway: 2,
	unlock.ScreenPasscode: 3, unlock.ScreenRepeat: 3, unlock.ScreenWriting: 3,
	unlock.ScreenUnlocked: 4,
}

func (f *Face) build(p *page) {
	f.title(p)
	switch f.view.Screen {
	case unlock.ScreenAttract:
		f.attract(p)
	case unlock.ScreenConsent:
		f.consent(p)
	case unlock.ScreenChannel:
		f.channels(p)
	case unlock.ScreenCode:
		f.code(p)
	case unlock.ScreenPasscode, unlock.ScreenRepeat:
		f.passcode(p)
	case unlock.ScreenReading:
		f.busy(p, english.reading, english.leaveIn, false)
	case unlock.ScreenSending:
		f.busy(p, english.sending, english.sendingTo, false)
	case unlock.ScreenChecking:
		f.busy(p, english.checking, english.moment, false)
	case unlock.ScreenWriting:
		f.busy(p, english.writing, english.doNotTake, true)
	case unlock.ScreenUnlocked:
		f.unlocked(p)
	case unlock.ScreenAway:
		f.away(p)
	default: // out of service, stopped, and any screen that this version does not know
		f.stopped(p)
	}
}

// title is the bar: the service, and where the holder is.
func (f *Face) title(p *page) {
	st := style(paper, blue)
	p.fill(rect{0, 0, p.w, p.bar}, st)
	row := p.bar / 2
	right := p.w - 1
	if p.roomy() {
		right = p.x + p.cw
	}
	switch step := stepOf[f.view.Screen]; {
	case step == 4:
		right -= width(english.stepsDone)
		p.put(right, row, english.stepsDone, st.Bold(true))
	case step > 0:
		names := english.stepsShort
		if p.w >= 80 && width(strings.Join(english.steps[:], ""))+6+width(f.opts.Name)+2 <= p.cw {
			names = english.steps
		}
		for i := 2; i >= 0; i-- {
			label, ls := " "+names[i]+" ", st
			if i+1 == step {
				label, ls = "▶"+names[i]+"◀", style(ink, paper).Bold(true)
			}
			right -= width(label)
			p.fill(rect{right, 0, width(label), p.bar}, ls)
			p.put(right, row, label, ls)
		}
	case f.view.Screen == unlock.ScreenAttract:
		state := english.ready
		if !f.view.CentralUp {
			state = english.notReady
		}
		right -= width(state)
		p.put(right, row, state, st.Bold(true))
	}
	left := 1
	if p.roomy() {
		left = p.x
	}
	if left+width(f.opts.Name) < right {
		p.put(left, row, f.opts.Name, st.Bold(true))
	}
}

// heading says what this screen is for, and under it one thing to know; or why the last try failed.
func (f *Face) heading(p *page, head, sub string) {
	st := style(ink, paper)
	note := f.hint
	if note == "" && f.view.Reason != "" {
		note = f.filled(tell(f.view.Reason).note)
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
	alarm := style(paper, red)
	p.fill(r, alarm)
	inner := rect{r.x + 3, r.y, r.w - 4, r.h}
	if !p.roomy() {
		inner = rect{r.x + 2, r.y, r.w - 3, r.h}
	}
	p.put(inner.x-2, r.y, "!", alarm.Bold(true))
	p.text(inner, note, alarm.Bold(true))
}

// foot writes who can help and the case's reference at the bottom, and takes those rows from the body.
func (f *Face) foot(p *page) {
	st := style(ink, paper)
	help, reference := "", ""
	if f.opts.Help != "" {
		help = f.filled(english.help)
	}
	if r := f.view.Reference; r != "" {
		if len(r) == 8 {
			r = r[:4] + " " + r[4:]
		}
		reference = strings.ReplaceAll(english.reference, "{reference}", r)
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

func (f *Face) attract(p *page) {
	st := style(ink, paper)
	p.bottom -= min(p.gap, 1)
	if f.opts.Help != "" {
		lines := wrap(f.filled(english.help), p.cw)
		p.bottom -= len(lines)
		p.text(rect{p.x, p.bottom, p.cw, len(lines)}, f.filled(english.help), st.Bold(true))
	}
	bh := p.tall
	p.bottom -= bh + min(p.gap, 1)
	band := rect{p.x, p.bottom, p.cw, bh}
	if f.view.CentralUp {
		p.block(band, english.insert, style(paper, blue))
	} else {
		p.fill(band, style(paper, red))
		p.block(rect{band.x, band.y + (bh-3)/2, band.w, 1}, english.cannotNow, style(paper, red))
		p.block(rect{band.x, band.y + (bh-1)/2, band.w, 2}, english.cannotNowDo, style(paper, red))
	}
	y := p.head
	w := p.cw
	if p.roomy() && p.cw >= 3*cardWidth { // beside the steps, not over them
		w -= cardWidth + 4
		f.card(p, p.x+p.cw-cardWidth, p.head+1+p.gap/2)
		y = p.head + 1 + p.gap/2
	}
	y += p.text(rect{p.x, y, w, p.bottom - y}, english.attractHead, style(blue, paper).Bold(true)) + max(p.gap, 1)
	for i, s := range english.attractSteps {
		n := strconv.Itoa(i + 1)
		p.put(p.x+1, y, " "+n+" ", style(paper, blue).Bold(true))
		p.put(p.x+6, y, s, st)
		y += 1 + p.gap
	}
	y++
	p.text(rect{p.x, y, p.cw, p.bottom - y}, english.attractTime, st)
}

const cardWidth = 22

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
	p.text(rect{p.x, p.head, p.cw, 1}, english.consentHead, style(blue, paper).Bold(true))
	y := p.head + 1 + max(p.gap, 1)
	y += p.text(rect{p.x, y, p.cw, 2}, english.consentTo, st) + p.gap
	name := rect{p.x, y, p.cw, 3}
	holder := f.view.Holder
	if lines := wrap(holder, p.cw-4); len(lines) > 3 {
		holder = strings.Join(lines[:2], " ") + " " + shorten(strings.Join(lines[2:], " "), p.cw-4)
	}
	p.block(name, holder, style(ink, pale))
	y += 3 + p.gap
	y += p.text(rect{p.x, y, p.cw, 1}, english.consentIf, st.Bold(true))
	y += p.text(rect{p.x, y, p.cw, 1}, english.consentElse, st.Bold(true)) + max(p.gap, 1)
	bh := p.tall
	bw := (p.cw - 2) / 2
	p.button(rect{p.x, y, bw, bh}, unlock.PressNotMe, english.notMe, lookKey)
	p.button(rect{p.x + p.cw - bw, y, bw, bh}, unlock.PressContinue, english.yesMe, lookPrimary)
	p.first = string(unlock.PressContinue)
	p.cancelBy(unlock.PressNotMe)
}

func (f *Face) channels(p *page) {
	f.heading(p, english.channelHead, english.channelSub)
	bh := p.tall
	if p.body+4*bh+1 > p.h {
		bh = 3
	}
	all := f.view.Channels
	const at = 3
	from := min(f.channel, max(len(all)-1, 0))
	for i, c := range all[from:min(from+at, len(all))] {
		label := english.toEmail
		if c.Kind == wire.Mobile {
			label = english.toMobile
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
	aside, label := unlock.PressCancel, english.cancel
	if f.view.Code != nil {
		aside, label = unlock.PressBack, english.back
	}
	y := p.body + at*bh + min(p.gap, 1)
	p.button(rect{p.x, y, 14, bh}, aside, label, lookKey)
	p.cancelBy(aside)
	if len(all) > at {
		p.add(target{id: "other", label: english.other, r: rect{p.x + p.cw - 24, y, 24, bh}, act: func() unlock.Input {
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
		f.busy(p, english.sending, english.moment, false)
		return
	}
	room := p.cw - width(english.codeHead) + len("{address}")
	head := strings.ReplaceAll(english.codeHead, "{address}", shorten(c.Masked, room))
	f.heading(p, head, english.codeNot)

	left := f.keypad(p)
	st := style(ink, paper)
	w := left - p.x - 1 - 3*min(p.gap, 1)
	y := p.body
	if f.now.Before(c.ExpiresAt) {
		valid, left := f.filled(english.codeValid), f.filled(english.codeLeft)
		if !p.roomy() {
			valid, left = valid+" "+left, ""
		}
		y += p.text(rect{p.x, y, w, 3}, valid, st.Bold(true))
		y += p.text(rect{p.x, y, w, 1}, left, st.Bold(true))
	} else {
		y += p.text(rect{p.x, y, w, 2}, f.filled(english.codeOver), st.Bold(true))
	}
	y += p.gap / 2
	y += p.text(rect{p.x, y, w, 2}, f.filled(english.codeSent+" "+english.codeJunk), st)
	if p.roomy() {
		y++
	} else {
		y = p.body + 4
	}
	f.boxes(p, rect{p.x, y, w, 3}, c.Digits)
	y += 3 + min(p.gap, 1)
	if f.now.Before(c.ExpiresAt) {
		p.text(rect{p.x, y, w, 2}, f.filled(english.takeAlong), st)
	}

	bh := p.tall
	by := p.body + 3*bh
	cw := width(english.cancel) + 4
	if p.cw >= 70 {
		cw += 4
	}
	p.button(rect{p.x, by, cw, bh}, unlock.PressCancel, english.cancel, lookKey)
	p.cancelBy(unlock.PressCancel)
	resend := rect{p.x + cw + 1, by, w - cw - 1, bh}
	switch wait := c.ResendAt.Sub(f.now); {
	case c.SendsLeft <= 0:
	case wait > 0:
		p.centred(resend, strings.ReplaceAll(english.resendIn, "{wait}", clockDown(wait)), st)
	default:
		p.button(resend, unlock.PressResend, english.resend, lookKey)
	}
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
			p.put(x+each/2, r.y+1, "_", st)
		}
	}
}

func (f *Face) passcode(p *page) {
	head, sub, more := english.chooseHead, rulesOf(f.view.Rules), english.sameAsBefore
	aside, asideLabel := unlock.PressCancel, english.cancel
	if f.view.Screen == unlock.ScreenRepeat {
		head, sub, more = english.repeatHead, english.repeatSub, english.repeatLeft
		aside, asideLabel = unlock.PressBack, english.back
	}
	p.cancelBy(aside)
	if !f.view.Rules.DigitsOnly {
		if !p.roomy() && f.view.Screen == unlock.ScreenPasscode {
			// One row each: the keyboard below says which characters.
			head, sub = f.filled(english.chooseOf), more
			if f.view.Rules.Min == f.view.Rules.Max {
				head = f.filled(english.chooseOne)
			}
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
	y := p.body
	p.text(rect{p.x, y, w, 2}, more, st)
	y += 3
	p.box(rect{p.x, y, w, 3}, st)
	f.dots(p, rect{p.x + 2, y + 1, w - 4, 1}, rect{p.x + 2, y + 3, w - 4, 1}, paper)
	p.button(rect{p.x, p.body + 3*p.tall, 14, p.tall}, aside, asideLabel, lookKey)
}

// dots shows how much has been typed, and nothing else of it.
func (f *Face) dots(p *page, field, count rect, background int) {
	n := f.typed.n
	line := strings.Repeat("• ", min(n, (field.w-1)/2)) + "_"
	p.put(field.x, field.y, line, style(ink, background).Bold(true))
	if n == 0 {
		return
	}
	typed := english.typed
	if n > f.view.Rules.Max {
		typed = english.tooLong
	}
	p.text(count, strings.ReplaceAll(typed, "{n}", strconv.Itoa(n)), style(ink, paper))
}

// busy has nothing to choose. Its squares move once a second, so that the holder sees the kiosk is alive.
func (f *Face) busy(p *page, what, also string, warning bool) {
	middle := p.bar + (p.h-p.bar)/2
	p.centred(rect{p.x, middle - 4, p.cw, 1}, what, style(ink, paper).Bold(true))
	squares := [...]string{"■  ·  ·", "·  ■  ·", "·  ·  ■"}[f.now.Unix()%3]
	p.centred(rect{p.x, middle - 2, p.cw, 1}, squares, style(ink, paper))
	if warning {
		p.block(rect{p.x, middle, p.cw, p.tall}, also, style(ink, yellow))
		return
	}
	p.centred(rect{p.x, middle + 1, p.cw, 1}, also, style(ink, paper))
}

func (f *Face) unlocked(p *page) {
	f.foot(p)
	st := style(ink, paper)
	y := p.head
	p.block(rect{0, y, p.w, p.tall}, english.unlockedHead, style(paper, green))
	y += p.tall + max(p.gap, 1)
	take, look := english.unlockedTake, style(ink, yellow)
	if !f.view.CardIn {
		take, look = english.unlockedOut, style(ink, pale)
	}
	y += p.text(rect{p.x, y, p.cw, 4}, english.unlockedUse, st) + max(p.gap, 1)
	p.block(rect{p.x, y, p.cw, p.tall}, take, look)
}

func (f *Face) away(p *page) {
	f.foot(p)
	st := style(ink, paper)
	y := p.head
	p.block(rect{0, y, p.w, p.tall}, f.filled(english.awayHead), style(paper, blue))
	y += p.tall + max(p.gap, 1)
	y += p.text(rect{p.x, y, p.cw, p.bottom - y}, f.filled(english.awayWhat), st.Bold(true)) + max(p.gap, 1)
	p.text(rect{p.x, y, p.cw, p.bottom - y}, f.filled(english.awayDo), st)
}

// stopped tells why a walk ended, or why none can begin.
func (f *Face) stopped(p *page) {
	f.foot(p)
	s := tell(f.view.Reason)
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

// warn lies over the title when the visit is about to end for want of a touch.
func (f *Face) warn(p *page) {
	if f.view.WarnAt.IsZero() || f.now.Before(f.view.WarnAt) || !f.now.Before(f.view.EndsAt) {
		return
	}
	st := style(ink, yellow)
	p.fill(rect{0, 0, p.w, 3}, st)
	ends := strings.ReplaceAll(english.endsIn, "{ends}", clockDown(f.view.EndsAt.Sub(f.now)))
	p.put(1, 0, "! "+english.still, st.Bold(true))
	p.put(3, 1, ends, st)
	bw := width(english.moreTime) + 8
	p.add(target{id: "more time", label: english.moreTime, look: lookPrimary, r: rect{p.w - bw - 1, 0, bw, 3},
		act: func() unlock.Input { return unlock.Touched{} }})
	p.first = "more time"
}
