package api

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"latchkey/cmd/central/internal/cases"
	"latchkey/firmware/wire"
)

// recorder keeps what a kiosk sends, by path.
type recorder struct {
	http.RoundTripper
	mu   sync.Mutex
	sent [][2]string
}

func (r *recorder) RoundTrip(rq *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(rq.Body)
	if err != nil {
		return nil, err
	}
	rq.Body = io.NopCloser(bytes.NewReader(body))
	r.mu.Lock()
	r.sent = append(r.sent, [2]string{rq.URL.Path, string(body)})
	r.mu.Unlock()
	return r.RoundTripper.RoundTrip(rq)
}

// Whatever a kiosk sends to any route, signed or not: it is answered or refused, and nothing breaks.
func FuzzRequests(f *testing.F) {
	w := newWorld(f, generous, func(p *cases.Policy) { p.KioskStrikes, p.NetworkStrikes = 1<<30, 0 })
	k := w.kiosk("k1")
	rec := &recorder{RoundTripper: k.http.Transport}
	k.http.Transport = rec
	k.unlock(w.card)
	j := newJournal(k)
	j.add("cancelled")
	j.add("idle")
	j.deliver(j.batch(1, 2), 2)
	v := k.accepted(w.card)
	post[struct{}](k, v.path("end"), wire.EndRequest{Reason: "cancelled"})
	v = k.accepted(w.card)
	routes := []string{"/v1/cases", v.path("proof"), v.path("code"), v.path("code/check"), v.path("release"), v.path("outcome"), v.path("end"),
		"/v1/entries", "/v1/feedback", "/v1/renewals"}
	route := func(path string) uint8 {
		for i, r := range routes {
			if r == path || strings.HasPrefix(r, "/v1/cases/") && strings.HasPrefix(path, "/v1/cases/") && path[len("/v1/cases/")+32:] == r[len("/v1/cases/")+32:] {
				return uint8(i)
			}
		}
		f.Fatalf("no route %s", path)
		return 0
	}
	for _, s := range rec.sent {
		f.Add(route(s[0]), true, []byte(s[1]))
	}
	f.Add(route("/v1/feedback"), false, []byte(`{"id":"0123456789abcdef0123456789abcdef","stars":4,"comment":"x"}`))
	f.Add(route("/v1/renewals"), false, []byte(`{"csr":"MIIB"}`))
	f.Add(route("/v1/cases"), false, []byte(`null`))
	leaf, err := x509.ParseCertificate(k.cert.Certificate[0])
	if err != nil {
		f.Fatal(err)
	}
	handler := w.server.Handler()
	f.Fuzz(func(t *testing.T, at uint8, sign bool, body []byte) {
		path := routes[int(at)%len(routes)]
		if sign {
			body = k.signedAnew(v, path, body)
		}
		r := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body))
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}, VerifiedChains: [][]*x509.Certificate{{leaf}}}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set(wire.IdempotencyHeader, newKeyName())
		got := httptest.NewRecorder()
		handler.ServeHTTP(got, r)
		if got.Code >= 500 {
			t.Errorf("%s %q: %d %s", path, body, got.Code, got.Body)
		}
		var p wire.Problem
		if got.Code >= 400 && (json.Unmarshal(got.Body.Bytes(), &p) != nil || p.Code == "") {
			t.Errorf("%s %q: %d without a problem: %s", path, body, got.Code, got.Body)
		}
	})
}

// signedAnew puts the kiosk's own signature on what it asks, so that what is asked is looked at.
func (k *kiosk) signedAnew(v *visit, path string, body []byte) []byte {
	var signed any
	switch {
	case path == "/v1/cases":
		var r wire.BeginRequest
		if json.Unmarshal(body, &r) != nil {
			return body
		}
		r.Signature = k.sign(wire.BeginDigest(k.name, &r))
		signed = r
	case strings.HasSuffix(path, "/release"):
		var r wire.ReleaseRequest
		if json.Unmarshal(body, &r) != nil {
			return body
		}
		r.Signature = k.sign(wire.ReleaseDigest(k.name, v.id, v.nonce, r.Proof, r.Challenge))
		signed = r
	default:
		return body
	}
	b, err := json.Marshal(signed)
	if err != nil {
		return body
	}
	return b
}
