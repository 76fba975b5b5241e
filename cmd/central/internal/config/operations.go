package config

import (
	"crypto/x509"
	"fmt"
	"net"
	"os"

	"latchkey/cmd/central/internal/siem"
)

// Monitor is where health, readiness and metrics are asked for.
type Monitor struct {
	Listen string `toml:"listen"` // empty: nowhere
}

func (m Monitor) check() error {
	if m.Listen == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(m.Listen)
	if err != nil || !loopback(host) {
		return fmt.Errorf("monitor.listen is %q: write an address of this machine alone, such as \"127.0.0.1:9443\"; who asks from elsewhere needs a proxy with TLS in front", m.Listen)
	}
	return nil
}

// SIEM is where the ledger's events are forwarded to.
type SIEM struct {
	Address string `toml:"address"` // empty: nowhere
	CA      string `toml:"ca"`      // PEM; empty: the system's
	Format  string `toml:"format"`
}

func (s SIEM) check() error {
	if s.Format != siem.FormatRFC5424 && s.Format != siem.FormatCEF {
		return fmt.Errorf("siem.format is %q: write \"rfc5424\" or \"cef\"", s.Format)
	}
	if s.Address == "" {
		return nil
	}
	if err := siem.CheckAddress(s.Address); err != nil {
		return fmt.Errorf("siem.address %w", err)
	}
	return nil
}

// Authorities reads who vouches for the receiver; nil are the system's.
func (s SIEM) Authorities() (*x509.CertPool, error) {
	if s.CA == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(s.CA)
	if err != nil {
		return nil, fmt.Errorf("siem.ca: %w: put it there, or correct its place", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("siem.ca %s holds no certificate: write the receiver's authority there, in PEM", s.CA)
	}
	return pool, nil
}

// Log is how central writes its own log.
type Log struct {
	Format string `toml:"format"`
}

// Formats of the log.
const (
	LogText = "text"
	LogJSON = "json"
)

func (l Log) check() error {
	if l.Format != LogText && l.Format != LogJSON {
		return fmt.Errorf("log.format is %q: write \"text\" or \"json\"", l.Format)
	}
	return nil
}
