package ui

import (
	"embed"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/BurntSushi/toml"
	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
)

// Everything that a holder reads stands in the files of messages, and for central's problems in wire.Catalogue. Words in
// braces are filled in by Face.filled.
//
// The files are go-i18n's, for its tools and for translators who know it, and the tests hold what is read here against that
// library. The kiosk itself does without it: it brings text/template along, for which the linker keeps every exported method,
// 2.3 MB of a kiosk's memory.

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
	counts map[string]map[plural.Form]string
}

var (
	english = sync.OnceValue(func() *words { return load(English) })
	welsh   = sync.OnceValue(func() *words { return load(Welsh) })
)

// forms of a message with a number, as CLDR names them (UTS #35 part 3, "Language Plural Rules").
var forms = map[string]plural.Form{
	"zero": plural.Zero, "one": plural.One, "two": plural.Two, "few": plural.Few, "many": plural.Many, "other": plural.Other,
}

// load reads a file of messages. It panics on one that is not well-formed: it is compiled in.
func load(tag string) *words {
	var file map[string]any
	if _, err := toml.DecodeFS(messageFiles, "messages/"+tag+".toml", &file); err != nil {
		panic("ui: " + err.Error())
	}
	w := &words{tag: tag, plain: map[string]string{}, counts: map[string]map[plural.Form]string{}}
	w.read("", file)
	return w
}

// read takes a table's messages, which have its name in front of theirs. A table of plural forms is a message itself.
func (w *words) read(name string, table map[string]any) {
	if name != "" {
		counts := map[plural.Form]string{}
		for form, f := range forms {
			if s, is := table[form].(string); is {
				counts[f] = s
			}
		}
		if len(counts) > 0 {
			w.counts[name], w.plain[name] = counts, counts[plural.Other]
			return
		}
		name += "."
	}
	for key, value := range table {
		switch value := value.(type) {
		case string:
			w.plain[name+key] = value
		case map[string]any:
			w.read(name+key, value)
		default:
			panic("ui: messages/" + w.tag + ".toml: " + name + key + " is no text")
		}
	}
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
	counts := w.counts[id]
	s, is := counts[plural.Cardinal.MatchPlural(language.Make(w.tag), n, 0, 0, 0, 0)]
	if !is {
		s = counts[plural.Other]
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
