package ui

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"latchkey/card"
	"latchkey/firmware/unlock"
)

// filled puts the view's facts in place of the braces.
func (f *Face) filled(s string) string {
	if !strings.Contains(s, "{") {
		return s
	}
	v := f.view
	s = strings.ReplaceAll(s, "{rules}", f.rulesOf(v.Rules))
	pairs := []string{
		"{help}", f.help(),
		"{min}", strconv.Itoa(v.Rules.Min), "{max}", strconv.Itoa(v.Rules.Max),
		"{expired}", f.ranOut(),
		"{back}", f.clock(v.ReturnBefore), "{backleft}", clockDown(v.ReturnBefore.Sub(f.now)),
		"{triesleft}", f.tries("tries-left-card", v.TriesLeft),
		"{triesleftshort}", f.tries("tries-left", v.TriesLeft),
		"{beforelock}", f.tries("tries-before-lock", v.TriesLeft),
		"{stilllocked}", f.stillLocked(),
		"{expiring}", f.day(v.Expiring),
		"{series}", f.series(v.Series),
		"{number}", strconv.Itoa(v.ServiceNumber),
	}
	if c := v.Code; c != nil {
		pairs = append(pairs,
			"{address}", shorten(c.Masked, addressRoom),
			"{digits}", strconv.Itoa(c.Digits),
			"{validity}", f.words.minutes(c.ExpiresAt.Sub(c.SentAt)),
			"{sent}", f.clock(c.SentAt), "{until}", f.clock(c.ExpiresAt),
			"{left}", clockDown(c.ExpiresAt.Sub(f.now)),
			"{attempts}", f.tries("tries-left", c.AttemptsLeft))
	}
	return strings.NewReplacer(pairs...).Replace(s)
}

// addressRoom is how many columns an address has within a sentence, so that the sentence fits into its lines.
const addressRoom = 22

// rulesOf is the sentence for a card's rules.
func (f *Face) rulesOf(r card.Rules) string {
	switch {
	case r.DigitsOnly && r.Min <= 1: // of a present passcode, which may be older than today's rules
		return f.say("rules-most")
	case r.Min <= 1:
		return f.say("rules-most-a")
	case r.DigitsOnly && r.Min == r.Max:
		return f.say("rules-one")
	case r.DigitsOnly:
		return f.say("rules-digits")
	case r.Min == r.Max:
		return f.say("rules-one-a")
	}
	return f.say("rules-any")
}

// tries is a message about how many are left; "" if there are none, or nobody knows.
func (f *Face) tries(id string, n int) string {
	if n <= 0 {
		return ""
	}
	return f.words.count(id, n)
}

func (f *Face) ranOut() string {
	if f.view.Expired.IsZero() {
		return f.say("ran-out")
	}
	return strings.ReplaceAll(f.say("ran-out-on"), "{day}", f.day(f.view.Expired))
}

// stillLocked is said only of a card that came in locked.
func (f *Face) stillLocked() string {
	if f.view.Errand == unlock.ErrandUnlock {
		return f.say("still-locked")
	}
	return ""
}

// series is what a withdrawn card is; in English with its article.
func (f *Face) series(name string) string {
	if name == "" {
		return f.say("withdrawn")
	}
	if f.words.tag == English {
		return withArticle(shorten(name, 80))
	}
	return shorten(name, 80)
}

func (f *Face) day(t time.Time) string { return f.words.day(t.In(f.opts.Zone)) }

func (f *Face) clock(t time.Time) string {
	if f.speaking { // no length of time
		return t.In(f.opts.Zone).Format("15 04")
	}
	return t.In(f.opts.Zone).Format("15:04")
}

// clockDown is a remaining time as m:ss, never less than what remains.
func clockDown(d time.Duration) string {
	s := int(max(d+time.Second-1, 0) / time.Second)
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}
