package reader

import (
	"testing"

	"latchkey/card/profiles"
	"latchkey/firmware/secret"
	"latchkey/tools/cardsim"
	"latchkey/tools/cardsim/authentic"
)

// OpenSC's driver for IsoApplet takes the virtual card for one; what it changes is there when the card comes again.
func TestOpenSCTakesTheCardForAnIsoApplet(t *testing.T) {
	t.Parallel()
	serial := [16]byte{0xD6, 0xD5, 0xEA, 0x35, 0x95, 0xB1, 0x48, 0xBA}
	const wrong = "PIN code or key incorrect"
	found := inserted(t, 1, cardsim.Spec{Profile: profiles.Embedded().Must("isoapplet"), GUID: serial}).through(t, []step{
		{"opensc-tool --name", true, "Javacard with IsoApplet"},
		{"pkcs15-tool --list-info", true, "PKCS#15 Card [cardsim ISO card]: Version : 0 Serial number : d6d5ea3595b148ba"},
		{"pkcs15-tool --list-pins", true, "Auth ID : 02 ID : 01 Flags : [0x33], case-sensitive, local, initialized, needs-padding " +
			"Length : min_len:4, max_len:16, stored_len:16 Pad char : 0x00 Reference : 1 (0x01)"},
		{"pkcs15-tool --list-pins", true, "ID : 02 Flags : [0x7F], case-sensitive, local, change-disabled, unblock-disabled, initialized, needs-padding, " +
			"unblockingPin Length : min_len:16, max_len:16, stored_len:16 Pad char : 0x00 Reference : 2 (0x02)"},
		{"pkcs15-tool --verify-pin --auth-id 01 --pin 123456", true, ""},
		{"pkcs15-tool --verify-pin --auth-id 01 --pin 999999", false, wrong},
		{"pkcs15-tool --change-pin --auth-id 01 --pin 123456 --new-pin 65432a", true, ""},
		{"pkcs15-tool --verify-pin --auth-id 01 --pin 123456", false, wrong},
		{"pkcs15-tool --verify-pin --auth-id 01 --pin 123456", false, wrong},
		{"pkcs15-tool --verify-pin --auth-id 01 --pin 123456", false, wrong},
		{"pkcs15-tool --verify-pin --auth-id 01 --pin 65432a", false, wrong}, // blocked, which is 63C0 here
		{"pkcs15-tool --unblock-pin --auth-id 01 --puk 9234567812345678 --new-pin 333333", false, "PUK code incorrect; tries left: 4"},
		{"pkcs15-tool --unblock-pin --auth-id 01 --puk 1234567812345678 --new-pin 333333", true, ""},
		{"pull", true, ""},
		{"pkcs15-tool --verify-pin --auth-id 01 --pin 65432a", false, wrong},
		{"pkcs15-tool --verify-pin --auth-id 01 --pin 333333", true, ""},
	})
	if passcode, puk := found.TriesLeft(); !found.HasPasscode(secret.New([]byte("333333"))) || passcode != 3 || puk != 5 {
		t.Errorf("the card has another passcode, or %d and %d tries left", passcode, puk)
	}
}

// OpenSC's driver for AuthentIC takes the virtual card for one: it is the driver whose source is all that is known here of
// such cards. It finds the PUK by the policy that the card tells.
func TestOpenSCTakesTheCardForAnAuthentIC(t *testing.T) {
	t.Parallel()
	chip := [16]byte{0xCA, 0x5A, 0x8B, 0x23, 0x01, 0x02}
	const wrong = "PIN code or key incorrect"
	found := inserted(t, 1, cardsim.Spec{Profile: profiles.Embedded().Must("authentic"), GUID: chip, Quirks: cardsim.Quirks{ATR: authentic.ATR}}).through(t, []step{
		{"opensc-tool --name", true, "Oberthur AuthentIC 3.2.2"},
		{"opensc-tool --serial", true, "CA 5A 8B 23"},
		{"pkcs15-tool --list-pins", true, "max_len:16, stored_len:16 Pad char : 0xFF Reference : 1 (0x01)"},
		{"pkcs15-tool --list-pins", true, "max_len:8, stored_len:8 Pad char : 0xFF Reference : 4 (0x04)"},
		{"pkcs15-tool --verify-pin --auth-id 01 --pin 123456", true, ""},
		{"pkcs15-tool --change-pin --auth-id 01 --pin 123456 --new-pin 65432a", true, ""},
		{"pkcs15-tool --verify-pin --auth-id 01 --pin 123456", false, wrong},
		{"pkcs15-tool --verify-pin --auth-id 01 --pin 123456", false, wrong},
		{"pkcs15-tool --verify-pin --auth-id 01 --pin 123456", false, wrong},
		{"pkcs15-tool --verify-pin --auth-id 01 --pin 65432a", false, "Authentication method blocked"},
		{"pkcs15-tool --unblock-pin --auth-id 01 --puk 92345678 --new-pin 333333", false, "PUK code incorrect"},
		{"pkcs15-tool --unblock-pin --auth-id 01 --puk 12345678 --new-pin 333333", true, ""},
		{"pull", true, ""},
		{"pkcs15-tool --verify-pin --auth-id 01 --pin 333333", true, ""},
	})
	if passcode, puk := found.TriesLeft(); !found.HasPasscode(secret.New([]byte("333333"))) || passcode != 3 || puk != 3 {
		t.Errorf("the card has another passcode, or %d and %d tries left", passcode, puk)
	}
}
