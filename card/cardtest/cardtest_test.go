package cardtest_test

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"time"

	"latchkey/card"
	"latchkey/card/cardtest"
	"latchkey/card/piv"
	"latchkey/card/profiles"
	"latchkey/firmware/secret"
	"latchkey/tools/cardsim"
)

func TestVirtualPIV(t *testing.T) {
	t.Parallel()
	value := func(s string) secret.Value { return secret.New([]byte(s)) }
	ca, err := cardsim.NewCA(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for name, spec := range map[string]cardsim.Spec{
		"P-256":              {},
		"P-384":              {Algorithm: cardsim.P384},
		"RSA-2048":           {Algorithm: cardsim.RSA2048},
		"compressed":         {Quirks: cardsim.Quirks{Gzip: true}},
		"blocked is 63C0":    {Quirks: cardsim.Quirks{Blocked63C0: true}},
		"no CHUID":           {Quirks: cardsim.Quirks{NoCHUID: true}},
		"no 9E key":          {Quirks: cardsim.Quirks{NoCardKey: true}},
		"any bytes":          {Quirks: cardsim.Quirks{AnyBytes: true}},
		"six and ten tries":  {PasscodeTries: 6, PUKTries: 10},
		"Yubico's additions": {Quirks: cardsim.Quirks{Yubico: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec := spec
			spec.Issuer = ca
			// One set of keys for the whole suite: generating RSA keys is slow.
			path := filepath.Join(t.TempDir(), "card")
			if _, err := cardsim.Create(path, spec); err != nil {
				t.Fatal(err)
			}
			fresh, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			cardtest.Run(t, func(t *testing.T) (card.Card, cardtest.Fixture) {
				if err := os.WriteFile(path, fresh, 0o600); err != nil {
					t.Fatal(err)
				}
				sim, err := cardsim.Open(path)
				if err != nil {
					t.Fatal(err)
				}
				expires := time.Time{}
				for _, der := range [][]byte{sim.Certificate(), sim.CardCertificate()} {
					if cert, err := x509.ParseCertificate(der); err == nil {
						expires = cert.NotAfter
					}
				}
				passcodeTries, pukTries := sim.TriesLeft()
				f := cardtest.Fixture{
					Identity:      card.Identity{Family: piv.Family, Serial: sim.Serial()},
					Certificates:  card.Certificates{Authentication: sim.Certificate(), Card: sim.CardCertificate(), Expires: expires},
					Passcode:      value(cardsim.DefaultPasscode),
					PUK:           value(cardsim.DefaultPUK),
					PasscodeTries: passcodeTries,
					PUKTries:      pukTries,
					NewPasscode:   value("864213"),
					NewPUK:        value("90817263"),
					Refused:       value("12345"),
					Transport:     &cardtest.Counter{Transport: sim},
					StateAPDUs:    4,
					WriteAPDUs:    3,
				}
				if spec.Quirks.NoCHUID {
					f.StateAPDUs = 5 // the certificate that names the card takes two
				}
				if spec.Quirks.AnyBytes {
					f.NewPasscode, f.Refused = value("a-Z "), value("abc")
				}
				f.Again = func(*testing.T) card.Card {
					sim.Reset()
					return piv.New(f.Transport, strict)
				}
				return piv.New(f.Transport, strict), f
			})
		})
	}
}

var strict = profiles.Embedded().Must("piv")
