package main

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"latchkey/firmware/wire/ra"
	"latchkey/image/provision"
	"latchkey/tools/console"
)

// The help text shows every setting there is, as they are written.
func TestTheSettingsExampleIsWhole(t *testing.T) {
	t.Parallel()
	f, err := provision.Template([]byte(settingsExample))
	if err != nil || f.Help == "" || f.WiFi != nil {
		t.Fatal(f, err)
	}
	all := regexp.MustCompile(`(?m)^#|  +#.*$`).ReplaceAllString(settingsExample, "")
	f, err = provision.Template([]byte(all))
	if err != nil || f.WiFi.Passphrase.Len() == 0 || f.EAP.Password.Len() == 0 {
		t.Fatalf("%v\n%s", err, all)
	}
	again := string(f.Text())
	for line := range strings.Lines(all) {
		if name, _, set := strings.Cut(line, " = "); set && !strings.Contains(again, "\n"+name+" = ") && !strings.HasPrefix(again, name+" = ") && name != "board" && name != "interface" {
			t.Errorf("%s is lost:\n%s", name, again)
		}
	}
}

// From the file to a kiosk that central serves, with the real programs: what central writes sets a machine up, the RA confirms what its
// screen shows, and the kiosk delivers its journal.
func TestAProvisionedKioskIsServed(t *testing.T) {
	t.Parallel()
	bin, dir := t.TempDir(), t.TempDir()
	if out, err := exec.Command("go", "build", "-o", bin, "latchkey/cmd/kiosk").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := newCentral(dir); err != nil {
		t.Fatal(err)
	}
	p := serving(t, dir)
	central := commands(t, dir)
	web := regexp.MustCompile(`msg=web addr=(\S+)`).FindStringSubmatch(p.said())
	if web == nil {
		t.Fatal(p.said())
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	settings := "central = \"https://" + p.addr + "\"\nenrol = \"https://" + web[1] + "\"\nhelp = \"x4050\"\n"
	if err := os.WriteFile(in("settings.toml"), []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	said := central("kiosk", "provision", "ward-7", "--site", "Ward 7", "--settings", in("settings.toml"), "--central-ca", in("ca.pem"), "--out", in("setup.toml"))
	row := regexp.MustCompile(`(?:[0-9a-f]{4} ){7}[0-9a-f]{4}`)
	centralKey := row.FindAllString(said, -1)

	screen := func(until string, args ...string) (*console.Console, func()) {
		t.Helper()
		terminal, err := console.Open(50, 15)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(filepath.Join(bin, "kiosk"), args...)
		cmd.Env = append(os.Environ(), "PCSCLITE_CSOCK_NAME="+in("nobody"))
		if err := terminal.Start(cmd); err != nil {
			t.Fatal(err)
		}
		if _, err := terminal.Await(t.Context(), until); err != nil {
			t.Fatalf("%v; the screen was %q", err, terminal.Text())
		}
		return terminal, func() {
			cmd.Process.Kill()
			cmd.Wait()
			terminal.Close()
		}
	}
	setup, end := screen("Set-up file found: ward-7", "setup", "--from", in("setup.toml"), "--dir", in("kiosk"))
	defer end()
	for _, half := range centralKey {
		if !strings.Contains(setup.Text(), half) {
			t.Errorf("the screen does not show the fingerprint of central's key that central printed, %s:\n%s", half, setup.Text())
		}
	}
	if _, err := setup.Await(t.Context(), "This kiosk is enrolled: ward-7"); err != nil {
		t.Fatalf("%v; the screen was %q", err, setup.Text())
	}
	central("kiosk", "confirm", "ward-7", strings.Join(row.FindAllString(setup.Text(), -1), " "))
	if _, err := os.Stat(in("kiosk/kiosk.toml")); err != nil {
		t.Fatal(err)
	}

	_, end = screen("Its card reader", "--config", in("kiosk/kiosk.toml"))
	defer end()
	soon := func(done func() bool) {
		t.Helper()
		for start := time.Now(); !done(); {
			if time.Since(start) > 5*time.Minute {
				t.Fatalf("it did not come: %s", central("kiosk", "show", "ward-7"))
			}
		}
	}
	kioskAt := func() (k ra.Kiosk) {
		t.Helper()
		if err := json.Unmarshal([]byte(central("kiosk", "show", "ward-7", "--json")), &k); err != nil {
			t.Fatal(err)
		}
		return k
	}
	soon(func() bool {
		k := kioskAt()
		return k.EntriesHeld > 0 && k.State == "active" && k.Site == "Ward 7"
	})

	// It is given other settings, and is served with them as the kiosk that it was, which nobody has to confirm.
	if err := os.WriteFile(in("settings.toml"), []byte(strings.Replace(settings, "x4050", "x4999", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	said = central("kiosk", "provision", "ward-7", "--settings", in("settings.toml"), "--central-ca", in("ca.pem"), "--out", in("again.toml"))
	if !strings.Contains(said, "with other settings for ward-7, which is served already") {
		t.Error(said)
	}
	end()
	held := kioskAt().EntriesHeld
	_, end = screen("It starts in a moment", "setup", "--from", in("again.toml"), "--dir", in("kiosk"))
	end()
	if said, err := os.ReadFile(in("kiosk/kiosk.toml")); err != nil || !strings.Contains(string(said), "x4999") {
		t.Errorf("%v: %s", err, said)
	}
	_, end = screen("Its card reader", "--config", in("kiosk/kiosk.toml"))
	defer end()
	soon(func() bool {
		k := kioskAt()
		return k.EntriesHeld > held && k.State == "active" && k.Site == "Ward 7"
	})

	// Its storage is lost, but for the configuration and who it is.
	end()
	if err := errors.Join(os.Remove(in("kiosk/journal.db")), os.WriteFile(in("kiosk/LOST"), []byte("/dev/sda7: bad superblock\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	_, end = screen("it has lost its records", "--config", in("kiosk/kiosk.toml"))
	defer end()
	soon(func() bool {
		_, err := os.Stat(in("kiosk/LOST.told"))
		return err == nil
	})
	if said := central("events", "--kind", "refused"); !regexp.MustCompile(`(?m) ward-7 .*entries-do-not-extend`).MatchString(said) {
		t.Errorf("central does not alarm: %s", said)
	}
}
