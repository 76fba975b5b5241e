package reader

import (
	"strings"
	"testing"
	"time"

	"latchkey/card/profiles"
	"latchkey/firmware/secret"
	"latchkey/tools/cardsim"
	"latchkey/tools/cardsim/openpgp"
)

// OpenSC and GnuPG's scdaemon, which is what gpg has its cards through, take the virtual card for an OpenPGP card and agree
// on what is true of it. What one of them changes, another finds; and it is still so after the card was pulled.
func TestIndependentClientsAcceptTheOpenPGPCard(t *testing.T) {
	t.Parallel()
	w := inserted(t, 0, cardsim.Spec{
		Profile: profiles.Embedded().Must("openpgp"), Holder: "Alex Morgan", PUK: secret.New([]byte("246813579024")),
	})
	serial := strings.ToUpper(w.card.Serial())
	const wrong = "ERR 100663383 Bad PIN" // GnuPG's number and words
	w.through(t, []step{
		{"opensc-tool --name", true, "OpenPGP card v3.4 (" + serial[:4] + " " + serial[4:] + ")"},
		{"openpgp-tool --card-info --user-info --key-info", true, "Serial number: " + serial[4:] + " Name: Alex Morgan"},
		{"pkcs15-tool --list-certificates", true, "X.509 Certificate [AUT certificate]"},
		{"openpgp-tool --verify CHV1 --pin 123456", true, ""},
		{"openpgp-tool --verify CHV2 --pin 123456", true, ""},
		{"openpgp-tool --verify CHV3 --pin " + openpgp.DefaultAdmin, true, ""},
		{"openpgp-tool --verify CHV2 --pin 999999", false, ""},
		{"pkcs15-tool --list-pins", true, "[User PIN (sig)] Object Flags : [0x03], private, modifiable Auth ID : 03 ID : 01 " +
			"Flags : [0x13], case-sensitive, local, initialized Length : min_len:6, max_len:64, stored_len:64 Pad char : 0x00 " +
			"Reference : 1 (0x01) Type : UTF-8 Path : 3f00 Tries left : 2"},
		{"scd LEARN --force", true, "S CHV-STATUS +1+64+64+64+2+3+3"},

		{"pkcs15-tool --change-pin --auth-id 01 --pin 123456 --new-pin 654321", true, ""},
		{"scd CHECKPIN " + fullSerial(serial) + "|654321", true, "NEEDPIN"},
		{"scd PASSWD OPENPGP.1|123456|777777", false, wrong},
		{"scd PASSWD OPENPGP.1|654321|correct+horse", true, "New PIN"},
		{"openpgp-tool --verify CHV1 --pin 654321", false, ""},
		{"openpgp-tool --verify CHV1 --pin correct+horse", true, ""},

		// Blocked; unblocked by the resetting code.
		{"scd CHECKPIN " + fullSerial(serial) + "|111111", false, wrong},
		{"scd CHECKPIN " + fullSerial(serial) + "|111111", false, wrong},
		{"scd CHECKPIN " + fullSerial(serial) + "|111111", false, wrong},
		{"openpgp-tool --verify CHV1 --pin correct+horse", false, ""},
		{"scd GETATTR CHV-STATUS", true, "S CHV-STATUS +1+64+64+64+0+3+3"},
		{"scd PASSWD 2|246813579025|222222", false, wrong},
		{"scd GETATTR CHV-STATUS", true, "S CHV-STATUS +1+64+64+64+0+2+3"},
		{"scd PASSWD 2|246813579024|222222", true, "Reset Code"},
		{"scd GETATTR CHV-STATUS", true, "S CHV-STATUS +1+64+64+64+3+3+3"},
		{"pull", true, ""},
		{"openpgp-tool --verify CHV1 --pin 222222", true, ""},
		{"pkcs15-tool --unblock-pin --auth-id 01 --puk 246813579025 --new-pin 333333", false, "PIN unblocking failed"},
		{"pkcs15-tool --unblock-pin --auth-id 01 --puk 246813579024 --new-pin 333333", true, ""},
		{"scd CHECKPIN " + fullSerial(serial) + "|333333", true, ""},

		// The administrator unblocks, and replaces the resetting code and the own PIN.
		{"scd PASSWD --reset 1|" + openpgp.DefaultAdmin + "|444444", true, "Admin PIN"},
		{"openpgp-tool --verify CHV1 --pin 444444", true, ""},
		{"scd PASSWD --reset 2|" + openpgp.DefaultAdmin + "|998877665544", true, "Reset Code"},
		{"pkcs15-tool --unblock-pin --auth-id 01 --puk 998877665544 --new-pin 555555", true, ""},
		{"openpgp-tool --verify CHV1 --pin 555555", true, ""},
		{"pkcs15-tool --change-pin --auth-id 03 --pin " + openpgp.DefaultAdmin + " --new-pin 908172635441", true, ""},
		{"openpgp-tool --verify CHV3 --pin 908172635441", true, ""},
		{"scd PASSWD --reset 1|" + openpgp.DefaultAdmin + "|666666", false, wrong},
	})
}

// fullSerial is how GnuPG names the card: the whole AID (§4.2.1).
func fullSerial(serial string) string { return "D276000124010304" + serial + "0000" }

// scdaemon sends one line of its protocol, in a session of its own, and answers what it asks for (GnuPG manual, "Scdaemon's
// Assuan Protocol"). It is accepted if nothing was answered by ERR. It wants the card for itself, and pcscd may not yet have noticed that the
// one before has ended: then nothing has come to the card, and it is asked again.
func scdaemon(t *testing.T, r *Reader, line string, pins ...string) (out string, accepted bool) {
	t.Helper()
	script := "SERIALNO openpgp\n" + line + "\n"
	for _, pin := range pins {
		script += "D " + pin + "%00\nEND\n"
	}
	for deadline := time.Now().Add(time.Minute); ; {
		cmd := r.Command(t.Context(), "scdaemon", "--server", "--disable-ccid", "--homedir", t.TempDir())
		cmd.Stdin = strings.NewReader(script + "BYE\n")
		b, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("scdaemon: %v\n%s", err, b)
		}
		if out = string(b); !strings.Contains(out, "sharing violation") || time.Now().After(deadline) {
			return out, !strings.Contains(out, "\nERR ")
		}
	}
}
