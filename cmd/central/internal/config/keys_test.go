package config

import (
	"strings"
	"testing"

	"latchkey/cmd/central/internal/vault"
	"latchkey/firmware/secret"
)

func TestKeysSayTheirCure(t *testing.T) {
	t.Parallel()
	for text, says := range map[string]string{
		"[keys]\nkek = \"\"":                                                "keys.kek is empty: name",
		"[keys]\nroot = \"\"":                                               "keys.root is empty: name",
		"[keys]\ncodes = \"\"":                                              "no HSM has them",
		"[keys]\nold_keks = [\"\"]":                                         "keys.old_keks has an empty name: write",
		"[keys.hsm]\ntoken = \"t\"":                                         "keys.hsm.module is missing: write",
		"[keys.hsm]\nmodule = \"m.so\"":                                     "keys.hsm.token is missing: write",
		"[keys.hsm]\nmodule = \"m.so\"\ntoken = \"t\"":                      "keys.hsm.pin_file is missing: write",
		"[keys.hsm]\nmodule = \"m.so\"\ntoken = \"t\"\npin_file = \"p\"":    "names no key: write kek_label",
		hsmSection + "kek_label = \"k\"\nroot_label = \"k\"":                "labels of their own",
		hsmSection + "kek_label = \"k\"\npin = \"1234\"":                    "keys.hsm.pin is not known",
		hsmSection + "root_label = \"r\"\n[keys]\nkek = \"\"":               "keys.kek is empty",
		hsmSection + "kek_label = \"k\"\n[keys]\nroot = \"\"\nkek = \"\"\n": "keys.root is empty",
	} {
		if _, err := parse(good+text, "/etc/latchkey"); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s:\n%v, want %q", text, err, says)
		}
	}
	c, err := parse(good+"[keys]\nkek = \"\"\nroot = \"\"\nold_keks = [\"a.key\", \"/b.key\"]\n"+hsmSection+"kek_label = \"k\"\nroot_label = \"r\"", "/etc/latchkey")
	if err != nil {
		t.Fatal(err)
	}
	k := c.Keys
	if k.KEK != "" || k.Root != "" || k.Codes != "/etc/latchkey/codes.key" || k.OldKEKs[0] != "/etc/latchkey/a.key" || k.OldKEKs[1] != "/b.key" ||
		k.HSM.Module != "/etc/latchkey/m.so" || k.HSM.PINFile != "/etc/latchkey/p" {
		t.Errorf("%+v", k)
	}
}

const hsmSection = "[keys.hsm]\nmodule = \"m.so\"\ntoken = \"t\"\npin_file = \"p\"\n"

func TestOldKeysOpen(t *testing.T) {
	t.Parallel()
	k := Keys{KEK: "kek.key", OldKEKs: []string{"old.key"}, Root: "root.key", Codes: "codes.key", Signing: "signing.pem"}
	if err := k.settle(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{k.KEK, k.OldKEKs[0], k.Root, k.Codes} {
		if err := vault.MakeKey(path); err != nil {
			t.Fatal(err)
		}
	}
	before := k
	before.KEK, before.OldKEKs = k.OldKEKs[0], nil
	old, err := before.Open()
	if err != nil {
		t.Fatal(err)
	}
	v, err := k.Open()
	if err != nil {
		t.Fatal(err)
	}
	s := vault.CardSecret("0a0b", false, 0)
	sealed, err := old.Seal(s, secret.New([]byte("12345678")))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := v.Open(s, sealed); err != nil || string(got.Reveal()) != "12345678" {
		t.Errorf("opened %q, %v", got.Reveal(), err)
	}
	k.OldKEKs[0] += "x"
	if _, err := k.Open(); err == nil || !strings.Contains(err.Error(), "keys.old_keks: there is no key file") {
		t.Errorf("an old key that is not there: %v", err)
	}
	k.HSM = HSM{Module: "/no/such/module.so", Token: "t", PINFile: "p", KEKLabel: "k"}
	if _, err := k.Open(); err == nil || !strings.Contains(err.Error(), "keys.hsm: ") {
		t.Errorf("an HSM that is not there: %v", err)
	}
}
