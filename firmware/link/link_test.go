package link

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"latchkey/firmware/secret"
	"latchkey/firmware/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server answers with what the test wants, over real TLS 1.3.
func server(t *testing.T, answer http.HandlerFunc) *Central {
	t.Helper()
	s := httptest.NewTLSServer(answer)
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	c, err := New(Config{URL: s.URL, Roots: roots, Patience: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func reply(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	if status >= 400 {
		w.Header().Set("Content-Type", "application/problem+json")
	}
	w.WriteHeader(status)
	fmt.Fprint(w, body)
}

// An answer that is lost is asked for again, with the same key and the same body.
func TestALostAnswerIsAskedForAgain(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var keys []string
	c := server(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		body := make([]byte, r.ContentLength)
		r.Body.Read(body)
		keys = append(keys, r.Header.Get(wire.IdempotencyHeader)+string(body))
		switch len(keys) {
		case 1:
			panic(http.ErrAbortHandler) // the connection ends without an answer
		case 2:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 3: // its second half is lost
			w.Header().Set("Content-Length", "10")
			reply(w, 200, `{"ba`)
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		default:
			reply(w, 200, `{"base":5}`)
		}
	})
	got, err := c.Outcome(t.Context(), "outcome-of-a-case", "3f2a91c0000000000000000000000000", wire.Outcome{Base: 4, Passcode: wire.Yes, Rotated: wire.Yes})
	if err != nil || got.Base != 5 {
		t.Fatalf("%v, %v", got, err)
	}
	if len(keys) != 4 || keys[0] != keys[1] || keys[1] != keys[2] || keys[2] != keys[3] || !strings.HasPrefix(keys[0], "outcome-of-a-case{") {
		t.Errorf("requests: %q", keys)
	}
}

func TestAProblemIsAnAnswer(t *testing.T) {
	t.Parallel()
	asked := 0
	c := server(t, func(w http.ResponseWriter, r *http.Request) {
		asked++
		reply(w, 403, `{"title":"The code is wrong.","status":403,"code":"code-wrong","attempts_left":2}`)
	})
	_, err := c.CheckCode(t.Context(), "key", "3f2a91c0000000000000000000000000", wire.CheckCodeRequest{Code: wire.NewSecret([]byte("123456"))})
	var p *wire.Problem
	if !errors.As(err, &p) || p.Code != wire.CodeCodeWrong || *p.AttemptsLeft != 2 || asked != 1 {
		t.Errorf("%v after %d requests", err, asked)
	}
}

// A kiosk without a clock counts from central's.
func TestTimesAreCentralsDistances(t *testing.T) {
	t.Parallel()
	ahead := 3 * 365 * 24 * time.Hour
	c := server(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(wire.TimeHeader, fmt.Sprint(time.Now().Add(ahead).UnixMilli()))
		reply(w, 200, `{"kiosk":"kiosk-1"}`)
	})
	if err := c.Status(t.Context()); err != nil {
		t.Fatal(err)
	}
	left := time.Until(c.Local(time.Now().Add(ahead + 15*time.Minute).UnixMilli()))
	if (left - 15*time.Minute).Abs() > time.Minute {
		t.Errorf("15 minutes of central's are %s here", left)
	}
}

func TestAnAnswerIsBounded(t *testing.T) {
	t.Parallel()
	c := server(t, func(w http.ResponseWriter, r *http.Request) {
		reply(w, 200, `{"kiosk":"`+strings.Repeat("x", 2*wire.MaxBody)+`"}`)
	})
	if err := c.Status(t.Context()); err == nil {
		t.Error("two megabytes were read")
	}
}

type nobody struct{}

func (nobody) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("no route to host")
}

// Nobody answers: the holder is told after the patience that was set, not before and not much later.
func TestPatienceEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Config{URL: "https://central"})
		if err != nil {
			t.Fatal(err)
		}
		c.doer.client.Store(&http.Client{Transport: nobody{}})
		begun := time.Now()
		if err := c.Status(context.Background()); err == nil {
			t.Fatal("somebody answered")
		}
		if took := time.Since(begun); took != 8*time.Second {
			t.Errorf("gave up after %s", took)
		}
	})
}

// What a holder had to say arrives once, whatever is lost on the way; that it is no answer but a problem is told.
func TestFeedback(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var bodies []string
	c := server(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		b, err := io.ReadAll(r.Body)
		if err != nil || r.URL.Path != "/v1/feedback" || r.Method != http.MethodPost {
			t.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
		}
		bodies = append(bodies, string(b))
		switch len(bodies) {
		case 1:
			panic(http.ErrAbortHandler) // it was kept, and the answer was lost
		case 2:
			w.WriteHeader(http.StatusNoContent)
		default:
			reply(w, 429, `{"code":"rate-limited","title":"Too many.","status":429}`)
		}
	})
	said := wire.Feedback{Id: "5f0c3a9e1b7d42688e21c4d0937fa6b5", Stars: 4, Comment: wire.Text{Value: secret.New([]byte("Da iawn, dŵr"))}}
	if err := c.Feedback(t.Context(), said); err != nil {
		t.Fatal(err)
	}
	const want = `{"comment":"Da iawn, dŵr","contact":"","id":"5f0c3a9e1b7d42688e21c4d0937fa6b5","stars":4}`
	if len(bodies) != 2 || strings.TrimSpace(bodies[0]) != want || bodies[0] != bodies[1] {
		t.Errorf("sent %q", bodies)
	}
	var p *wire.Problem
	if err := c.Feedback(t.Context(), said); !errors.As(err, &p) || p.Code != wire.CodeRateLimited {
		t.Errorf("refused: %v", err)
	}
}
