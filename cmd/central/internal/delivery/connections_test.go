package delivery

import (
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"latchkey/firmware/secret"
)

// counted is a mail host that counts its connections and the messages that it took, and hangs up when it is told to.
type counted struct {
	mu              sync.Mutex
	open            []net.Conn
	made, taken     int
	hangUp, refused bool // before a message is taken; the next recipient
}

type counting struct {
	net.Listener
	host *counted
}

func (l counting) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.host.told(func() { l.host.open, l.host.made = append(l.host.open, c), l.host.made+1 })
	}
	return c, err
}

func (h *counted) NewSession(*smtp.Conn) (smtp.Session, error) { return h, nil }
func (h *counted) Reset()                                      {}
func (h *counted) Logout() error                               { return nil }
func (h *counted) Mail(string, *smtp.MailOptions) error        { return nil }

func (h *counted) Rcpt(string, *smtp.RcptOptions) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.refused {
		h.refused = false
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such mailbox"}
	}
	return nil
}

func (h *counted) Data(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.taken++
	if h.hangUp {
		h.cut()
	}
	return err
}

// cut breaks all connections.
func (h *counted) cut() {
	for _, c := range h.open {
		c.Close()
	}
	h.open = nil
}

func (h *counted) told(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
}

func TestConnectionsAreUsedAgain(t *testing.T) {
	t.Parallel()
	host := &counted{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := smtp.NewServer(host)
	s.Domain = "localhost"
	go s.Serve(counting{l, host})
	t.Cleanup(func() { s.Close() })
	o, err := NewOutbox(settings(l.Addr().(*net.TCPAddr).Port), nil, nil, slog.New(slog.DiscardHandler), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	send := func() *Failure {
		_, failure := o.Send(context.Background(), message("email", "en"), secret.New([]byte("john.rigby@nhs.net")), code())
		return failure
	}
	expect := func(when string, made, taken int) {
		t.Helper()
		host.told(func() {
			if host.made != made || host.taken != taken {
				t.Errorf("%s: %d connections and %d messages, want %d and %d", when, host.made, host.taken, made, taken)
			}
		})
	}
	must := func() {
		t.Helper()
		if failure := send(); failure != nil {
			t.Error(failure)
		}
	}
	must()
	must()
	expect("two messages", 1, 2)

	host.told(host.cut)
	must()
	expect("after the host had hung up", 2, 3)

	host.told(func() { host.refused = true })
	if failure := send(); failure == nil || !strings.Contains(failure.Why, "550") || failure.Later {
		t.Errorf("refused: %v", failure)
	}
	must()
	expect("after a message that was refused", 3, 4)

	// It took the message and its answer was lost: nobody may send that again.
	host.told(func() { host.hangUp = true })
	if failure := send(); failure == nil {
		t.Error("a message counts as taken though nobody said so")
	}
	expect("after an answer was lost", 3, 5)

	host.told(func() { host.hangUp = false })
	must()
	o.mail.close()
	must()
	must()
	expect("once none is kept", 6, 8)
}
