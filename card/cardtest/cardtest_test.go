package cardtest_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"latchkey/card"
	"latchkey/card/cardtest"
	"latchkey/card/piv"
	"latchkey/card/profiles"
	"latchkey/firmware/secret"
	"latchkey/tools/cardsim"
)

const lies = "LATCHKEY_TEST_CARD_LIES" // in the environment of the process in which the suite is to fail

// The suite fails a card that claims to have set a passcode and a PUK, and did not, and passes the same card if it is
// honest. It fails in a process of its own.
func TestTheSuiteCatchesALyingCard(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSuite$", "-test.v")
	cmd.Env = append(os.Environ(), lies+"=1")
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Error("it passed")
	}
	for _, test := range []string{
		"a blocked card gets a new passcode and PUK", "the holder changes the passcode", "few APDUs", "a wrong PUK is counted and sets nothing",
	} {
		if !strings.Contains(string(out), "--- FAIL: TestSuite/"+strings.ReplaceAll(test, " ", "_")) {
			t.Errorf("%q did not fail", test)
		}
	}
	if t.Failed() {
		t.Logf("%v\n%s", err, out)
	}
}

func TestSuite(t *testing.T) {
	value := func(s string) secret.Value { return secret.New([]byte(s)) }
	profile := profiles.Embedded().Must("piv")
	spec := cardsim.Spec{Quirks: cardsim.Quirks{NoCardKey: true, Lie: os.Getenv(lies) != ""}}
	cardtest.Run(t, func(t *testing.T) (card.Card, cardtest.Fixture) {
		sim, err := cardsim.Create("", spec)
		if err != nil {
			t.Fatal(err)
		}
		c := piv.New(sim, profile)
		shown, err := c.Certificates()
		if err != nil {
			t.Fatal(err)
		}
		f := cardtest.Fixture{
			Identity:     card.Identity{Family: piv.Family, Serial: sim.Serial()},
			Certificates: shown,
			Passcode:     value(cardsim.DefaultPasscode), PUK: value(cardsim.DefaultPUK),
			NewPasscode: value("864213"), NewPUK: value("90817263"), Refused: value("12345"),
			StateAPDUs: 4, WriteAPDUs: 3,
		}
		f.PasscodeTries, f.PUKTries = sim.TriesLeft()
		return f.Over(sim, sim.Reset, func(t card.Transport) card.Card { return piv.New(t, profile) })
	})
}
