package ui

import (
	"time"

	"latchkey/firmware/unlock"
)

// The language is the holder's for one walk. Nothing but the face knows it, and the next holder finds the house's first.

// chosenFor is how long a language stands that was chosen before any card was in.
const chosenFor = time.Minute

// say is a message in the language of this walk.
func (f *Face) say(id string) string { return f.words.say(id) }

// help is who helps, in the language of this walk.
func (f *Face) help() string {
	if f.words.tag == Welsh && f.opts.HelpWelsh != "" {
		return f.opts.HelpWelsh
	}
	return f.opts.Help
}

// turn changes to the other language. What has been typed stays.
func (f *Face) turn() unlock.Input {
	if f.words.tag == English {
		f.words = welsh()
	} else {
		f.words = english()
	}
	f.chosen, f.hint = f.now, ""
	return unlock.Touched{}
}

// first is the language that a walk begins in.
func (f *Face) first() *words {
	if f.opts.Language == Welsh {
		return welsh()
	}
	return english()
}

// forget goes back to the first language when the walk has ended, or when nobody came after it was chosen. It tells whether it did.
func (f *Face) forget(next unlock.View, now time.Time) bool {
	over := ended(f.view.Screen) && next.Screen != f.view.Screen && !goesOn(f.view.Screen, next.Screen)
	left := vacant(next.Screen) && !vacant(f.view.Screen)
	late := vacant(next.Screen) && now.Sub(f.chosen) >= chosenFor
	if !over && !left && !late {
		return false
	}
	f.words = f.first()
	return true
}

// vacant screens are those without a walk.
func vacant(s unlock.Screen) bool {
	return s == unlock.ScreenAttract || s == unlock.ScreenOutOfService || s == ""
}

// busy screens are those on which the kiosk is at work.
func busy(s unlock.Screen) bool {
	switch s {
	case unlock.ScreenReading, unlock.ScreenVerifying, unlock.ScreenSending, unlock.ScreenChecking, unlock.ScreenWriting:
		return true
	}
	return false
}

// ended screens are the last of a walk.
func ended(s unlock.Screen) bool {
	return s == unlock.ScreenUnlocked || s == unlock.ScreenStopped || s == unlock.ScreenAway || feedback(s)
}

// feedback screens follow the last screen of a success, for the same holder.
func feedback(s unlock.Screen) bool {
	return s == unlock.ScreenRating || s == unlock.ScreenComment || s == unlock.ScreenContact || s == unlock.ScreenThanks
}

// goesOn tells that the holder of a last screen is still the same.
func goesOn(from, to unlock.Screen) bool {
	return feedback(to) || feedback(from) && to == unlock.ScreenUnlocked
}

const (
	languageWidth = 11 // of its key, with room for the arrows of the focus
	languageSmall = 9  // the name alone
	languageTag   = 6  // the tag alone
)

// language is the key that changes the language: at least 6 cells wide and 3 high, but on the pages of letters.
func (f *Face) language(p *page, r rect) { p.add(f.languageKey(r)) }

func (f *Face) languageKey(r rect) target {
	label := f.say("other-language")
	if r.w < languageSmall {
		label = f.say("other-language-tag")
	}
	return target{id: "language", label: label, r: r, act: f.turn}
}
