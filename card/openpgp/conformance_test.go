package openpgp_test

import (
	"path/filepath"
	"testing"
	"time"

	"latchkey/card"
	"latchkey/card/cardtest"
	"latchkey/card/openpgp"
	"latchkey/card/profiles"
	"latchkey/firmware/secret"
	"latchkey/tools/cardsim"
	simulated "latchkey/tools/cardsim/openpgp"
)

func value(s string) secret.Value { return secret.New([]byte(s)) }

var (
	byCode  = profiles.Embedded().Must("openpgp")
	byAdmin = profiles.Embedded().Must("openpgp-admin")
)

func virtual(t testing.TB, spec cardsim.Spec) *cardsim.Card {
	t.Helper()
	if spec.Profile.Family == "" {
		spec.Profile = byCode
	}
	sim, err := cardsim.Create("", spec)
	if err != nil {
		t.Fatal(err)
	}
	return sim
}

func opens(p profiles.Profile) func(card.Transport) card.Card {
	return func(t card.Transport) card.Card { return openpgp.New(t, p) }
}

func TestVirtualOpenPGP(t *testing.T) {
	t.Parallel()
	expires := time.Date(2031, 5, 4, 0, 0, 0, 0, time.UTC)
	for name, spec := range map[string]cardsim.Spec{
		"reset code":                 {Profile: byCode},
		"reset code, counts tries":   {Profile: byCode, Quirks: cardsim.Quirks{Blocked63C0: true}},
		"administrator":              {Profile: byAdmin},
		"administrator, counts":      {Profile: byAdmin, Quirks: cardsim.Quirks{Blocked63C0: true}},
		"six and ten tries":          {Profile: byCode, PasscodeTries: 6, PUKTries: 10},
		"administrator of ten tries": {Profile: byAdmin, PUKTries: 10},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec := spec
			spec.NotAfter = expires
			cardtest.Run(t, func(t *testing.T) (card.Card, cardtest.Fixture) {
				path := filepath.Join(t.TempDir(), "card")
				sim, err := cardsim.Create(path, spec)
				if err != nil {
					t.Fatal(err)
				}
				passcodeTries, pukTries := sim.TriesLeft()
				f := cardtest.Fixture{
					Identity:      card.Identity{Family: openpgp.Family, Serial: sim.Serial()},
					Certificates:  cardtest.Stored(t, path),
					Passcode:      value(simulated.DefaultPasscode),
					PUK:           value(simulated.DefaultCode),
					PasscodeTries: passcodeTries,
					PUKTries:      pukTries,
					TellsPUKTries: true,
					NewPasscode:   value("correct horse"),
					Refused:       value("12345"),
					StateAPDUs:    3,
					WriteAPDUs:    2,
				}
				if spec.Profile.PUK.Kind == profiles.Admin {
					f.PUK, f.NewPUK, f.WriteAPDUs = value(simulated.DefaultAdmin), value("908172635441"), 5
				}
				f.Certificates.Expires = expires
				return f.Over(sim, sim.Reset, opens(spec.Profile))
			})
		})
	}
}
