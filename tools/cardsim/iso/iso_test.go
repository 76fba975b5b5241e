package iso_test

import (
	"os"
	"path/filepath"
	"testing"

	"latchkey/card"
	"latchkey/card/cardtest"
	"latchkey/card/profiles"
	"latchkey/firmware/secret"
	"latchkey/tools/cardsim"
	"latchkey/tools/cardsim/iso"
)

var isoApplet = profiles.Embedded().Must("isoapplet")

const (
	selects  = "00a404000cf276a288bcfba69d34f31001"
	wrong    = "0020000104" + "39393939"
	unblocks = "002c000114" + "31323334353637383132333435363738" + "38363432"
)

// What IsoApplet's source says of itself, at the wire.
func TestAnIsoAppletAsItsSourceHasIt(t *testing.T) {
	t.Parallel()
	c, err := cardsim.Create("", cardsim.Spec{Profile: isoApplet, GUID: [16]byte{1, 2, 3, 4, 5, 6, 7, 8}})
	if err != nil {
		t.Fatal(err)
	}
	cardtest.Answers(t, c, "00200001", "6d00") // not selected yet
	cardtest.Answers(t, c, selects, "0006009000")
	cardtest.Answers(t, c, "00200001", "63c3")
	cardtest.Answers(t, c, "00200002", "6a86") // the PUK has no reference in VERIFY
	cardtest.Answers(t, c, "00ca9f7f00", "6a86")
	cardtest.Answers(t, c, "0020000103393939", "6700")              // too short, costs nothing
	cardtest.Answers(t, c, "0020000106313233343536", "9000")        // filled up by the card
	cardtest.Answers(t, c, "00200001", "63c3")                      // and still tells
	cardtest.Answers(t, c, "00240002021111", "6a86")                // nor in CHANGE REFERENCE DATA
	cardtest.Answers(t, c, "002400010831313131"+"32323232", "6700") // must be filled up
	cardtest.Answers(t, c, wrong, "63c2")
	cardtest.Answers(t, c, wrong, "63c1")
	cardtest.Answers(t, c, wrong, "63c0")
	cardtest.Answers(t, c, "00200001", "63c0") // never 6983
	cardtest.Answers(t, c, unblocks, "9000")   // the new one filled up by the card
	cardtest.Answers(t, c, "00a40800045015503200", "6f158002002e82010183025032"+"8608ff00000000000000"+"9000")
	cardtest.Answers(t, c, "00b0000010", "302c0201000408"+"0102030405060708"+"0c"+"9000")
	if !c.HasPasscode(secret.New([]byte("8642"))) {
		t.Error("it has another passcode")
	}
}

// A memory that cannot be written leaves the card as it was, counters too.
func TestAMemoryThatFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c, err := cardsim.Create(filepath.Join(dir, "card"), cardsim.Spec{Profile: isoApplet})
	if err != nil {
		t.Fatal(err)
	}
	cardtest.Answers(t, c, selects, "0006009000")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	cardtest.Answers(t, c, wrong, "6581")
	cardtest.Answers(t, c, unblocks, "6581")
	if passcode, puk := c.TriesLeft(); passcode != 3 || puk != 5 || !c.HasPasscode(secret.New([]byte(iso.DefaultPasscode))) {
		t.Errorf("%d and %d tries left, or another passcode", passcode, puk)
	}
}

func TestAnOrderThatNoSuchCardCanFill(t *testing.T) {
	t.Parallel()
	for _, spec := range []cardsim.Spec{{Passcode: secret.New([]byte("123"))}, {PUK: secret.New([]byte("12345678"))}} {
		spec.Profile = isoApplet
		if _, err := cardsim.Create("", spec); err == nil {
			t.Errorf("made: %+v", spec)
		}
	}
}

// Whatever is sent, without the right secrets the card keeps its own.
func FuzzCommands(f *testing.F) {
	passcode, puk := secret.New([]byte("correct horse")), secret.New([]byte("9070503010204060"))
	cardtest.FuzzCommands(f, []string{"00200001", wrong, unblocks, "00a40800045015503200", "00b0000000", "0024000100", "00a40900025032"}, func(t *testing.T) (card.Transport, func() bool) {
		c, err := cardsim.Create("", cardsim.Spec{Profile: isoApplet, Passcode: passcode, PUK: puk})
		if err != nil {
			t.Fatal(err)
		}
		cardtest.Answers(t, c, selects, "0006009000")
		return c, func() bool { return c.HasPasscode(passcode) && c.HasPUK(puk) }
	})
}
