//go:build pkcs11 && cgo

package main

import (
	"strings"
	"testing"
)

// A card that only its maker's module can speak to, at the desk and to an engineer.
func TestACardForItsMakersModule(t *testing.T) {
	d := moduleDesk(t)
	d.start()
	d.sees("Put the card in.")
	d.insert()
	d.asked("What does the holder want?", "1")
	d.asked("Present passcode, not shown", presentPasscode)
	d.asked("New passcode:", chosenPasscode)
	d.asked("The same again:", chosenPasscode)
	d.sees("The passcode is changed.")
	d.ends(0)
	got, err := d.cardctl("status")
	if err != nil || !strings.Contains(got, "family pkcs11 kind Card of another maker profile maker; by its ATR") {
		t.Errorf("%v: %s", err, got)
	}
	has(t, d.card(), chosenPasscode, presentPUK)
}
