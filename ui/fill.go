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
	s = strings.ReplaceAll(s, "{rules}", rulesOf(v.Rules))
	pairs := []string{
		"{help}", f.opts.Help,
		"{min}", strconv.Itoa(v.Rules.Min), "{max}", strconv.Itoa(v.Rules.Max),
		"{expired}", f.ranOut(),
		"{back}", f.clock(v.ReturnBefore), "{backleft}", clockDown(v.ReturnBefore.Sub(f.now)),
		"{triesleft}", triesLeft(v.TriesLeft, english.oneTryCard, english.triesCard),
		"{triesleftshort}", triesLeft(v.TriesLeft, english.oneTry, english.tries),
		"{beforelock}", triesLeft(v.TriesLeft, english.oneBeforeLock, english.beforeLock),
		"{stilllocked}", f.stillLocked(),
		"{expiring}", f.day(v.Expiring),
		"{series}", series(v.Series),
	}
	if c := v.Code; c != nil {
		pairs = append(pairs,
			"{address}", shorten(c.Masked, addressRoom),
			"{digits}", strconv.Itoa(c.Digits),
			"{validity}", minutes(c.ExpiresAt.Sub(c.SentAt)),
			"{sent}", f.clock(c.SentAt), "{until}", f.clock(c.ExpiresAt),
			"{left}", clockDown(c.ExpiresAt.Sub(f.now)),
			"{attempts}", triesLeft(c.AttemptsLeft, english.oneTry, english.tries))
	}
	return strings.NewReplacer(pairs...).Replace(s)
}

// addressRoom is how many columns an address has within a sentence, so that the sentence fits into its lines.
const addressRoom = 22

// rulesOf is the sentence for a card's rules.
func rulesOf(r card.Rules) string {
	switch {
	case r.DigitsOnly && r.Min <= 1: // of a present passcode, which may be older than today's rules
		return english.rulesMost
	case r.Min <= 1:
		return english.rulesMostA
	case r.DigitsOnly && r.Min == r.Max:
		return english.rulesOne
	case r.DigitsOnly:
		return english.rulesDigits
	case r.Min == r.Max:
		return english.rulesOneA
	}
	return english.rulesAny
}

func triesLeft(n int, one, many string) string {
	switch {
	case n <= 0:
		return ""
	case n == 1:
		return one
	}
	return strings.ReplaceAll(many, "{tries}", strconv.Itoa(n))
}

func (f *Face) ranOut() string {
	if f.view.Expired.IsZero() {
		return english.ranOut
	}
	return strings.ReplaceAll(english.ranOutOn, "{day}", f.day(f.view.Expired))
}

// stillLocked is said only of a card that came in locked.
func (f *Face) stillLocked() string {
	if f.view.Errand == unlock.ErrandUnlock {
		return english.stillLocked
	}
	return ""
}

// series is what a withdrawn card is, with its article.
func series(name string) string {
	if name == "" {
		return english.withdrawn
	}
	return withArticle(shorten(name, 80))
}

func (f *Face) day(t time.Time) string { return t.In(f.opts.Zone).Format("2 January 2006") }

func (f *Face) clock(t time.Time) string { return t.In(f.opts.Zone).Format("15:04") }

// clockDown is a remaining time as m:ss, never less than what remains.
func clockDown(d time.Duration) string {
	s := int(max(d+time.Second-1, 0) / time.Second)
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}

func minutes(d time.Duration) string {
	if m := int(d.Round(time.Minute) / time.Minute); m != 1 {
		return strconv.Itoa(m) + " minutes"
	}
	return "1 minute"
}
