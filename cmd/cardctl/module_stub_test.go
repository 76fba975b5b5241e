//go:build !pkcs11 && cgo

package main

import (
	"strings"
	"testing"
)

// A build without PKCS#11 says so of a card that needs it.
func TestACardForItsMakersModule(t *testing.T) {
	d := moduleDesk(t)
	d.insert()
	d.check(noticed(d.stack, "0 Yes "))
	if got, err := d.cardctl("status"); err == nil || !strings.Contains(got, "is one for its maker's PKCS#11 module, which this program cannot load") {
		t.Errorf("%v: %s", err, got)
	}
	has(t, d.card(), presentPasscode, presentPUK)
}
