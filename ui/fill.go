package ui

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"latchkey/card"
	"latchkey/firmware/unlock"
)

// filled puts the view's facts in place of the braces. Braces that name none stay, and so does what a fact has in it.
func (f *Face) filled(s string) string {
	before, rest, open := strings.Cut(s, "{")
	if !open {
		return s
	}
	var b strings.Builder
	for open {
		b.WriteString(before)
		name, after, closed := strings.Cut(rest, "}")
		if fact, is := f.fact(name); is && closed {
			b.WriteString(fact)
			before, rest, open = strings.Cut(after, "{")
			continue
		}
		b.WriteByte('{')
		before, rest, open = strings.Cut(rest, "{")
	}
	b.WriteString(before)
	return b.String()
}

// fact of the view by the name that messages have for it.
func (f *Face) fact(name string) (fact string, is bool) {
	v := f.view
	switch name {
	case "help":
		return f.help(), true
	case "rules":
		return f.filled(f.rulesOf(v.Rules)), true
	case "min":
		return strconv.Itoa(v.Rules.Min), true
	case "max":
		return strconv.Itoa(v.Rules.Max), true
	case "expired":
		return f.ranOut(), true
	case "back":
		return f.clock(v.ReturnBefore), true
	case "backleft":
		return clockDown(v.ReturnBefore.Sub(f.now)), true
	case "triesleft":
		return f.tries("tries-left-card", v.TriesLeft), true
	case "triesleftshort":
		return f.tries("tries-left", v.TriesLeft), true
	case "beforelock":
		return f.tries("tries-before-lock", v.TriesLeft), true
	case "stilllocked":
		return f.stillLocked(), true
	case "expiring":
		return f.day(v.Expiring), true
	case "series":
		return f.series(v.Series), true
	case "number":
		return strconv.Itoa(v.ServiceNumber), true
	}
	if v.Code == nil {
		return "", false
	}
	switch c := v.Code; name {
	case "address":
		return shorten(c.Masked, addressRoom), true
	case "digits":
		return strconv.Itoa(c.Digits), true
	case "validity":
		return f.words.minutes(c.ExpiresAt.Sub(c.SentAt)), true
	case "sent":
		return f.clock(c.SentAt), true
	case "until":
		return f.clock(c.ExpiresAt), true
	case "left":
		return clockDown(c.ExpiresAt.Sub(f.now)), true
	case "attempts":
		return f.tries("tries-left", c.AttemptsLeft), true
	}
	return "", false
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
