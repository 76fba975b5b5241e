package monitor

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey/cmd/central/internal/store"
)

var now = time.UnixMilli(1795305600123).UTC()

func served(t *testing.T) (m *Monitor, s store.Store, get func(path string) (int, string), end func()) {
	s, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "central.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	m = New(s, func() time.Time { return now })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	drained, ended := make(chan struct{}), make(chan error)
	go func() { ended <- m.Serve(ctx, l, drained) }()
	t.Cleanup(func() {
		stop()
		close(drained)
		if err := <-ended; err != nil && !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return m, s, func(path string) (int, string) {
		t.Helper()
		r, err := http.Get("http://" + l.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return r.StatusCode, string(b)
	}, stop
}

func TestReadyUntilItEndsOrTheDatabaseIsGone(t *testing.T) {
	t.Parallel()
	m, s, get, stop := served(t)
	for _, path := range []string{"/healthz", "/readyz"} {
		if code, said := get(path); code != http.StatusOK {
			t.Errorf("%s: %d %s", path, code, said)
		}
	}
	s.Close()
	if code, said := get("/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(said, "database") {
		t.Errorf("without a database: %d %s", code, said)
	}
	if _, said := get("/metrics"); !strings.Contains(said, "latchkey_database_up 0") {
		t.Error(said)
	}
	stop()
	for !m.draining.Load() {
		get("/healthz")
	}
	if code, said := get("/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(said, "ending") {
		t.Errorf("while it ends: %d %s", code, said)
	}
}

func TestMetricsCountAndNameNobody(t *testing.T) {
	t.Parallel()
	m, s, get, _ := served(t)
	err := s.Update(t.Context(), func(tx *store.Tx) error {
		for i, state := range []store.KioskState{store.KioskActive, store.KioskActive, store.KioskDisabled} {
			if _, err := tx.AddKiosk(store.Kiosk{Name: "ward-" + string(rune('a'+i)), State: state}); err != nil {
				return err
			}
		}
		return tx.AddMessage(store.Message{ID: "m1", Holder: "holder-7", State: store.MessageWaiting, MadeAt: now.Add(-time.Minute)})
	})
	if err != nil {
		t.Fatal(err)
	}
	m.Request("POST /v1/cases", "", 3*time.Millisecond)
	m.Request("POST /v1/cases", "card-revoked", time.Millisecond)
	m.Request("", "not-found", time.Millisecond)
	m.Outcome("yes")
	_, said := get("/metrics")
	for _, line := range []string{
		`latchkey_requests_total{code="ok",route="POST /v1/cases"} 1`, `latchkey_requests_total{code="card-revoked",route="POST /v1/cases"} 1`,
		`latchkey_requests_total{code="not-found",route="none"} 1`, `latchkey_request_seconds_count{route="POST /v1/cases"} 2`,
		`latchkey_outcomes_total{passcode="yes"} 1`, `latchkey_kiosks{state="active"} 2`, `latchkey_kiosks{state="disabled"} 1`,
		`latchkey_kiosks{state="enrolled"} 0`, `latchkey_messages_waiting 1`, `latchkey_messages_oldest_seconds 60`, `latchkey_database_up 1`,
	} {
		if !strings.Contains(said, line+"\n") {
			t.Errorf("no %s", line)
		}
	}
	for _, name := range []string{"ward-", "holder-7"} {
		if strings.Contains(said, name) {
			t.Errorf("%s is named", name)
		}
	}
}
