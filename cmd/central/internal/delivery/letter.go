package delivery

import (
	"embed"
	"fmt"
	"strings"
	"text/template"
	"time"

	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/config"
	"latchkey/cmd/central/internal/store"
	"latchkey/firmware/secret"
)

// The words of every message, by kind, channel and language. An email's first line is its subject. A text message is written
// in letters of the GSM alphabet (3GPP TS 23.038 §6.2.1), which has no circumflex: one letter outside it would more than
// halve what fits into a segment.
//
//go:embed templates/*.txt
var templateFiles embed.FS

var templates = template.Must(template.ParseFS(templateFiles, "templates/*.txt"))

// letter is a message as it is handed over.
type letter struct {
	id      string // of the message in the outbox
	to      secret.Value
	subject string // of an email
	text    []byte // lines end in \n; wiped by whoever made the letter
}

// writer knows what stands in every letter.
type writer struct {
	contact string // of the RA
	stop    string // where a word freezes a card; empty: nowhere
	zone    *time.Location
}

func newWriter(c *config.Config) writer {
	w := writer{contact: c.RAContact, zone: c.TimeZone}
	if c.Web.Address != "" {
		// Without its scheme, so that fewer programs make a link of it. Opening it would do nothing: the word has to be typed.
		w.stop = strings.TrimPrefix(c.Web.Address, "https://") + "/stop"
	}
	return w
}

// Secrets are put in after the template was run, which would leave copies of them behind: these stand in their place.
const (
	digitsMark = "\x01"
	wordMark   = "\x02"
)

// segments that a text message has at most, if the RA's contact is what makes it longer.
const segments = 2

// write puts a message into words. The letter's text is the caller's to wipe.
func (w writer) write(m store.Message, to secret.Value, code Code) (letter, error) {
	l := letter{id: m.ID, to: to}
	fields := struct {
		Digits, Word, Stop, Contact, Validity, Until, Date, Time string
	}{
		Digits: digitsMark, Word: wordMark, Stop: w.stop, Contact: w.contact, Validity: spoken(m.Language, m.DiesAt.Sub(m.MadeAt)),
		Until: m.DiesAt.In(w.zone).Format("15:04"), Date: date(m.Language, m.MadeAt.In(w.zone)), Time: m.MadeAt.In(w.zone).Format("15:04"),
	}
	language := "en"
	if m.Language == "cy" {
		language = "cy"
	}
	name := fmt.Sprintf("%s.%s.%s.txt", m.Kind, m.Channel, language)
	fill := func() (string, error) {
		var b strings.Builder
		if err := templates.ExecuteTemplate(&b, name, fields); err != nil {
			return "", fmt.Errorf("write message: %w", err)
		}
		return strings.TrimSuffix(b.String(), "\n"), nil
	}
	text, err := fill()
	if m.Channel == cases.ChannelMobile && smsSegments(code.Digits.Len()+code.Word.Len(), text) > segments {
		fields.Contact = ""
		text, err = fill()
	}
	if err != nil {
		return l, err
	}
	if m.Channel == cases.ChannelEmail {
		l.subject, text, _ = strings.Cut(text, "\n\n")
		text += "\n"
	}
	l.text = make([]byte, 0, len(text)+code.Digits.Len()+code.Word.Len())
	for _, part := range splitMarks(text) {
		switch part {
		case digitsMark:
			l.text = append(l.text, code.Digits.Reveal()...)
		case wordMark:
			l.text = append(l.text, code.Word.Reveal()...)
		default:
			l.text = append(l.text, part...)
		}
	}
	return l, nil
}

// splitMarks cuts a text around the marks, which are parts of their own.
func splitMarks(text string) (parts []string) {
	for text != "" {
		i := strings.IndexAny(text, digitsMark+wordMark)
		switch {
		case i < 0:
			return append(parts, text)
		case i > 0:
			parts = append(parts, text[:i])
		}
		parts = append(parts, text[i:i+1])
		text = text[i+1:]
	}
	return parts
}

// gsm are the letters that count once in a text message (3GPP TS 23.038 §6.2.1).
const gsm = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?" +
	"¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"

// gsmTwice are those that count twice (§6.2.1.1).
const gsmTwice = "^{}\\[~]|€"

// smsSegments is how many a text message needs, with so many more letters than its text has (the secrets', which are in
// the alphabet). A message of one segment has 160 letters, each of several has 153; 70 and 67 where one letter is outside the alphabet.
func smsSegments(more int, text string) int {
	n, once, each := more, 160, 153
	for _, r := range text {
		switch {
		case string(r) == digitsMark, string(r) == wordMark: // counted in more
		case strings.ContainsRune(gsm, r):
			n++
		case strings.ContainsRune(gsmTwice, r):
			n += 2
		default:
			n++
			once, each = 70, 67 // UCS-2
		}
	}
	if n <= once {
		return 1
	}
	return (n + each - 1) / each
}

var months = map[string][]string{
	"en": {"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"},
	"cy": {"Ionawr", "Chwefror", "Mawrth", "Ebrill", "Mai", "Mehefin", "Gorffennaf", "Awst", "Medi", "Hydref", "Tachwedd", "Rhagfyr"},
}

// date is a day as people write it: 2 March 2026.
func date(language string, t time.Time) string {
	names := months[language]
	if names == nil {
		names = months["en"]
	}
	return fmt.Sprintf("%d %s %d", t.Day(), names[t.Month()-1], t.Year())
}

// spoken says a time as people do: in minutes, or in seconds where there is no whole minute.
func spoken(language string, d time.Duration) string {
	minutes, n := true, int(d/time.Minute)
	if d%time.Minute != 0 {
		minutes, n = false, int(d/time.Second)
	}
	if language == "cy" { // a noun stays singular behind a number, and softens behind two
		switch {
		case !minutes:
			return fmt.Sprintf("%d eiliad", n)
		case n == 2:
			return "2 funud"
		}
		return fmt.Sprintf("%d munud", n)
	}
	unit := "second"
	if minutes {
		unit = "minute"
	}
	if n != 1 {
		unit += "s"
	}
	return fmt.Sprintf("%d %s", n, unit)
}
