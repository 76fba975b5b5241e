package api

import (
	"crypto/sha256"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/config"
	"latchkey/cmd/central/internal/delivery"
	"latchkey/firmware/wire"
	"latchkey/tools/fakenotify"
)

// notified makes everything go out by Notify, and takes its receipts.
func (w *world) notified() *fakenotify.Server {
	w.t.Helper()
	in := func(name string) string { return filepath.Join(w.dir, name) }
	s, err := fakenotify.Start(w.t.Context(), fakenotify.Config{Addr: "127.0.0.1:0", Dir: in("notify"), Now: w.server.Now})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { s.Close() })
	for name, content := range map[string]string{"key": s.Key(), "token": "a word that is long enough for that\n"} {
		if err := os.WriteFile(in(name), []byte(content), 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
	c := &config.Config{
		RAContact: "the RA", TimeZone: time.UTC, Delivery: config.Delivery{Email: config.ByNotify, SMS: config.ByNotify},
		Notify: config.Notify{URL: s.URL(), KeyFile: in("key"), EmailTemplate: s.EmailTemplate, SMSTemplate: s.SMSTemplate, ReceiptsTokenFile: in("token")},
	}
	if w.server.Outbox, err = delivery.NewOutbox(c, w.server.Store, w.server.Vault, w.server.Log, w.server.Now); err != nil {
		w.t.Fatal(err)
	}
	if w.server.Receipts, err = ReadToken("notify.receipts_token_file", c.Notify.ReceiptsTokenFile); err != nil {
		w.t.Fatal(err)
	}
	return s
}

// A code goes to the holder's mobile number, and what Notify says of it later comes to the case.
func TestACodeByTextMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.notified()
	k := w.kiosk("k1")
	v := k.begin(w.card)
	proved := v.prove()
	if n := len(proved.Channels); n != 2 || proved.Channels[1] != (wire.Channel{Id: cases.ChannelMobile, Kind: wire.Mobile, Masked: "•••• 123"}) {
		t.Fatalf("%+v", proved.Channels)
	}
	by := func(channel string) wire.CodeStatus {
		t.Helper()
		return post[wire.CodeStatus](k, v.path("code"), wire.SendCodeRequest{Channel: channel})
	}
	if c := by("mobile"); c.Masked != "•••• 123" {
		t.Errorf("%+v", c)
	}
	m := s.Messages()[0]
	if m.To != "+447700900123" || m.Kind != "sms" {
		t.Errorf("%+v", m)
	}

	receipt := func(m fakenotify.Message, token, status string) int {
		t.Helper()
		rq, err := s.Receipt(t.Context(), "https://unlock.example.nhs.uk"+receiptsPath, token, m, status)
		if err != nil {
			t.Fatal(err)
		}
		rec := httptest.NewRecorder()
		w.server.Web().ServeHTTP(rec, rq)
		return rec.Code
	}
	failed := func() bool {
		t.Helper()
		c := decoded[wire.CodeStatus](t, k.get(v.path("code")))
		return c.Failed != nil && *c.Failed
	}
	const token = "a word that is long enough for that"
	if got := receipt(m, "another word", "permanent-failure"); got != http.StatusUnauthorized || failed() {
		t.Errorf("a stranger: %d", got)
	}
	if got := receipt(m, token, "delivered"); got != http.StatusNoContent || failed() {
		t.Errorf("delivered: %d", got)
	}
	if got := receipt(fakenotify.Message{Reference: strings.Repeat("0", 32)}, token, "permanent-failure"); got != http.StatusNoContent || failed() {
		t.Errorf("nobody's: %d", got)
	}
	for range 2 {
		if got := receipt(m, token, "temporary-failure"); got != http.StatusNoContent || !failed() {
			t.Errorf("not delivered: %d", got)
		}
	}
	by("email")
	if failed() {
		t.Error("another was sent, and the first is still told")
	}
	code := sixDigits.FindString(s.Messages()[1].Text)
	post[wire.CodeAccepted](k, v.path("code/check"), typed(code))
	if log := w.log.String(); strings.Contains(log, "7700") || strings.Contains(log, "rigby") || strings.Contains(log, code) {
		t.Errorf("the log names somebody:\n%s", log)
	}
}

func TestReceiptsAreTakenOnlyWithAToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for body, want := range map[string]int{`{"status":"permanent-failure"}`: http.StatusUnauthorized, "": http.StatusUnauthorized} {
		rq := httptest.NewRequest(http.MethodPost, receiptsPath, strings.NewReader(body))
		rq.Header.Set("Authorization", "Bearer ")
		rec := httptest.NewRecorder()
		w.server.Web().ServeHTTP(rec, rq)
		if rec.Code != want {
			t.Errorf("%q: %d", body, rec.Code)
		}
	}
	sum := sha256.Sum256([]byte("t"))
	w.server.Receipts = sum[:]
	for body, want := range map[string]int{
		"": http.StatusBadRequest, "[]": http.StatusBadRequest, strings.Repeat(" ", maxReceipt+1) + "{}": http.StatusBadRequest,
		"{}": http.StatusNoContent, `{"status":"permanent-failure","reference":"'; DROP"}`: http.StatusNoContent,
	} {
		rq := httptest.NewRequest(http.MethodPost, receiptsPath, strings.NewReader(body))
		rq.Header.Set("Authorization", "Bearer t")
		rec := httptest.NewRecorder()
		w.server.Web().ServeHTTP(rec, rq)
		if rec.Code != want {
			t.Errorf("%.40q: %d", body, rec.Code)
		}
	}
}
