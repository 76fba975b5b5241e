package ui

import (
	"strconv"
	"strings"

	"latchkey/firmware/unlock"
)

// The engineer's page: what the kiosk knows of itself, and a few things to do to it. Nothing of a holder stands there, and no
// holder's screen leads there: the machine opens it for a service card or a one-time code.

// Fact is one line of the engineer's page.
type Fact struct {
	Label, Value string // in English, without personal data
	Bad          bool   // an engineer should look at this
}

// Action is what an engineer asks the box to do.
type Action interface{ action() }

// What an engineer can ask for.
type (
	// ActLights shows a state of the kiosk by lamps, buzzer and backlight; "" gives them back to the kiosk.
	ActLights struct{ State string }
	// ActCalibrate carries where the crosses stood and where the panel was touched for them.
	ActCalibrate struct{ Points [4]TouchPair }
	// ActExport writes the diagnostics.
	ActExport struct{}
	// ActClearCase says that somebody has looked at the opened case.
	ActClearCase struct{}
)

// TouchPair is a cross on the screen and the panel's own position of the finger on it; from 0, left and top, to 1.
type TouchPair struct{ WantedX, WantedY, RawX, RawY float64 }

func (ActLights) action()    {}
func (ActCalibrate) action() {}
func (ActExport) action()    {}
func (ActClearCase) action() {}

// Lights are the states of ActLights, as package board names them.
var Lights = []string{"ready", "busy", "attention", "fault"}

// servicePage is what an engineer looks at.
type servicePage struct {
	tab    int
	from   int // first fact that is shown
	next   int // the first that was not
	answer string
	failed bool // the last action
	lit    bool // the lights show what the engineer asked for
	cross  int  // that is to be touched next, from 1; 0 if none
	points [4]TouchPair
}

// Tabs of the engineer's page.
const (
	tabFacts = iota
	tabTouch
	tabLights
	tabTools
)

// engineer is in English: it is a page of technical terms, for few people.
func (f *Face) engineer(p *page) {
	if f.service.cross > 0 {
		f.crosses(p)
		return
	}
	bottom := p.h - p.tall
	defer f.tabs(p, rect{0, bottom, p.w, p.tall}) // when it is known if there are more facts
	area := rect{p.x, p.head, p.cw, bottom - p.head}
	if lines := wrap(f.service.answer, p.cw-4); len(lines) > 0 {
		lines = lines[:min(len(lines), 4)]
		area.h -= len(lines)
		r, st, mark := rect{p.x, area.y + area.h, p.cw, len(lines)}, style(ink, yellow), "■"
		if f.service.failed {
			st, mark = style(paper, red), "!"
		}
		p.fill(r, st)
		p.put(r.x+1, r.y, mark, st.Bold(true))
		for i, l := range lines {
			p.put(r.x+3, r.y+i, l, st)
		}
	}
	switch f.service.tab {
	case tabTouch:
		f.touchTab(p, area)
	case tabLights:
		f.lightsTab(p, area)
	case tabTools:
		f.toolsTab(p, area)
	default:
		f.factsTab(p, area)
	}
	p.cancelBy(unlock.PressClose)
}

// tabs are the keys at the bottom. That of the facts leads through them.
func (f *Face) tabs(p *page, r rect) {
	var row []target
	for i, label := range [...]string{"Facts", "Touch", "Lights", "Tools"} {
		t := target{id: "tab " + strconv.Itoa(i), label: label}
		if i == f.service.tab {
			t.look = lookPrimary
			if f.service.next > 0 {
				t.label = "More"
			}
		}
		t.act = func() unlock.Input {
			next := 0
			if f.service.tab == i {
				next = f.service.next
			}
			f.leaveEngineer()
			f.service.tab, f.service.from = i, next
			return unlock.Touched{}
		}
		row = append(row, t)
	}
	row = append(row, target{id: string(unlock.PressClose), label: "Close", act: func() unlock.Input {
		return unlock.Pressed{Button: unlock.PressClose}
	}})
	for i, w := range spread(row, r.w) {
		row[i].r = rect{r.x, r.y, w, r.h}
		r.x += w
		p.add(row[i])
	}
}

// leaveEngineer forgets what the engineer looked at, and gives the lights back.
func (f *Face) leaveEngineer() {
	if f.service.lit {
		f.opts.Do(ActLights{}) // what came of it the next test tells
	}
	f.service = servicePage{}
}

// do asks the box for an action. Its answer stands above the tabs until the next.
func (f *Face) do(a Action) {
	answer, err := f.opts.Do(a)
	f.service.answer, f.service.failed = answer, err != nil
	if err != nil {
		f.service.answer = err.Error()
	}
}

func (f *Face) factsTab(p *page, r rect) {
	var facts []Fact
	if f.opts.Engineer != nil {
		facts = f.opts.Engineer()
	}
	const label = 13
	bad := 0
	for _, a := range facts {
		if a.Bad {
			bad++
		}
	}
	from := min(f.service.from, len(facts))
	rows := r.h - 2
	y, shown := r.y+2, 0
	for _, a := range facts[from:] {
		lines := greedy(strings.Fields(a.Value), r.w-label-2)
		if len(lines) == 0 {
			lines = []string{"–"}
		}
		lines = lines[:min(len(lines), 3)]
		if len(lines) > rows {
			break
		}
		rows -= len(lines)
		st := style(ink, paper)
		if a.Bad {
			st = style(red, paper)
			p.put(r.x, y, "!", st.Bold(true))
		}
		p.put(r.x+2, y, shorten(a.Label, label-1), st.Bold(true))
		for _, l := range lines {
			p.put(r.x+2+label, y, l, st)
			y++
		}
		shown++
	}
	if f.service.next = from + shown; f.service.next >= len(facts) {
		f.service.next = 0
	}
	head := "All is well."
	if bad > 0 {
		head = "! " + strconv.Itoa(bad) + " to look at."
	}
	if len(facts) > shown {
		head += " Facts " + strconv.Itoa(from+1) + " to " + strconv.Itoa(from+shown) + " of " + strconv.Itoa(len(facts)) + "."
	}
	if len(facts) == 0 {
		head = "This kiosk tells nothing of itself."
	}
	p.put(r.x, r.y, shorten(head, r.w), style(blue, paper).Bold(true))
}

func (f *Face) touchTab(p *page, r rect) {
	y := r.y + p.text(rect{r.x, r.y, r.w, 1}, "Touch calibration", style(blue, paper).Bold(true)) + 1
	if f.opts.Touch == nil || f.opts.Do == nil {
		p.text(rect{r.x, y, r.w, 2}, "This kiosk has no touch panel of its own to calibrate.", style(ink, paper))
		return
	}
	y += p.text(rect{r.x, y, r.w, 3}, "Four crosses come one after the other. Touch the middle of each with a pen or a fingertip. A keyboard's Esc stops.", style(ink, paper))
	p.add(target{id: "calibrate", label: "Start", look: lookPrimary, r: rect{r.x, y + p.gap/2, asideWidth, p.tall}, act: func() unlock.Input {
		f.service = servicePage{tab: tabTouch, cross: 1}
		return unlock.Touched{}
	}})
}

// crosses are touched one after the other; the whole screen is their target, since the panel may be far out.
func (f *Face) crosses(p *page) {
	st := style(ink, paper)
	n := f.service.cross
	x, y := max(p.w/10, 2), max(p.h/8, 1)
	if n == 2 || n == 3 {
		x = p.w - 1 - x
	}
	if n > 2 {
		y = p.h - 1 - y
	}
	p.fill(rect{0, 0, p.w, p.h}, st)
	p.put(x-2, y, "──┼──", st.Bold(true))
	p.put(x, y-1, "│", st)
	p.put(x, y+1, "│", st)
	p.centred(rect{p.x, p.h/2 - 1, p.cw, 1}, "Touch the middle of cross "+strconv.Itoa(n)+" of 4", st.Bold(true))
	p.centred(rect{p.x, p.h / 2, p.cw, 1}, "Esc on a keyboard stops", st)
	p.add(target{id: "cross", look: lookBare, r: rect{0, 0, p.w, p.h}, act: func() unlock.Input {
		rawX, rawY, ok := f.opts.Touch()
		if !ok || f.keys {
			return unlock.Touched{}
		}
		f.service.points[n-1] = TouchPair{
			(float64(x) + 0.5) / float64(p.w), (float64(y) + 0.5) / float64(p.h), rawX, rawY,
		}
		if f.service.cross++; n == len(f.service.points) {
			f.service.cross = 0
			f.do(ActCalibrate{f.service.points})
		}
		return unlock.Touched{}
	}})
	p.escape = func() unlock.Input {
		f.service = servicePage{tab: tabTouch, answer: "Stopped: nothing is changed."}
		return unlock.Touched{}
	}
}

func (f *Face) lightsTab(p *page, r rect) {
	y := r.y + p.text(rect{r.x, r.y, r.w, 1}, "Lights test", style(blue, paper).Bold(true))
	if f.opts.Do == nil {
		p.text(rect{r.x, y + 1, r.w, 2}, "This kiosk has no lights.", style(ink, paper))
		return
	}
	y += p.text(rect{r.x, y, r.w, 2}, "Lamps, buzzer and backlight as in each state. They are the kiosk's again when you leave.", style(ink, paper)) + p.gap/2
	w := r.w / 2
	for i, state := range Lights {
		p.add(target{id: "light " + state, label: state, r: rect{r.x + i%2*w, y + i/2*p.tall, w, p.tall}, act: func() unlock.Input {
			f.service.lit = true
			f.do(ActLights{state})
			return unlock.Touched{}
		}})
	}
}

func (f *Face) toolsTab(p *page, r rect) {
	y := r.y + p.text(rect{r.x, r.y, r.w, 1}, "Tools", style(blue, paper).Bold(true)) + p.gap/2
	if f.opts.Do == nil {
		p.text(rect{r.x, y + 1, r.w, 2}, "There is nothing to do here.", style(ink, paper))
		return
	}
	const w = 22
	for _, tool := range []struct {
		label, what string
		do          Action
	}{
		{"Export diagnostics", "versions, facts, log: no personal data", ActExport{}},
		{"Case looked at", "only after you have looked inside", ActClearCase{}},
	} {
		p.add(target{id: "tool " + tool.label, label: tool.label, r: rect{r.x, y, w, 3}, act: func() unlock.Input {
			f.do(tool.do)
			return unlock.Touched{}
		}})
		p.text(rect{r.x + w + 1, y + p.gap/2, r.w - w - 1, 2}, tool.what, style(ink, paper))
		y += 3 + p.gap
	}
}

// An engineer's one-time code.

// serviceAlphabet is Crockford's base32, so that nothing is mistaken for something else; a code has fifteen of it.
const (
	serviceAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	serviceSymbols  = 15
)

// serviceSymbol is what was meant by a character, 0 if it cannot be in a code.
func serviceSymbol(c rune) rune {
	if c >= 'a' && c <= 'z' {
		c -= 'a' - 'A'
	}
	switch c {
	case 'O':
		c = '0'
	case 'I', 'L':
		c = '1'
	}
	if !strings.ContainsRune(serviceAlphabet, c) {
		return 0
	}
	return c
}

func (f *Face) serviceCode(p *page) {
	if f.view.Reason == unlock.ReasonServiceNone || f.view.Reason == unlock.ReasonServiceLocked {
		s := f.told()
		p.block(rect{0, p.head, p.w, p.tall}, "! "+f.filled(s.head), style(paper, red))
		y := p.head + p.tall + max(p.gap, 1)
		p.text(rect{p.x, y, p.cw, 5}, f.filled(s.body), style(ink, paper))
		f.backRow(p)
		p.first = string(unlock.PressBack)
		return
	}
	p.hear(0, p.bar, f.opts.Kiosk)
	f.heading(p, f.filled(f.say("service-head")), f.say("service-sub"))
	kw, kh, look := p.w/8, 2, lookCell
	if p.roomy() {
		kw, kh, look = p.cw/8, 3, lookKey
	}
	top := p.h - 4*kh - 3 - 2*min(p.gap, 1)
	x := (p.w - 8*kw) / 2
	const narrow = 6 // columns of a key that leaves room for what a telephone reads
	if beside := p.cw - 8*narrow - 2; p.roomy() && f.opts.Kiosk != "" &&
		f.qr(p, rect{p.x + p.cw - beside, top, beside, 4*kh + 2}, f.opts.Kiosk+" "+strconv.Itoa(f.view.ServiceNumber)) {
		kw, x = narrow, p.x
		p.centred(rect{p.x + p.cw - beside, top + 4*kh + 2, beside, 1}, f.say("service-qr"), style(ink, paper))
	}
	f.groups(p, x, max(top-2, p.sub+p.subs), 8*kw)
	for i, c := range serviceAlphabet {
		t := f.typeKey(c)
		t.look, t.r = look, rect{x + i%8*kw, top + i/8*kh, kw, kh}
		p.add(t)
	}
	del := f.deleteKey()
	del.label = f.say("del-wide")
	row := []target{
		{id: string(unlock.PressBack), label: f.say("back"), act: func() unlock.Input { return unlock.Pressed{Button: unlock.PressBack} }},
		f.languageKey(rect{w: p.name}), del, f.okKey(),
	}
	for i, w := range spread(row, 8*kw) {
		row[i].r = rect{x, top + 4*kh, w, 3}
		x += w
		p.add(row[i])
	}
	p.first = "ok"
	p.cancelBy(unlock.PressBack)
}

// groups shows a code's characters in three groups of five.
func (f *Face) groups(p *page, x, y, w int) {
	st := style(ink, pale)
	x += (w - 2*serviceSymbols - 4) / 2
	typed := f.typed.typed()
	for i := range serviceSymbols {
		cx := x + 2*i + i/5*2
		c := '_'
		if i < len(typed) {
			c = rune(typed[i])
		}
		p.fill(rect{cx, y, 2, 1}, st)
		p.canvas.set(cx, y, c, p.canvas.pen(st.Bold(true)))
	}
}
