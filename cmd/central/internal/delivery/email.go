// Package delivery hands one-time codes over to a mail host, by SMTP (RFC 5321) with STARTTLS (RFC 3207) unless the host
// is this machine. The message is plain text and has no link in it: nothing acts by being opened.
//
// A message is handed over while the request for it waits, within Timeout, so that a kiosk shows "sent" only when it is. The
// package keeps nothing, repeats nothing, and its errors name neither addressees nor codes.
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
	"time"

	"github.com/wneessen/go-mail"

	"latchkey/cmd/central/internal/config"
	"latchkey/cmd/central/internal/vault"
	"latchkey/firmware/secret"
)

// Timeout is how long handing over a message takes at most. Kiosks wait a little longer for their answers.
const Timeout = 6 * time.Second

// Email sends by SMTP. It is safe for concurrent use.
type Email struct {
	host    string
	from    string
	contact string // of the RA
	zone    *time.Location
	options []mail.Option
}

// NewEmail reads the files that the configuration names; it connects to nothing yet.
func NewEmail(c *config.Config) (*Email, error) {
	e := &Email{host: c.SMTP.Host, from: c.SMTP.From, contact: c.RAContact, zone: c.TimeZone}
	policy := mail.TLSMandatory
	if c.SMTP.TLS == config.SMTPNone {
		policy = mail.NoTLS
	}
	t := &tls.Config{ServerName: c.SMTP.Host, MinVersion: tls.VersionTLS12}
	if c.SMTP.CA != "" {
		pem, err := os.ReadFile(c.SMTP.CA)
		if err != nil {
			return nil, fmt.Errorf("read smtp.ca: %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("smtp.ca %s holds no certificate: write the authority's, in PEM", c.SMTP.CA)
		}
	}
	// go-mail's timeout is for connecting and once more for sending.
	e.options = []mail.Option{
		mail.WithPort(c.SMTP.Port), mail.WithTLSPolicy(policy), mail.WithTLSConfig(t), mail.WithTimeout(Timeout / 2), mail.WithoutNoop(),
	}
	if c.SMTP.User != "" {
		password, err := vault.ReadKey(c.SMTP.PasswordFile)
		if err != nil {
			return nil, fmt.Errorf("smtp.password_file: %w", err)
		}
		defer password.Wipe()
		e.options = append(e.options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(c.SMTP.User),
			mail.WithPassword(strings.TrimRight(string(password.Reveal()), "\r\n")))
	}
	if err := mail.NewMsg().From(c.SMTP.From); err != nil {
		return nil, fmt.Errorf("smtp.from is not an address: write one such as \"smartcard-unlock@example.nhs.uk\"")
	}
	if _, err := mail.NewClient(e.host, e.options...); err != nil {
		return nil, fmt.Errorf("smtp: %w", err)
	}
	return e, nil
}

// Code is what a message says.
type Code struct {
	Digits    secret.Value
	Validity  time.Duration
	ExpiresAt time.Time
}

// Send hands the message over. After an error the host may still have taken it, if it was the answer that was lost.
func (e *Email) Send(ctx context.Context, to secret.Value, code Code) error {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	m := mail.NewMsg(mail.WithNoDefaultUserAgent())
	if err := m.From(e.from); err != nil {
		return errors.New("send code: the sender's address cannot be used")
	}
	if err := m.To(string(to.Reveal())); err != nil {
		return errors.New("send code: the holder's address cannot be used")
	}
	m.Subject("Your smartcard unlock code")
	m.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834 §5: nobody's absence answers
	m.SetBodyWriter(mail.TypeTextPlain, func(w io.Writer) (int64, error) {
		b := e.text(code)
		defer clear(b)
		n, err := w.Write(b)
		return int64(n), err
	})
	client, err := mail.NewClient(e.host, e.options...)
	if err != nil {
		return fmt.Errorf("send code: %w", err)
	}
	if err := client.DialWithContext(ctx); err != nil {
		return fmt.Errorf("send code: reach mail host: %w", err)
	}
	err = client.Send(m)
	client.Close() // the message is taken or not already
	if err != nil {
		// The library's text, and the host's, can name the addressee.
		var refused *mail.SendError
		if errors.As(err, &refused) {
			return fmt.Errorf("send code: mail host refused (%s, SMTP code %d)", refused.Reason, refused.ErrorCode())
		}
		return errors.New("send code: mail host did not take the message")
	}
	return nil
}

// text is the message. It is the caller's to wipe.
func (e *Email) text(code Code) []byte {
	var b bytes.Buffer
	b.Grow(1 << 10) // so that the code is not left behind in a buffer that was outgrown
	b.WriteString("Your smartcard unlock code is ")
	b.Write(code.Digits.Reveal())
	fmt.Fprintf(&b, "\r\n\r\nEnter it at the kiosk where you put in your smartcard.\r\n"+
		"It is valid for %s, until %s.\r\n\r\n"+
		"This is not your new passcode, it is only temporary. You choose your new\r\npasscode at the kiosk, after you have entered the code.\r\n\r\n"+
		"You should not attempt to unlock a card that is not yours. To do so could\r\nresult in disciplinary action.\r\n\r\n"+
		"If you did not ask for this code, somebody else may have your smartcard.\r\n"+
		"Give the code to nobody, and tell your Registration Authority:\r\n%s\r\n\r\n"+
		"Nobody will ever ask you for this code by telephone or email.\r\n",
		spoken(code.Validity), code.ExpiresAt.In(e.zone).Format("15:04"), e.contact)
	return b.Bytes()
}

// spoken says a time as people do: in minutes, or in seconds where there is no whole minute.
func spoken(d time.Duration) string {
	unit, n := "minute", int(d/time.Minute)
	if d%time.Minute != 0 {
		unit, n = "second", int(d/time.Second)
	}
	if n != 1 {
		unit += "s"
	}
	return fmt.Sprintf("%d %s", n, unit)
}
