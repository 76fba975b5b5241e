package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestWhoMayUseADevice(t *testing.T) {
	t.Parallel()
	root, own := t.TempDir(), os.Getgid() // the one group that anybody may give a file to
	r := &rights{root: root, log: newLog(&lines{}), groups: map[string]int{"input": own, "gpio": own, "video": own, "pcscd": own}}
	for _, c := range []struct {
		subsystem, name, file string
		mode                  os.FileMode
	}{
		{"input", "input/event3", "dev/input/event3", 0o640},
		{"input", "input/mouse0", "dev/input/mouse0", 0o600}, // nobody's
		{"gpio", "gpiochip0", "dev/gpiochip0", 0o660},
		{"usb", "bus/usb/001/004", "dev/bus/usb/001/004", 0o660},
		{"tpmrm", "tpmrm0", "dev/tpmrm0", 0o600}, // its group is missing here
		{"watchdog", "watchdog0", "dev/watchdog0", 0o600},
		{"block", "gpiochip0", "dev/sda", 0o600},
		{"backlight", "", "sys/devices/bl/brightness", 0o664},
	} {
		path := filepath.Join(root, c.file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		r.give(uevent{[]string{"ACTION=add", "SUBSYSTEM=" + c.subsystem, "DEVPATH=/devices/bl", "DEVNAME=" + c.name}})
		if info, err := os.Stat(path); err != nil || info.Mode() != c.mode {
			t.Errorf("%s has mode %v, not %v, %v", c.file, info.Mode(), c.mode, err)
		}
	}
}

func TestAPowerButtonIsNoKeyboard(t *testing.T) {
	t.Parallel()
	for capabilities, want := range map[string]bool{
		"10000000000000 0":        true, // ACPI's
		"10000000000000 40000000": false,
		"402000000 3803078f800d001 feffffdfffefffff fffffffffffffffe": false, // a keyboard, with KEY_POWER
		"0":   false,
		"":    false,
		"x y": false,
	} {
		if got := hasPowerKey(capabilities) && onlyButtons(capabilities); got != want {
			t.Errorf("%q: %t", capabilities, got)
		}
	}
}

func TestTheSerialConsole(t *testing.T) {
	t.Parallel()
	for active, want := range map[string]string{"tty0 ttyS0 ttyAMA0\n": "ttyAMA0", "ttyAMA0 tty0": "ttyAMA0", "tty0": "", "": "", "hvc0": "hvc0"} {
		if got := serialConsole(active); got != want {
			t.Errorf("%q: %q, not %q", active, got, want)
		}
	}
}
