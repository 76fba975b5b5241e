package config

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"latchkey/cmd/central/internal/pki"
)

// PKI is the authority of central's own that certifies kiosks.
type PKI struct {
	Certificate string
	Key         string        // empty: another authority certifies them
	Validity    time.Duration // of a kiosk's certificate
}

type pkiFile struct {
	Certificate string   `toml:"certificate"`
	Key         string   `toml:"key"`
	Validity    duration `toml:"validity"`
}

const day = 24 * time.Hour

func defaultPKI() pkiFile {
	return pkiFile{"tls/kiosk-ca.crt", "kiosk-ca.key", duration{90 * day}}
}

func (p pkiFile) settle() (PKI, error) {
	if p.Validity.Duration < time.Hour || p.Validity.Duration > 2*365*day {
		return PKI{}, errors.New("pki.validity must be \"1h\" to \"17520h\", which are two years: kiosks renew after two thirds of it")
	}
	if p.Key != "" && p.Certificate == "" {
		return PKI{}, errors.New("pki.certificate is empty: name the certificate of pki.key, or write pki.key = \"\" if another authority certifies kiosks")
	}
	return PKI{p.Certificate, p.Key, p.Validity.Duration}, nil
}

// DeviceAuthority opens the authority that certifies kiosks, and adds it to those that central takes certificates of; nil if
// another certifies them.
func (c *Config) DeviceAuthority(accepted *x509.CertPool) (*pki.Authority, error) {
	if c.PKI.Key == "" {
		return nil, nil
	}
	a, err := pki.Open(c.PKI.Certificate, c.PKI.Key, c.PKI.Validity)
	if err != nil {
		return nil, fmt.Errorf("%w; or write pki.key = \"\" if another authority certifies kiosks", err)
	}
	accepted.AddCert(a.Certificate)
	return a, nil
}
