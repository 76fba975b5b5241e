//go:build cgo

package pcsc

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"

	"latchkey/card"
	"latchkey/card/cardtest"
	"latchkey/card/piv"
	"latchkey/card/profiles"
	"latchkey/firmware/secret"
	"latchkey/tools/cardsim"
)

// The suite that every family must pass, through pcscd. RSA, because its certificate and signature come in parts.
func TestPIVThroughPCSCD(t *testing.T) {
	value := func(s string) secret.Value { return secret.New([]byte(s)) }
	path := filepath.Join(t.TempDir(), "card")
	_, err := cardsim.Create(path, cardsim.Spec{Algorithm: cardsim.RSA2048})
	must(t, err)
	fresh, err := os.ReadFile(path)
	must(t, err)
	cardtest.Run(t, func(t *testing.T) (card.Card, cardtest.Fixture) {
		must(t, os.WriteFile(path, fresh, 0o600))
		sim, err := cardsim.Open(path)
		must(t, err)
		must(t, stack.Insert(0, path))
		t.Cleanup(func() { pull(t, 0) })
		s := session(t)
		counter := &cardtest.Counter{Transport: s}
		certificate, err := x509.ParseCertificate(sim.Certificate())
		must(t, err)
		passcodeTries, pukTries := sim.TriesLeft()
		return piv.New(counter, strict), cardtest.Fixture{
			Identity: card.Identity{Family: piv.Family, Serial: sim.Serial()},
			Certificates: card.Certificates{
				Authentication: sim.Certificate(), Card: sim.CardCertificate(), Expires: certificate.NotAfter,
			},
			Passcode:      value(cardsim.DefaultPasscode),
			PUK:           value(cardsim.DefaultPUK),
			PasscodeTries: passcodeTries,
			PUKTries:      pukTries,
			NewPasscode:   value("864213"),
			NewPUK:        value("90817263"),
			Refused:       value("12345"),
			Transport:     counter,
			StateAPDUs:    4,
			WriteAPDUs:    3,
			Again: func(t *testing.T) card.Card {
				must(t, s.Close())
				s = session(t)
				return piv.New(s, strict)
			},
		}
	})
}

var strict = profiles.Embedded().Must("piv")
