package api

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/store"
	"latchkey/firmware/wire"
)

func TestOneUnlockFromEndToEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.kiosk("k1")
	req, err := http.NewRequest(http.MethodGet, w.url+"/v1/status", nil)
	if err != nil {
		t.Fatal(err)
	}
	if a := k.do(req); a.status != http.StatusOK || string(a.body) != `{"kiosk":"k1"}` {
		t.Errorf("status: %s", a.body)
	}
	v := k.begin(w.card)
	p := v.prove()
	if p.Holder != "Mr John Rigby" || len(p.Channels) != 1 || p.Channels[0].Masked != "j•••@nhs.net" || p.Code != nil ||
		p.Passcode != (wire.PasscodeRules{Min: 6, Max: 8, DigitsOnly: true, Weak: wire.WeakWarn}) {
		t.Errorf("proved: %+v", p)
	}
	s := v.sendCode()
	if s.Digits != 6 || s.AttemptsLeft != 3 || s.SendsLeft != 2 || s.Masked != "j•••@nhs.net" || s.ExpiresAt-s.SentAt != 900_000 {
		t.Errorf("sent: %+v", s)
	}
	v.check()
	g := post[wire.Grant](k, v.path("release"), v.releaseRequest())
	if g.Base != 0 || g.First != 0 || g.Tries != 1 || g.Card != w.card.serial {
		t.Errorf("grant: %+v", g)
	}
	current, next := v.open(g)
	if current != puk || next == puk || len(next) != 8 {
		t.Errorf("opened %s and %s", current, next)
	}
	if settled := v.outcome(0, wire.Yes, 0, wire.Yes); settled.Base != 1 {
		t.Errorf("settled: %+v", settled)
	}
	if state, reason := w.state(v.id); state != cases.Settled || reason != cases.ReasonUnlocked {
		t.Errorf("the case is %s, %s", state, reason)
	}
	w.card.puk = next

	// The next visit is of the next generation.
	w.pass(time.Hour)
	k.unlock(w.card)

	w.update(func(tx *store.Tx) error {
		events, err := tx.Events(v.id)
		var kinds []string
		for _, e := range events {
			kinds = append(kinds, string(e.Kind))
		}
		if got := strings.Join(kinds, " "); got != "case-begun card-proved code-sent code-accepted grant outcome" {
			t.Errorf("the ledger tells %s", got)
		}
		return err
	})
}

func TestNothingIsWrittenInClear(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.kiosk("k1")
	v := k.begin(w.card)
	v.prove()
	w.mail.refuse(true)
	k.refused(v.path("code"), wire.SendCodeRequest{Channel: "email"}, wire.CodeDeliveryFailed)
	w.mail.refuse(false)
	v.sendCode()
	code := w.mail.codes()[0]
	k.refused(v.path("code/check"), typed(wrongCode(code)), wire.CodeCodeWrong)
	k.refused(v.path("code/check"), []byte(`{"code": "`+code), wire.CodeMalformed)
	v.check()
	g := post[wire.Grant](k, v.path("release"), v.releaseRequest())
	_, next := v.open(g)
	v.outcome(0, wire.Yes, 0, wire.Yes)

	written := map[string]string{"log": w.log.String()}
	files, err := filepath.Glob(filepath.Join(w.dir, "central", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err == nil { // a folder is not a file
			written[f] = string(b)
		}
	}
	if len(written) < 6 || !strings.Contains(written["log"], "route=\"POST /v1/cases/{case}/code\"") {
		t.Fatalf("the capture is not whole:\n%s", written["log"])
	}
	for where, text := range written {
		for what, plain := range map[string]string{
			"code": code, "wrong code": wrongCode(code), "PUK": puk, "next PUK": next, "email": email, "local part": "john.rigby",
			"mobile": mobile, "mobile's digits": "900123",
		} {
			if strings.Contains(text, plain) {
				t.Errorf("the %s stands in %s", what, where)
			}
		}
		if where == "log" && (strings.Contains(text, "Rigby") || strings.Contains(text, w.card.serial)) {
			t.Errorf("the log names holder or card:\n%s", text)
		}
	}
}

func TestRefusedBeforeTheProof(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withoutProof)
	k := w.kiosk("k1")
	w.load("left,Ms A,a@nhs.net,,left\n", "")
	stranger, mute, other := newPlastic(t, "0a02", "11111111"), newPlastic(t, "0a03", "11111111"), unproved("openpgp", w.card.serial, "")
	mute.cert = nil
	revoked, of, bare := unproved("openpgp", "0b01", resetCode), unproved("openpgp", "0b02", resetCode), unproved("openpgp", "0b03", "")
	w.load("", mute.row("h1", "issued")+revoked.row("h1", "revoked")+of.row("left", "issued")+bare.row("h1", "issued"))
	for _, tc := range []struct {
		card *plastic
		code wire.Code
	}{
		{stranger, wire.CodeCardUnknown}, {mute, wire.CodeCardCannotProve}, {other, wire.CodeCardUnknown},
		{revoked, wire.CodeCardRevoked}, {of, wire.CodeHolderInactive}, {bare, wire.CodeCardReferred},
	} {
		r, _ := k.beginRequest(tc.card)
		k.refused("/v1/cases", r, tc.code)
	}
	r, _ := k.beginRequest(w.card)
	r.TriesLeft = 3
	k.refused("/v1/cases", r, wire.CodeSignatureInvalid)
	r.PukTriesLeft = 256
	r.Signature = k.sign(wire.BeginDigest(k.name, &r))
	k.refused("/v1/cases", r, wire.CodeMalformed)
	r, _ = k.beginRequest(w.card)
	r.HpkePublicKey = r.HpkePublicKey[1:]
	r.Signature = k.sign(wire.BeginDigest(k.name, &r))
	k.refused("/v1/cases", r, wire.CodeMalformed)
}

// Whoever copied the serial of a card that can prove itself learns neither from Begin nor from the proof what is on record of
// it. The card itself is told, and its case is over.
func TestWhatIsOnRecordIsToldToTheCardAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.kiosk("k1")
	w.load("left,Ms A,a@nhs.net,,left\n", "")
	revoked, of, bare := newPlastic(t, "0a01", "11111111"), newPlastic(t, "0a02", "11111111"), newPlastic(t, "0a03", "")
	blocked, dead := newPlastic(t, "0a04", "11111111"), newPlastic(t, "0a05", "11111111")
	w.load("", revoked.row("h1", "revoked")+of.row("left", "issued")+bare.row("h1", "issued")+blocked.row("h1", "issued")+dead.row("h1", "issued"))
	w.update(func(tx *store.Tx) error { return tx.SetCard(cases.Card{Serial: blocked.serial, PUKBlocked: true}) })
	none := 0
	dead.pukLeft = &none
	for _, tc := range []struct {
		card *plastic
		code wire.Code
		note string
	}{
		{revoked, wire.CodeCardRevoked, ""}, {of, wire.CodeHolderInactive, ""}, {bare, wire.CodeCardReferred, ": secret-unknown"},
		{blocked, wire.CodeCardReferred, ": puk-blocked"}, {dead, wire.CodeCardReferred, ": puk-blocked"},
	} {
		copied := newPlastic(t, tc.card.serial, "")
		copied.cert, copied.pukLeft = tc.card.cert, tc.card.pukLeft
		v := k.begin(copied)
		k.refused(v.path("proof"), v.proof(), wire.CodeCardNotGenuine)
		v = k.begin(tc.card)
		k.refused(v.path("proof"), v.proof(), tc.code)
		w.wantTold(v.id, "refused "+string(tc.code)+tc.note)
		if state, reason := w.state(v.id); state != cases.Closed || reason != cases.Reason(tc.code) {
			t.Errorf("the case is %s, %s", state, reason)
		}
	}
}

// A counterfeit tells the serial of a card and has another key: it learns nothing, and does not end the visit of the
// original at another kiosk.
func TestCounterfeitLearnsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	here, there := w.kiosk("k1"), w.kiosk("k2")
	original := here.begin(w.card)
	original.prove()
	original.sendCode()

	fake := newPlastic(t, w.card.serial, "00000000")
	v := there.begin(fake)
	a := there.send(v.path("proof"), newKeyName(), v.proof())
	if a.problem.Code != wire.CodeCardNotGenuine || strings.Contains(string(a.body), "Rigby") {
		t.Errorf("the counterfeit was told %s", a.body)
	}
	v = there.begin(fake)
	v.card = &plastic{serial: w.card.serial, key: fake.key, cert: w.card.cert} // shows the original's certificate
	there.refused(v.path("proof"), v.proof(), wire.CodeCardNotGenuine)
	there.refused(v.path("code"), wire.SendCodeRequest{Channel: "email"}, wire.CodeCaseClosed)
	w.update(func(tx *store.Tx) error {
		events, err := tx.Events(v.id)
		if len(events) < 2 || events[1].Kind != ledger.Refused || events[1].Note != "card-not-genuine" {
			t.Errorf("the ledger tells %+v", events)
		}
		return err
	})
	original.check()
}

// While the holder reads the mail, what is done at the same kiosk with a card that does not prove itself does not end the
// visit: neither a counterfeit's proof nor a card that is pulled at once.
func TestAnUnprovedCardEndsNoVisit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.kiosk("k1")
	v := k.begin(w.card)
	v.prove()
	v.sendCode()

	fake := k.begin(&plastic{serial: w.card.serial, key: newPlastic(t, w.card.serial, "00000000").key, cert: w.card.cert})
	if fake.id != v.id {
		t.Fatal("the kiosk did not go back to the open case")
	}
	proof := fake.proof()
	k.refused(fake.path("proof"), proof, wire.CodeCardNotGenuine)
	k.refused(fake.path("proof"), proof, wire.CodeWrongStep)
	k.refused(fake.path("code/check"), typed(w.mail.codes()[0]), wire.CodeWrongStep)
	k.begin(w.card)
	if a := k.send(v.path("end"), newKeyName(), wire.EndRequest{Reason: wire.Removed}); a.status != http.StatusNoContent {
		t.Errorf("ending: %d %s", a.status, a.body)
	}

	back := k.begin(w.card)
	if back.id != v.id {
		t.Fatal("the visit was ended")
	}
	if p := back.prove(); p.Code == nil {
		t.Error("the code is out no more")
	}
	back.check()
}

func TestHolderTakesTheCardToReadMail(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	here, there := w.kiosk("k1"), w.kiosk("k2")
	first := here.begin(w.card)
	first.prove()
	sent := first.sendCode()
	code := w.mail.codes()[0]
	here.refused(first.path("code/check"), typed(wrongCode(code)), wire.CodeCodeWrong)
	w.pass(5 * time.Minute)

	again := here.begin(w.card)
	if again.id != first.id || string(again.nonce) == string(first.nonce) {
		t.Errorf("came back to case %s, not %s, or the nonce is old", again.id, first.id)
	}
	here.refused(again.path("code/check"), typed(code), wire.CodeWrongStep)
	p := again.prove()
	if p.Code == nil || p.Code.AttemptsLeft != 2 || p.Code.ExpiresAt != sent.ExpiresAt || p.Code.SendsLeft != 2 {
		t.Errorf("came back to %+v", p.Code)
	}
	if n := len(w.mail.codes()); n != 1 {
		t.Errorf("%d codes were sent", n)
	}
	again.check()

	// Accepted, then gone: a new case.
	third := here.begin(w.card)
	if third.id == first.id {
		t.Error("a case whose code was accepted was returned to")
	}
	if state, reason := w.state(first.id); state != cases.Closed || reason != cases.ReasonSuperseded {
		t.Errorf("the left case is %s, %s", state, reason)
	}
	third.prove()
	// At another kiosk: a new case, and the open one is closed once the card has proved itself there.
	elsewhere := there.begin(w.card)
	elsewhere.prove()
	here.refused(third.path("code"), wire.SendCodeRequest{Channel: "email"}, wire.CodeCaseClosed)
	elsewhere.sendCode()
}

func TestWrongCodes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(p *cases.Policy) { p.CardSends, p.HolderSends, p.AddressSends = 60, 60, 60 })
	k := w.kiosk("k1")
	wrong := 0
	for visits := 0; visits < 3; visits++ {
		v := k.begin(w.card)
		v.prove()
		v.sendCode()
		codes := w.mail.codes()
		bad := wrongCode(codes[len(codes)-1])
		for left := 2; left > 0; left-- {
			if p := k.refused(v.path("code/check"), typed(bad), wire.CodeCodeWrong); *p.AttemptsLeft != left {
				t.Errorf("%d attempts left, want %d", *p.AttemptsLeft, left)
			}
		}
		k.refused(v.path("code/check"), typed(bad), wire.CodeAttemptsExhausted)
		k.refused(v.path("code/check"), typed(codes[len(codes)-1]), wire.CodeCaseClosed)
		wrong += 3
	}
	v := k.begin(w.card)
	v.prove()
	v.sendCode()
	codes := w.mail.codes()
	k.refused(v.path("code/check"), typed(wrongCode(codes[len(codes)-1])), wire.CodeHolderLockedOut) // the tenth
	v = k.begin(w.card)
	k.refused(v.path("proof"), v.proof(), wire.CodeHolderLockedOut)
	other := newPlastic(t, "0aff", "12121212")
	w.load("", other.row("h1", "issued"))
	v = k.begin(other)
	k.refused(v.path("proof"), v.proof(), wire.CodeHolderLockedOut)
}

func TestAnUnlockClearsTheCount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.kiosk("k1")
	v := k.begin(w.card)
	v.prove()
	v.sendCode()
	k.refused(v.path("code/check"), typed(wrongCode(w.mail.codes()[0])), wire.CodeCodeWrong)
	v.check()
	g := post[wire.Grant](k, v.path("release"), v.releaseRequest())
	count := func() (n int) {
		w.update(func(tx *store.Tx) error {
			c, err := tx.Card(w.card.serial)
			h, _, _ := tx.Holder("h1")
			n = c.WrongCodes + h.WrongCodes
			return err
		})
		return n
	}
	if n := count(); n != 2 {
		t.Errorf("counted %d, want 1 of the card and 1 of the holder", n)
	}
	v.outcome(g.Base, wire.Yes, g.Base, wire.Yes)
	if n := count(); n != 0 {
		t.Errorf("counted %d after an unlock", n)
	}
}

func TestCodeRunsOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.kiosk("k1")
	v := k.begin(w.card)
	v.prove()
	v.sendCode()
	w.pass(15 * time.Minute)
	k.refused(v.path("code/check"), typed(w.mail.codes()[0]), wire.CodeCodeExpired)
	if s := v.sendCode(); s.AttemptsLeft != 3 || s.SendsLeft != 1 {
		t.Errorf("after an expired code: %+v", s)
	}
	k.refused(v.path("code"), wire.SendCodeRequest{Channel: "email"}, wire.CodeResendTooSoon)
	k.refused(v.path("code"), wire.SendCodeRequest{Channel: "pigeon"}, wire.CodeNotFound)
	old := w.mail.codes()[0]
	if old != w.mail.codes()[1] {
		k.refused(v.path("code/check"), typed(old), wire.CodeCodeWrong)
	}
	v.check()
}

func TestHolderWithoutChannel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.kiosk("k1")
	w.load("h2,Ms B,,+44 7700 900999,active\nh3,Ms C,c@mail.example,,active\n", "")
	a, b := newPlastic(t, "0a01", "11111111"), newPlastic(t, "0a02", "11111111")
	w.load("", a.row("h2", "issued")+b.row("h3", "issued"))
	for _, card := range []*plastic{a, b} {
		v := k.begin(card)
		k.refused(v.path("proof"), v.proof(), wire.CodeNoChannel)
	}
}

func TestSendsAreLimitedAcrossCases(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.kiosk("k1")
	for range 2 {
		v := k.begin(w.card)
		v.prove()
		for range 3 {
			v.sendCode()
			w.pass(61 * time.Second)
		}
		k.refused(v.path("code"), wire.SendCodeRequest{Channel: "email"}, wire.CodeSendsExhausted)
		post[struct{}](k, v.path("end"), wire.EndRequest{Reason: wire.Idle})
	}
	v := k.begin(w.card)
	v.prove()
	p := k.refused(v.path("code"), wire.SendCodeRequest{Channel: "email"}, wire.CodeRateLimited)
	if p.RetryAt == nil {
		t.Fatal("not told when to come again")
	}
	w.pass(time.Until(time.UnixMilli(*p.RetryAt)) - time.Duration(w.clock.Load()))
	v = k.begin(w.card)
	v.prove()
	v.sendCode()
}

func TestWhoIsServed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.kiosk("k1")
	status := func(k *kiosk) answer {
		req, err := http.NewRequest(http.MethodGet, w.url+"/v1/status", nil)
		if err != nil {
			t.Fatal(err)
		}
		return k.do(req)
	}
	if a := status(w.stranger("k9")); a.problem.Code != wire.CodeKioskUnknown {
		t.Errorf("a stranger: %s", a.body)
	}
	if a := status(w.stranger("k1")); a.problem.Code != wire.CodeKioskUnknown {
		t.Errorf("another certificate of the same name: %s", a.body)
	}
	v := k.begin(w.card)
	proof, key := v.proof(), newKeyName()
	if a := k.send(v.path("proof"), key, proof); a.status != 200 {
		t.Fatalf("%s", a.body)
	}
	w.update(func(tx *store.Tx) error { return tx.DisableKiosk("k1") })
	if a := status(k); a.problem.Code != wire.CodeKioskDisabled {
		t.Errorf("disabled: %s", a.body)
	}
	if a := k.send(v.path("proof"), key, proof); a.problem.Code != wire.CodeKioskDisabled {
		t.Errorf("a disabled kiosk got a stored answer: %s", a.body)
	}

	// No certificate, a foreign one, an old version of TLS: no answer at all.
	pool := x509.NewCertPool()
	pool.AddCert(w.ca.cert)
	for name, c := range map[string]*tls.Config{
		"no certificate":      {RootCAs: pool},
		"foreign certificate": {RootCAs: pool, Certificates: []tls.Certificate{newAuthority(t).issue(t, "k1", x509.ExtKeyUsageClientAuth)}},
		"TLS 1.2":             {RootCAs: pool, Certificates: []tls.Certificate{k.cert}, MaxVersion: tls.VersionTLS12},
	} {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: c}}
		if resp, err := client.Get(w.url + "/v1/status"); err == nil {
			resp.Body.Close()
			t.Errorf("%s: answered %s", name, resp.Status)
		}
	}
}

func TestEveryErrorIsAProblem(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.kiosk("k1")
	v := k.begin(w.card)
	for _, tc := range []struct {
		method, path, key, body string
		code                    wire.Code
	}{
		{"GET", "/", "", "", wire.CodeNotFound},
		{"GET", "/v1/cases", "", "", wire.CodeNotFound},
		{"POST", "/v1/casess", "", "{}", wire.CodeNotFound},
		{"POST", "/v1/cases", newKeyName(), "{", wire.CodeMalformed},
		{"POST", "/v1/cases", newKeyName(), "", wire.CodeMalformed},
		{"POST", "/v1/cases", newKeyName(), "[]", wire.CodeMalformed},
		{"POST", "/v1/cases", "", "{}", wire.CodeMalformed},
		{"POST", v.path("code/check"), "short", `{"code":"123456"}`, wire.CodeMalformed},
		{"POST", v.path("code/check"), "not UTF-8: \xff\xfe\xfd\xfc\xfb", `{"code":"123456"}`, wire.CodeMalformed},
		{"POST", "/v1/cases/%ff%00/end", newKeyName(), `{"reason":"idle"}`, wire.CodeNotFound},
		{"POST", v.path("code/check"), newKeyName(), `{"code":""}`, wire.CodeMalformed},
		{"POST", v.path("code/check"), newKeyName(), `{}`, wire.CodeMalformed},
		{"POST", v.path("code/check"), newKeyName(), strings.Repeat(" ", wire.MaxBody+1), wire.CodeMalformed},
		{"POST", v.path("end"), newKeyName(), `{"reason":"bored"}`, wire.CodeMalformed},
		{"POST", v.path("code/check"), newKeyName(), `{"code":"123456"}`, wire.CodeWrongStep},
		{"POST", v.path("outcome"), newKeyName(), `{"base":0,"passcode":"no","rotated":"no","tries":0}`, wire.CodeWrongStep},
		{"POST", "/v1/cases/00000000000000000000000000000000/end", newKeyName(), `{"reason":"idle"}`, wire.CodeNotFound},
	} {
		req, err := http.NewRequest(tc.method, w.url+tc.path, strings.NewReader(tc.body))
		if err != nil {
			t.Fatal(err)
		}
		if tc.key != "" {
			req.Header.Set(wire.IdempotencyHeader, tc.key)
		}
		if a := k.do(req); a.problem.Code != tc.code {
			t.Errorf("%s %s %.20s: got %d %s, want %s", tc.method, tc.path, tc.body, a.status, a.body, tc.code)
		}
	}
	other := w.kiosk("k2")
	other.refused(v.path("end"), wire.EndRequest{Reason: wire.Idle}, wire.CodeNotFound)
	if state, _ := w.state(v.id); state != cases.Begun {
		t.Errorf("the case is %s", state)
	}
}
