package authentic_test

import (
	"testing"

	"latchkey/card"
	"latchkey/card/authentic"
	"latchkey/card/cardtest"
	"latchkey/card/families"
	"latchkey/card/profiles"
	"latchkey/firmware/secret"
	"latchkey/tools/cardsim"
)

func value(s string) secret.Value { return secret.New([]byte(s)) }

// embedded leaves references and lengths to the card; fixed gives them, and has its PUK replaced.
var (
	embedded = profiles.Embedded().Must("authentic")
	fixed    = func() profiles.Profile {
		p := embedded
		p.Passcode.Reference, p.Passcode.To, p.PUK.Reference, p.PUK.To, p.PUK.Rotates = 2, 16, 3, 10, true
		return p
	}()
)

func virtual(t testing.TB, spec cardsim.Spec) *cardsim.Card {
	t.Helper()
	sim, err := cardsim.Create("", spec)
	if err != nil {
		t.Fatal(err)
	}
	return sim
}

func opens(p profiles.Profile) func(card.Transport) card.Card {
	return func(t card.Transport) card.Card { return authentic.New(t, p) }
}

func TestConformance(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		spec         cardsim.Spec
		newPUK       secret.Value
		state, write int
	}{
		// One to ask which credential is the PUK, and one for its length.
		"the card tells":     {cardsim.Spec{Profile: embedded}, secret.Value{}, 5, 4},
		"the profile tells":  {cardsim.Spec{Profile: fixed}, value("90817263"), 4, 4},
		"blocked is 63C0":    {cardsim.Spec{Profile: embedded, Quirks: cardsim.Quirks{Blocked63C0: true}}, secret.Value{}, 5, 4},
		"five and ten tries": {cardsim.Spec{Profile: embedded, PasscodeTries: 5, PUKTries: 10}, secret.Value{}, 5, 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cardtest.Run(t, func(t *testing.T) (card.Card, cardtest.Fixture) {
				sim := virtual(t, test.spec)
				passcodeTries, pukTries := sim.TriesLeft()
				f := cardtest.Fixture{
					Identity: card.Identity{Family: "authentic", Serial: sim.Serial()},
					Passcode: value(cardsim.DefaultPasscode), PUK: value(cardsim.DefaultPUK),
					PasscodeTries: passcodeTries, PUKTries: pukTries, TellsPUKTries: true,
					NewPasscode: value("a-Z 9"), NewPUK: test.newPUK, Refused: value("123"),
					StateAPDUs: test.state, WriteAPDUs: test.write,
				}
				return f.Over(sim, sim.Reset, opens(test.spec.Profile))
			})
		})
	}
}

// Without an answer to reset that names them, AuthentIC cards are found by asking for every family.
func TestAnAuthentICIsFoundAmongAllThatAreKnown(t *testing.T) {
	t.Parallel()
	sim := virtual(t, cardsim.Spec{Profile: embedded})
	found, err := families.Recognise(sim, sim.ATR(), profiles.Embedded())
	if err != nil || found.Identity != (card.Identity{Family: "authentic", Serial: sim.Serial()}) || found.Profiles[0].Name != "authentic" {
		t.Errorf("%+v, %v", found, err)
	}
}
