package ui

import (
	"strings"

	"latchkey/firmware/unlock"
)

// What differs with what the holder came for, and the question what that is.

// forErrand chooses the words for the errand. A locked card is unlocked without being asked.
func (f *Face) forErrand(unlocking, change, forgotten string) string {
	switch f.view.Errand {
	case unlock.ErrandChange:
		return f.filled(change)
	case unlock.ErrandForgotten:
		return f.filled(forgotten)
	}
	return f.filled(unlocking)
}

// told is the story of the view's reason.
func (f *Face) told() story { return f.words.tell(f.view.Reason, f.view.Errand) }

// steps of an errand, in long and short names, and the one that is under way: 0 is none yet, and one more than there are
// is done.
func (f *Face) steps() (step int, names, short []string, done string) {
	names, short, done = f.words.row("steps"), f.words.row("steps-short"), f.say("steps-done")
	change := f.view.Errand == unlock.ErrandChange
	if change {
		names, short, done = f.words.row("change-steps"), f.words.row("change-short"), f.say("change-done")
	}
	switch f.view.Screen {
	case unlock.ScreenReading:
		if f.view.Errand != "" {
			step = 1
		}
	case unlock.ScreenPresent, unlock.ScreenVerifying, unlock.ScreenConsent:
		step = 1
	case unlock.ScreenChannel, unlock.ScreenSending, unlock.ScreenCode, unlock.ScreenChecking, unlock.ScreenAway:
		step = 2
	case unlock.ScreenPasscode, unlock.ScreenRepeat, unlock.ScreenWriting:
		step = len(names)
	case unlock.ScreenUnlocked:
		step = len(names) + 1
	}
	return step, names, short, done
}

// errand asks the holder of a card that is not locked.
func (f *Face) errand(p *page) {
	sub := f.tries("tries-left-card", f.view.TriesLeft)
	if f.view.TriesLeft == 1 && !f.view.CanChange {
		sub = f.say("errand-last")
	}
	head := f.say("errand-head")
	if f.view.TriesLeft < 0 { // some makers' modules do not tell
		head = f.say("errand-untold")
	}
	f.heading(p, head, sub)
	y, bh := p.body, p.tall
	if n := f.expiring(p, y); n > 0 {
		y += n + p.gap/2
	}
	if !p.roomy() { // the buttons stand at the bottom
		y = p.h - 2*bh - 1
		if f.view.CanChange {
			y -= bh
		}
	}
	y += p.text(rect{p.x, y, p.cw, 1}, f.say("errand-ask"), style(ink, paper).Bold(true))
	choice := func(b unlock.Button, label string) {
		if p.first == "" {
			p.first = string(b)
		}
		p.button(rect{p.x, y, p.cw, bh}, b, label, lookPrimary)
		y += bh
	}
	if f.view.CanChange {
		choice(unlock.PressChange, f.say("change"))
	}
	choice(unlock.PressForgotten, f.say("forgotten"))
	p.button(rect{p.x, y, asideWidth, bh}, unlock.PressCancel, f.say("cancel"), lookKey)
	f.language(p, rect{p.x + asideWidth + 1, y, languageWidth, bh})
	p.cancelBy(unlock.PressCancel)
}

// expiring warns that the card's certificates run out soon, and returns the rows that this took.
func (f *Face) expiring(p *page, y int) int {
	if f.view.Expiring.IsZero() {
		return 0
	}
	say := f.say("expiring")
	if !p.roomy() || p.cw < 60 {
		say = f.say("expiring-short")
	}
	return p.text(rect{p.x, y, p.cw, 2}, f.filled(say), style(ink, paper).Bold(true))
}

// withArticle puts "a" or "an" before what people call a card: "an NHS smartcard", "a PIV card". A word in capitals is
// taken to be spelt out.
func withArticle(name string) string {
	first, _, _ := strings.Cut(name, " ")
	vowels := "AEIOUaeiou"
	if len(first) > 1 && first == strings.ToUpper(first) {
		vowels = "AEFHILMNORSX"
	}
	if name == "" || !strings.ContainsRune(vowels, rune(name[0])) || strings.HasPrefix(strings.ToLower(first), "uni") {
		return "a " + name
	}
	return "an " + name
}
