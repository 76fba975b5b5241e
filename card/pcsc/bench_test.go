//go:build cgo

package pcsc

import (
	"context"
	"testing"

	"latchkey/card/piv"
	"latchkey/firmware/secret"
	"latchkey/tools/cardsim"
)

// inReader puts a virtual card into a reader of the real stack and returns the reader's name, once pcscd sees the card.
func inReader(b *testing.B) string {
	b.Helper()
	sim, err := cardsim.Create("", cardsim.Spec{})
	if err != nil {
		b.Fatal(err)
	}
	if err := stack.InsertServe(0, sim.ServeVPCD); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := stack.Eject(0); err != nil {
			b.Error(err)
		}
	})
	ctx, stop := context.WithCancel(b.Context())
	events := Watch(ctx)
	reader := ""
	for e := range events {
		if e.Kind == Present {
			reader = e.Reader
			stop()
		}
	}
	stop()
	return reader
}

// BenchmarkWrite is from the grant, in the session that is open, until the passcode is set and confirmed and the PUK
// replaced.
func BenchmarkWrite(b *testing.B) {
	session, err := Connect(b.Context(), inReader(b))
	if err != nil {
		b.Fatal(err)
	}
	defer session.Close()
	c := piv.New(session, strict)
	if _, err := c.Identify(); err != nil {
		b.Fatal(err)
	}
	passcode := secret.New([]byte("864213"))
	puk, next := secret.New([]byte(cardsim.DefaultPUK)), secret.New([]byte("90817263"))
	for b.Loop() {
		if err := c.Reset(puk, passcode); err != nil {
			b.Fatal(err)
		}
		if err := c.Confirm(passcode); err != nil {
			b.Fatal(err)
		}
		if err := c.Rotate(puk, next); err != nil {
			b.Fatal(err)
		}
		puk, next = next, puk
	}
}

// BenchmarkOpenSCWrite is the least that OpenSC does for the same holder, on the same card: a new passcode, neither
// confirmed nor the PUK replaced.
func BenchmarkOpenSCWrite(b *testing.B) {
	inReader(b)
	for b.Loop() {
		out, err := stack.Command(b.Context(), "pkcs15-tool", "--unblock-pin", "--auth-id", "01", "--puk", cardsim.DefaultPUK,
			"--new-pin", "864213").CombinedOutput()
		if err != nil {
			b.Fatalf("%v\n%s", err, out)
		}
	}
}
