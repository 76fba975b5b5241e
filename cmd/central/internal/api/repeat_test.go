package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/delivery"
	"latchkey/cmd/central/internal/store"
	"latchkey/firmware/wire"
)

func TestARepeatedRequestHasItsEffectOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.kiosk("k1")
	twice := func(path string, body any) answer {
		t.Helper()
		key := newKeyName()
		first, second := k.send(path, key, body), k.send(path, key, body)
		if first.status != second.status || !bytes.Equal(first.body, second.body) || first.status >= 500 {
			t.Fatalf("%s: first %d %s\nthen %d %s", path, first.status, first.body, second.status, second.body)
		}
		if other := k.send(path, key, []byte(`{"code":"9","channel":"x","reason":"idle","family":"x"}`)); other.problem.Code != wire.CodeIdempotencyConflict {
			t.Errorf("%s: the same key with another body: %s", path, other.body)
		}
		return first
	}
	decode := func(a answer, v any) {
		t.Helper()
		if err := json.Unmarshal(a.body, v); err != nil || a.status >= 400 {
			t.Fatalf("%s: %v", a.body, err)
		}
	}
	r, private := k.beginRequest(w.card)
	var b wire.Begun
	decode(twice("/v1/cases", r), &b)
	v := &visit{k, w.card, private, b.Case, b.Nonce}
	twice(v.path("proof"), v.proof())
	twice(v.path("code"), wire.SendCodeRequest{Channel: "email"})
	codes := w.mail.codes()
	if len(codes) != 1 {
		t.Fatalf("%d codes were sent for one request", len(codes))
	}
	if a := twice(v.path("code/check"), typed(wrongCode(codes[0]))); *a.problem.AttemptsLeft != 2 {
		t.Errorf("%s", a.body)
	}
	var ok wire.CodeAccepted
	decode(twice(v.path("code/check"), typed(codes[0])), &ok)
	v.nonce = ok.Nonce
	release := v.releaseRequest()
	key := newKeyName()
	first := k.send(v.path("release"), key, release)
	if again := k.send(v.path("release"), key, release); first.status != 200 || !bytes.Equal(first.body, again.body) {
		t.Errorf("release: %s\n%s", first.body, again.body)
	}
	k.refused(v.path("release"), release, wire.CodeWrongStep)
	var g wire.Grant
	decode(first, &g)
	opened := g.Base
	out := wire.Outcome{Base: g.Base, Passcode: wire.Yes, Opened: &opened, Rotated: wire.Yes}
	twice(v.path("outcome"), out)
	if s := post[wire.Settled](k, v.path("outcome"), out); s.Base != 1 {
		t.Errorf("the outcome under a new key: %+v", s)
	}
	// Stored bodies die with the case: the grant is not given again.
	if a := k.send(v.path("release"), key, release); a.problem.Code != wire.CodeCaseClosed {
		t.Errorf("the grant outlived its case: %s", a.body)
	}
	w.update(func(tx *store.Tx) error {
		grants, err := tx.Grants(w.card.serial)
		if len(grants) != 1 {
			t.Errorf("%d grants left", len(grants))
		}
		return err
	})
}

func TestStoredAnswersDieWhenTheCaseRunsOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.kiosk("k1")
	v := k.begin(w.card)
	key, proof := newKeyName(), v.proof()
	if a := k.send(v.path("proof"), key, proof); a.status != http.StatusOK {
		t.Fatalf("%s", a.body)
	}
	w.pass(31 * time.Minute)
	if a := k.send(v.path("proof"), key, proof); a.problem.Code != wire.CodeCaseClosed {
		t.Errorf("a case that ran out still names its holder: %s", a.body)
	}
}

func TestAGrantIsNotGivenAgainOnceItHasExpired(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.kiosk("k1")
	v := k.accepted(w.card)
	key, release := newKeyName(), v.releaseRequest()
	first := k.send(v.path("release"), key, release)
	if again := k.send(v.path("release"), key, release); first.status != http.StatusOK || !bytes.Equal(first.body, again.body) {
		t.Fatalf("%s\n%s", first.body, again.body)
	}
	w.pass(time.Minute)
	if a := k.send(v.path("release"), key, release); a.problem.Code != wire.CodeCaseClosed {
		t.Errorf("an expired grant was given again: %d %s", a.status, a.body)
	}
	v.outcome(0, wire.No, 0, wire.No) // and its outcome is taken
}

func TestKeysAreEachKiosksOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one, two := w.kiosk("k1"), w.kiosk("k2")
	key := newKeyName()
	a, _ := one.beginRequest(w.card)
	b, _ := two.beginRequest(w.card)
	x, y := one.send("/v1/cases", key, a), two.send("/v1/cases", key, b)
	if x.status != http.StatusCreated || y.status != http.StatusCreated || bytes.Equal(x.body, y.body) {
		t.Errorf("%s\n%s", x.body, y.body)
	}
}

// 64 guesses at once over the network: three are judged.
func TestConcurrentGuesses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.kiosk("k1")
	v := k.begin(w.card)
	v.prove()
	v.sendCode()
	bad := wrongCode(w.mail.codes()[0])
	var judged atomic.Int32
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			switch a := k.send(v.path("code/check"), newKeyName(), typed(bad)); a.problem.Code {
			case wire.CodeCodeWrong, wire.CodeAttemptsExhausted:
				judged.Add(1)
			case wire.CodeCaseClosed:
			default:
				t.Errorf("%d %s", a.status, a.body)
			}
		})
	}
	wg.Wait()
	if n := judged.Load(); n != 3 {
		t.Errorf("%d guesses were judged, want 3", n)
	}
}

// The right code from many at once is accepted once.
func TestACodeIsAcceptedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.kiosk("k1")
	v := k.begin(w.card)
	v.prove()
	v.sendCode()
	code := w.mail.codes()[0]
	var accepted atomic.Int32
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if a := k.send(v.path("code/check"), newKeyName(), typed(code)); a.status == 200 {
				accepted.Add(1)
			}
		})
	}
	wg.Wait()
	if n := accepted.Load(); n != 1 {
		t.Errorf("accepted %d times", n)
	}
}

func TestFailedDelivery(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.kiosk("k1")
	v := k.begin(w.card)
	v.prove()
	w.mail.refuse(true)
	for range 3 {
		k.refused(v.path("code"), wire.SendCodeRequest{Channel: "email"}, wire.CodeDeliveryFailed)
	}
	w.mail.refuse(false)
	if s := v.sendCode(); s.SendsLeft != 2 {
		t.Errorf("failed deliveries used up sends: %+v", s)
	}
	w.pass(2 * time.Minute)
	w.mail.refuse(true)
	k.refused(v.path("code"), wire.SendCodeRequest{Channel: "email"}, wire.CodeDeliveryFailed)
	v.check() // the code that was sent still holds
}

// A mail host that knows no such addressee, or takes messages and then refuses them, is not asked without end: what it was asked is
// counted by the hour, though not against the case, since its holder has got nothing.
func TestWhatTheMailHostRefusesIsCountedByTheHour(t *testing.T) {
	t.Parallel()
	for name, refuse := range map[string]func(m *mailbox, is bool){
		"the addressee": func(m *mailbox, is bool) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.knows = func(string) bool { return !is }
		},
		"the message": (*mailbox).refuse,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(p *cases.Policy) { p.CardSends = 4 })
			k := w.kiosk("k1")
			v := k.begin(w.card)
			v.prove()
			refuse(w.mail, true)
			for range 4 {
				k.refused(v.path("code"), wire.SendCodeRequest{Channel: "email"}, wire.CodeDeliveryFailed)
			}
			for range 3 {
				if p := k.refused(v.path("code"), wire.SendCodeRequest{Channel: "email"}, wire.CodeRateLimited); p.RetryAt == nil {
					t.Error("it is not said when it may be asked again")
				}
			}
			if name == "the addressee" && w.mail.asked != 4 {
				t.Errorf("the host was asked %d times", w.mail.asked)
			}
			refuse(w.mail, false)
			w.pass(cases.RateWindow)
			v = k.begin(w.card)
			v.prove()
			if s := v.sendCode(); s.SendsLeft != 2 {
				t.Errorf("what was refused used up sends: %+v", s)
			}
		})
	}
}

// While the mail host cannot be reached nobody is told anything, and holders are not made to wait an hour once it is back.
func TestAMailHostThatIsAwayUsesUpNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(p *cases.Policy) { p.CardSends = 4 })
	k := w.kiosk("k1")
	v := k.begin(w.card)
	v.prove()
	w.mail.gone()
	for range 10 {
		k.refused(v.path("code"), wire.SendCodeRequest{Channel: "email"}, wire.CodeDeliveryFailed)
	}
}

// A message is on its way: the same request is told to wait, and is answered once it is there. If whoever sent it is gone,
// it counts as sent.
func TestMessageOnItsWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.kiosk("k1")
	v := k.begin(w.card)
	v.prove()
	hold := make(chan struct{})
	w.mail.mu.Lock()
	w.mail.hold = hold
	w.mail.mu.Unlock()
	key, body := newKeyName(), wire.SendCodeRequest{Channel: "email"}
	done := make(chan answer)
	go func() { done <- k.send(v.path("code"), key, body) }()
	<-w.mail.holding
	if a := k.send(v.path("code"), key, body); a.problem.Code != wire.CodeUnavailable {
		t.Errorf("while it is on its way: %d %s", a.status, a.body)
	}
	w.pass(delivery.Timeout + 2*time.Second)
	gone := k.send(v.path("code"), key, body)
	close(hold)
	if first := <-done; first.status != 200 || !bytes.Equal(first.body, gone.body) {
		t.Errorf("%s\n%s", first.body, gone.body)
	}
	if n := len(w.mail.codes()); n != 1 {
		t.Errorf("%d codes were sent", n)
	}
}

func TestPanicIsAProblemAndLeavesNoSecretInTheLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.stranger("k1")
	broken := &Server{Store: panicking{w.server.Store}, Vault: w.server.Vault, Log: w.server.Log, Monitor: w.server.Monitor, Now: w.server.Now}
	req := httptest.NewRequest(http.MethodGet, "/v1/status", nil)
	req.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{k.cert.Leaf}, VerifiedChains: [][]*x509.Certificate{{k.cert.Leaf}}}
	rec := httptest.NewRecorder()
	broken.Handler().ServeHTTP(rec, req)
	if rec.Code != http.StatusInternalServerError || !strings.Contains(rec.Body.String(), `"code":"internal"`) {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	if log := w.log.String(); !strings.Contains(log, "msg=panic") || strings.Contains(log, "secret-482913") {
		t.Errorf("%s", log)
	}
}

type panicking struct{ store.Store }

func (panicking) View(context.Context, func(*store.Tx) error) error { panic("secret-482913") }
