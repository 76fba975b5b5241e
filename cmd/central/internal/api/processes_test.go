package api

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"latchkey/firmware/wire"
	"latchkey/tools/postgres"
)

// processes is how many centrals serve one database.
const processes = 3

// Many centrals, each a process of its own on the same database and behind a balancer that gives every request to the next:
// they are one central. What is begun at one goes on at the others, and what may happen three times, or once, may do so
// among all of them together.
func TestManyProcessesAreOneCentral(t *testing.T) {
	t.Parallel()
	for engine, database := range map[string]func(*testing.T) string{
		"SQLite": func(*testing.T) string { return "" },
		"PostgreSQL": func(t *testing.T) string {
			url, err := postgres.Shared(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return url
		},
	} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			w, visitors, mail := prepareLoad(t, database(t), 1, 2)
			k := visitors[0]
			balance(t, k.kiosk, w.dir)

			k.unlock(mail)
			guess(t, k.kiosk, k.visits[1].card, mail)
			k.n = 2 // back to the first card
			accept(t, k, mail)
		})
	}
}

// balance starts the processes and makes each of the kiosk's requests a connection to the next of them.
func balance(t *testing.T, k *kiosk, dir string) {
	t.Helper()
	var addrs []string
	for range processes {
		addrs = append(addrs, startServer(t, filepath.Base(t.Name()), dir).line(t))
	}
	k.url = "https://" + addrs[0]
	var next atomic.Int64
	transport := k.http.Transport.(*http.Transport)
	transport.DisableKeepAlives = true
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, addrs[int(next.Add(1))%len(addrs)])
	}
}

// guess: 64 wrong codes at once, of which three are judged.
func guess(t *testing.T, k *kiosk, card *plastic, mail *sink) {
	t.Helper()
	v := k.begin(card)
	v.prove()
	v.sendCode()
	right := mail.newest(loadAddress(card.serial))
	bad := wrongCode(right)
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
	k.refused(v.path("code/check"), typed(right), wire.CodeCaseClosed)
}

// accept: of many requests at once that bring the right code, one is accepted; of many that ask for the grant under one key
// all get the same, and under keys of their own nobody gets another.
func accept(t *testing.T, k *visitor, mail *sink) {
	t.Helper()
	v := k.visits[0]
	b := post[wire.Begun](k.kiosk, "/v1/cases", k.begins[0])
	v.id, v.nonce = b.Case, b.Nonce
	v.prove()
	v.sendCode()
	code := mail.newest(loadAddress(v.card.serial))
	at := func(path string, key func() string, body any) (good [][]byte) {
		var mu sync.Mutex
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				a := k.send(v.path(path), key(), body)
				if a.status >= 500 {
					t.Errorf("%s: %s", path, a.body)
				}
				mu.Lock()
				defer mu.Unlock()
				if a.status == http.StatusOK {
					good = append(good, a.body)
				}
			})
		}
		wg.Wait()
		return good
	}
	accepted := at("code/check", newKeyName, typed(code))
	if len(accepted) != 1 {
		t.Fatalf("the code was accepted %d times", len(accepted))
	}
	v.nonce = decoded[wire.CodeAccepted](t, answer{status: http.StatusOK, body: accepted[0]}).Nonce
	request, key := v.releaseRequest(), newKeyName()
	grants := at("release", func() string { return key }, request)
	for _, g := range grants {
		if !bytes.Equal(g, grants[0]) {
			t.Errorf("two grants under one key: %s\n%s", g, grants[0])
		}
	}
	if len(grants) != 16 {
		t.Errorf("%d of 16 repetitions were answered", len(grants))
	}
	if more := at("release", newKeyName, request); len(more) != 0 {
		t.Errorf("%d more grants", len(more))
	}
}
