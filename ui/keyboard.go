package ui

import (
	"slices"

	"latchkey/card"
	"latchkey/firmware/secret"
	"latchkey/firmware/unlock"
)

// layer is the page of the letter keyboard.
type layer int

const (
	layerLower layer = iota
	layerCapitals
	layerSigns
)

// The rows of each page: at most ten keys across, together every printable ASCII character (space has its own key).
var layers = [...][4]string{
	layerLower:    {"1234567890", "qwertyuiop", "asdfghjkl-", "zxcvbnm,.@"},
	layerCapitals: {"1234567890", "QWERTYUIOP", "ASDFGHJKL_", "ZXCVBNM!?#"},
	layerSigns:    {"!\"#$%&'(", ")*+,-./:", ";<=>?@[\\", "]^_`{|}~"},
}

// accents are what a comment takes beside ASCII: what the console's font has. Those of Welsh, small, have keys, at the ends of
// the rows of signs; a keyboard types all.
const accents = "ÀÁÂÄÈÉÊËÌÍÎÏÒÓÔÖÙÚÛÜŴŶàáâäèéêëìíîïòóôöùúûüŵŷ"

var accentKeys = [4]string{"âê", "îô", "ûŵ", "ŷï"}

// typeKey is a key that types c.
func (f *Face) typeKey(c rune) target {
	return target{id: "key " + string(c), label: string(c), act: func() unlock.Input {
		f.typeRune(c)
		return unlock.Touched{}
	}}
}

func (f *Face) deleteKey() target {
	return target{id: "delete", label: f.say("del"), act: func() unlock.Input {
		f.typed.back()
		f.hint = ""
		return unlock.Touched{}
	}}
}

// okKey submits what was typed. With nothing typed it is a touch, but for a comment and an address.
func (f *Face) okKey() target {
	return target{id: "ok", label: f.say("ok"), look: lookPrimary, act: func() unlock.Input {
		if f.typed.n == 0 && !feedback(f.view.Screen) { // who has nothing to say says so
			return unlock.Touched{}
		}
		f.hint = ""
		switch f.view.Screen {
		case unlock.ScreenCode:
			return unlock.CodeTyped{Code: f.typed.take()}
		case unlock.ScreenServiceCode:
			return unlock.ServiceCodeTyped{Code: f.typed.take()}
		case unlock.ScreenComment:
			return unlock.CommentTyped{Text: f.typed.take()}
		case unlock.ScreenContact:
			return unlock.ContactTyped{Address: f.typed.take()}
		}
		if flaw := f.flaw(); flaw != card.FlawNone { // the machine would say no other
			f.hint = f.filled(f.words.tell(unlock.Reason(flaw), f.view.Errand).note)
			return unlock.Touched{}
		}
		return unlock.PasscodeTyped{Passcode: f.typed.take()}
	}}
}

// flaw of the passcode that is typed.
func (f *Face) flaw() card.Flaw {
	typed := secret.New(append([]byte(nil), f.typed.typed()...))
	defer typed.Wipe()
	return f.view.Rules.Check(typed)
}

// keypad is laid out as on a telephone, in the right part of the body. It returns the column left of it.
func (f *Face) keypad(p *page) int {
	kw, kh := 7, p.tall
	switch {
	case p.cw >= 80:
		kw = 12
	case p.cw >= 70:
		kw = 10
	}
	left := p.x + p.cw - 3*kw
	place := func(t target, column, row int) {
		t.r = rect{left + column*kw, p.body + row*kh, kw, kh}
		p.add(t)
	}
	for n := range 9 {
		place(f.typeKey(rune('1'+n)), n%3, n/3)
	}
	del := f.deleteKey()
	if wide := f.say("del-wide"); width(wide)+2 <= kw {
		del.label = wide
	}
	place(del, 0, 3)
	place(f.typeKey('0'), 1, 3)
	place(f.okKey(), 2, 3)
	p.first = "ok"
	return left
}

// letters is the keyboard for passcodes of any characters, over the whole width.
func (f *Face) letters(p *page, aside unlock.Button, asideLabel string) {
	kw, _, x, _, _ := letterGrid(p)
	field := rect{max(x, p.x), p.body, 10*kw - 20, 1}
	p.fill(field, style(ink, pale))
	f.dots(p, rect{field.x + 1, field.y, field.w - 2, 1}, rect{field.x + field.w + 1, field.y, 18, 1}, pale)
	f.letterKeys(p, aside, asideLabel)
}

// letterGrid is the size of the letters' keys, their look, and where they begin.
func letterGrid(p *page) (kw, kh, x, top int, lk look) {
	kw, kh, lk = p.cw/10, 3, lookKey
	if p.bottom-p.body-1 < 5*kh { // as little as there is: every column of the screen, two rows a key
		kw, kh, lk = p.w/10, 2, lookCell
	}
	return kw, kh, (p.w - 10*kw) / 2, max(p.bottom-4*kh-3-2*p.gap, p.body+1), lk
}

// letterKeys are the keys alone; above them stands what is typed.
func (f *Face) letterKeys(p *page, aside unlock.Button, asideLabel string) {
	const fh = 3
	kw, kh, x, top, lk := letterGrid(p)
	for i, row := range layers[f.layer] {
		if f.layer == layerSigns && f.view.Screen == unlock.ScreenComment {
			row += accentKeys[i]
		}
		keys := []rune(row)
		n := len(keys)
		if i == len(layers[f.layer])-1 && secretive(f.view.Screen) { // the signs have a page of their own
			n = 8
			show := f.showKey(rect{x + n*kw, top + i*kh, 2 * kw, kh})
			show.look = lk
			p.add(show)
		}
		for j := range n {
			t := f.typeKey(keys[j])
			t.look = lk
			t.r = rect{x + j*kw, top + i*kh, kw, kh}
			p.add(t)
		}
	}
	turn := func(id string, to layer, label string) target {
		return target{id: id, label: label, act: func() unlock.Input {
			f.layer = to
			return unlock.Touched{}
		}}
	}
	capitals, signs := turn("capitals", layerCapitals, f.say("capitals")), turn("signs", layerSigns, f.say("signs"))
	if f.layer == layerCapitals {
		capitals = turn("capitals", layerLower, f.say("lower"))
	}
	if f.layer == layerSigns {
		signs = turn("signs", layerLower, f.say("lower"))
	}
	space := f.typeKey(' ')
	space.label = f.say("space")
	del := f.deleteKey()
	del.label = f.say("del-wide")
	ok := f.okKey()
	switch f.view.Screen {
	case unlock.ScreenComment:
		ok.label = f.say("next")
	case unlock.ScreenContact:
		ok.label = f.say("submit")
	}
	cancel := target{id: string(aside), label: asideLabel, act: func() unlock.Input { return unlock.Pressed{Button: aside} }}
	other := f.languageKey(rect{w: p.name})
	if !p.roomy() {
		other = f.languageKey(rect{w: languageTag})
	}
	last := []target{cancel, other, capitals, signs, space, del, ok}
	if f.view.Screen == unlock.ScreenPresent {
		forgotten := target{id: string(unlock.PressForgotten), label: f.say("forgotten"), act: func() unlock.Input {
			return unlock.Pressed{Button: unlock.PressForgotten}
		}}
		if !p.roomy() {
			forgotten.label, last[5].label = f.say("forgot"), f.say("del")
		}
		last = slices.Insert(last, 1, forgotten)
	}
	for i, w := range spread(last, 10*kw) {
		last[i].r = rect{x, top + 4*kh, w, fh}
		x += w
		p.add(last[i])
	}
	p.first = "ok"
}

// spread shares the width of a row among its keys: alike where every label fits so, else each by its label.
func spread(row []target, w int) []int {
	widths, all, widest := make([]int, len(row)), 0, 0
	for _, least := range []int{6, 5} {
		all = 0
		for i, t := range row {
			widths[i] = max(width(t.label)+2, least)
			if t.look == lookPrimary { // it has the focus without being asked
				widths[i] = max(width(t.label)+4, least)
			}
			all += widths[i]
			widest = max(widest, widths[i])
		}
		if all <= w {
			break
		}
	}
	for i := range row {
		from, to := w*i/len(row), w*(i+1)/len(row)
		if widest > w/len(row) {
			from, to = (w-all)*i/len(row), widths[i]+(w-all)*(i+1)/len(row)
		}
		widths[i] = to - from
	}
	return widths
}
