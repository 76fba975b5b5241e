package api

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/text/language"

	"latchkey/cmd/central/internal/store"
	"latchkey/firmware/secret"
	"latchkey/firmware/wire"
)

// The pages for people, in English and Welsh: GET /unlock, the short address, and /stop, where the word of a message freezes a
// card. They need no script, load nothing from elsewhere and repeat nothing of what they were asked. No page acts by being
// opened: mail scanners open every link.

//go:embed web
var webFiles embed.FS

// pageTexts are what all pages share.
type pageTexts struct {
	Service, Skip, Language, Contact, Error string
	Unlock, Stop, Frozen, Missing           string // titles
}

var pageLanguages = map[string]pageTexts{
	"en": {
		Service: "Smartcard Unlock", Skip: "Skip to the main content", Language: "Language", Contact: "Your Registration Authority", Error: "Error:",
		Unlock: "Unlock your smartcard", Stop: "Was this not you?", Frozen: "Your smartcard is frozen", Missing: "There is no such page",
	},
	"cy": {
		Service: "Datgloi Cerdyn Clyfar", Skip: "Neidio i’r prif gynnwys", Language: "Iaith", Contact: "Eich Awdurdod Cofrestru", Error: "Gwall:",
		Unlock: "Datgloi eich cerdyn clyfar", Stop: "Nid chi oedd yno?", Frozen: "Mae eich cerdyn clyfar wedi’i rewi", Missing: "Nid oes tudalen o’r fath",
	},
}

var pageTemplates = func() map[string]*template.Template {
	fixers := map[wire.Fixer]string{
		wire.FixHolder: "The holder", wire.FixRA: "The Registration Authority", wire.FixEngineer: "IT support", wire.FixWait: "Time",
	}
	all := map[string]*template.Template{}
	for lang := range pageLanguages {
		for _, name := range []string{"unlock", "stop", "missing"} {
			t := template.New("layout.html").Funcs(template.FuncMap{
				"fixer": func(f wire.Fixer) string { return fixers[f] },
				"set":   typeset,
			})
			file := name + "." + lang + ".html"
			all[file] = template.Must(t.ParseFS(webFiles, "web/layout.html", "web/"+file))
		}
	}
	return all
}()

// typeset words of the catalogue, which have the kiosk's apostrophe.
func typeset(s string) string { return strings.ReplaceAll(s, "'", "’") }

var pageLanguage = language.NewMatcher([]language.Tag{language.English, language.MustParse("cy")}) // the first is the default

// languageOf a request is what it asks for by name, else what its browser prefers: "en" or "cy".
func languageOf(r *http.Request) string {
	switch lang := r.URL.Query().Get("lang"); lang {
	case "en", "cy":
		return lang
	}
	tag, _ := language.MatchStrings(pageLanguage, r.Header.Get("Accept-Language"))
	if base, _ := tag.Base(); base.String() == "cy" {
		return "cy"
	}
	return "en"
}

// page is what a template is given.
type page struct {
	Lang, Path, Title, Contact string
	T                          pageTexts

	Sites     []string       // GET /unlock
	Groups    []problemGroup // the same
	Nationals []wire.National

	Outcome stopOutcome // of POST /stop
	Error   bool
}

// problemGroup is the problems that one puts right.
type problemGroup struct {
	Fixer   wire.Fixer
	Entries []wire.Entry
}

var problemGroups = func() (groups []problemGroup) {
	for _, f := range []wire.Fixer{wire.FixHolder, wire.FixWait, wire.FixRA, wire.FixEngineer} {
		g := problemGroup{Fixer: f}
		for _, e := range wire.Catalogue {
			if e.Fixer == f {
				g.Entries = append(g.Entries, e)
			}
		}
		groups = append(groups, g)
	}
	return groups
}()

// pages serves people.
type pages struct {
	s      *Server
	freeze func(ctx context.Context, word secret.Value, address string) error // Server.Freeze

	mu    sync.Mutex // held while the database is asked, so that it is asked once
	sites []string
	askAt time.Time // when sites are asked for again
}

// sitesFor is how long the list of sites is shown without asking the database: strangers do not make work for it.
const sitesFor = time.Minute

func (p *pages) mount(mux *http.ServeMux) {
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/unlock", http.StatusFound) })
	mux.HandleFunc("GET /unlock", p.unlock)
	// The retired service's address, which workstations still have as a favourite or in the Identity Agent.
	for _, retired := range []string{"/selfservicewebapp/unlockCardStart", "/selfservicewebapp/unlockCardStart/{$}"} {
		mux.HandleFunc("GET "+retired, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/unlock", http.StatusMovedPermanently)
		})
	}
	mux.HandleFunc("GET /stop", func(w http.ResponseWriter, r *http.Request) { p.stop(w, r, http.StatusOK, "") })
	mux.Handle("POST /stop", p.sameSite(http.HandlerFunc(p.typed)))
	mux.HandleFunc("GET /web/style.css", asset("style.css", "text/css; charset=utf-8"))
	mux.HandleFunc("GET /web/icon.svg", asset("icon.svg", "image/svg+xml"))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		p.show(w, r, http.StatusNotFound, "missing", page{Path: "/unlock", Title: pageLanguages[languageOf(r)].Missing})
	})
}

func asset(name, kind string) http.HandlerFunc {
	b, err := webFiles.ReadFile("web/" + name)
	if err != nil {
		panic(err) // it is embedded
	}
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Cache-Control", "public, max-age=3600")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
	}
}

// show answers with a page.
func (p *pages) show(w http.ResponseWriter, r *http.Request, status int, name string, pg page) {
	pg.Lang = languageOf(r)
	pg.T, pg.Contact = pageLanguages[pg.Lang], p.s.Contact
	var b bytes.Buffer
	if err := pageTemplates[name+"."+pg.Lang+".html"].Execute(&b, pg); err != nil {
		panic(fmt.Errorf("page %s: %w", name, err)) // of a template that no test has seen
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", pg.Lang)
	h.Set("Vary", "Accept-Language")
	w.WriteHeader(status)
	w.Write(b.Bytes())
}

func (p *pages) unlock(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "public, max-age=60")
	p.show(w, r, http.StatusOK, "unlock", page{
		Path: "/unlock", Title: pageLanguages[languageOf(r)].Unlock,
		Sites: p.whereKiosksAre(r.Context()), Groups: problemGroups, Nationals: wire.Nationals,
	})
}

// whereKiosksAre is the sites of the kiosks that are served, by name; a kiosk without a site is not told of. Whether one
// answers at this moment is not known here.
func (p *pages) whereKiosksAre(ctx context.Context) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.s.Now()
	if now.Before(p.askAt) {
		return p.sites
	}
	p.askAt = now.Add(sitesFor)
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second) // whoever asks, all are told
	defer stop()
	var sites []string
	err := p.s.Store.View(ctx, func(tx *store.Tx) error {
		kiosks, err := tx.Kiosks()
		sites = nil
		for _, k := range kiosks {
			if k.Site != "" && k.State == store.KioskActive && k.QuarantinedAt == 0 {
				sites = append(sites, k.Site)
			}
		}
		return err
	})
	if err != nil { // the rest of the page is worth having
		p.s.Log.Error("sites of kiosks", "err", err)
		return p.sites
	}
	slices.Sort(sites)
	p.sites = slices.Compact(sites)
	return p.sites
}

// stopOutcome is what became of a word.
type stopOutcome string

const (
	stopFrozen  stopOutcome = "frozen"
	stopWrong   stopOutcome = "wrong" // or too old: whoever guesses learns no more
	stopLimited stopOutcome = "limited"
	stopFailed  stopOutcome = "failed"
)

func (p *pages) stop(w http.ResponseWriter, r *http.Request, status int, o stopOutcome) {
	t := pageLanguages[languageOf(r)]
	pg := page{Path: "/stop", Title: t.Stop, Outcome: o, Error: o != "" && o != stopFrozen}
	if o == stopFrozen {
		pg.Title = t.Frozen
	}
	// Without a referrer, browsers that send no Sec-Fetch-Site send "Origin: null" with the form and would be taken for
	// another site (Fetch standard, "append a request Origin header").
	w.Header().Set("Referrer-Policy", "same-origin")
	p.show(w, r, status, "stop", pg)
}

// sameSite refuses forms that other sites send.
func (p *pages) sameSite(next http.Handler) http.Handler {
	var c http.CrossOriginProtection
	c.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.stop(w, r, http.StatusForbidden, stopFailed)
	}))
	return c.Handler(next)
}

// maxForm is the most that the form of /stop can be, octets.
const maxForm = 1 << 10

// typed takes the form of /stop.
func (p *pages) typed(w http.ResponseWriter, r *http.Request) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		p.stop(w, r, http.StatusUnsupportedMediaType, stopFailed)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxForm))
	defer clear(body)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		p.stop(w, r, http.StatusRequestEntityTooLarge, stopWrong)
		return
	case err != nil: // nobody is there to be told
		p.stop(w, r, http.StatusBadRequest, stopFailed)
		return
	}
	word := formValue(body, "word")
	defer word.Wipe()
	err = p.freeze(r.Context(), word, hostOf(r.RemoteAddr))
	var tooMany *TooManyWords
	switch {
	case err == nil:
		p.stop(w, r, http.StatusOK, stopFrozen)
	case errors.Is(err, ErrNoSuchWord):
		p.stop(w, r, http.StatusUnprocessableEntity, stopWrong)
	case errors.As(err, &tooMany):
		wait := max(1, int(tooMany.RetryAt.Sub(p.s.Now()).Round(time.Second).Seconds()))
		w.Header().Set("Retry-After", strconv.Itoa(wait))
		p.stop(w, r, http.StatusTooManyRequests, stopLimited)
	default:
		p.s.Log.Error("freeze failed", "err", err)
		p.stop(w, r, http.StatusInternalServerError, stopFailed)
	}
}

// formValue is the first value of a name in application/x-www-form-urlencoded (URL standard, section 5.1), without a string
// of it on the way; empty if there is none.
func formValue(form []byte, name string) secret.Value {
	for pair := range bytes.SplitSeq(form, []byte("&")) {
		key, value, _ := bytes.Cut(pair, []byte("="))
		if string(key) != name {
			continue
		}
		plain := make([]byte, 0, len(value))
		for i := 0; i < len(value); i++ {
			switch c := value[i]; {
			case c == '+':
				plain = append(plain, ' ')
			case c == '%' && i+2 < len(value) && unhex(value[i+1]) >= 0 && unhex(value[i+2]) >= 0:
				plain = append(plain, byte(unhex(value[i+1])<<4|unhex(value[i+2])))
				i += 2
			default:
				plain = append(plain, c)
			}
		}
		return secret.New(plain)
	}
	return secret.New(nil)
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
