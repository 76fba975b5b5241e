// Package config reads central.toml: strictly, so that a misspelt rule never becomes a lax one, and with one sentence for
// every mistake that says the cure. It holds no secret, only the places of the files that do.
package config

import (
	"bytes"
	"cmp"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"latchkey/card/profiles"
	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/siem"
)

// Config is what central runs by. A relative path in the file counts from the file's folder; here it is joined to that.
type Config struct {
	Listen    string
	Database  string // path of SQLite's file, or URL of PostgreSQL's
	RAContact string
	TimeZone  *time.Location
	TLS       TLS
	Web       Web
	Office    Office
	PKI       PKI
	Keys      Keys
	SMTP      SMTP
	Notify    Notify
	Delivery  Delivery
	SCIM      SCIM
	Evidence  Evidence
	Cards     Cards
	Profiles  profiles.Set   // that cards can have: the embedded ones and those of Cards.Profiles
	Policies  cases.Policies // but for their Issuers, which CardIssuers reads
	Monitor   Monitor
	SIEM      SIEM
	Log       Log
}

// Cards says what cards there are.
type Cards struct {
	Profiles string `toml:"profiles"` // folder; empty: none but the embedded ones
	CA       string `toml:"ca"`       // PEM; empty: no card has a certificate
}

// TLS names the files of central's own certificate and of the authority that kiosks' certificates come from.
type TLS struct {
	Certificate string `toml:"certificate"`
	Key         string `toml:"key"`
	ClientCA    string `toml:"client_ca"`
}

// duration reads "15m".
type duration struct{ time.Duration }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *duration) UnmarshalText(b []byte) (err error) {
	if d.Duration, err = time.ParseDuration(string(b)); err != nil {
		return fmt.Errorf("%q is not a duration such as \"15m\" or \"60s\"", b)
	}
	return nil
}

type file struct {
	Listen    string  `toml:"listen"`
	Database  string  `toml:"database"`
	RAContact string  `toml:"ra_contact"`
	TimeZone  string  `toml:"time_zone"`
	TLS       TLS     `toml:"tls"`
	Web       Web     `toml:"web"`
	Office    Office  `toml:"office"`
	PKI       pkiFile `toml:"pki"`
	Keys      Keys    `toml:"keys"`
	delivers
	SCIM     SCIM                      `toml:"scim"`
	Evidence Evidence                  `toml:"evidence"`
	Cards    Cards                     `toml:"cards"`
	Monitor  Monitor                   `toml:"monitor"`
	SIEM     SIEM                      `toml:"siem"`
	Log      Log                       `toml:"log"`
	Policy   toml.Primitive            `toml:"policy"`
	Orgs     map[string]toml.Primitive `toml:"organisations"`
}

func defaults() file {
	var f file
	f.Listen = "127.0.0.1:8443"
	f.Database = "central.db"
	f.TimeZone = "Europe/London"
	f.TLS = TLS{"tls/central.crt", "tls/central.key", "tls/kiosk-ca.crt"}
	f.Web.Listen = "127.0.0.1:8444"
	f.Office.defaults()
	f.PKI = defaultPKI()
	f.Keys = defaultKeys()
	f.delivers = deliverDefaults()
	f.Evidence.RetentionDays = 2190
	f.SIEM.Format, f.Log.Format = siem.FormatRFC5424, LogText
	return f
}

// Load reads the file at path and the card profiles in the folder that it names.
func Load(path string) (*Config, error) {
	text, err := read(path)
	if err != nil {
		return nil, err
	}
	c, err := parse(text, filepath.Dir(path))
	if err == nil {
		err = c.loadProfiles()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// Database reads from the file at path where the database is, and judges nothing else that stands there: what must work at
// once does not wait until a mistake elsewhere is mended.
func Database(path string) (string, error) {
	text, err := read(path)
	if err != nil {
		return "", err
	}
	f := struct {
		Database string `toml:"database"`
	}{defaults().Database}
	c := new(Config)
	if _, err = decode(text, &f); err == nil {
		c.Database = f.Database
		err = c.placeDatabase(filepath.Dir(path))
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return c.Database, nil
}

func read(path string) (string, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("there is no %s: name the file with --config, or make one with \"central init FOLDER\"", path)
	}
	if err != nil {
		return "", fmt.Errorf("read configuration: %w", err)
	}
	return string(text), nil
}

func decode(text string, v any) (toml.MetaData, error) {
	meta, err := toml.Decode(text, v)
	return meta, mistake(err)
}

// mistake says where a text is not TOML, or not what is asked for.
func mistake(err error) error {
	var bad toml.ParseError
	switch {
	case errors.As(err, &bad):
		return fmt.Errorf("line %d: %s: correct it", bad.Position.Line, bad.Message)
	case err != nil:
		return fmt.Errorf("%w: correct it", err)
	}
	return nil
}

func (c *Config) loadProfiles() (err error) {
	if c.Profiles, err = profiles.Load(c.Cards.Profiles); err != nil {
		return fmt.Errorf("cards.profiles: %w", err)
	}
	return c.checkProofs()
}

// CardIssuers reads the authorities that the certificates of cards chain to. Without cards.ca it is the zero Issuers, which
// vouches for no certificate.
func (c *Config) CardIssuers() (i cases.Issuers, err error) {
	if c.Cards.CA == "" {
		return i, nil
	}
	text, err := os.ReadFile(c.Cards.CA)
	if errors.Is(err, os.ErrNotExist) {
		return i, fmt.Errorf("cards.ca: there is no %s: put it there, or correct its place in central.toml", c.Cards.CA)
	}
	if err != nil {
		return i, fmt.Errorf("cards.ca: %w", err)
	}
	i = cases.Issuers{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool()}
	roots := 0
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if block.Type != "CERTIFICATE" || err != nil || !cert.IsCA {
			return cases.Issuers{}, fmt.Errorf("cards.ca: %s holds something else than certificates of authorities: write those alone, in PEM", c.Cards.CA)
		}
		if bytes.Equal(cert.RawSubject, cert.RawIssuer) && cert.CheckSignatureFrom(cert) == nil {
			i.Roots.AddCert(cert)
			roots++
		} else {
			i.Intermediates.AddCert(cert)
		}
	}
	if roots == 0 {
		return cases.Issuers{}, fmt.Errorf("cards.ca: %s holds no root certificate: write those of the cards' authorities there, in PEM", c.Cards.CA)
	}
	return i.Remembering(), nil
}

func parse(text, dir string) (*Config, error) {
	f := defaults()
	meta, err := decode(text, &f)
	if err != nil {
		return nil, err
	}
	rules, err := policies(&meta, f.Policy, f.Orgs)
	if err != nil {
		return nil, err
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return nil, fmt.Errorf("the key %s is not known: correct its spelling or remove it", unknown[0])
	}
	zone, err := time.LoadLocation(f.TimeZone)
	if err != nil {
		return nil, fmt.Errorf("time_zone %q is not known: write one such as \"Europe/London\"", f.TimeZone)
	}
	for _, check := range []struct {
		bad  bool
		says string
	}{
		{!hostPort(f.Listen), fmt.Sprintf("listen is %q: write address and port, such as \"0.0.0.0:8443\"", f.Listen)},
		{f.RAContact == "", "ra_contact is missing: write how holders reach their Registration Authority, it stands in every message"},
		{strings.ContainsAny(f.RAContact, "\r\n"), "ra_contact has more than one line: write one"},
	} {
		if check.bad {
			return nil, errors.New(check.says)
		}
	}
	if err := f.Web.settle(); err != nil {
		return nil, err
	}
	if err := cmp.Or(f.delivers.check(), f.Monitor.check(), f.SIEM.check(), f.Log.check(), f.Evidence.check()); err != nil {
		return nil, err
	}
	if err := f.Office.place(dir); err != nil {
		return nil, err
	}
	authority, err := f.PKI.settle()
	if err != nil {
		return nil, err
	}
	if err := f.Keys.settle(dir); err != nil {
		return nil, err
	}
	c := &Config{
		PKI:    authority,
		Listen: f.Listen, Database: f.Database, RAContact: f.RAContact, TimeZone: zone, TLS: f.TLS, Web: f.Web, Office: f.Office, Keys: f.Keys, SMTP: f.SMTP, Notify: f.Notify, Delivery: f.Delivery, SCIM: f.SCIM, Evidence: f.Evidence, Cards: f.Cards,
		Policies: rules, Monitor: f.Monitor, SIEM: f.SIEM, Log: f.Log,
	}
	for _, path := range []*string{
		&c.TLS.Certificate, &c.TLS.Key, &c.TLS.ClientCA,
		&c.SMTP.CA, &c.SMTP.PasswordFile, &c.Notify.KeyFile, &c.Notify.ReceiptsTokenFile, &c.SCIM.TokenFile, &c.Cards.Profiles, &c.Cards.CA, &c.SIEM.CA, &c.PKI.Certificate, &c.PKI.Key,
	} {
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(dir, *path)
		}
	}
	return c, c.placeDatabase(dir)
}

func hostPort(s string) bool {
	_, port, err := net.SplitHostPort(s)
	return err == nil && port != ""
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
