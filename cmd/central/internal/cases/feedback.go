package cases

import (
	"regexp"
	"time"
	"unicode"
	"unicode/utf8"

	"latchkey/firmware/wire"
)

// FeedbackAnHour is how much feedback one kiosk may bring in an hour: more walks than that no kiosk has.
const FeedbackAnHour = 60

// Limits of kiosk.yaml.
const (
	maxComment = 300 // characters
	maxContact = 254 // bytes, RFC 5321 §4.5.3.1.3 without the angle brackets
)

var (
	feedbackID = regexp.MustCompile(`^[0-9a-f]{32}$`)
	anAddress  = regexp.MustCompile(`^[!-?A-~]+@[!-?A-~]+$`)
)

// CheckFeedback holds feedback against kiosk.yaml. Its texts can be printed, so that they do nothing to whoever reads them.
func CheckFeedback(f *wire.Feedback) error {
	comment, contact := f.Comment.Reveal(), f.Contact.Reveal()
	switch {
	case !feedbackID.MatchString(f.Id), f.Stars < 1, f.Stars > 5,
		utf8.RuneCount(comment) > maxComment, !printable(comment),
		len(contact) > maxContact, len(contact) > 0 && !anAddress.Match(contact):
		return Refuse(wire.CodeMalformed)
	}
	return nil
}

func printable(b []byte) bool {
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n < 2 || !unicode.IsPrint(r) {
			return false
		}
		b = b[n:]
	}
	return true
}

// FeedbackSince is the first moment whose feedback is still kept.
func FeedbackSince(p Policy, now time.Time) time.Time { return now.AddDate(0, 0, -p.FeedbackDays) }
