package delivery

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/wneessen/go-mail"

	"latchkey/cmd/central/internal/config"
	"latchkey/cmd/central/internal/vault"
)

// mailHost sends email by SMTP. It is safe for concurrent use.
type mailHost struct {
	connections
	from   string
	domain string // of from
}

func newMailHost(c config.SMTP) (*mailHost, error) {
	e := &mailHost{connections: connections{host: c.Host}, from: c.From}
	policy := mail.TLSMandatory
	if c.TLS == config.SMTPNone {
		policy = mail.NoTLS
	}
	t := &tls.Config{ServerName: c.Host, MinVersion: tls.VersionTLS12}
	if c.CA != "" {
		pem, err := os.ReadFile(c.CA)
		if err != nil {
			return nil, fmt.Errorf("read smtp.ca: %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("smtp.ca %s holds no certificate: write the authority's, in PEM", c.CA)
		}
	}
	e.options = []mail.Option{
		// go-mail's timeout is for connecting and once more for sending.
		mail.WithPort(c.Port), mail.WithTLSPolicy(policy), mail.WithTLSConfig(t), mail.WithTimeout(Timeout / 2), mail.WithoutNoop(), mail.WithoutRset(),
		// RFC 3461 §4, where the host offers it: what comes back has the head with our id, and not the code.
		mail.WithDSN(), mail.WithDSNMailReturnType(mail.DSNMailReturnHeadersOnly), mail.WithDSNRcptNotifyType(mail.DSNRcptNotifyFailure),
	}
	if c.User != "" {
		password, err := vault.ReadKey(c.PasswordFile)
		if err != nil {
			return nil, fmt.Errorf("smtp.password_file: %w", err)
		}
		defer password.Wipe()
		e.options = append(e.options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(c.User),
			mail.WithPassword(strings.TrimRight(string(password.Reveal()), "\r\n")))
	}
	m := mail.NewMsg()
	if err := m.From(c.From); err != nil {
		return nil, fmt.Errorf("smtp.from is not an address: write one such as \"smartcard-unlock@example.nhs.uk\"")
	}
	address := m.GetFrom()[0].Address
	e.domain = address[strings.LastIndexByte(address, '@')+1:]
	if _, err := mail.NewClient(e.host, e.options...); err != nil {
		return nil, fmt.Errorf("smtp: %w", err)
	}
	return e, nil
}

// carry implements carrier.
func (e *mailHost) carry(ctx context.Context, l letter) (reference string, err error) {
	m := mail.NewMsg(mail.WithNoDefaultUserAgent())
	if err := m.From(e.from); err != nil {
		return "", &Failure{Why: "the sender's address cannot be used", Unasked: true}
	}
	if err := m.To(string(l.to.Reveal())); err != nil {
		return "", &Failure{Why: "the holder's address cannot be used", Unasked: true}
	}
	m.Subject(l.subject)
	m.SetMessageIDWithValue(l.id + "@" + e.domain)
	m.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834 §5: nobody's absence answers
	m.SetBodyWriter(mail.TypeTextPlain, func(w io.Writer) (int64, error) {
		b := bytes.ReplaceAll(l.text, []byte("\n"), []byte("\r\n"))
		defer clear(b)
		n, err := w.Write(b)
		return int64(n), err
	})
	err = e.hand(ctx, m)
	var failed *Failure
	var refused *mail.SendError
	switch {
	case err == nil:
		return "", nil
	case errors.As(err, &failed):
		return "", failed
	case errors.As(err, &refused): // the library's text, and the host's, can name the addressee
		code := refused.ErrorCode()
		return "", &Failure{Why: fmt.Sprintf("mail host refused (%s, SMTP code %d)", refused.Reason, code), Later: code < 500}
	}
	return "", &Failure{Why: "mail host did not take the message", Later: true}
}

// hand hands a message over, on a connection that is open or on a new one. Hosts close what was idle, or had its share of
// messages: where that is found before anything of the message went, it goes on a new one.
func (e *mailHost) hand(ctx context.Context, m *mail.Msg) error {
	if c := e.take(); c != nil {
		begun, err := c.send(ctx, m)
		if err == nil {
			e.give(c)
			return nil
		}
		c.end()
		if begun || !gone(err) {
			return err
		}
	}
	c, err := e.open(ctx)
	if err != nil {
		return &Failure{Why: "reach mail host: " + err.Error(), Later: true, Unasked: true}
	}
	if _, err := c.send(ctx, m); err != nil {
		c.end()
		return err
	}
	e.give(c)
	return nil
}

// gone says whether it was the connection that failed: broken, or ended by the host (421, RFC 5321 §4.2.3).
func gone(err error) bool {
	var refused *mail.SendError
	return errors.As(err, &refused) && (refused.ErrorCode() == 0 || refused.ErrorCode() == 421)
}
