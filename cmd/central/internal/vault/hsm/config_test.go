//go:build pkcs11 && cgo

package hsm_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"latchkey/card/profiles"
	"latchkey/cmd/central/internal/config"
	"latchkey/cmd/central/internal/vault"
	"latchkey/cmd/central/internal/vault/hsm"
	"latchkey/firmware/secret"
)

// A trust begins with files, moves into an HSM, and replaces the key there: what was sealed first opens all the time, and a card has
// the same PUK.
func TestFromFilesIntoAnHSMByConfiguration(t *testing.T) {
	t.Parallel()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	p, dir := hsm.NewToken(t), t.TempDir()
	for _, name := range []string{"kek.key", "root.key", "codes.key"} {
		must(vault.MakeKey(filepath.Join(dir, name)))
	}
	open := func(keys string) *vault.Vault {
		t.Helper()
		text := "ra_contact = \"the RA\"\n[smtp]\nhost = \"localhost\"\ntls = \"none\"\nfrom = \"unlock@nhs.net\"\n" + keys
		path := filepath.Join(dir, "central.toml")
		must(os.WriteFile(path, []byte(text), 0o600))
		c, err := config.Load(path)
		must(err)
		v, err := c.Keys.Open()
		must(err)
		return v
	}
	section := fmt.Sprintf("[keys.hsm]\nmodule = %q\ntoken = %q\npin_file = %q\n", p.Module, p.Token, p.PINFile)
	subject := vault.CardSecret("0a0b", false, 0)

	files := open("")
	sealed, err := files.Seal(subject, secret.New([]byte("12345678")))
	must(err)
	eight := profiles.PUK{Length: 8, DigitsOnly: true, Tries: 3}
	first, err := files.Derive("0a0b", 1, eight)
	must(err)

	_, err = hsm.Init(p, "kek-2026", "root", filepath.Join(dir, "root.key"))
	must(err)
	_, err = hsm.Init(p, "kek-2027", "", "")
	must(err)
	for _, keys := range []string{
		"[keys]\nold_keks = [\"kek.key\"]\n" + section + "kek_label = \"kek-2026\"\nroot_label = \"root\"\n",
		"[keys]\nkek = \"\"\nroot = \"\"\n" + section + "kek_label = \"kek-2027\"\nold_kek_labels = [\"kek-2026\"]\nroot_label = \"root\"\n",
		"[keys]\nroot = \"\"\n" + section + "old_kek_labels = [\"kek-2027\"]\nroot_label = \"root\"\n", // and back
		"",
	} {
		v := open(keys)
		if sealed, err = v.Rewrap(subject, sealed); err != nil {
			t.Fatalf("%v with\n%s", err, keys)
		}
		got, err := v.Open(subject, sealed)
		must(err)
		again, err := v.Derive("0a0b", 1, eight)
		must(err)
		if string(got.Reveal()) != "12345678" || !again.Equal(first) {
			t.Errorf("opened %q, derived %q, want %q, with\n%s", got.Reveal(), again.Reveal(), first.Reveal(), keys)
		}
	}
}
