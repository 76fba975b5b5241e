package piv_test

import (
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"latchkey/card"
	"latchkey/card/cardtest"
	"latchkey/card/piv"
	"latchkey/card/profiles"
	"latchkey/tools/cardsim"
)

// variant is one kind of PIV card in the field, and what its profile says of it.
type variant struct {
	name    string
	spec    cardsim.Spec
	profile func(*profiles.Profile) // strict if nil
	// stateAPDUs is 4 if 0: select, CHUID, retry counter, and one to spare for an answer in two parts.
	stateAPDUs int
}

func extended(p *profiles.Profile) { p.Extended = true }

var variants = []variant{
	{name: "P-256"},
	{name: "P-384", spec: cardsim.Spec{Algorithm: cardsim.P384}},
	{name: "RSA-2048", spec: cardsim.Spec{Algorithm: cardsim.RSA2048}},
	{name: "compressed", spec: cardsim.Spec{Quirks: cardsim.Quirks{Gzip: true}}},
	{name: "any bytes", spec: cardsim.Spec{Quirks: cardsim.Quirks{AnyBytes: true}}},
	{name: "Yubico's extensions", spec: cardsim.Spec{Quirks: cardsim.Quirks{Yubico: true}}},

	{name: "blocked is 63C0", spec: cardsim.Spec{Quirks: cardsim.Quirks{Blocked63C0: true}}},
	{
		name: "blocked is 6984", spec: cardsim.Spec{Quirks: cardsim.Quirks{Blocked6984: true}},
		profile: func(p *profiles.Profile) { p.Blocked = []uint16{0x6984} },
	},
	{
		name:    "blocked is one of several",
		profile: func(p *profiles.Profile) { p.Blocked = []uint16{0x6984, 0x6983} },
	},
	{name: "5 and 3 tries", spec: cardsim.Spec{PasscodeTries: 5}},
	{name: "6 and 10 tries", spec: cardsim.Spec{PasscodeTries: 6, PUKTries: 10}},
	{name: "8 and 10 tries", spec: cardsim.Spec{PasscodeTries: 8, PUKTries: 10}},

	{name: "signed CHUID", spec: cardsim.Spec{Quirks: cardsim.Quirks{LongCHUID: true}}},
	{name: "GUID and holder's UUID", spec: cardsim.Spec{Quirks: cardsim.Quirks{HolderUUID: true}}},
	// The certificate that names the card takes two.
	{name: "no CHUID", spec: cardsim.Spec{Quirks: cardsim.Quirks{NoCHUID: true}}, stateAPDUs: 5},
	{name: "GUID of zeros", spec: cardsim.Spec{Quirks: cardsim.Quirks{ZeroGUID: true}}, stateAPDUs: 5},
	{name: "holder's UUID alone", spec: cardsim.Spec{Quirks: cardsim.Quirks{ZeroGUID: true, HolderUUID: true}}, stateAPDUs: 5},
	{name: "no CHUID, compressed", spec: cardsim.Spec{Quirks: cardsim.Quirks{NoCHUID: true, Gzip: true}}, stateAPDUs: 5},
	{name: "no card key", spec: cardsim.Spec{Quirks: cardsim.Quirks{NoCardKey: true}}},

	{name: "needs Le", spec: cardsim.Spec{Algorithm: cardsim.RSA2048, Quirks: cardsim.Quirks{NeedsLe: true}}},
	{name: "every answer waits", spec: cardsim.Spec{Algorithm: cardsim.RSA2048, Quirks: cardsim.Quirks{Waits: true}}},
	{name: "every answer waits, signed CHUID", spec: cardsim.Spec{Quirks: cardsim.Quirks{Waits: true, LongCHUID: true}}},
	{name: "short and chained alone", spec: cardsim.Spec{Algorithm: cardsim.RSA2048, Quirks: cardsim.Quirks{NoExtended: true}}},
	{name: "extended alone", spec: cardsim.Spec{Algorithm: cardsim.RSA2048, Quirks: cardsim.Quirks{NoChains: true}}, profile: extended},
	{name: "extended alone, every answer waits", spec: cardsim.Spec{Algorithm: cardsim.RSA2048, Quirks: cardsim.Quirks{NoChains: true, Waits: true}}, profile: extended},
	{name: "extended alone, P-256", spec: cardsim.Spec{Quirks: cardsim.Quirks{NoChains: true}}, profile: extended},
}

// Every variant passes the suite that every family must.
func TestVariants(t *testing.T) {
	t.Parallel()
	ca, err := cardsim.NewCA(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			v.spec.Issuer = ca
			if v.stateAPDUs == 0 {
				v.stateAPDUs = 4
			}
			profile := strict
			if v.profile != nil {
				v.profile(&profile)
			}
			// One set of keys for the whole suite: generating RSA keys is slow.
			path := filepath.Join(t.TempDir(), "card")
			if _, err := cardsim.Create(path, v.spec); err != nil {
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
				f := fixture(sim)
				f.StateAPDUs = v.stateAPDUs
				if v.spec.Quirks.AnyBytes {
					f.NewPasscode, f.Refused = value("a-Z "), value("abc")
				}
				return f.Over(sim, sim.Reset, func(t card.Transport) card.Card { return piv.New(t, profile) })
			})
		})
	}
}

func fixture(sim *cardsim.Card) cardtest.Fixture {
	var expires time.Time
	for _, der := range [][]byte{sim.Certificate(), sim.CardCertificate()} {
		if cert, err := x509.ParseCertificate(der); err == nil {
			expires = cert.NotAfter
		}
	}
	passcodeTries, pukTries := sim.TriesLeft()
	return cardtest.Fixture{
		Identity:      card.Identity{Family: piv.Family, Serial: sim.Serial()},
		Certificates:  card.Certificates{Authentication: sim.Certificate(), Card: sim.CardCertificate(), Expires: expires},
		Passcode:      value(cardsim.DefaultPasscode),
		PUK:           value(cardsim.DefaultPUK),
		PasscodeTries: passcodeTries,
		PUKTries:      pukTries,
		NewPasscode:   value("864213"),
		NewPUK:        value("90817263"),
		Refused:       value("12345"),
		WriteAPDUs:    3,
	}
}

// What a profile says wrongly of a card is a refusal that names it, before anything is spent.
func TestTheWrongFormOfLongCommandsIsRefused(t *testing.T) {
	t.Parallel()
	wrong := strict
	wrong.Extended = true
	for _, test := range []struct {
		profile profiles.Profile
		quirks  cardsim.Quirks
		sw      uint16
	}{{strict, cardsim.Quirks{NoChains: true}, 0x6884}, {wrong, cardsim.Quirks{NoExtended: true}, 0x6700}} {
		sim := virtual(t, cardsim.Spec{Algorithm: cardsim.RSA2048, Quirks: test.quirks})
		var status *card.StatusError
		if _, err := piv.New(sim, test.profile).Prove([32]byte{}); !errors.As(err, &status) || status.SW != test.sw {
			t.Errorf("%+v: %v, want status %04X", test.quirks, err, test.sw)
		}
	}
}
