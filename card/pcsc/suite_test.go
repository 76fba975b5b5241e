//go:build cgo

package pcsc

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"

	"latchkey/card"
	"latchkey/card/authentic"
	"latchkey/card/cardtest"
	"latchkey/card/gids"
	"latchkey/card/iso"
	"latchkey/card/openpgp"
	"latchkey/card/piv"
	"latchkey/card/profiles"
	"latchkey/firmware/secret"
	"latchkey/tools/cardsim"
	gidscard "latchkey/tools/cardsim/gids"
)

// The suite that every family must pass, through pcscd.
func TestFamiliesThroughPCSCD(t *testing.T) {
	value := func(s string) secret.Value { return secret.New([]byte(s)) }
	for _, family := range []struct {
		profile string
		spec    cardsim.Spec
		open    func(card.Transport, profiles.Profile) card.Card
		// fixture is what is the family's own; its passcode is the simulator's default.
		fixture cardtest.Fixture
	}{
		{
			// RSA, because its certificate and signature come in parts.
			"piv", cardsim.Spec{Algorithm: cardsim.RSA2048},
			func(t card.Transport, p profiles.Profile) card.Card { return piv.New(t, p) },
			cardtest.Fixture{
				PUK: value(cardsim.DefaultPUK), NewPasscode: value("864213"), NewPUK: value("90817263"), Refused: value("12345"),
				StateAPDUs: 4, WriteAPDUs: 3,
			},
		},
		{
			"gids", cardsim.Spec{},
			func(t card.Transport, p profiles.Profile) card.Card { return gids.New(t, p) },
			cardtest.Fixture{
				NewPasscode: value("a-Z 8642"), Refused: value("123"), Answer: cardtest.TripleDES(gidscard.DefaultAdminKey),
				StateAPDUs: 3, WriteAPDUs: 5,
			},
		},
		{
			"openpgp", cardsim.Spec{},
			func(t card.Transport, p profiles.Profile) card.Card { return openpgp.New(t, p) },
			cardtest.Fixture{
				PUK: value("12345678"), TellsPUKTries: true, NewPasscode: value("correct horse"), Refused: value("12345"),
				StateAPDUs: 3, WriteAPDUs: 2,
			},
		},
		{
			"openpgp-admin", cardsim.Spec{},
			func(t card.Transport, p profiles.Profile) card.Card { return openpgp.New(t, p) },
			cardtest.Fixture{
				PUK: value("12345678"), TellsPUKTries: true, NewPasscode: value("correct horse"), NewPUK: value("908172635441"), Refused: value("12345"),
				StateAPDUs: 3, WriteAPDUs: 5,
			},
		},
		{
			"isoapplet", cardsim.Spec{},
			func(t card.Transport, p profiles.Profile) card.Card { return iso.New(t, p) },
			cardtest.Fixture{
				PUK: value("1234567812345678"), NewPasscode: value("a-Z 8642"), Refused: value("123"),
				StateAPDUs: 4, WriteAPDUs: 2,
			},
		},
		{
			"authentic", cardsim.Spec{},
			func(t card.Transport, p profiles.Profile) card.Card { return authentic.New(t, p) },
			cardtest.Fixture{
				PUK: value("12345678"), TellsPUKTries: true, NewPasscode: value("a-Z 8642"), Refused: value("123"),
				StateAPDUs: 5, WriteAPDUs: 4,
			},
		},
	} {
		t.Run(family.profile, func(t *testing.T) {
			profile := profiles.Embedded().Must(family.profile)
			family.spec.Profile = profile
			path := filepath.Join(t.TempDir(), "card")
			_, err := cardsim.Create(path, family.spec)
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
				f := family.fixture
				f.Identity = card.Identity{Family: profile.Family, Serial: sim.Serial()}
				f.Certificates = cardtest.Stored(t, path)
				if sim.Certificate() != nil { // PIV has two
					certificate, err := x509.ParseCertificate(sim.Certificate())
					must(t, err)
					f.Certificates = card.Certificates{Authentication: sim.Certificate(), Card: sim.CardCertificate(), Expires: certificate.NotAfter}
				}
				f.Passcode = value(cardsim.DefaultPasscode)
				f.PasscodeTries, f.PUKTries = sim.TriesLeft()
				f.Transport = &cardtest.Counter{Transport: s}
				f.Again = func(t *testing.T) card.Card {
					must(t, s.Close())
					s = session(t)
					return family.open(s, profile)
				}
				return family.open(f.Transport, profile), f
			})
		})
	}
}
