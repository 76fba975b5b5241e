package api

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"testing"
	"time"

	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/engineers"
	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/store"
	"latchkey/firmware/link"
	"latchkey/firmware/secret"
	"latchkey/firmware/service"
	"latchkey/firmware/wire"
)

// serviced is a kiosk with a store and a link of its own.
type serviced struct {
	*kiosk
	dir   string
	store *service.Store
	link  *link.Central
}

func (w *world) serviced(k *kiosk) *serviced {
	w.t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(w.ca.cert)
	l, err := link.New(link.Config{URL: w.url, Roots: pool, Certificate: k.cert})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(l.Close)
	s := &serviced{kiosk: k, dir: w.t.TempDir(), link: l}
	s.restart()
	return s
}

func (s *serviced) restart() {
	s.t.Helper()
	var err error
	var damaged string
	if s.store, damaged, err = service.Open(s.dir, s.name, &s.server.Signing.PublicKey); err != nil || damaged != "" {
		s.t.Fatal(damaged, err)
	}
}

// ask asks central once.
func (s *serviced) ask() (*wire.ServiceDocument, error) {
	h, etag := s.store.Held(), ""
	if h.Document != nil {
		etag = service.ETag(h.Document)
	}
	return s.link.Service(context.Background(), etag, h.Chain, h.Due)
}

// fetch asks as long as there is something new, as a kiosk does.
func (s *serviced) fetch() (documents int) {
	s.t.Helper()
	for ; ; documents++ {
		d, err := s.ask()
		if err != nil {
			s.t.Fatal(err)
		}
		if d == nil {
			return documents
		}
		if taken, err := s.store.Take(service.Signed{Document: d.Document, Signature: d.Signature}); err != nil || !taken {
			s.t.Fatalf("taken %v, %v", taken, err)
		}
	}
}

func (s *serviced) want(documents, due int) {
	s.t.Helper()
	if got := s.fetch(); got != documents {
		s.t.Fatalf("got %d documents, want %d", got, documents)
	}
	if n, err := s.store.Due(time.Now()); err != nil || n != due {
		s.t.Fatalf("due %d, %v, want %d", n, err, due)
	}
}

func (s *serviced) chains() (list []store.ServiceChain) {
	s.t.Helper()
	s.update(func(tx *store.Tx) (err error) { list, err = tx.ServiceChains(s.name); return err })
	return list
}

// code is as central would give it out.
func (s *serviced) code(chain store.ServiceChain, n int) secret.Value {
	s.t.Helper()
	code, err := engineers.Code(s.server.Vault, chain, n)
	if err != nil {
		s.t.Fatal(err)
	}
	return code
}

func (s *serviced) use(code secret.Value) {
	s.t.Helper()
	if err := s.store.Check(time.Now(), code); err != nil {
		s.t.Fatal(err)
	}
}

func TestAKioskIsToldWhatOpensItsOwnPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.serviced(w.kiosk("k1"))
	k.want(1, service.Codes)
	k.want(0, service.Codes) // and nothing is sent again
	chains := k.chains()
	if len(chains) != 1 || chains[0].HeldAt.IsZero() || chains[0].Due != service.Codes {
		t.Fatalf("chains %+v", chains)
	}
	k.use(k.code(chains[0], service.Codes))
	k.use(k.code(chains[0], service.Codes-1))
	k.restart()
	k.want(0, service.Codes-2)
	if got := k.chains()[0].Due; got != service.Codes-2 {
		t.Fatalf("central knows of %d", got)
	}

	// Another kiosk's codes are others.
	other := w.serviced(w.kiosk("k2"))
	other.want(1, service.Codes)
	if err := other.store.Check(time.Now(), k.code(chains[0], service.Codes)); !errors.Is(err, service.ErrWrong) {
		t.Fatalf("a code of another kiosk: %v", err)
	}

	// A service card is known with the next document, and no more with the one after.
	card := store.ServiceCard{Key: [32]byte{7}, Name: "Engineer 1", AddedAt: w.server.Now()}
	w.update(func(tx *store.Tx) error { _, err := tx.AddServiceCard(card); return err })
	k.want(1, service.Codes-2)
	w.update(func(tx *store.Tx) error { _, err := tx.RemoveServiceCard(card.Key, w.server.Now()); return err })
	k.want(1, service.Codes-2)

	var made int
	w.update(func(tx *store.Tx) error {
		events, err := tx.Events("")
		for _, e := range events {
			if e.Kind == ledger.ServiceCodesMade && e.Kiosk == "k1" {
				made++
			}
		}
		return err
	})
	if made != 1 {
		t.Errorf("%d events of codes that were made", made)
	}
}

func TestAKioskThatLostItsFileGetsOtherCodes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.serviced(w.kiosk("k1"))
	k.want(1, service.Codes)
	first := k.chains()[0]
	used := k.code(first, service.Codes)
	k.use(used)
	k.dir = t.TempDir()
	k.restart()
	k.want(1, service.Codes)
	if err := k.store.Check(time.Now(), used); !errors.Is(err, service.ErrWrong) {
		t.Fatalf("a used code: %v", err)
	}
	// Central forgets the old one, and gives no other without need.
	if c := k.chains(); len(c) != 1 || c[0].ID == first.ID {
		t.Fatalf("chains %+v", c)
	}
	k.want(0, service.Codes)
	// Nor does it fill its ledger for a kiosk that loses its file again and again.
	lose := func() {
		k.dir = t.TempDir()
		k.restart()
	}
	for range chainsADay - 2 {
		lose()
		k.want(1, service.Codes)
	}
	lose()
	var p *wire.Problem
	if _, err := k.ask(); !errors.As(err, &p) || p.Code != wire.CodeRateLimited {
		t.Fatalf("once more: %v, want %s", err, wire.CodeRateLimited)
	}
	k.pass(cases.VisitWindow + time.Minute)
	k.want(1, service.Codes)
}

func TestAKioskIsGivenNewCodesBeforeTheLast(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.serviced(w.kiosk("k1"))
	k.want(1, service.Codes)
	first := k.chains()[0]
	// As if all but a few were used: central believes the number that it is told.
	if d, err := k.link.Service(t.Context(), "", first.ID, 19); err != nil || d == nil {
		t.Fatal(d, err)
	}
	c := k.chains()
	if len(c) != 2 || c[0].ID == first.ID || c[1].Due != 19 {
		t.Fatalf("chains %+v", c)
	}
	// While the kiosk has not told that it has the new ones, the old ones are those that count.
	if held := engineers.Held(c); held == nil || held.ID != first.ID {
		t.Fatalf("held %+v", held)
	}
	k.want(1, service.Codes)
	k.use(k.code(k.chains()[0], service.Codes))
	if c := k.chains(); len(c) != 1 || c[0].ID == first.ID {
		t.Fatalf("chains %+v", c)
	}
}

// After a restore central can know less than the kiosk: the kiosk takes what it is given, but no code that was used.
func TestAfterARestoreNoUsedCodeIsGood(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.serviced(w.kiosk("k1"))
	k.want(1, service.Codes)
	first := k.chains()[0]
	used := k.code(first, service.Codes)
	k.use(used)
	fresh, err := engineers.NewChain(w.server.Vault, "k1", w.server.Now())
	if err != nil {
		t.Fatal(err)
	}
	w.update(func(tx *store.Tx) error { return tx.AddServiceChain(fresh) })
	k.want(1, service.Codes)
	// The backup was made before that.
	w.update(func(tx *store.Tx) error {
		second := k.chainsIn(tx)[0]
		if err := tx.DropServiceChains("k1", second.Serial+1); err != nil {
			return err
		}
		return tx.AddServiceChain(first)
	})
	k.want(1, service.Codes-1)
	if err := k.store.Check(time.Now(), used); !errors.Is(err, service.ErrWrong) {
		t.Fatalf("a used code: %v", err)
	}
}

func (s *serviced) chainsIn(tx *store.Tx) []store.ServiceChain {
	list, err := tx.ServiceChains(s.name)
	if err != nil {
		s.t.Error(err)
	}
	return list
}

func TestWhoIsNotServedIsToldNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, k := range map[string]*kiosk{"a stranger": w.stranger("k1"), "a disabled one": w.kiosk("k2"), "another's name": w.kiosk("k3")} {
		want := wire.CodeKioskUnknown
		switch name {
		case "a disabled one":
			w.update(func(tx *store.Tx) error { return tx.DisableKiosk("k2") })
			want = wire.CodeKioskDisabled
		case "another's name":
			k = w.stranger("k3")
		}
		_, err := w.serviced(k).ask()
		var p *wire.Problem
		if !errors.As(err, &p) || p.Code != want {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
	k := w.kiosk("k4")
	for _, query := range []string{"?due=-1", "?due=1001", "?due=x", "?due=1&due=2"} {
		req, err := http.NewRequest(http.MethodGet, w.url+"/v1/service"+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		if a := k.do(req); a.status != http.StatusBadRequest || a.problem.Code != wire.CodeMalformed {
			t.Errorf("%s: %d %s", query, a.status, a.problem.Code)
		}
	}
	req, err := http.NewRequest(http.MethodGet, w.url+"/v1/service?chain=..%2F%00", nil)
	if err != nil {
		t.Fatal(err)
	}
	if a := k.do(req); a.status != http.StatusOK {
		t.Errorf("a chain that is none: %d %s", a.status, a.problem.Code)
	}
}
