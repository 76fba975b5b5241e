package authentic_test

import (
	"os"
	"path/filepath"
	"testing"

	"latchkey/card"
	"latchkey/card/cardtest"
	"latchkey/card/profiles"
	"latchkey/firmware/secret"
	"latchkey/tools/cardsim"
	"latchkey/tools/cardsim/authentic"
)

var profile = profiles.Embedded().Must("authentic")

const (
	selects = "00a4040010a0000000770100700a1000f100000100"
	puk     = "0020000408" + "3132333435363738"
	wrong   = "0020000110" + "39393939ffffffffffffffffffffffff"
	resets  = "002c020110" + "38363432ffffffffffffffffffffffff"
)

// The passcode is reset only while the PUK is verified, which the next selection ends.
func TestResetNeedsThePUK(t *testing.T) {
	t.Parallel()
	c, err := cardsim.Create("", cardsim.Spec{Profile: profile, Quirks: cardsim.Quirks{ATR: authentic.ATR}})
	if err != nil {
		t.Fatal(err)
	}
	cardtest.Answers(t, c, selects, "9000")
	cardtest.Answers(t, c, resets, "6982")
	cardtest.Answers(t, c, puk, "9000")
	cardtest.Answers(t, c, selects, "9000")
	cardtest.Answers(t, c, resets, "6982")
	cardtest.Answers(t, c, puk, "9000")
	cardtest.Answers(t, c, "002c020110"+"383634ffffffffffffffffffffffffff", "6a80") // too short
	cardtest.Answers(t, c, resets, "9000")
	cardtest.Answers(t, c, wrong, "63c2")
	cardtest.Answers(t, c, "00200001", "63c2")
	cardtest.Answers(t, c, "00ca5f0200", "6a88")
	cardtest.Answers(t, c, "00ca5f0400", "5f041d"+"800100"+"830104"+"860a0000ff000008ff00ff00"+"910103"+"a106830108840104"+"9000")
	if !c.HasPasscode(secret.New([]byte("8642"))) {
		t.Error("it has another passcode")
	}
}

// A memory that cannot be written leaves the card as it was, counters too.
func TestAMemoryThatFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c, err := cardsim.Create(filepath.Join(dir, "card"), cardsim.Spec{Profile: profile})
	if err != nil {
		t.Fatal(err)
	}
	cardtest.Answers(t, c, selects, "9000")
	cardtest.Answers(t, c, puk, "9000")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	cardtest.Answers(t, c, wrong, "6581")
	cardtest.Answers(t, c, resets, "6581")
	if passcode, tries := c.TriesLeft(); passcode != 3 || tries != 3 || !c.HasPasscode(secret.New([]byte(authentic.DefaultPasscode))) {
		t.Errorf("%d and %d tries left, or another passcode", passcode, tries)
	}
}

// Whatever is sent, without the right secrets the card keeps its own.
func FuzzCommands(f *testing.F) {
	passcode, other := secret.New([]byte("correct horse")), secret.New([]byte("90705030"))
	cardtest.FuzzCommands(f, []string{"00200001", wrong, puk, resets, "00ca5f0100", "00b0000000", "0024000100"}, func(t *testing.T) (card.Transport, func() bool) {
		c, err := cardsim.Create("", cardsim.Spec{Profile: profile, Passcode: passcode, PUK: other})
		if err != nil {
			t.Fatal(err)
		}
		cardtest.Answers(t, c, selects, "9000")
		return c, func() bool { return c.HasPasscode(passcode) && c.HasPUK(other) }
	})
}
