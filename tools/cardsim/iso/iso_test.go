package iso_test

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"

	"latchkey/card/profiles"
	"latchkey/firmware/secret"
	"latchkey/tools/cardsim"
	"latchkey/tools/cardsim/iso"
)

var isoApplet = profiles.Embedded().Must("isoapplet")

func says(t *testing.T, c *cardsim.Card, command, want string) {
	t.Helper()
	b, err := hex.DecodeString(command)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.Transmit(b); err != nil || hex.EncodeToString(got) != want {
		t.Errorf("%s: %x, %v, want %s", command, got, err, want)
	}
}

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
	says(t, c, "00200001", "6d00") // not selected yet
	says(t, c, selects, "0006009000")
	says(t, c, "00200001", "63c3")
	says(t, c, "00200002", "6a86") // the PUK has no reference in VERIFY
	says(t, c, "00ca9f7f00", "6a86")
	says(t, c, "0020000103393939", "6700")              // too short, costs nothing
	says(t, c, "0020000106313233343536", "9000")        // filled up by the card
	says(t, c, "00200001", "63c3")                      // and still tells
	says(t, c, "00240002021111", "6a86")                // nor in CHANGE REFERENCE DATA
	says(t, c, "002400010831313131"+"32323232", "6700") // must be filled up
	says(t, c, wrong, "63c2")
	says(t, c, wrong, "63c1")
	says(t, c, wrong, "63c0")
	says(t, c, "00200001", "63c0") // never 6983
	says(t, c, unblocks, "9000")   // the new one filled up by the card
	says(t, c, "00a40800045015503200", "6f158002002e82010183025032"+"8608ff00000000000000"+"9000")
	says(t, c, "00b0000010", "302c0201000408"+"0102030405060708"+"0c"+"9000")
	if !c.HasPasscode(secret.New([]byte("8642"))) {
		t.Error("it has another passcode")
	}
}

// A memory that cannot be written leaves the card as it was, counters too.
func TestAMemoryThatFails(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "gone")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	c, err := cardsim.Create(filepath.Join(dir, "card"), cardsim.Spec{Profile: isoApplet})
	if err != nil {
		t.Fatal(err)
	}
	says(t, c, selects, "0006009000")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	says(t, c, wrong, "6581")
	says(t, c, unblocks, "6581")
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
	for _, s := range []string{"00200001", wrong, unblocks, "00a4080004501550320", "00b0000000", "0024000100", "00a40900025032"} {
		b, _ := hex.DecodeString(s)
		f.Add(b, b)
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		puk := secret.New([]byte("9070503010204060"))
		passcode := secret.New([]byte("correct horse"))
		c, err := cardsim.Create("", cardsim.Spec{Profile: isoApplet, Passcode: passcode, PUK: puk})
		if err != nil {
			t.Fatal(err)
		}
		says(t, c, selects, "0006009000")
		for _, command := range [][]byte{first, second} {
			if answer, err := c.Transmit(command); err == nil && len(answer) < 2 {
				t.Fatalf("%x: answer of %d bytes", command, len(answer))
			}
		}
		if !c.HasPasscode(passcode) || !c.HasPUK(puk) {
			t.Fatalf("%x, %x: a secret was changed", first, second)
		}
	})
}
