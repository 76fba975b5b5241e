package cases

import (
	"crypto/x509"
	"time"
)

// Issuers are the authorities that the certificates of cards chain to. The zero value vouches for none.
type Issuers struct {
	Roots, Intermediates *x509.CertPool

	memory *memory // nil: none
}

// Doubt says why a card's certificate does not hold now as one of these authorities'; empty if it holds. The chain is that
// of RFC 5280 §6; a card authentication key is for no purpose that TLS knows, so any is taken.
func (i Issuers) Doubt(certificate []byte, now time.Time) Why {
	if i.Roots == nil { // which Verify would take for "those of this machine"
		return WhyNoIssuers
	}
	if i.memory.holds(certificate, now) {
		return ""
	}
	cert, err := x509.ParseCertificate(certificate)
	if err != nil {
		return WhyChain
	}
	holds := func(at time.Time) bool {
		chains, err := cert.Verify(x509.VerifyOptions{
			Roots: i.Roots, Intermediates: i.Intermediates, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
		})
		if err == nil {
			i.memory.keep(certificate, chains[0])
		}
		return err == nil
	}
	switch {
	case holds(now):
		return ""
	case !holds(cert.NotBefore) && !holds(cert.NotAfter): // its authority may have another certificate than when it was given
		return WhyChain
	case now.Before(cert.NotBefore) || now.After(cert.NotAfter):
		return WhyExpired
	}
	return WhyIssuerExpired
}
