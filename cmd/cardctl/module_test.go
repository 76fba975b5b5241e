//go:build cgo

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"latchkey/card/profiles"
	"latchkey/tools/cardsim"
)

// moduleDesk is a desk whose profiles say that the card is one for OpenSC's PKCS#11 module.
func moduleDesk(t *testing.T) *deskTest {
	t.Helper()
	d := newDeskTest(t, cardsim.Spec{Profile: profiles.Embedded().Must("piv")})
	module, err := d.stack.PKCS11()
	d.check(err)
	own := filepath.Join(d.central.dir, "own")
	d.check(os.Mkdir(own, 0o700))
	profile := fmt.Sprintf(`title = "Card of another maker"
family = "pkcs11"
atr = ["% X"]
module = %q
[passcode]
min = 6
max = 8
digits_only = true
tries = 3
[puk]
length = 8
digits_only = true
tries = 3
rotates = false
restores = true
`, d.central.card.ATR(), module)
	d.check(os.WriteFile(filepath.Join(own, "maker.toml"), []byte(profile), 0o600))
	config, err := os.ReadFile(d.central.config())
	d.check(err)
	d.check(os.WriteFile(d.central.config(), append(config, "profiles = \"own\"\n"...), 0o600))
	return d
}

func (d *deskTest) cardctl(args ...string) (string, error) {
	cmd := exec.Command("cardctl", append(args, "--profiles", filepath.Join(d.central.dir, "own"))...)
	cmd.Env = append(os.Environ(), slices.Concat(d.stack.Env(), d.stack.Libraries())...)
	out, err := cmd.CombinedOutput()
	return strings.Join(strings.Fields(string(out)), " "), err
}
