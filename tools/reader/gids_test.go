package reader

import (
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
	w := inserted(t, 0, cardsim.Spec{Profile: profiles.Embedded().Must("gids"), Holder: "Alex Morgan", Blocked: true})
	left := w.through(t, []step{
		{"opensc-tool --name", true, "GIDS"},
		{"pkcs15-tool --list-info", true, w.card.Serial()},
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
	})
	if !left.HasPasscode(secret.New([]byte("246802"))) || !left.HasPUK(secret.New([]byte(key))) {
		t.Error("the card has not what gids-tool gave it")
	}
}
