//go:build pkcs11 && cgo

package pkcs11

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"latchkey/card"
	"latchkey/card/cardtest"
	"latchkey/card/pcsc"
	"latchkey/card/profiles"
	"latchkey/tools/cardsim"
)

// A PIV card through OpenSC's module, as any card through its maker's: over pcscd, with tries that run out. OpenSC takes
// a PIV card's PUK for a security officer's PIN and asks the card to verify it, which no PIV card does: so the reset
// ends without effect, and costs nothing.
func TestOpenSCsModuleOverARealReader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "card")
	sim, err := cardsim.Create(path, cardsim.Spec{})
	must(t, err)
	must(t, stack.Insert(0, path))
	t.Cleanup(func() { must(t, stack.Eject(0)) })
	c := inserted(t, profile(t, openSC, false))
	id, err := c.Identify()
	// CK_TOKEN_INFO has room for 16 characters; OpenSC puts the GUID's last digits there.
	if want := hex.EncodeToString([]byte(sim.Serial()[16:])); err != nil || id.Serial != want {
		t.Errorf("identity %+v, %v, want serial %s", id, err, want)
	}
	if shown, err := c.Certificates(); err != nil || !bytes.Equal(shown.Authentication, sim.Certificate()) {
		t.Errorf("certificate of %d bytes, %v: not the holder's", len(shown.Authentication), err)
	}
	must(t, c.Change(value(cardsim.DefaultPasscode), value("864213")))
	must(t, c.Confirm(value("864213")))

	for _, left := range []int{-1, 1} { // -1: of the two that are left the flags tell no number
		var wrong *card.WrongSecretError
		if err := c.Confirm(value("999999")); !errors.As(err, &wrong) || wrong.TriesLeft != left {
			t.Fatalf("wrong passcode: %v, want %d tries left", err, left)
		}
		if s, err := c.State(); err != nil || s != (card.State{TriesLeft: left, PUKTriesLeft: -1}) {
			t.Fatalf("state %+v, %v, want %d tries left", s, err, left)
		}
	}
	for _, passcode := range []string{"999999", "864213"} {
		if err := c.Confirm(value(passcode)); !errors.Is(err, card.ErrBlocked) {
			t.Fatalf("confirm: %v, want ErrBlocked", err)
		}
	}
	if s, err := c.State(); err != nil || s != (card.State{Locked: true, PUKTriesLeft: -1}) {
		t.Fatalf("state %+v, %v, want locked", s, err)
	}
	if err := c.Reset(value(cardsim.DefaultPUK), value("246802")); !errors.Is(err, card.ErrUnknown) {
		t.Errorf("reset: %v, want ErrUnknown", err)
	}

	must(t, stack.Eject(0))
	must(t, noticed(t))
	for range 2 {
		if _, err := c.State(); !errors.Is(err, card.ErrRemoved) {
			t.Errorf("state of a pulled card: %v, want ErrRemoved", err)
		}
	}
	if err := c.Confirm(value("246802")); !errors.Is(err, card.ErrRemoved) {
		t.Errorf("passcode to a pulled card: %v, want ErrRemoved", err)
	}
	sim, err = cardsim.Open(path)
	must(t, err)
	if _, puk := sim.TriesLeft(); puk != cardsim.DefaultTries || !sim.HasPasscode(value("864213")) {
		t.Errorf("%d tries of the PUK left: a reset that failed cost some, or set something", puk)
	}
}

// An IsoApplet card through OpenSC's module, which keeps the PUK that C_Login presents until C_InitPIN: the suite that
// every family must pass, as far as a module's flags tell of tries.
func TestTheSuiteThroughOpenSCsModule(t *testing.T) {
	conf := filepath.Join(t.TempDir(), "opensc.conf")
	must(t, os.WriteFile(conf, []byte("app opensc-pkcs11 { pkcs11 { user_pin_unblock_style = init_pin_in_so_session; } }\n"), 0o600))
	t.Setenv("OPENSC_CONF", conf)
	const puk = "1234567812345678"
	path := filepath.Join(t.TempDir(), "card")
	spec := cardsim.Spec{Profile: profiles.Embedded().Must("isoapplet"), Passcode: value(userPIN), PUK: value(puk)}
	_, err := cardsim.Create(path, spec)
	must(t, err)
	fresh, err := os.ReadFile(path)
	must(t, err)
	p := profile(t, openSC, false)
	cardtest.Run(t, func(t *testing.T) (card.Card, cardtest.Fixture) {
		must(t, os.WriteFile(path, fresh, 0o600))
		must(t, stack.Insert(0, path))
		t.Cleanup(func() {
			must(t, stack.Eject(0))
			must(t, noticed(t))
		})
		sim, err := cardsim.Open(path)
		must(t, err)
		c := inserted(t, p)
		passcodeTries, pukTries := sim.TriesLeft()
		return c, cardtest.Fixture{
			Identity:      card.Identity{Family: Family, Serial: hex.EncodeToString([]byte(sim.Serial()[:16]))},
			Passcode:      value(userPIN),
			PUK:           value(puk),
			PasscodeTries: passcodeTries,
			PUKTries:      pukTries,
			TellsLastTry:  true,
			NewPasscode:   value("864213"),
			Transport:     &cardtest.Counter{}, // the module's APDUs are its own
			Again: func(t *testing.T) card.Card {
				must(t, c.Close())
				c = inserted(t, p)
				return c
			},
		}
	})
}

// inserted waits until the card is noticed.
func inserted(t *testing.T, p profiles.Profile) *Card {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		c, err := Open(p, "Latchkey Virtual Reader 00 00")
		if err == nil {
			t.Cleanup(func() { must(t, c.Close()) })
			return c
		}
		if !errors.Is(err, card.ErrNotThisFamily) || time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// noticed waits until pcscd knows that the reader is empty: what a module does with a card that vanishes under a
// command is the module's, and OpenSC's waits for ever at times.
func noticed(t *testing.T) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // also while the test cleans up
	defer cancel()
	for e := range pcsc.Watch(ctx) {
		if e.Kind == pcsc.Empty {
			return nil
		}
	}
	return ctx.Err()
}
