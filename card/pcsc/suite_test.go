//go:build cgo

package pcsc

import (
	"crypto/des"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
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
				NewPasscode: value("a-Z 8642"), Refused: value("123"), Answer: answer,
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
				f.Certificates = certificates(t, sim, fresh)
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

// answer is what central answers to the challenge of a GIDS card with the simulator's key.
func answer(challenge []byte) secret.Value {
	key, err := hex.DecodeString(gidscard.DefaultAdminKey)
	if err != nil {
		panic(err)
	}
	block, err := des.NewTripleDESCipher(key)
	if err != nil {
		panic(err)
	}
	out := make([]byte, des.BlockSize)
	block.Encrypt(out, challenge)
	return secret.New([]byte(hex.EncodeToString(out)))
}

// certificates are what stands in the card's memory: PIV's two, or the one of an applet that has one.
func certificates(t *testing.T, sim *cardsim.Card, file []byte) card.Certificates {
	t.Helper()
	var memory struct {
		Applet struct{ Certificate []byte }
	}
	must(t, json.Unmarshal(file, &memory))
	found := card.Certificates{Authentication: sim.Certificate(), Card: sim.CardCertificate()}
	if found.Authentication == nil {
		found.Authentication = memory.Applet.Certificate
	}
	if found.Authentication != nil {
		certificate, err := x509.ParseCertificate(found.Authentication)
		must(t, err)
		found.Expires = certificate.NotAfter
	}
	return found
}
