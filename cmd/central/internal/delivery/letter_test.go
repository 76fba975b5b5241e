package delivery

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"latchkey/cmd/central/internal/store"
	"latchkey/firmware/secret"
)

func written(t *testing.T, w writer, m store.Message, c Code) letter {
	t.Helper()
	l, err := w.write(m, secret.New([]byte("to")), c)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// every kind of message, in every language and on every channel, is whole: nothing is left of its template, emails have a
// subject and short lines, text messages fit into two segments.
func TestEveryMessageIsWhole(t *testing.T) {
	t.Parallel()
	for _, stop := range []string{"", "unlock.example.nhs.uk/stop"} {
		w := writer{contact: "your Registration Authority (smartcard team)", stop: stop, zone: time.UTC}
		for _, kind := range []store.MessageKind{store.MessageCode, store.MessageContactChanged, store.MessageFrozen} {
			for _, channel := range []string{"email", "mobile"} {
				english := written(t, w, store.Message{Kind: kind, Channel: channel, MadeAt: sentAt, DiesAt: sentAt.Add(15 * time.Minute)}, code())
				for _, language := range []string{"en", "cy"} {
					name := fmt.Sprintf("%s by %s in %s, stop %q", kind, channel, language, stop)
					m := message(channel, language)
					m.Kind = kind
					l := written(t, w, m, code())
					text := string(l.text)
					if strings.ContainsAny(text+l.subject, "\x01\x02{}<>") || strings.Contains(text, "://") || strings.Contains(text, "\n\n\n") {
						t.Errorf("%s: %q", name, text)
					}
					if (language == "en") != (text == string(english.text)) {
						t.Errorf("%s is not in its language:\n%s", name, text)
					}
					first, _, _ := strings.Cut(text, "\n")
					if has := strings.Contains(first, "482913"); has != (kind == store.MessageCode) {
						t.Errorf("%s: the first line is %q", name, first)
					}
					if has := strings.Contains(text, "KMQT-XPRD"); has != (kind == store.MessageCode && stop != "") {
						t.Errorf("%s: the word that freezes:\n%s", name, text)
					}
					if channel == "mobile" {
						if n := smsSegments(0, text); n > segments || l.subject != "" || strings.Contains(text, "\n") {
							t.Errorf("%s has %d segments:\n%s", name, n, text)
						}
						continue
					}
					if l.subject == "" || strings.Contains(l.subject, "\n") || strings.Contains(l.subject, "482913") {
						t.Errorf("%s: the subject is %q", name, l.subject)
					}
					if !strings.Contains(text, w.contact) {
						t.Errorf("%s does not say how to reach the RA:\n%s", name, text)
					}
					for line := range strings.Lines(text) {
						if len([]rune(line)) > 79 {
							t.Errorf("%s: a long line %q", name, line)
						}
					}
				}
			}
		}
	}
}

func TestALongContactIsLeftOutOfATextMessage(t *testing.T) {
	t.Parallel()
	w := writer{contact: strings.Repeat("telephone ", 20), stop: "unlock.example.nhs.uk/stop", zone: time.UTC}
	for _, language := range []string{"en", "cy"} {
		text := string(written(t, w, message("mobile", language), code()).text)
		if strings.Contains(text, "telephone") || smsSegments(0, text) > segments || !strings.HasSuffix(text, "/stop") {
			t.Errorf("%q", text)
		}
	}
}

func TestSegments(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		want int
	}{
		{strings.Repeat("a", 160), 1}, {strings.Repeat("a", 161), 2}, {strings.Repeat("a", 306), 2}, {strings.Repeat("a", 307), 3},
		{strings.Repeat("€", 80), 1}, {strings.Repeat("€", 81), 2}, {strings.Repeat("ŵ", 70), 1}, {strings.Repeat("ŵ", 71), 2},
	} {
		if got := smsSegments(0, c.text); got != c.want {
			t.Errorf("%d letters such as %.2q: %d segments, want %d", len([]rune(c.text)), c.text, got, c.want)
		}
	}
}

func TestTimesAreSpoken(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		language string
		d        time.Duration
		want     string
	}{
		{"en", 15 * time.Minute, "15 minutes"}, {"en", time.Minute, "1 minute"}, {"en", 90 * time.Second, "90 seconds"},
		{"cy", 15 * time.Minute, "15 munud"}, {"cy", 2 * time.Minute, "2 funud"}, {"cy", 90 * time.Second, "90 eiliad"},
	} {
		if got := spoken(c.language, c.d); got != c.want {
			t.Errorf("%v: %q", c.d, got)
		}
	}
	if got := date("cy", sentAt) + ", " + date("", sentAt); got != "2 Mawrth 2026, 2 March 2026" {
		t.Error(got)
	}
}
