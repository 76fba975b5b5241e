package ui

import (
	"embed"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
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

// load reads a file of messages: of TOML only tables, and strings of one line, which is quicker than to know all of it. It panics
// on anything else: the file is compiled in.
func load(tag string) *words {
	file, err := messageFiles.ReadFile("messages/" + tag + ".toml")
	if err != nil {
		panic("ui: " + err.Error())
	}
	w := &words{tag: tag, plain: map[string]string{}, counts: map[string]map[string]string{}}
	table := ""
	for line := range strings.Lines(string(file)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if name, is := strings.CutPrefix(line, "["); is {
			table = strings.TrimSuffix(name, "]")
			continue
		}
		key, value, _ := strings.Cut(line, " = ")
		text, err := strconv.Unquote(value) // TOML's escapes are Go's
		if err != nil {
			panic("ui: messages/" + tag + ".toml: " + line + ": want a name, and a text in quotes")
		}
		w.add(table, key, text)
	}
	return w
}

// add takes one text. In a table of plural forms it is one of its message's.
func (w *words) add(table, key, text string) {
	switch {
	case table == "":
		w.plain[key] = text
	case !slices.Contains(forms[:], key):
		w.plain[table+"."+key] = text
	default:
		if w.counts[table] == nil {
			w.counts[table] = map[string]string{}
		}
		w.counts[table][key] = text
		if key == "other" {
			w.plain[table] = text
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
