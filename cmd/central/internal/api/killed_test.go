package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"latchkey/cmd/central/internal/delivery"
	"latchkey/cmd/central/internal/store"
	"latchkey/firmware/wire"
	"latchkey/tools/postgres"
)

// step of handing a message over, as the mail host sees it.
type smtpStep string

const (
	atRecipient smtpStep = "before the recipient is taken"
	atData      smtpStep = "before the message is taken"
	atEnd       smtpStep = "after the message was taken"
)

// watched is a mail host that stops at one step, once, until it is told to go on.
type watched struct {
	stopAt  smtpStep
	stopped chan struct{} // told that it has stopped
	goOn    chan struct{}
	once    sync.Once

	mu     sync.Mutex
	bodies []string
}

func (w *watched) step(s smtpStep) {
	if s == w.stopAt {
		w.once.Do(func() {
			close(w.stopped)
			<-w.goOn
		})
	}
}

func (w *watched) NewSession(*smtp.Conn) (smtp.Session, error) { return w, nil }
func (w *watched) Mail(string, *smtp.MailOptions) error        { return nil }

func (w *watched) Logout() error { return nil }

// Reset follows the answer to a message.
func (w *watched) Reset() {
	w.mu.Lock()
	n := len(w.bodies)
	w.mu.Unlock()
	if n > 0 {
		w.step(atEnd)
	}
}

func (w *watched) Rcpt(string, *smtp.RcptOptions) error {
	w.step(atRecipient)
	return nil
}

// Data takes the message, whether or not its sender lives to hear of it.
func (w *watched) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	w.mu.Lock()
	w.bodies = append(w.bodies, string(b))
	w.mu.Unlock()
	w.step(atData)
	return nil
}

func (w *watched) codes() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := mailbox{bodies: w.bodies}
	return m.codes()
}

var portLine = regexp.MustCompile(`port = \d+`)

// watch makes a central's messages go to a mail host that stops at a step.
func watch(t *testing.T, dir string, at smtpStep) *watched {
	t.Helper()
	w := &watched{stopAt: at, stopped: make(chan struct{}), goOn: make(chan struct{})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host := smtp.NewServer(w)
	host.Domain = "localhost"
	go host.Serve(l)
	t.Cleanup(func() { host.Close(); l.Close() }) // also if it came before Serve knew of the listener
	name := filepath.Join(dir, "central", "central.toml")
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	text = portLine.ReplaceAll(text, fmt.Appendf(nil, "port = %d", l.Addr().(*net.TCPAddr).Port))
	text = append(text, "resend_after = \"1s\"\n"...)
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return w
}

// soon repeats a request, as a kiosk does, until it is answered otherwise than with unavailable.
func (k *kiosk) soon(path, key string, body any) answer {
	k.t.Helper()
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	end := time.After(2 * time.Minute)
	for {
		if a := k.send(path, key, body); a.problem.Code != wire.CodeUnavailable {
			return a
		}
		select {
		case <-end:
			k.t.Fatal("unavailable for two minutes")
		case <-tick.C:
		}
	}
}

// Central is killed at every step of sending a code. What it promised is sent once, by others if it had not begun; the
// kiosk, which repeats its request, is told the truth; and the walk goes on.
func TestKilledWhileSending(t *testing.T) {
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
		for _, at := range []smtpStep{atRecipient, atData, atEnd} {
			t.Run(engine+", "+string(at), func(t *testing.T) {
				t.Parallel()
				w, visitors, _ := prepareLoad(t, database(t), 1, 1)
				killedAt(t, w, visitors[0].kiosk, visitors[0].visits[0].card, at)
			})
		}
		t.Run(engine+", before anybody has begun", func(t *testing.T) {
			t.Parallel()
			w, visitors, _ := prepareLoad(t, database(t), 1, 1)
			killedBefore(t, w, visitors[0].kiosk, visitors[0].visits[0].card)
		})
	}
}

func killedAt(t *testing.T, w *world, k *kiosk, card *plastic, at smtpStep) {
	host := watch(t, w.dir, at)
	first := startServer(t, filepath.Base(t.Name()), w.dir)
	k.url = "https://" + first.line(t)
	v := k.begin(card)
	v.prove()

	key, body := newKeyName(), wire.SendCodeRequest{Channel: "email"}
	raw, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	cut := make(chan error, 1)
	go func() {
		resp, err := k.try(v.path("code"), key, raw)
		if err == nil {
			resp.Body.Close()
			err = fmt.Errorf("answered with %d", resp.StatusCode)
		} else {
			err = nil
		}
		cut <- err
	}()
	<-host.stopped
	first.kill(t)
	if err := <-cut; err != nil && at != atEnd { // then the answer may be on its way
		t.Error(err)
	}
	close(host.goOn)

	k.url = "https://" + startServer(t, filepath.Base(t.Name()), w.dir).line(t)
	sent := decoded[wire.CodeStatus](t, k.soon(v.path("code"), key, body))
	if n := len(host.codes()); n > 1 || at != atRecipient && n != 1 {
		t.Errorf("%d messages were sent", n)
	}
	if sent.SendsLeft != 2 {
		t.Errorf("%+v", sent)
	}
	if len(host.codes()) == 0 { // it counts as sent, and its holder waits for nothing
		a := k.send(v.path("code"), newKeyName(), body)
		if a.status != http.StatusOK || len(host.codes()) != 1 {
			t.Fatalf("another was asked for: %s, %d messages", a.body, len(host.codes()))
		}
	}
	v.nonce = post[wire.CodeAccepted](k, v.path("code/check"), typed(host.codes()[0])).Nonce
}

// killedBefore: a code was booked, and whoever booked it died before it began to hand the message over.
func killedBefore(t *testing.T, w *world, k *kiosk, card *plastic) {
	host := watch(t, w.dir, "")
	k.url = "https://" + startServer(t, filepath.Base(t.Name()), w.dir).line(t)
	v := k.begin(card)
	v.prove()
	s, err := openLoad(t.Context(), w.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Store.Close()
	key, body := newKeyName(), []byte(`{"channel":"email"}`)
	rq := &request{id: "test", kiosk: k.name, certificate: k.cert.Leaf, bodyMAC: s.Vault.BodyMAC(v.path("code"), body)}
	ctx := context.WithValue(t.Context(), requestKey{}, rq)
	way, _, out, err := (&routes{s}).promise(ctx, ask{"code", key, v.id}, "email")
	if err != nil || way == nil {
		t.Fatalf("%s, %v", out.body, err)
	}
	sent := decoded[wire.CodeStatus](t, k.soon(v.path("code"), key, body))
	if n := len(host.codes()); n != 1 || sent.SendsLeft != 2 {
		t.Fatalf("%d messages were sent: %+v", n, sent)
	}
	v.nonce = post[wire.CodeAccepted](k, v.path("code/check"), typed(host.codes()[0])).Nonce
}

// A code that was booked by a process that is gone is sent by another, though nobody asks again.
func TestAnotherProcessSends(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.kiosk("k1")
	v := k.begin(w.card)
	v.prove()
	rq := &request{id: "test", kiosk: k.name, certificate: k.cert.Leaf, bodyMAC: make([]byte, sha256.Size)}
	way, _, out, err := (&routes{w.server}).promise(context.WithValue(t.Context(), requestKey{}, rq), ask{"code", newKeyName(), v.id}, "email")
	if err != nil || way == nil {
		t.Fatalf("%s, %v", out.body, err)
	}
	w.pass(3 * time.Second) // the grace that whoever booked it has
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- w.server.Outbox.Run(ctx) }()
	for w.message(way.message).State != store.MessageSent {
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if m := w.message(way.message); m.Recipient != nil || m.Content != nil {
		t.Errorf("what was sealed is still kept: %+v", m)
	}
	v.check()
}

// message as it is stored.
func (w *world) message(id string) (m store.Message) {
	w.t.Helper()
	err := w.server.Store.View(context.Background(), func(tx *store.Tx) (err error) {
		m, err = tx.Message(id)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

// What the mail host took and sent back is told to the case: the kiosk learns it, another code can be asked for at once, and the
// send does not count.
func TestACodeThatCameBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.kiosk("k1")
	v := k.begin(w.card)
	v.prove()
	v.sendCode()
	status := func() (s wire.CodeStatus) {
		t.Helper()
		return decoded[wire.CodeStatus](t, k.get(v.path("code")))
	}
	if s := status(); s.Failed != nil || s.SendsLeft != 2 || s.Masked != "j•••@nhs.net" {
		t.Errorf("%+v", s)
	}
	id := w.mail.messageID(0)
	for i, want := range []bool{true, false} {
		w.update(func(tx *store.Tx) error {
			news, err := delivery.Returned(tx, id, "bounced", w.server.now())
			if news != want {
				t.Errorf("told for the %d. time: news %t", i+1, news)
			}
			return err
		})
	}
	if s := status(); s.Failed == nil || !*s.Failed || s.SendsLeft != 3 || s.ResendAt != s.SentAt {
		t.Errorf("%+v", s)
	}
	if s := v.sendCode(); s.Failed != nil || s.SendsLeft != 2 {
		t.Errorf("after another was sent: %+v", s)
	}
	v.check()
	if a := k.get(v.path("code")); a.problem.Code != wire.CodeWrongStep {
		t.Errorf("after the code was accepted: %s", a.body)
	}
	if a := w.kiosk("k2").get(v.path("code")); a.problem.Code != wire.CodeNotFound {
		t.Errorf("another kiosk: %s", a.body)
	}
}

// get asks without an effect.
func (k *kiosk) get(path string) answer {
	k.t.Helper()
	req, err := http.NewRequest(http.MethodGet, k.url+path, nil)
	if err != nil {
		k.t.Fatal(err)
	}
	return k.do(req)
}

// try posts a request whose answer may never come.
func (k *kiosk) try(path, key string, body []byte) (*http.Response, error) {
	req, err := http.NewRequest(http.MethodPost, k.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set(wire.IdempotencyHeader, key)
	return k.http.Do(req)
}

var ownID = regexp.MustCompile(`(?m)^Message-ID: <([0-9a-f]{32})@nhs\.net>`)

// messageID of a message that was taken.
func (m *mailbox) messageID(i int) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return ownID.FindStringSubmatch(m.bodies[i])[1]
}
