package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/cmd/central/internal/store"
	"latchkey/firmware/secret"
	"latchkey/firmware/wire"
)

// webWorld is central's pages, with a freeze that notes what it was asked.
type webWorld struct {
	*world
	http.Handler
	says  error // of freeze
	words []string
	from  []string
	kept  []secret.Value
}

func newWebWorld(t testing.TB) *webWorld {
	w := &webWorld{world: newWorld(t)}
	w.server.Contact = "the RA, telephone 5555"
	w.open(w.server)
	return w
}

func (w *webWorld) open(s *Server) {
	mux := http.NewServeMux()
	(&pages{s: s, freeze: func(_ context.Context, word secret.Value, address string) error {
		w.words, w.from, w.kept = append(w.words, string(word.Reveal())), append(w.from, address), append(w.kept, word)
		return w.says
	}}).mount(mux)
	w.Handler = s.webOuter(mux)
}

// ask sends a request; header is name, value, name, value…
func (w *webWorld) ask(method, target, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	got := httptest.NewRecorder()
	w.ServeHTTP(got, r)
	return got
}

// said is a page as people read it.
func said(r *httptest.ResponseRecorder) string {
	plain := regexp.MustCompile(`<[^>]*>`).ReplaceAllString(r.Body.String(), " ")
	return strings.Join(strings.Fields(html.UnescapeString(plain)), " ")
}

func (w *webWorld) site(name, site string, state store.KioskState, quarantined int64) {
	w.update(func(tx *store.Tx) error {
		_, err := tx.AddKiosk(store.Kiosk{Name: name, Kind: store.KindKiosk, Site: site, Certificate: [32]byte{1}, State: state, AddedAt: 1, QuarantinedAt: quarantined})
		return err
	})
}

func TestUnlockTellsEverythingInBothLanguages(t *testing.T) {
	t.Parallel()
	w := newWebWorld(t)
	w.site("k1", "Main entrance <A>", store.KioskActive, 0)
	w.site("k2", "Main entrance <A>", store.KioskActive, 0)
	w.site("k3", "Library", store.KioskActive, 0)
	w.site("k4", "", store.KioskActive, 0)
	w.site("k5", "Cellar", store.KioskDisabled, 0)
	w.site("k6", "Attic", store.KioskActive, 7)
	w.site("k7", "Workshop", store.KioskEnrolled, 0)
	for lang, other := range map[string]string{"en": "cy", "cy": "en"} {
		r := w.ask("GET", "/unlock?lang="+lang, "")
		page := r.Body.String()
		if r.Code != 200 || !strings.Contains(page, `<html lang="`+lang+`">`) || r.Header().Get("Content-Language") != lang {
			t.Fatalf("%s: %d %v\n%s", lang, r.Code, r.Header(), page)
		}
		told := said(r)
		for _, e := range wire.Catalogue {
			if !strings.Contains(page, fmt.Sprintf(`<dt id="%s">`, e.Code)) || !strings.Contains(told, typeset(e.Holder.In(lang))) || strings.Contains(told, typeset(e.Holder.In(other))) {
				t.Errorf("%s: %s is not told", lang, e.Code)
			}
			if lang == "en" && (!strings.Contains(told, typeset(e.Title)) || !strings.Contains(told, typeset(e.Cure))) {
				t.Errorf("%s: the RA is not told of %s", lang, e.Code)
			}
		}
		for _, n := range wire.Nationals {
			if !strings.Contains(told, n.Code+" "+n.Says) || !strings.Contains(told, typeset(n.Holder.In(lang))) {
				t.Errorf("%s: %s is not told", lang, n.Code)
			}
		}
		if !strings.Contains(told, "the RA, telephone 5555") || strings.Count(told, "Main entrance <A>") != 1 || !strings.Contains(told, "Library") {
			t.Errorf("%s: contact or sites are missing:\n%s", lang, told)
		}
		for _, site := range []string{"Cellar", "Attic", "Workshop"} {
			if strings.Contains(told, site) {
				t.Errorf("%s: people are sent to %s, where no kiosk serves", lang, site)
			}
		}
	}
}

func TestSitesAreNotAskedForByEveryStranger(t *testing.T) {
	t.Parallel()
	w := newWebWorld(t)
	if got := said(w.ask("GET", "/unlock", "")); !strings.Contains(got, "Ask your Registration Authority where the nearest kiosk is.") {
		t.Error(got)
	}
	w.site("k1", "Library", store.KioskActive, 0)
	if got := said(w.ask("GET", "/unlock", "")); strings.Contains(got, "Library") {
		t.Error("the database was asked again at once")
	}
	w.pass(sitesFor)
	if got := said(w.ask("GET", "/unlock", "")); !strings.Contains(got, "Library") {
		t.Error(got)
	}
	w.pass(sitesFor)
	w.server.Store.Close()
	if got := said(w.ask("GET", "/unlock", "")); !strings.Contains(got, "Library") || !strings.Contains(got, "What to do") {
		t.Errorf("without a database:\n%s", got)
	}
}

func TestThePageSpeaksTheLanguageThatIsAskedFor(t *testing.T) {
	t.Parallel()
	w := newWebWorld(t)
	for _, c := range []struct{ target, accept, want string }{
		{"/unlock", "", "en"},
		{"/unlock", "cy", "cy"},
		{"/unlock", "cy-GB,cy;q=0.9,en;q=0.8", "cy"},
		{"/unlock", "en-GB,cy;q=0.9", "en"},
		{"/unlock", "en;q=0.4,cy;q=0.9", "cy"},
		{"/unlock", "fr-FR, pl;q=0.8", "en"},
		{"/unlock", "cy;q=;;,\xff" + strings.Repeat("x-", 4000), "en"},
		{"/unlock?lang=en", "cy", "en"},
		{"/unlock?lang=cy", "en", "cy"},
		{"/unlock?lang=xx", "cy", "cy"},
		{"/stop?lang=cy", "en", "cy"},
		{"/nowhere", "cy", "cy"},
	} {
		r := w.ask("GET", c.target, "", "Accept-Language", c.accept)
		if got := r.Header().Get("Content-Language"); got != c.want || !strings.Contains(r.Body.String(), `<html lang="`+c.want+`">`) || r.Header().Get("Vary") != "Accept-Language" {
			t.Errorf("%s for %.30q: %s, want %s", c.target, c.accept, got, c.want)
		}
	}
}

var (
	links    = regexp.MustCompile(`(?:href|src|action)="([^"]*)"`)
	ids      = regexp.MustCompile(` id="([^"]*)"`)
	elements = regexp.MustCompile(`<(h[1-6]|ul|ol|li|dl|dt|dd|form|input|button|label|nav|main|header|footer)\b`)
)

func TestEveryLinkWorksAndBothLanguagesSayAsMuch(t *testing.T) {
	t.Parallel()
	w := newWebWorld(t)
	w.site("k1", "Library", store.KioskActive, 0)
	seen := map[string]bool{}
	queue := []string{"/unlock?lang=en", "/unlock?lang=cy", "/stop?lang=en", "/stop?lang=cy"}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		if seen[at] {
			continue
		}
		seen[at] = true
		r := w.ask("GET", at, "")
		if r.Code != 200 {
			t.Errorf("%s: %d", at, r.Code)
		}
		page := r.Body.String()
		known := map[string]bool{}
		for _, m := range ids.FindAllStringSubmatch(page, -1) {
			if known[m[1]] {
				t.Errorf("%s: two are called %s", at, m[1])
			}
			known[m[1]] = true
		}
		for _, m := range links.FindAllStringSubmatch(page, -1) {
			target, anchor, has := strings.Cut(html.UnescapeString(m[1]), "#")
			if target == "" && has && !known[anchor] {
				t.Errorf("%s: there is no #%s", at, anchor)
			}
			if target == "" {
				continue
			}
			if !strings.HasPrefix(target, "/") || strings.HasPrefix(target, "//") {
				t.Errorf("%s leads elsewhere: %s", at, target)
				continue
			}
			if has && !strings.Contains(w.ask("GET", target, "").Body.String(), ` id="`+anchor+`"`) {
				t.Errorf("%s: there is no %s", at, m[1])
			}
			queue = append(queue, target)
		}
	}
	for _, want := range []string{"/unlock?lang=cy", "/stop?lang=cy", "/web/style.css", "/web/icon.svg", "/unlock"} {
		if !seen[want] {
			t.Errorf("nothing leads to %s", want)
		}
	}
	shape := func(target string) []string {
		page, _, _ := strings.Cut(w.ask("GET", target, "").Body.String(), `id="causes"`) // what follows is in English alone
		return elements.FindAllString(page, -1)
	}
	for _, path := range []string{"/unlock", "/stop"} {
		if en, cy := shape(path+"?lang=en"), shape(path+"?lang=cy"); !slices.Equal(en, cy) || len(en) < 8 {
			t.Errorf("%s has other parts in English than in Welsh:\n%v\n%v", path, en, cy)
		}
	}
}

func TestTheRetiredAddressLeadsToTheNewOne(t *testing.T) {
	t.Parallel()
	w := newWebWorld(t)
	for _, old := range []string{"/selfservicewebapp/unlockCardStart", "/selfservicewebapp/unlockCardStart/", "/selfservicewebapp/unlockCardStart?next=//evil.example&x=<script>"} {
		r := w.ask("GET", old, "")
		if r.Code != http.StatusMovedPermanently || r.Header().Get("Location") != "/unlock" || strings.Contains(r.Body.String(), "evil") {
			t.Errorf("%s: %d to %q", old, r.Code, r.Header().Get("Location"))
		}
	}
	if r := w.ask("GET", "/", ""); r.Code != http.StatusFound || r.Header().Get("Location") != "/unlock" {
		t.Errorf("/: %d to %q", r.Code, r.Header().Get("Location"))
	}
}

func TestEveryAnswerIsGuardedAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	w := newWebWorld(t)
	w.says = ErrNoSuchWord
	const evil = `x"><script>evil7</script>`
	asked := func(method, target, body string) {
		r := w.ask(method, target, body)
		h := r.Header()
		if !strings.HasPrefix(h.Get("Strict-Transport-Security"), "max-age=") || !strings.HasPrefix(h.Get("Content-Security-Policy"), "default-src 'none';") ||
			h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") == "" || h.Get("Cache-Control") == "" || len(h.Values("Set-Cookie")) != 0 {
			t.Errorf("%s %s: %v", method, target, h)
		}
		if page := r.Body.String(); strings.Contains(page, "script") || strings.Contains(page, "evil7") {
			t.Errorf("%s %s repeats what it was asked:\n%s", method, target, page)
		}
		if strings.HasPrefix(target, "/stop") && h.Get("Cache-Control") != "no-store" {
			t.Errorf("%s %s may be kept: %v", method, target, h)
		}
	}
	q := url.QueryEscape(evil)
	for _, target := range []string{"/", "/unlock", "/unlock?lang=" + q, "/unlock?" + q, "/stop?word=" + q, "/" + q, "/web/style.css", "/web/", "/stop/" + q, "/unlock/../etc"} {
		asked("GET", target, "")
	}
	asked("POST", "/stop?lang="+q, "word="+q)
	asked("POST", "/unlock", "word="+q)
	asked("DELETE", "/stop", "")
	if log := w.log.String(); strings.Contains(log, "script") || !strings.Contains(log, "route=/stop") {
		t.Errorf("the log:\n%s", log)
	}
}

func TestAWordThatIsTypedFreezesAndAnOpenedLinkDoesNot(t *testing.T) {
	t.Parallel()
	w := newWebWorld(t)
	for _, target := range []string{"/stop", "/stop?word=KMQTXPRD"} {
		w.ask("GET", target, "")
		w.ask("HEAD", target, "")
	}
	if len(w.words) != 0 {
		t.Fatalf("a page that was opened did something: %q", w.words)
	}
	for _, c := range []struct {
		lang   string
		says   error
		status int
		told   string
	}{
		{"en", nil, 200, "Your smartcard is frozen"},
		{"cy", nil, 200, "Mae eich cerdyn clyfar wedi’i rewi"},
		{"en", ErrNoSuchWord, 422, "That word is not right, or it is too old."},
		{"cy", ErrNoSuchWord, 422, "Nid yw’r gair hwnnw’n gywir"},
		{"en", &TooManyWords{time.Now().Add(time.Hour)}, 429, "Wait an hour"},
		{"cy", &TooManyWords{time.Now().Add(time.Hour)}, 429, "Arhoswch am awr"},
		{"en", errors.New("disk full"), 500, "The card could not be frozen."},
		{"cy", errors.New("disk full"), 500, "Nid oedd modd rhewi’r cerdyn."},
	} {
		w.says = c.says
		r := w.ask("POST", "/stop?lang="+c.lang, "x=1&word=+kmqt%2dxprd&word=other")
		if r.Code != c.status || !strings.Contains(said(r), c.told) || strings.Contains(r.Body.String(), "kmqt") || strings.Contains(said(r), "disk full") {
			t.Errorf("%v in %s: %d\n%s", c.says, c.lang, r.Code, said(r))
		}
		if after := r.Header().Get("Retry-After"); (c.status == 429) != (after != "") || after == "0" {
			t.Errorf("%v: Retry-After %q", c.says, after)
		}
		if failed := strings.Contains(r.Body.String(), `role="alert"`) && regexp.MustCompile(`<title>(Error|Gwall):`).MatchString(r.Body.String()); failed != (c.says != nil) {
			t.Errorf("%v in %s: told as an error: %v", c.says, c.lang, failed)
		}
		last := len(w.words) - 1
		if w.words[last] != " kmqt-xprd" || w.from[last] != "192.0.2.1" {
			t.Errorf("handed on: %q from %q", w.words[last], w.from[last])
		}
		if !w.kept[last].Equal(secret.New(make([]byte, w.kept[last].Len()))) {
			t.Error("the word was not wiped")
		}
	}
	if log := w.log.String(); strings.Contains(strings.ToLower(log), "kmqt") || strings.Contains(log, "192.0.2.1") {
		t.Errorf("the log:\n%s", log)
	}
}

func TestTheWordOfAMessageFreezesTheCardThroughThePage(t *testing.T) {
	t.Parallel()
	w := newWebWorld(t)
	w.Handler = w.server.Web() // with the true freeze
	k := w.kiosk("k1")
	v := k.begin(w.card)
	v.prove()
	v.sendCode()
	w.mail.mu.Lock()
	word := regexp.MustCompile(`\b[A-Z]{4}-[A-Z]{4}\b`).FindString(w.mail.bodies[0])
	w.mail.mu.Unlock()
	if word == "" || !strings.Contains(w.mail.bodies[0], "/stop") {
		t.Fatalf("the message names no word or no page:\n%s", w.mail.bodies[0])
	}
	form := "word=" + url.QueryEscape(strings.ToLower(word))
	if r := w.ask("POST", "/stop", "word=AAAA-AAAA"); r.Code != 422 {
		t.Errorf("a wrong word: %d", r.Code)
	}
	k.refused(v.path("code/check"), typed("000000"), wire.CodeCodeWrong)
	if r := w.ask("POST", "/stop", form); r.Code != 200 || !strings.Contains(said(r), "Your smartcard is frozen") {
		t.Fatalf("%d %s", r.Code, said(r))
	}
	k.refused(v.path("code/check"), typed(w.mail.codes()[0]), wire.CodeCardFrozen)

	// Whoever guesses is stopped; others are not.
	for range wrongWords {
		w.ask("POST", "/stop", "word=AAAA-AAAA")
	}
	if r := w.ask("POST", "/stop", form); r.Code != 429 {
		t.Errorf("after many wrong words: %d", r.Code)
	}
	r := httptest.NewRequest("POST", "/stop", strings.NewReader(form))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("X-Forwarded-For", "192.0.2.1") // believed by nobody
	r.RemoteAddr = "[2001:db8::7]:4711"
	got := httptest.NewRecorder()
	if w.ServeHTTP(got, r); got.Code != 200 {
		t.Errorf("from another network: %d", got.Code)
	}
}

func TestFormsOfOthersAndTooLargeOnesDoNothing(t *testing.T) {
	t.Parallel()
	w := newWebWorld(t)
	for name, c := range map[string]struct {
		status int
		body   string
		header []string
	}{
		"another site":             {403, "word=KMQTXPRD", []string{"Sec-Fetch-Site", "cross-site"}},
		"a sibling site":           {403, "word=KMQTXPRD", []string{"Sec-Fetch-Site", "same-site"}},
		"another origin":           {403, "word=KMQTXPRD", []string{"Origin", "https://evil.example"}},
		"an origin that is hidden": {403, "word=KMQTXPRD", []string{"Origin", "null"}},
		"a body too large":         {413, "word=KMQTXPRD&x=" + strings.Repeat("x", maxForm), nil},
		"another content":          {415, `{"word":"KMQTXPRD"}`, []string{"Content-Type", "application/json"}},
		"no content type":          {415, "word=KMQTXPRD", []string{"Content-Type", ""}},
	} {
		if r := w.ask("POST", "/stop", c.body, c.header...); r.Code != c.status || !strings.Contains(r.Body.String(), "<form") {
			t.Errorf("%s: %d", name, r.Code)
		}
	}
	if len(w.words) != 0 {
		t.Errorf("handed on: %q", w.words)
	}
	for _, own := range [][]string{{"Sec-Fetch-Site", "same-origin"}, {"Sec-Fetch-Site", "none"}, {"Origin", "https://example.com"}} {
		if r := w.ask("POST", "/stop", "word=KMQTXPRD", own...); r.Code != 200 {
			t.Errorf("%q: %d", own, r.Code)
		}
	}
}

func TestUnknownPathsAreAnsweredInKind(t *testing.T) {
	t.Parallel()
	w := newWebWorld(t)
	for _, path := range []string{"/nowhere", "/unlock/x", "/console", "/web/layout.html", "/favicon.ico"} {
		r := w.ask("GET", path, "")
		if got := said(r); r.Code != 404 || !strings.Contains(got, "There is no such page") || !strings.Contains(got, "Nid oes tudalen o’r fath") {
			t.Errorf("%s: %d %s", path, r.Code, got)
		}
	}
	h := w.server.Web()
	for _, path := range []string{"/v1/cases", "/v1/status", "/scim/nowhere", "/notify/nowhere"} {
		r := httptest.NewRecorder()
		h.ServeHTTP(r, httptest.NewRequest("GET", path, nil))
		if r.Code != 404 || r.Header().Get("Content-Type") != "application/problem+json" || !strings.Contains(r.Body.String(), `"not-found"`) {
			t.Errorf("%s: %d %v %s", path, r.Code, r.Header(), r.Body)
		}
	}
}

func TestAPageThatPanicsIsAProblemAndALine(t *testing.T) {
	t.Parallel()
	w := newWebWorld(t)
	r := httptest.NewRecorder()
	w.server.webOuter(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(secret.New([]byte("KMQTXPRD"))) })).
		ServeHTTP(r, httptest.NewRequest("GET", "/unlock", nil))
	if r.Code != 500 || strings.Contains(r.Body.String()+w.log.String(), "KMQT") || !strings.Contains(w.log.String(), "msg=panic") {
		t.Errorf("%d %s\n%s", r.Code, r.Body, w.log)
	}
}

// serveWeb serves the pages on a listener until the test ends.
func (w *world) serveWeb(l net.Listener) {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	own := w.ca.issue(w.t, "central", x509.ExtKeyUsageServerAuth)
	go func() { done <- w.server.ServeWeb(ctx, l, WebTLSConfig(own), 5*time.Second) }()
	w.t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
	})
}

func TestBrowsersNeedNoCertificateAndTLS12(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.serveWeb(l)
	pool := x509.NewCertPool()
	pool.AddCert(w.ca.cert)
	for version, works := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: version, MaxVersion: version}, ForceAttemptHTTP2: true}
		resp, err := (&http.Client{Transport: transport}).Get("https://" + l.Addr().String() + "/unlock")
		if (err == nil) != works {
			t.Errorf("TLS %x: %v", version, err)
		}
		if err == nil {
			b, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || !bytes.Contains(b, []byte("Unlock your smartcard")) || resp.ProtoMajor != 2 {
				t.Errorf("TLS %x: %v, HTTP/%d", version, err, resp.ProtoMajor)
			}
		}
		transport.CloseIdleConnections()
	}
}

// pipeListener gives out the one end of a pipe.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}
func (l *pipeListener) Close() error { close(l.done); return nil }
func (l *pipeListener) Addr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}
}

func TestSlowClientsAreCutOff(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	own := ca.issue(t, "central", x509.ExtKeyUsageServerAuth)
	for name, sends := range map[string]string{
		"no handshake": "",
		"half a head":  "POST /stop HTTP/1.1\r\nHost: x\r\n",
		"half a body":  "POST /stop HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\nword=KM",
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &Server{Log: slog.New(slog.DiscardHandler), Now: time.Now}
			l := &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- s.ServeWeb(ctx, l, WebTLSConfig(own), time.Second) }()
			client, server := net.Pipe()
			l.conns <- server
			began := time.Now()
			var c net.Conn = client
			if sends != "" {
				pool := x509.NewCertPool()
				pool.AddCert(ca.cert)
				c = tls.Client(client, &tls.Config{RootCAs: pool, ServerName: "127.0.0.1", NextProtos: []string{"http/1.1"}, Time: func() time.Time { return ca.cert.NotBefore.Add(time.Hour) }})
				if _, err := c.Write([]byte(sends)); err != nil {
					t.Fatal(err)
				}
			}
			io.Copy(io.Discard, c)
			if took := time.Since(began); took < 4*time.Second || took > 11*time.Second {
				t.Errorf("%s: cut off after %v", name, took)
			}
			c.Close()
			stop()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}

// What a browser would make of a form, byte for byte, is what is asked; and nobody gets more than a page.
func FuzzStop(f *testing.F) {
	for _, s := range []string{"word=KMQT-XPRD", "word=a+b%20c", "word", "word=%", "word=%4", "word=%zz", "x=1&word=&word=2", "&&=&word==", "word=%00%ff", "WORD=x", "word=;"} {
		f.Add([]byte(s))
	}
	s := &Server{Log: slog.New(slog.DiscardHandler), Now: time.Now} // all that /stop needs
	f.Fuzz(func(t *testing.T, body []byte) {
		w := &webWorld{says: ErrNoSuchWord}
		w.open(s)
		r := w.ask("POST", "/stop", string(body))
		switch {
		case len(body) > maxForm:
			if r.Code != 413 || len(w.words) != 0 {
				t.Errorf("%d, %q", r.Code, w.words)
			}
			return
		case r.Code != 422 || len(w.words) != 1:
			t.Fatalf("%d, %q", r.Code, w.words)
		}
		// The library refuses what is malformed and drops it; a browser sends none of that.
		if want, err := url.ParseQuery(string(body)); err == nil && !bytes.ContainsRune(body, '%') || err == nil && !encodedName.Match(body) {
			if got := w.words[0]; got != want.Get("word") {
				t.Errorf("%q was taken as %q, not %q", body, got, want.Get("word"))
			}
		}
		if len(w.words[0]) > 8 && strings.ContainsAny(w.words[0], "0123456789") && strings.Contains(r.Body.String(), w.words[0]) {
			t.Errorf("%q is repeated", w.words[0])
		}
	})
}

// encodedName: a name of a field that is written with % or +.
var encodedName = regexp.MustCompile(`(^|&)[^=&]*[%+][^=&]*(=|&|$)`)
