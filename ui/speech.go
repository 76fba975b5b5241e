package ui

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"latchkey/firmware/unlock"
)

// Speech is made of what a large screen would show, in the order in which it is read, so that no screen is without it. Of a
// passcode nothing is ever said but how long it is. Where one is typed, the keys are named only into headphones: a room
// that hears which of them has the focus hears the passcode.

// heard is one text of a page.
type heard struct {
	x, y int
	s    string
}

// spokenState is what the holder has been told last.
type spokenState struct {
	screen          unlock.Screen
	reason          unlock.Reason
	reference, tag  string
	cardIn, up      bool
	helping, warned bool
	sent            time.Time
	focus, hint     string
	typed           int
}

// Headphones tells that headphones were put in or taken out. The kiosk speaks into them at once, and falls silent without them.
func (f *Face) Headphones(in bool, now time.Time) {
	was := f.headphones
	f.now, f.headphones = now, in
	if f.opts.Say == nil || was == in || f.aloud == in {
		return
	}
	f.turnAloud()
	f.draw()
	f.voice()
}

// turnAloud begins to read the screens out, or ends it.
func (f *Face) turnAloud() unlock.Input {
	if f.opts.Say == nil {
		return unlock.Touched{}
	}
	if f.aloud {
		f.hush()
	}
	f.aloud, f.chosen, f.said = !f.aloud, f.now, spokenState{}
	return unlock.Touched{}
}

// hush cuts off what is being said.
func (f *Face) hush() { f.opts.Say("", f.words.tag, true) }

// voice says what is new since it spoke last. It is called when the page is drawn.
func (f *Face) voice() {
	if !f.aloud || f.opts.Say == nil {
		return
	}
	v, was := f.view, f.said
	is := spokenState{
		screen: v.Screen, reason: v.Reason, reference: v.Reference, tag: f.words.tag, cardIn: v.CardIn, up: v.CentralUp,
		helping: f.helping, warned: f.warned(), hint: f.hint, typed: f.typed.count(),
	}
	if v.Code != nil {
		is.sent = v.Code.SentAt
	}
	target := f.focused()
	if f.keys && target != nil {
		is.focus = target.id
	}
	f.said = is
	place := func(s spokenState) spokenState {
		s.focus, s.hint, s.typed, s.warned = "", "", 0, false
		return s
	}
	text := ""
	switch {
	case place(is) != place(was), is.warned && !was.warned:
		text = f.Spoken()
	case is.hint != was.hint && is.hint != "":
		text = f.spokenText(is.hint)
	case is.typed > was.typed:
		text = f.echo()
	case is.typed < was.typed:
		text = strings.ReplaceAll(f.say("spoken-deleted"), "{n}", strconv.Itoa(is.typed))
	case is.focus != was.focus && is.focus != "":
		text = f.spokenTarget(*target)
	}
	if text != "" {
		f.opts.Say(text, f.words.tag, true)
	}
}

// echo is the character that was typed last; of a passcode only which one it is.
func (f *Face) echo() string {
	typed := f.typed.typed()
	if secretive(f.view.Screen) {
		return strings.ReplaceAll(f.say("spoken-character"), "{n}", strconv.Itoa(len(typed)))
	}
	last, _ := utf8.DecodeLastRune(typed)
	return f.spokenCharacter(last)
}

// Spoken is the whole screen in words: the step, what there is to know and to do, how many choices there are, and the focus.
func (f *Face) Spoken() string {
	p := newPage(&canvas{w: 2 * minWidth, h: 2 * minHeight})
	p.canvas, p.listens = &canvas{}, true
	f.speaking = true
	if f.helping {
		f.helpPage(p)
	} else {
		f.build(p)
	}
	f.speaking = false
	var parts []string
	add := func(s string) {
		if s = f.spokenText(s); s == "" {
			return
		}
		if last := s[len(s)-1]; last != '.' && last != '?' && last != ':' {
			s += "."
		}
		parts = append(parts, s)
	}
	if f.warned() {
		add(f.say("still"))
		add(strings.ReplaceAll(f.say("ends-in"), "{ends}", clockDown(f.view.EndsAt.Sub(f.now))))
		add(f.say("more-time"))
	}
	if step, names, _, done := f.steps(); step > len(names) {
		add(done)
	} else if step > 0 {
		add(f.say("spoken-step") + " " + names[step-1])
	}
	slices.SortStableFunc(p.heard, func(a, b heard) int { return cmp.Or(cmp.Compare(a.y, b.y), cmp.Compare(a.x, b.x)) })
	for _, h := range p.heard {
		if h.y >= p.bar {
			add(h.s)
		}
	}
	if typed := f.typed.typed(); !f.helping && !secretive(f.view.Screen) && len(typed) > 0 {
		add(f.say("spoken-typed") + " " + f.spell(string(typed)))
	}
	if busy(f.view.Screen) && !f.helping { // there is nothing to choose for the moment
		return strings.Join(parts, " ")
	}
	var choices []string
	for _, t := range p.targets {
		if !strings.HasPrefix(t.id, "key ") {
			choices = append(choices, f.spokenTarget(t))
		}
	}
	if len(choices) > 0 {
		add(f.words.count("spoken-choices", len(choices)) + ": " + strings.Join(choices, ", "))
	}
	if len(choices) < len(p.targets) {
		add(f.say("spoken-keys"))
	}
	if t := f.focused(); f.keys && t != nil {
		if there := p.find(t.id); there != nil { // its longer name
			t = there
		}
		add(f.say("spoken-focus") + " " + f.spokenTarget(*t))
	}
	return strings.Join(parts, " ")
}

// spokenTarget is the name of a target.
func (f *Face) spokenTarget(t target) string {
	if c, is := strings.CutPrefix(t.id, "key "); is {
		if secretive(f.view.Screen) && !f.headphones {
			return f.say("spoken-private")
		}
		r, _ := utf8.DecodeRuneInString(c)
		return f.spokenCharacter(r)
	}
	switch t.label {
	case f.say("capitals"):
		return f.say("spoken-capitals")
	case f.say("lower"):
		return f.say("spoken-lower")
	case f.say("signs"):
		return f.say("spoken-signs")
	case f.say("del"):
		return f.say("del-wide")
	case f.say("other-language-tag"):
		return f.say("other-language")
	}
	return f.spokenText(t.label)
}

// spokenCharacter is the name of a character.
func (f *Face) spokenCharacter(c rune) string {
	switch {
	case unicode.IsUpper(c):
		return strings.ReplaceAll(f.say("spoken-capital"), "{c}", string(c))
	case unicode.IsLower(c), c >= '0' && c <= '9':
		return string(c)
	case c == ' ':
		return f.say("space")
	}
	// The punctuation of ASCII without its letters and digits.
	n := int(c) - '!'
	for _, gap := range [...][2]rune{{'0', '9'}, {'A', 'Z'}, {'a', 'z'}} {
		if c > gap[1] {
			n -= int(gap[1]-gap[0]) + 1
		}
	}
	if all := f.words.row("symbol"); n >= 0 && n < len(all) {
		return all[n]
	}
	return ""
}

// spell names characters one by one. The capitals of a code are all that it has, and are not called so.
func (f *Face) spell(s string) string {
	var all []string
	for _, c := range s {
		if name := f.spokenCharacter(c); f.view.Screen == unlock.ScreenServiceCode {
			all = append(all, string(c))
		} else {
			all = append(all, name)
		}
	}
	return strings.Join(all, ", ")
}

var (
	spokenMask     = regexp.MustCompile(`[•…]+ ?([0-9]*)`)
	spokenDuration = regexp.MustCompile(`([0-9]+):([0-9][0-9])`)
	spokenGroups   = regexp.MustCompile(`\b[0-9a-f]{4} [0-9a-f]{4}\b`)
)

// spokenText is a text of the screen without what only eyes understand.
func (f *Face) spokenText(s string) string {
	s = spokenMask.ReplaceAllStringFunc(s, func(m string) string {
		digits := strings.TrimLeft(m, "•… ")
		if digits != "" {
			digits = " " + f.spell(digits)
		}
		return " " + f.say("spoken-hidden") + digits + " "
	})
	if reference := f.view.Reference; reference != "" {
		s = spokenGroups.ReplaceAllStringFunc(s, func(m string) string {
			if joined := strings.ReplaceAll(m, " ", ""); joined == reference {
				return f.spell(joined)
			}
			return m
		})
	}
	s = spokenDuration.ReplaceAllStringFunc(s, func(m string) string {
		minutes, seconds, _ := strings.Cut(m, ":")
		long, _ := strconv.Atoi(minutes)
		short, _ := strconv.Atoi(seconds)
		var parts []string
		if long > 0 {
			parts = append(parts, f.words.count("minutes", long))
		}
		if short > 0 || long == 0 {
			parts = append(parts, f.words.count("seconds", short))
		}
		return strings.Join(parts, " ")
	})
	s = strings.ReplaceAll(s, "@", " "+f.say("spoken-at")+" ")
	for _, sign := range "%&+=#_" {
		if strings.ContainsRune(s, sign) {
			s = strings.ReplaceAll(s, string(sign), " "+f.spokenCharacter(sign)+" ")
		}
	}
	s = strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune(" .,:;?'’()-/", r) {
			return r
		}
		return ' '
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if !strings.ContainsFunc(s, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }) {
		return ""
	}
	return strings.ReplaceAll(s, " .", ".")
}
