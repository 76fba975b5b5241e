package main

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const readerAdded = "add@/devices/pci0000:00/usb1/1-1\x00ACTION=add\x00DEVPATH=/devices/pci0000:00/usb1/1-1\x00SUBSYSTEM=usb\x00" +
	"DEVNAME=bus/usb/001/002\x00DEVTYPE=usb_device\x00SEQNUM=17\x00"

func TestUeventOfTheKernel(t *testing.T) {
	t.Parallel()
	e, err := parseUevent([]byte(readerAdded))
	if err != nil {
		t.Fatal(err)
	}
	if got := e.get("DEVNAME"); got != "bus/usb/001/002" {
		t.Errorf("DEVNAME is %q", got)
	}
	for _, bad := range []string{"", "libudev\x00\xfe\xed\xca\xfe", "add@/x\x00ACTION=add\x00", strings.ReplaceAll(readerAdded, "SEQNUM", "X")} {
		if _, err := parseUevent([]byte(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// What systemd's libudev 252 puts into the filter of a socket that waits for USB devices.
const (
	hashUSB    = 0x0577c5e5
	hashDevice = 0x27f8f50c
)

func TestLibudevReadsTheMessage(t *testing.T) {
	t.Parallel()
	e, err := parseUevent([]byte(readerAdded))
	if err != nil {
		t.Fatal(err)
	}
	b := libudevMessage(e)
	if string(b[:8]) != "libudev\x00" || binary.BigEndian.Uint32(b[8:]) != 0xfeedcafe {
		t.Errorf("it begins with %q", b[:12])
	}
	from, length := binary.NativeEndian.Uint32(b[16:]), binary.NativeEndian.Uint32(b[20:])
	if int(from+length) != len(b) || !strings.HasPrefix(string(b[from:]), "ACTION=add\x00") {
		t.Errorf("the properties are at %d, %d bytes of %d", from, length, len(b))
	}
	if got := binary.BigEndian.Uint32(b[24:]); got != hashUSB {
		t.Errorf("the hash of usb is %#x, not %#x", got, hashUSB)
	}
	if got := binary.BigEndian.Uint32(b[28:]); got != hashDevice {
		t.Errorf("the hash of usb_device is %#x, not %#x", got, hashDevice)
	}
}

func TestDevicesThatAreThereAreTold(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	dir := filepath.Join(root, "sys/devices/pci0/usb1")
	bus := filepath.Join(root, "sys/bus/usb")
	for _, d := range []string{dir, filepath.Join(bus, "devices"), filepath.Join(root, "sys/devices/nobody"), filepath.Join(root, "sys/class/zram")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for path, text := range map[string]string{
		filepath.Join(dir, "uevent"):                     "DEVNAME=bus/usb/001/001\nMODALIAS=usb:v1D6B\n",
		filepath.Join(root, "sys/devices/nobody/uevent"): "MODALIAS=x\n",
		filepath.Join(root, "sys/class/zram/hot_add"):    "",
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"usb1": "../../../devices/pci0/usb1", "gone": "../../../devices/pci0/usb2"} {
		if err := os.Symlink(to, filepath.Join(bus, "devices", link)); err != nil {
			t.Fatal(err)
		}
	}
	told, err := present(root)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"ACTION=add", "DEVPATH=/devices/pci0/usb1", "SUBSYSTEM=usb", "DEVNAME=bus/usb/001/001", "MODALIAS=usb:v1D6B"}
	if len(told) != 1 || !slices.Equal(told[0].properties, want) {
		t.Errorf("told: %q", told)
	}
}

func TestDevicesWithoutADriverComeFirst(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	bus := filepath.Join(root, "sys/bus/virtio/devices")
	if err := os.MkdirAll(bus, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"a": "DRIVER=virtio_blk\nMODALIAS=virtio:d2\n", "b": "MODALIAS=virtio:d16\n"} {
		dir := filepath.Join(root, "sys/devices", name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "uevent"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("../../../devices/"+name, filepath.Join(bus, name)); err != nil {
			t.Fatal(err)
		}
	}
	told, err := present(root)
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, e := range told {
		order = append(order, e.get("DEVPATH"))
	}
	if want := []string{"/devices/b", "/devices/a"}; !slices.Equal(order, want) {
		t.Errorf("they are told in the order %q", order)
	}
}

func FuzzUevent(f *testing.F) {
	f.Add([]byte(readerAdded))
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, err := parseUevent(b); err == nil {
			if m := libudevMessage(e); int(binary.NativeEndian.Uint32(m[16:])+binary.NativeEndian.Uint32(m[20:])) != len(m) {
				t.Error("the lengths are wrong")
			}
		}
	})
}
