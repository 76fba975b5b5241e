package api_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/card/profiles"
	"latchkey/cmd/central/internal/api"
	"latchkey/cmd/central/internal/config"
	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/monitor"
	"latchkey/cmd/central/internal/office"
	"latchkey/cmd/central/internal/pki"
	"latchkey/cmd/central/internal/store"
	"latchkey/cmd/central/internal/vault"
	"latchkey/firmware/identity"
	"latchkey/firmware/link"
	"latchkey/firmware/wire"
	"latchkey/tools/postgres"
)

// fleet is a central with both its listeners, which kiosks enrol at.
type fleet struct {
	t           *testing.T
	server      *api.Server
	kiosks, web string // URLs
	roots       *x509.CertPool
	clock       atomic.Int64 // how far central's clock is ahead, nanoseconds
}

func newFleet(t *testing.T, database string) *fleet {
	t.Helper()
	f := &fleet{t: t, roots: x509.NewCertPool()}
	dir := filepath.Join(t.TempDir(), "central")
	must(t, config.Init(dir))
	in := func(name string) string { return filepath.Join(dir, name) }
	c, err := config.Load(in("central.toml"))
	must(t, err)
	v, err := c.Keys.Open()
	must(t, err)
	signing, err := vault.ReadSigningKey(in("signing.pem"))
	must(t, err)
	devices, err := pki.Open(in("tls/kiosk-ca.crt"), in("kiosk-ca.key"), 90*24*time.Hour)
	must(t, err)
	s, err := store.Open(t.Context(), database)
	must(t, err)
	t.Cleanup(func() { s.Close() })
	f.server = &api.Server{Store: s, Vault: v, Signing: signing, Devices: devices, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Now: f.now,
		Monitor: monitor.New(s, time.Now), Policies: c.Policies, Profiles: c.Profiles}
	own := serverCertificate(t)
	f.roots.AddCert(own.Leaf)
	accepted := x509.NewCertPool()
	accepted.AddCert(devices.Certificate)
	run := func(serve func(context.Context, net.Listener) error) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- serve(ctx, l) }()
		t.Cleanup(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
		return "https://" + l.Addr().String()
	}
	f.kiosks = run(func(ctx context.Context, l net.Listener) error {
		config := api.TLSConfig(own, accepted)
		config.Time = f.now
		return f.server.Serve(ctx, l, config, 5*time.Second)
	})
	f.web = run(func(ctx context.Context, l net.Listener) error {
		return f.server.ServeWeb(ctx, l, api.WebTLSConfig(own), 5*time.Second)
	})
	return f
}

func (f *fleet) now() time.Time { return time.Now().Add(time.Duration(f.clock.Load())) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func serverCertificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "central"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true,
		BasicConstraintsValid: true, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(t, err)
	leaf, err := x509.ParseCertificate(der)
	must(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// code has the RA make an enrolment code.
func (f *fleet) code(name string) wire.Secret {
	f.t.Helper()
	code, _, err := office.EnrolKiosk(f.t.Context(), f.server.Store, f.server.Vault, office.Enrolment{Name: name, Kind: store.KindKiosk, Site: "ward 4"}, "alice", f.now())
	must(f.t, err)
	return wire.Secret{Value: code}
}

func (f *fleet) link(url string, certificate tls.Certificate) *link.Central {
	f.t.Helper()
	c, err := link.New(link.Config{URL: url, Roots: f.roots, Certificate: certificate, Now: f.now})
	must(f.t, err)
	f.t.Cleanup(c.Close)
	return c
}

func (f *fleet) enrol(dir string, code wire.Secret) (identity.Enrolment, error) {
	c := f.link(f.web, tls.Certificate{})
	return identity.Enrol(f.t.Context(), dir, "", f.now(), func(ctx context.Context, csr []byte) (*wire.Enrolled, error) {
		return c.Enrol(ctx, wire.EnrolRequest{Code: wire.Secret{Value: code.Clone()}, Csr: csr})
	})
}

func wants(t *testing.T, err error, code wire.Code) {
	t.Helper()
	var p *wire.Problem
	if !errors.As(err, &p) || p.Code != code {
		t.Errorf("got %v, want %s", err, code)
	}
}

// A kiosk's life at central: enrolled, inert, confirmed, served, renewed, disabled.
func TestLifeOfAKiosk(t *testing.T) {
	t.Parallel()
	for name, database := range map[string]func(*testing.T) string{
		"SQLite": func(t *testing.T) string { return filepath.Join(t.TempDir(), "central.db") },
		"PostgreSQL": func(t *testing.T) string {
			url, err := postgres.Shared(t.Context())
			must(t, err)
			return url
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lifeOfAKiosk(t, newFleet(t, database(t)))
		})
	}
}

func lifeOfAKiosk(t *testing.T, f *fleet) {
	ctx, dir := t.Context(), filepath.Join(t.TempDir(), "identity")
	code := f.code("k1")
	e, err := f.enrol(dir, code)
	must(t, err)
	if e.Name != "k1" || e.Before {
		t.Errorf("enrolled as %+v", e)
	}
	id, err := identity.Open(dir, "")
	must(t, err)
	if !id.CentralKey().Equal(&f.server.Signing.PublicKey) || id.Fingerprint() != e.Fingerprint {
		t.Error("it learnt another key of central's, or shows another fingerprint")
	}

	// It is inert, whatever it asks, until the right fingerprint was confirmed.
	central := f.link(f.kiosks, id.TLS())
	wants(t, central.Status(ctx), wire.CodeKioskUnconfirmed)
	_, err = central.Begin(ctx, "0123456789abcdef", wire.BeginRequest{})
	if err == nil {
		t.Error("a case was begun at a kiosk that nobody confirmed")
	}
	_, err = central.Renew(ctx, []byte{1})
	wants(t, err, wire.CodeKioskUnconfirmed)
	var refused *office.Refused
	if err := office.ConfirmKiosk(ctx, f.server.Store, "k1", strings.Repeat("0", 64), "alice", f.now()); !errors.As(err, &refused) {
		t.Errorf("another fingerprint: %v", err)
	}
	must(t, f.server.Store.View(ctx, func(tx *store.Tx) error {
		events, err := tx.Events("")
		if err == nil && !slices.ContainsFunc(events, func(e ledger.Event) bool { return e.Kind == ledger.KioskNotConfirmed && e.By == "alice" }) {
			t.Error("the ledger does not say that another fingerprint was typed")
		}
		return err
	}))
	wants(t, central.Status(ctx), wire.CodeKioskUnconfirmed)
	must(t, office.ConfirmKiosk(ctx, f.server.Store, "k1", strings.ToUpper(e.Fingerprint), "alice", f.now()))
	must(t, central.Status(ctx))

	// After two thirds of its life it renews the certificate. The old one is good until the new one is used.
	f.clock.Store(int64(75 * 24 * time.Hour))
	must(t, central.Status(ctx)) // it hears the time
	old := f.link(f.kiosks, id.TLS())
	keep, stop := context.WithCancel(ctx)
	renewed, done := make(chan tls.Certificate, 1), make(chan struct{})
	go func() {
		defer close(done)
		id.KeepValid(keep, identity.Renewal{Ask: central.Renew, Clock: central.Clock, Log: f.server.Log, Use: func(c tls.Certificate) { renewed <- c }})
	}()
	next := <-renewed
	stop()
	<-done
	if len(id.Certificates()) != 2 || string(id.Certificates()[0]) != string(next.Certificate[0]) {
		t.Error("the certificate before is not known any more, or the new one is not used")
	}
	must(t, old.Status(ctx))
	central.Use(next)
	must(t, central.Status(ctx))
	wants(t, old.Status(ctx), wire.CodeKioskUnknown)
	must(t, id.Close())
	again, err := identity.Open(dir, "")
	must(t, err)
	if string(again.Certificates()[0]) != string(next.Certificate[0]) {
		t.Error("the new certificate was not kept")
	}

	// What is asked for twice is answered alike: the first request may arrive last.
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, again.Key())
	must(t, err)
	one, err := central.Renew(ctx, csr)
	must(t, err)
	two, err := central.Renew(ctx, csr)
	must(t, err)
	if string(one) != string(two) {
		t.Error("a repeated request voids the certificate that it was answered with")
	}
	wants(t, central.End(ctx, "0123456789abcdef", "\x00", wire.EndRequest{Reason: wire.Idle}), wire.CodeNotFound)

	// Another key is another kiosk.
	_, err = central.Renew(ctx, request(t))
	wants(t, err, wire.CodeEnrolmentInvalid)
	must(t, again.Close())

	must(t, f.server.Store.Update(ctx, func(tx *store.Tx) error { return tx.DisableKiosk("k1") }))
	wants(t, central.Status(ctx), wire.CodeKioskDisabled)
	if _, _, err := office.EnrolKiosk(ctx, f.server.Store, f.server.Vault, office.Enrolment{Name: "k1", Kind: store.KindKiosk}, "alice", f.now()); !errors.As(err, &refused) {
		t.Errorf("a disabled kiosk's name was given again: %v", err)
	}
}

// request is one by a new key.
func request(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "central"}}, key)
	must(t, err)
	return csr
}

// A code is good once: for the device that lost the answer it is the same answer, for everybody else it is none.
func TestAnEnrolmentCodeIsGoodOnce(t *testing.T) {
	t.Parallel()
	f := newFleet(t, filepath.Join(t.TempDir(), "central.db"))
	ctx, c := t.Context(), f.link(f.web, tls.Certificate{})
	code, csr := f.code("k1"), request(t)
	ask := func(code wire.Secret, csr []byte) (*wire.Enrolled, error) {
		return c.Enrol(ctx, wire.EnrolRequest{Code: wire.Secret{Value: code.Clone()}, Csr: csr})
	}
	first, err := ask(code, csr)
	must(t, err)
	again, err := ask(code, csr)
	must(t, err)
	if string(first.Certificate) != string(again.Certificate) || first.Kiosk != "k1" {
		t.Error("the same code and key got another certificate")
	}
	got, err := x509.ParseCertificate(first.Certificate)
	must(t, err)
	if got.Subject.CommonName != "k1" || len(got.ExtKeyUsage) != 1 || got.ExtKeyUsage[0] != x509.ExtKeyUsageClientAuth || got.IsCA {
		t.Errorf("certified as %s, for %v, authority %v", got.Subject, got.ExtKeyUsage, got.IsCA)
	}
	_, err = ask(code, request(t))
	wants(t, err, wire.CodeEnrolmentInvalid)

	// A second code for the name, for another key: only the device that it always was comes back.
	second := f.code("k1")
	_, err = ask(second, request(t))
	wants(t, err, wire.CodeEnrolmentInvalid)
	_, err = ask(second, csr)
	must(t, err)

	// The RA disables what has lost its file, whether the code in it was used or not: nobody gets a certificate for it any more.
	disable := func(name string) {
		t.Helper()
		_, err := office.DisableKiosk(ctx, f.server.Store, profiles.Set{}, name, "alice", f.now())
		must(t, err)
	}
	lost := f.code("k5")
	disable("k5")
	_, err = ask(lost, csr)
	wants(t, err, wire.CodeEnrolmentInvalid)
	third := f.code("k1")
	disable("k1")
	for _, void := range []wire.Secret{second, third} {
		_, err = ask(void, csr)
		wants(t, err, wire.CodeEnrolmentInvalid)
	}

	late := f.code("k2")
	f.clock.Add(int64(office.EnrolmentValidity))
	_, err = ask(late, request(t))
	wants(t, err, wire.CodeEnrolmentInvalid)

	// Whoever guesses is stopped, with a right code, too; not for good.
	right := f.code("k3")
	for i := range 20 {
		_, err = ask(wire.NewSecret(fmt.Appendf(nil, "7K3Q-M9XD-0RTB-VWPA-%04d", i)), csr)
		var p *wire.Problem
		if !errors.As(err, &p) {
			t.Fatal(err)
		}
	}
	wants(t, err, wire.CodeRateLimited)
	_, err = ask(right, request(t))
	wants(t, err, wire.CodeRateLimited)
	f.clock.Add(int64(time.Hour + time.Minute))
	_, err = ask(right, request(t))
	must(t, err)
}

// Nothing but enrolment is answered to those without a certificate.
func TestWithoutACertificateThereIsOnlyEnrolment(t *testing.T) {
	t.Parallel()
	f := newFleet(t, filepath.Join(t.TempDir(), "central.db"))
	long := wire.EnrolRequest{Code: wire.NewSecret([]byte("7K3Q-M9XD-0RTB-VWPA-4HCN")), Csr: append(request(t), make([]byte, 16<<10)...)}
	if _, err := f.link(f.web, tls.Certificate{}).Enrol(t.Context(), long); err == nil {
		t.Error("a long request of a stranger's was taken")
	} else {
		wants(t, err, wire.CodeMalformed)
	}
	if err := f.link(f.web, tls.Certificate{}).Status(t.Context()); err == nil {
		t.Error("the public listener serves kiosks")
	}
	if _, err := f.link(f.kiosks, tls.Certificate{}).Renew(t.Context(), request(t)); err == nil {
		t.Error("a kiosk without a certificate was served")
	}
}

// Who sends slowly is cut off, and holds up nobody.
func TestASlowClientIsCutOff(t *testing.T) {
	t.Parallel()
	f := newFleet(t, filepath.Join(t.TempDir(), "central.db"))
	began := time.Now()
	conn, err := tls.Dial("tcp", strings.TrimPrefix(f.web, "https://"), &tls.Config{RootCAs: f.roots})
	must(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "POST /v1/enrolments HTTP/1.1\r\nHost: central\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
	must(t, err)
	must(t, conn.SetReadDeadline(time.Now().Add(time.Minute)))
	if _, err := io.ReadAll(conn); errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 30*time.Second {
		t.Errorf("after %s: %v", time.Since(began), err)
	}
}

// Whatever is sent, the answer is a problem of the catalogue and nobody is enrolled.
func FuzzEnrol(f *testing.F) {
	for _, seed := range []string{`{}`, `{"code":"x","csr":""}`, `{"code":"7K3Q-M9XD-0RTB-VWPA-4HCN","csr":"MIIB"}`, `[`, `{"code":"\u0000","csr":null}`} {
		f.Add([]byte(seed))
	}
	dir := f.TempDir()
	s, err := store.Open(f.Context(), filepath.Join(dir, "central.db"))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { s.Close() })
	if err := config.Init(filepath.Join(dir, "c")); err != nil {
		f.Fatal(err)
	}
	in := func(name string) string { return filepath.Join(dir, "c", name) }
	c, err := config.Load(in("central.toml"))
	if err != nil {
		f.Fatal(err)
	}
	v, err := c.Keys.Open()
	if err != nil {
		f.Fatal(err)
	}
	devices, err := pki.Open(in("tls/kiosk-ca.crt"), in("kiosk-ca.key"), time.Hour)
	if err != nil {
		f.Fatal(err)
	}
	server := &api.Server{Store: s, Vault: v, Devices: devices, Log: slog.New(slog.DiscardHandler), Now: time.Now, Monitor: monitor.New(s, time.Now)}
	handler := server.Handler()
	f.Fuzz(func(t *testing.T, body []byte) {
		r := httptest.NewRequest(http.MethodPost, "/v1/enrolments", strings.NewReader(string(body)))
		r.Header.Set("Content-Type", "application/json")
		got := httptest.NewRecorder()
		handler.ServeHTTP(got, r)
		if got.Code < 400 || got.Code >= 500 {
			t.Errorf("%q: %d %s", body, got.Code, got.Body)
		}
	})
}
