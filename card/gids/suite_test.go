package gids_test

import (
	"path/filepath"
	"testing"

	"latchkey/card"
	"latchkey/card/cardtest"
	"latchkey/card/gids"
	"latchkey/card/profiles"
	"latchkey/firmware/secret"
	"latchkey/tools/cardsim"
	simulated "latchkey/tools/cardsim/gids"
)

var profile = profiles.Embedded().Must("gids")

func value(s string) secret.Value { return secret.New([]byte(s)) }

// administrator answers as whoever has the key that cards are made with.
var administrator = cardtest.TripleDES(simulated.DefaultAdminKey)

func open(t card.Transport) card.Card { return gids.New(t, profile) }

func TestVirtualGIDS(t *testing.T) {
	t.Parallel()
	const key = "0f1e2d3c4b5a69788796a5b4c3d2e1f000112233445566ff"
	for name, spec := range map[string]cardsim.Spec{
		"plain":             {},
		"blocked is 63C0":   {Quirks: cardsim.Quirks{Blocked63C0: true}},
		"six and ten tries": {PasscodeTries: 6, PUKTries: 10},
		"a key of its own":  {PUK: value(key), Passcode: value("sixteen letters.")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec, key, passcode := spec, simulated.DefaultAdminKey, simulated.DefaultPasscode
			spec.Profile = profile
			if spec.PUK.Len() > 0 {
				key, passcode = string(spec.PUK.Reveal()), string(spec.Passcode.Reveal())
			}
			cardtest.Run(t, func(t *testing.T) (card.Card, cardtest.Fixture) {
				path := filepath.Join(t.TempDir(), "card")
				sim, err := cardsim.Create(path, spec)
				if err != nil {
					t.Fatal(err)
				}
				passcodeTries, pukTries := sim.TriesLeft()
				f := cardtest.Fixture{
					Identity:      card.Identity{Family: gids.Family, Serial: sim.Serial()},
					Certificates:  cardtest.Stored(t, path),
					Passcode:      value(passcode),
					PasscodeTries: passcodeTries,
					PUKTries:      pukTries,
					NewPasscode:   value("a-Z 8642"),
					Refused:       value("123"),
					Answer:        cardtest.TripleDES(key),
					StateAPDUs:    3,
					WriteAPDUs:    5, // the key is named, challenge, answer, reset, confirm
				}
				return f.Over(sim, sim.Reset, open)
			})
		})
	}
}
