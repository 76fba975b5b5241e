package reader

import (
	"path/filepath"
	"strings"
	"testing"

	"latchkey/card/profiles"
	"latchkey/firmware/secret"
	"latchkey/tools/cardsim"
	"latchkey/tools/cardsim/gids"
)

// OpenSC takes the virtual card for a GIDS card: its gids-tool proves the administrator's key by mutual authentication,
// unblocks, replaces the key, and finds each change when the card comes again; pkcs15-tool reads what the card holds.
func TestOpenSCAcceptsTheGIDSCard(t *testing.T) {
	t.Parallel()
	const key = "00112233445566778899aabbccddeeff0123456789abcdef"
	r := newStack(t)
	path := filepath.Join(t.TempDir(), "card")
	sim, err := cardsim.Create(path, cardsim.Spec{Profile: profiles.Embedded().Must("gids"), Holder: "Alex Morgan", Blocked: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Insert(0, path); err != nil {
		t.Fatal(err)
	}
	waitFor(t, r, "0 Yes Latchkey", "opensc-tool", "--list-readers")
	for _, step := range []struct {
		command string
		accepts bool
		says    string // in what it prints, blanks folded
	}{
		{"opensc-tool --name", true, "GIDS"},
		{"pkcs15-tool --list-info", true, sim.Serial()},
		{"pkcs15-tool --list-pins", true, "Tries left : 0"},
		{"pkcs15-tool --list-certificates", true, "X.509 Certificate"},
		{"pkcs15-tool --read-certificate 00", true, "BEGIN CERTIFICATE"},
		{"gids-tool", true, `File: mscp\kxc00`},
		{"gids-tool --unblock --pin 246802 --admin-key " + key, false, "failed"},
		{"gids-tool --unblock --pin 246802 --admin-key " + gids.DefaultAdminKey, true, "Unblock PIN done successfully"},
		{"pkcs15-tool --list-pins", true, "Tries left : 3"},
		{"pkcs15-tool --verify-pin --pin 111111", false, "incorrect"},
		{"pkcs15-tool --list-pins", true, "Tries left : 2"},
		{"pkcs15-tool --verify-pin --pin 246802", true, ""},
		{"pkcs15-tool --change-pin --pin 246802 --new-pin 13579", true, ""},
		{"pkcs15-tool --verify-pin --pin 13579", true, ""},
		{"gids-tool --change-admin-key --new-admin-key " + key + " --admin-key " + gids.DefaultAdminKey, true, ""},
		{"pull", true, ""},
		{"gids-tool --unblock --pin 246802 --admin-key " + gids.DefaultAdminKey, false, "failed"},
		{"gids-tool --unblock --pin 246802 --admin-key " + key, true, "Unblock PIN done successfully"},
		{"pkcs15-tool --verify-pin --pin 246802", true, ""},
	} {
		args := strings.Fields(step.command)
		if args[0] == "pull" {
			if err := r.Eject(0); err != nil {
				t.Fatal(err)
			}
			waitFor(t, r, "0 No Latchkey", "opensc-tool", "--list-readers")
			if err := r.Insert(0, path); err != nil {
				t.Fatal(err)
			}
			waitFor(t, r, "0 Yes Latchkey", "opensc-tool", "--list-readers")
			continue
		}
		out, err := r.Command(t.Context(), args[0], args[1:]...).CombinedOutput()
		if (err == nil) != step.accepts || !strings.Contains(strings.Join(strings.Fields(string(out)), " "), step.says) {
			t.Errorf("%s: %v, want accepted: %t and %q in:\n%s", step.command, err, step.accepts, step.says, out)
		}
	}
	if err := r.Eject(0); err != nil {
		t.Fatal(err)
	}
	if sim, err = cardsim.Open(path); err != nil {
		t.Fatal(err)
	}
	if !sim.HasPasscode(secret.New([]byte("246802"))) || !sim.HasPUK(secret.New([]byte(key))) {
		t.Error("the card has not what gids-tool gave it")
	}
}
