package delivery

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"latchkey/cmd/central/internal/config"
	"latchkey/cmd/central/internal/store"
	"latchkey/firmware/secret"
)

// mailbox is a mail host that keeps what it is given.
type mailbox struct {
	to, body chan string
	refuse   bool
}

func (m *mailbox) NewSession(*smtp.Conn) (smtp.Session, error) { return m, nil }
func (m *mailbox) Reset()                                      {}
func (m *mailbox) Logout() error                               { return nil }
func (m *mailbox) Mail(string, *smtp.MailOptions) error        { return nil }

func (m *mailbox) Rcpt(to string, _ *smtp.RcptOptions) error {
	if m.refuse {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no mailbox " + to}
	}
	m.to <- to
	return nil
}

func (m *mailbox) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	m.body <- string(b)
	return err
}

func serve(t *testing.T, m *mailbox, t12 *tls.Config) int {
	t.Helper()
	m.to, m.body = make(chan string, 1), make(chan string, 1)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := smtp.NewServer(m)
	s.Domain, s.TLSConfig = "localhost", t12
	go s.Serve(l)
	t.Cleanup(func() { s.Close(); l.Close() }) // also if it came before Serve knew of the listener
	return l.Addr().(*net.TCPAddr).Port
}

func settings(port int) *config.Config {
	return &config.Config{
		RAContact: "smartcard team, telephone 5555", TimeZone: time.UTC, Web: config.Web{Address: "https://unlock.example.nhs.uk"},
		Delivery: config.Delivery{Email: config.BySMTP, SMS: config.Off},
		SMTP:     config.SMTP{Host: "127.0.0.1", Port: port, TLS: config.SMTPNone, From: "unlock@nhs.net"},
	}
}

var sentAt = time.Date(2026, 3, 2, 14, 17, 10, 0, time.UTC)

// message is one with a code for John Rigby.
func message(channel, language string) store.Message {
	return store.Message{
		ID: strings.Repeat("0a", 16), Kind: store.MessageCode, Channel: channel, Language: language, MadeAt: sentAt, DiesAt: sentAt.Add(15 * time.Minute),
	}
}

func code() Code { return Code{secret.New([]byte("482913")), secret.New([]byte("KMQT-XPRD"))} }

func send(t *testing.T, c *config.Config) error {
	t.Helper()
	o, err := NewOutbox(c, nil, nil, slog.New(slog.DiscardHandler), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	_, failure := o.Send(context.Background(), message("email", "en"), secret.New([]byte("john.rigby@nhs.net")), code())
	if failure != nil {
		return failure
	}
	return nil
}

func TestMessageSaysWhatAHolderNeeds(t *testing.T) {
	t.Parallel()
	var m mailbox
	if err := send(t, settings(serve(t, &m, nil))); err != nil {
		t.Fatal(err)
	}
	if to := <-m.to; to != "john.rigby@nhs.net" {
		t.Errorf("sent to %s", to)
	}
	body := <-m.body
	for _, says := range []string{
		"Subject: Your smartcard unlock code\r\n", "\r\n\r\nYour smartcard unlock code is 482913\r\n", "valid for 15 minutes, until 14:32.",
		"This is not your new passcode, it is only temporary.", "You should not attempt to unlock a card that is not yours.",
		"unlock.example.nhs.uk/stop\r\nand type KMQT-XPRD\r\n", "tell your Registration Authority:\r\nsmartcard team, telephone 5555",
		"Auto-Submitted: auto-generated", "Content-Type: text/plain", "Message-ID: <" + strings.Repeat("0a", 16) + "@nhs.net>",
	} {
		if !strings.Contains(body, says) {
			t.Errorf("the message does not say %q:\n%s", says, body)
		}
	}
	if head, _, _ := strings.Cut(body, "\r\n\r\n"); strings.Contains(head, "482913") || strings.Contains(body, "://") {
		t.Errorf("the code stands in the head, or there is a link:\n%s", body)
	}
}

// certificate makes a server certificate for 127.0.0.1 and writes it to a file as its own authority.
func certificate(t *testing.T) (server *tls.Config, caFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true,
		BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	caFile = filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, caFile
}

func TestStartTLSIsMandatory(t *testing.T) {
	t.Parallel()
	server, ca := certificate(t)
	var good, strange, plain mailbox

	c := settings(serve(t, &good, server))
	c.SMTP.TLS, c.SMTP.CA = config.SMTPStartTLS, ca
	if err := send(t, c); err != nil {
		t.Error(err)
	}
	c = settings(serve(t, &strange, server))
	c.SMTP.TLS = config.SMTPStartTLS
	if err := send(t, c); err == nil {
		t.Error("a mail host with a certificate of an unknown authority was given a code")
	}
	c = settings(serve(t, &plain, nil))
	c.SMTP.TLS, c.SMTP.CA = config.SMTPStartTLS, ca
	if err := send(t, c); err == nil || len(plain.body) > 0 {
		t.Errorf("a mail host without TLS was given a code: %v", err)
	}
}

func TestErrorsNameNobody(t *testing.T) {
	t.Parallel()
	m := mailbox{refuse: true}
	err := send(t, settings(serve(t, &m, nil)))
	if err == nil || !strings.Contains(err.Error(), "550") || strings.Contains(err.Error(), "rigby") {
		t.Errorf("refused: %v", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	err = send(t, settings(port))
	if err == nil || !strings.Contains(err.Error(), "reach mail host") || strings.Contains(err.Error(), "rigby") {
		t.Errorf("not there: %v", err)
	}
}
