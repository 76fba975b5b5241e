package ui

import "latchkey/firmware/unlock"

// The page of help lies over any screen, while the walk goes on under it: what the screen wants, who helps, and how the kiosk
// can be read in another way. It closes when the screen changes.

// helpKey leads to the page of help, as F1 does.
func (f *Face) helpKey(p *page, r rect) {
	p.add(target{id: "help", label: f.say("help-key"), r: r, act: f.turnHelp})
}

// visited tells that a holder stands there, in the middle of a visit or at its end.
func (f *Face) visited() bool {
	return !vacant(f.view.Screen) && f.view.Screen != unlock.ScreenEngineer && f.view.Screen != unlock.ScreenServiceCode
}

// titleHelp is the same key in the title bar. Where that is one row high, the two below take the finger, too.
func (f *Face) titleHelp(p *page) {
	r, look := rect{0, 0, f.titleHelpWidth() + 1, titleRows}, lookTitle
	if p.roomy() {
		r, look = rect{p.x, 0, f.titleHelpWidth(), p.bar}, lookKey
	}
	p.add(target{id: "help", label: f.say("help-key"), look: look, r: r, act: f.turnHelp})
}

func (f *Face) titleHelpWidth() int { return max(width(f.say("help-key"))+4, languageSmall) }

func (f *Face) turnHelp() unlock.Input {
	f.helping, f.focus, f.hint, f.chosen = !f.helping, "", "", f.now
	return unlock.Touched{}
}

func (f *Face) helpPage(p *page) {
	note := f.hint
	p.text(rect{p.x, p.head, p.cw, 1}, f.say("help-head"), style(blue, paper).Bold(true))
	if f.help() != "" {
		p.text(rect{p.x, p.sub, p.cw, p.subs}, f.filled(f.say("help")), style(ink, paper).Bold(true))
	}
	var keys []target
	turn := func(id, label string, act func()) {
		keys = append(keys, target{id: id, label: label, act: func() unlock.Input {
			f.hint, f.chosen = "", f.now
			act()
			return unlock.Touched{}
		}})
	}
	if f.opts.Say != nil {
		label := f.say("aloud-on")
		if f.aloud {
			label = f.say("aloud-off")
		}
		turn("aloud", label, func() { f.turnAloud() })
	}
	label := f.say("contrast-on")
	if f.contrast {
		label = f.say("contrast-off")
	}
	turn("contrast", label, func() { f.contrast = !f.contrast })
	if f.opts.LargePrint != nil && (f.large || p.w >= 2*minWidth && p.h >= 2*minHeight) {
		label := f.say("large-on")
		if f.large {
			label = f.say("large-off")
		}
		turn("large", label, func() { f.enlarge(!f.large) })
	}
	keys = append(keys, f.languageKey(rect{w: languageWidth}))

	bh, between := p.tall, min(p.gap, 1)
	y := p.h - bh - between - (len(keys)+1)/2*(bh+between)
	if note != "" {
		p.text(rect{p.x, p.body, p.cw, y - p.body}, "! "+note, style(ink, paper).Bold(true))
	} else {
		p.text(rect{p.x, p.body, p.cw, y - p.body}, f.helpText(), style(ink, paper))
	}
	w := (p.cw - 2) / 2
	for i, k := range keys {
		k.r = rect{p.x + i%2*(p.cw-w), y + i/2*(bh+between), w, bh}
		p.add(k)
	}
	p.add(target{id: string(unlock.PressBack), label: f.say("back"), look: lookPrimary, r: rect{p.x, p.h - bh - between, p.cw, bh}, act: f.turnHelp})
	p.first, p.escape = string(unlock.PressBack), f.turnHelp
}

// helpText is what the screen underneath wants, in a sentence or three.
func (f *Face) helpText() string {
	if busy(f.view.Screen) {
		return f.say("help-busy")
	}
	switch f.view.Screen {
	case unlock.ScreenAttract:
		return f.say("help-attract")
	case unlock.ScreenErrand:
		return f.say("help-errand")
	case unlock.ScreenPresent:
		return f.say("help-present")
	case unlock.ScreenConsent:
		return f.say("help-consent")
	case unlock.ScreenChannel:
		return f.say("help-channel")
	case unlock.ScreenCode:
		return f.say("help-code")
	case unlock.ScreenPasscode:
		return f.say("help-passcode")
	case unlock.ScreenRepeat:
		return f.say("help-repeat")
	case unlock.ScreenWeak:
		return f.say("help-weak")
	case unlock.ScreenUnlocked:
		return f.say("help-unlocked")
	case unlock.ScreenAway:
		return f.say("help-away")
	case unlock.ScreenRating:
		return f.say("help-rating")
	case unlock.ScreenComment:
		return f.say("help-comment")
	case unlock.ScreenContact:
		return f.say("help-contact")
	case unlock.ScreenThanks:
		return f.say("help-thanks")
	case unlock.ScreenServiceCode, unlock.ScreenEngineer:
		return f.say("help-service")
	case unlock.ScreenOutOfService:
		return f.say("help-out")
	}
	return f.say("help-stopped")
}
