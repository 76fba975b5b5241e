package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

func writeTables(t *testing.T, aliases, deps string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"modules.alias": aliases, "modules.dep": deps} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestModulesOfADevice(t *testing.T) {
	t.Parallel()
	dir := writeTables(t, `# Aliases extracted from modules themselves.
alias usb:v*p*d*dc*dsc*dp*ic03isc*ip*in* usbhid
alias hid:b0003g*v*p* hid-generic
alias of:N*T*Cbrcm,bcm2835-pm-wdt bcm2835_wdt
alias dmi:*svnA/B* slashed
alias fs-vfat vfat
alias pci:v00001AF4d00001050sv*sd*bc*sc*i* missing
`, `kernel/drivers/hid/usbhid/usbhid.ko: kernel/drivers/hid/hid.ko kernel/drivers/usb/core/usbcore.ko kernel/drivers/usb/common/usb-common.ko
kernel/drivers/hid/hid.ko:
kernel/drivers/usb/core/usbcore.ko: kernel/drivers/usb/common/usb-common.ko
kernel/drivers/usb/common/usb-common.ko:
kernel/drivers/hid/hid-generic.ko: kernel/drivers/hid/hid.ko
kernel/drivers/watchdog/bcm2835_wdt.ko:
kernel/fs/fat/vfat.ko: kernel/fs/fat/fat.ko
kernel/slashed.ko:
`)
	for _, c := range []struct {
		asked string
		want  []string
	}{
		{"usb:v1234p0001d0100dc00dsc00dp00ic03isc01ip02in00", []string{"usb-common.ko", "usbcore.ko", "hid.ko", "usbhid.ko"}},
		{"hid:b0003g0001v00001234p00000001", []string{"hid.ko", "hid-generic.ko"}},
		{"of:NwatchdogT(null)Cbrcm,bcm2835-pm-wdt", []string{"bcm2835_wdt.ko"}},
		{"dmi:bvnX:svnA/B:", []string{"slashed.ko"}},
		{"fs-vfat", []string{"fat.ko", "vfat.ko"}},
		{"hid_generic", []string{"hid.ko", "hid-generic.ko"}},
		{"usb:v1234p0001d0100dc00dsc00dp00ic08isc01ip02in00", nil},
		{"pci:v00001AF4d00001050sv0sd0bc0sc0i0", nil}, // in the table, and not in the image
		{"", nil},
	} {
		m, err := openModules(dir)
		if err != nil {
			t.Fatal(err)
		}
		var loaded []string
		m.live = func(string) bool { return false }
		m.insert = func(path string) error {
			loaded = append(loaded, filepath.Base(path))
			return nil
		}
		for range 2 { // the second time there is nothing to do
			if err := m.load(c.asked); err != nil {
				t.Errorf("%s: %v", c.asked, err)
			}
		}
		if !slices.Equal(loaded, c.want) {
			t.Errorf("%q loads %q, not %q", c.asked, loaded, c.want)
		}
	}
}

func TestAModuleThatCannotBeLoadedIsToldOnce(t *testing.T) {
	t.Parallel()
	m, err := openModules(writeTables(t, "alias a:* one\nalias b:* absent\n", "one.ko: two.ko\ntwo.ko:\nabsent.ko:\n"))
	if err != nil {
		t.Fatal(err)
	}
	var tried []string
	m.insert = func(path string) error {
		tried = append(tried, filepath.Base(path))
		if filepath.Base(path) == "absent.ko" {
			return unix.ENODEV
		}
		return unix.EINVAL
	}
	if err := m.load("a:x"); err == nil {
		t.Error("nothing is said of it")
	}
	if err := m.load("a:x"); err != nil {
		t.Errorf("it is said again: %v", err)
	}
	if err := m.load("b:x"); err != nil {
		t.Errorf("hardware that is not there is an error: %v", err)
	}
	if want := []string{"two.ko", "absent.ko"}; !slices.Equal(tried, want) {
		t.Errorf("tried: %q", tried)
	}
}

func TestAModuleThatRunsIsNotUnpackedAgain(t *testing.T) {
	t.Parallel()
	m, err := openModules(writeTables(t, "alias a:* usb-storage\n", "usb-storage.ko: usbcore.ko\nusbcore.ko:\n"))
	if err != nil {
		t.Fatal(err)
	}
	var tried []string
	m.insert = func(path string) error {
		tried = append(tried, filepath.Base(path))
		return nil
	}
	m.live = func(name string) bool { return name == "usbcore" }
	if err := m.load("a:x"); err != nil {
		t.Fatal(err)
	}
	if want := []string{"usb-storage.ko"}; !slices.Equal(tried, want) {
		t.Errorf("loaded: %q, not %q", tried, want)
	}
}
