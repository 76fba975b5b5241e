package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/BurntSushi/toml"

	"latchkey/firmware/kiosk"
	"latchkey/firmware/unlock"
)

// config is the kiosk's configuration file.
type config struct {
	Central     string `toml:"central"`     // https://host:port
	CentralCA   string `toml:"central_ca"`  // PEM: who may vouch for central
	CentralKey  string `toml:"central_key"` // PEM: public key that signs grants and receipts
	Certificate string `toml:"certificate"` // PEM: this kiosk's
	Key         string `toml:"key"`         // PEM (PKCS #8): its P-256 key
	Data        string `toml:"data"`        // folder for the journal and the log
	Help        string `toml:"help"`        // who helps, as holders are told
	TimeZone    string `toml:"time_zone"`   // IANA name; default Europe/London

	Idle struct {
		Walk   duration `toml:"walk"`   // without a touch, before a visit ends
		Code   duration `toml:"code"`   // the same while the holder reads the mail
		Warn   duration `toml:"warn"`   // how long before the end the kiosk warns
		Linger duration `toml:"linger"` // how long the last screen stays once the card is out
	} `toml:"idle"`

	identity    kiosk.Identity
	certificate tls.Certificate
	roots       *x509.CertPool
	machine     unlock.Config
	zone        *time.Location
}

type duration time.Duration

func (d *duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err == nil && v <= 0 {
		err = errors.New("must be more than nothing")
	}
	*d = duration(v)
	return err
}

func (d duration) or(otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return time.Duration(d)
}

func readConfig(path string) (*config, error) {
	c := &config{TimeZone: "Europe/London"}
	meta, err := toml.DecodeFile(path, c)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	if extra := meta.Undecoded(); len(extra) > 0 {
		return nil, fmt.Errorf("configuration %s: there is no setting %q; remove it or mend its name", path, extra[0])
	}
	for name, value := range map[string]string{"central": c.Central, "central_ca": c.CentralCA, "central_key": c.CentralKey,
		"certificate": c.Certificate, "key": c.Key, "data": c.Data, "help": c.Help} {
		if value == "" {
			return nil, fmt.Errorf("configuration %s: %s is not set", path, name)
		}
	}
	if u, err := url.Parse(c.Central); err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("configuration %s: central must be an address like https://host:8443", path)
	}
	if c.zone, err = time.LoadLocation(c.TimeZone); err != nil {
		return nil, fmt.Errorf("configuration %s: time_zone %q is not known; write one like Europe/London", path, c.TimeZone)
	}
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return nil, fmt.Errorf("configuration %s: data: %w", path, err)
	}
	d := unlock.DefaultConfig
	c.machine = unlock.Config{Idle: c.Idle.Walk.or(d.Idle), CodeIdle: c.Idle.Code.or(d.CodeIdle), Warn: c.Idle.Warn.or(d.Warn),
		Linger: c.Idle.Linger.or(d.Linger)}
	return c, c.readKeys()
}

func (c *config) readKeys() error {
	ca, err := os.ReadFile(c.CentralCA)
	if err != nil {
		return fmt.Errorf("central_ca: %w", err)
	}
	c.roots = x509.NewCertPool()
	if !c.roots.AppendCertsFromPEM(ca) {
		return fmt.Errorf("central_ca: %s holds no certificate in PEM", c.CentralCA)
	}
	c.certificate, err = tls.LoadX509KeyPair(c.Certificate, c.Key)
	if err != nil {
		return fmt.Errorf("certificate and key: %w", err)
	}
	signer, ok := c.certificate.PrivateKey.(crypto.Signer)
	if _, p256 := c.certificate.PrivateKey.(*ecdsa.PrivateKey); !ok || !p256 {
		return fmt.Errorf("key: %s is not a P-256 key", c.Key)
	}
	leaf := c.certificate.Leaf
	if leaf.Subject.CommonName == "" {
		return fmt.Errorf("certificate: %s has no common name; it is the kiosk's id", c.Certificate)
	}
	b, err := os.ReadFile(c.CentralKey)
	if err != nil {
		return fmt.Errorf("central_key: %w", err)
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return fmt.Errorf("central_key: %s holds no PEM", c.CentralKey)
	}
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return fmt.Errorf("central_key: %w", err)
	}
	centralKey, ok := public.(*ecdsa.PublicKey)
	if !ok {
		return fmt.Errorf("central_key: %s is not an ECDSA key", c.CentralKey)
	}
	c.identity = kiosk.Identity{ID: leaf.Subject.CommonName, Key: signer, Certificate: leaf.Raw, CentralKey: centralKey}
	return nil
}
