package ui

import (
	"embed"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/BurntSushi/toml"
)

// Everything that a holder reads stands in the files of messages, and for central's problems in wire.Catalogue. Words in
// braces are filled in by Face.filled.
//
// The files are go-i18n's, for its tools and for translators who know it, and the tests hold what is read here against that
// library. The kiosk itself does without it: it brings golang.org/x/text along, and text/template, for which the linker keeps
// every exported method, 2.5 MB of a kiosk's memory.

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
	counts map[string]map[string]string // by plural form
}

var (
	english = sync.OnceValue(func() *words { return load(English) })
	welsh   = sync.OnceValue(func() *words { return load(Welsh) })
)

// forms of a message with a number, as CLDR names them.
var forms = [...]string{"zero", "one", "two", "few", "many", "other"}

// form is the one that a language has for n (UTS #35 part 3, "Language Plural Rules", and CLDR's plurals.xml).
func form(tag string, n int) string {
	if tag == Welsh {
		switch n {
		case 0:
			return "zero"
		case 2:
			return "two"
		case 3:
			return "few"
		case 6:
			return "many"
		}
	}
	if n == 1 {
		return "one"
	}
	return "other"
}

// load reads a file of messages. It panics on one that is not well-formed: it is compiled in.
func load(tag string) *words {
	var file map[string]any
	if _, err := toml.DecodeFS(messageFiles, "messages/"+tag+".toml", &file); err != nil {
		panic("ui: " + err.Error())
	}
	w := &words{tag: tag, plain: map[string]string{}, counts: map[string]map[string]string{}}
	w.read("", file)
	return w
}

// read takes a table's messages, which have its name in front of theirs. A table of plural forms is a message itself.
func (w *words) read(name string, table map[string]any) {
	if name != "" {
		counts := map[string]string{}
		for _, form := range forms {
			if s, is := table[form].(string); is {
				counts[form] = s
			}
		}
		if len(counts) > 0 {
			w.counts[name], w.plain[name] = counts, counts["other"]
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
	s, is := w.counts[id][form(w.tag, n)]
	if !is {
		s = w.counts[id]["other"]
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
