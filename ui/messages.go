package ui

import (
	"embed"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/BurntSushi/toml"
	"github.com/nicksnyder/go-i18n/v2/i18n"
	"golang.org/x/text/language"
)

// Everything that a holder reads stands in the files of messages, and for central's problems in wire.Catalogue. Words in
// braces are filled in by Face.filled.

// Languages of the face, by their BCP 47 tags.
const (
	English = "en"
	Welsh   = "cy"
)

//go:embed messages/*.toml
var messageFiles embed.FS

// words are all messages in one language.
type words struct {
	tag    string
	plain  map[string]string
	counts *i18n.Localizer
}

var (
	english = sync.OnceValue(func() *words { return load(English) })
	welsh   = sync.OnceValue(func() *words { return load(Welsh) })
)

// load reads a file of messages. It panics on one that is not well-formed: it is compiled in.
func load(tag string) *words {
	bundle := i18n.NewBundle(language.English)
	bundle.RegisterUnmarshalFunc("toml", toml.Unmarshal)
	file, err := bundle.LoadMessageFileFS(messageFiles, "messages/"+tag+".toml")
	if err != nil {
		panic("ui: " + err.Error())
	}
	w := &words{tag: tag, plain: map[string]string{}, counts: i18n.NewLocalizer(bundle, tag)}
	for _, m := range file.Messages {
		w.plain[m.ID] = m.Other
	}
	return w
}

// say is a message; "" if there is none.
func (w *words) say(id string) string { return w.plain[id] }

// row is the messages id-1, id-2 and so on.
func (w *words) row(id string) (all []string) {
	for n := 1; w.plain[id+"-"+strconv.Itoa(n)] != ""; n++ {
		all = append(all, w.plain[id+"-"+strconv.Itoa(n)])
	}
	return all
}

// count is a message in the plural form that its language has for n, with n in place of {n}.
func (w *words) count(id string, n int) string {
	s, err := w.counts.Localize(&i18n.LocalizeConfig{MessageID: id, PluralCount: n})
	if err != nil {
		return ""
	}
	return strings.ReplaceAll(s, "{n}", strconv.Itoa(n))
}

// day is a date in words.
func (w *words) day(t time.Time) string {
	return strconv.Itoa(t.Day()) + " " + w.row("month")[t.Month()-1] + " " + strconv.Itoa(t.Year())
}

// minutes is a length of time in words.
func (w *words) minutes(d time.Duration) string {
	return w.count("minutes", int(d.Round(time.Minute)/time.Minute))
}
