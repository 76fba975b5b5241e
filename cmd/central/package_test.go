package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"latchkey/cmd/central/internal/vault/hsm"
	"latchkey/firmware/secret"
)

// The unit starts central again as long as it takes for a database to come back, starts it although the mail host is away, and does not
// have an HSM locked by a PIN that was refused. What central frees is overwritten.
func TestTheUnitStartsCentral(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("package/latchkey-central.service")
	if err != nil {
		t.Fatal(err)
	}
	unit := string(b)
	for _, line := range []string{
		"StartLimitIntervalSec=0",
		"Restart=on-failure",
		fmt.Sprintf("RestartPreventExitStatus=%d", exitStatus(fmt.Errorf("keys.hsm: %w", hsm.ErrPIN))),
		"TimeoutStartSec=infinity",
		"Environment=" + secret.Overwrites,
	} {
		if !strings.Contains(unit, "\n"+line+"\n") {
			t.Errorf("the unit has no %s", line)
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^ExecStartPre=(.*)$`).FindAllStringSubmatch(unit, -1) {
		if !strings.HasPrefix(m[1], "-") {
			t.Errorf("central is not started where this says that something is wrong: %s", m[1])
		}
	}
}
