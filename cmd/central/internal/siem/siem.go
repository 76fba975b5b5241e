// Package siem forwards the ledger's events to a trust's security monitoring: syslog (RFC 5424) over TCP (RFC 6587 §3.4.1)
// or TLS (RFC 5425), or to the machine's own /dev/log; with structured data, or with a payload in CEF, the Common Event Format.
//
// Events are read from the database and forwarded at least once: how far they are out is noted there, after the receiver
// has taken them. Syslog has no acknowledgement, so each batch has a connection of its own, and is out when the receiver,
// told that no more comes, closes it in order. An outage or a crash loses nothing and may repeat a batch.
//
// Events name no person and hold no secret; the package adds nothing to them.
package siem

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"time"

	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/store"
)

// Formats of an event.
const (
	FormatRFC5424 = "rfc5424"
	FormatCEF     = "cef"
)

const (
	batch   = 500
	pause   = 2 * time.Second  // between looks at the ledger
	longest = time.Minute      // between tries while the receiver is away
	timeout = 10 * time.Second // of one batch
	leased  = 30 * time.Second // longer than a batch takes
)

// Forwarder forwards. All fields but CA are needed.
type Forwarder struct {
	Store   store.Store
	Address string         // tcp://host:port, tls://host:port or unix:///dev/log
	CA      *x509.CertPool // of the receiver; nil: the system's
	Format  string
	Host    string // this machine's name, as it stands in each message
	Process string // this process's among those that share the database
	Log     *slog.Logger
	Now     func() time.Time
}

// CheckAddress says what is wrong with an address.
func CheckAddress(address string) error {
	u, err := url.Parse(address)
	if err == nil {
		switch u.Scheme {
		case "tcp", "tls":
			if u.Hostname() != "" && u.Port() != "" && u.Path == "" {
				return nil
			}
		case "unix":
			if u.Host == "" && u.Path != "" {
				return nil
			}
		}
	}
	return errors.New("is no place to forward to: write one such as \"tls://siem.example.nhs.uk:6514\", \"tcp://127.0.0.1:514\" or \"unix:///dev/log\"")
}

// Run forwards until ctx is done. Of several processes one does; if it ends, another takes over.
func (f *Forwarder) Run(ctx context.Context) error {
	wait := pause
	for {
		n, err := f.Forward(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			f.Log.Warn("events not forwarded", "err", err)
			wait = min(2*wait, longest)
		case n == batch:
			wait = 0
		default:
			wait = pause
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		wait = max(wait, pause)
	}
}

// Forward forwards one batch, if no other process does, and says how many events it had.
func (f *Forwarder) Forward(ctx context.Context) (n int, err error) {
	mine := false
	now := f.Now()
	err = f.Store.Update(ctx, func(tx *store.Tx) (err error) {
		mine, err = tx.Lease("siem", f.Process, now, now.Add(leased))
		return err
	})
	if err != nil || !mine {
		return 0, err
	}
	var events []ledger.Event
	err = f.Store.View(ctx, func(tx *store.Tx) (err error) {
		events, err = tx.EventsToForward(batch)
		return err
	})
	if err != nil || len(events) == 0 {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := f.send(ctx, events); err != nil {
		return 0, err
	}
	last := map[string]int64{}
	for _, e := range events {
		last[e.Kiosk] = e.Seq
	}
	err = f.Store.Update(ctx, func(tx *store.Tx) error {
		for kiosk, seq := range last {
			if err := tx.SetForwarded(kiosk, seq); err != nil {
				return err
			}
		}
		return nil
	})
	return len(events), err
}

func (f *Forwarder) send(ctx context.Context, events []ledger.Event) error {
	u, err := url.Parse(f.Address)
	if err != nil {
		return fmt.Errorf("forward events: %w", err)
	}
	var d net.Dialer
	if u.Scheme == "unix" {
		c, err := d.DialContext(ctx, "unixgram", u.Path)
		if err != nil {
			return fmt.Errorf("forward events: %w", err)
		}
		defer c.Close()
		for _, e := range events { // a datagram each, taken or refused at once
			if _, err := c.Write(f.message(e)); err != nil {
				return fmt.Errorf("forward events: %w", err)
			}
		}
		return nil
	}
	c, err := d.DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return fmt.Errorf("forward events: %w", err)
	}
	defer c.Close()
	if deadline, ok := ctx.Deadline(); ok {
		c.SetDeadline(deadline)
	}
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if u.Scheme == "tls" {
		c = tls.Client(c, &tls.Config{ServerName: u.Hostname(), RootCAs: f.CA, MinVersion: tls.VersionTLS12})
	}
	var out []byte
	for _, e := range events {
		m := f.message(e)
		out = fmt.Appendf(out, "%d ", len(m)) // RFC 6587 §3.4.1, octet counting
		out = append(out, m...)
	}
	if _, err := c.Write(out); err != nil {
		return fmt.Errorf("forward events: %w", err)
	}
	if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		return fmt.Errorf("forward events: %w", err)
	}
	if _, err := io.Copy(io.Discard, c); err != nil { // a receiver that closes without having read all resets
		return fmt.Errorf("forward events: the receiver did not take them: %w", err)
	}
	return nil
}

// Hostname is this machine's name, as it may stand in a message (RFC 5424 §6.2.4).
func Hostname() string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "-"
	}
	return printable(name, 255)
}
