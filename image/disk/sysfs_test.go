package disk

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"
)

// sys is a sysfs: partitions by their place among the devices, with the table's name.
func sys(t *testing.T, partitions map[string]string) string {
	t.Helper()
	root := t.TempDir()
	class := filepath.Join(root, "class/block")
	if err := os.MkdirAll(class, 0o755); err != nil {
		t.Fatal(err)
	}
	link := func(device string) {
		target := filepath.Join("../../devices", device)
		if err := os.Symlink(target, filepath.Join(class, filepath.Base(device))); err != nil && !errors.Is(err, os.ErrExist) {
			t.Fatal(err)
		}
	}
	for place, name := range partitions {
		dir := filepath.Join(root, "devices", place)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "uevent"), "DEVTYPE=partition\nPARTNAME="+name+"\n")
		write(t, filepath.Join(filepath.Dir(dir), "uevent"), "DEVTYPE=disk\n")
		link(place)
		link(filepath.Dir(place))
	}
	return root
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

const (
	card  = "platform/emmc2bus/fe340000.mmc/mmc_host/mmc0/mmc0:aaaa/block/mmcblk0"
	stick = "platform/scb/fd500000.pcie/pci0000:00/usb2/2-1/2-1:1.0/host0/target0:0:0/0:0:0:0/block/sda"
	drive = "platform/scb/fd500000.pcie/nvme/nvme0/nvme0n1"
)

func TestDisksAreKnownByTheNamesOfTheirPartitions(t *testing.T) {
	t.Parallel()
	list, err := List(sys(t, map[string]string{
		card + "/mmcblk0p1": "boot", card + "/mmcblk0p2": "data", stick + "/sda1": "boot",
	}), "boot", "data")
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	d := list[0]
	if d.Device() != "/dev/mmcblk0" || d.Partition("data") != "/dev/mmcblk0p2" || d.Partition("setup") != "" {
		t.Errorf("%+v", d)
	}
}

func TestBeforeADiskHasCome(t *testing.T) {
	t.Parallel()
	list, err := List(t.TempDir(), "boot")
	if err != nil {
		t.Fatal(err)
	}
	var notYet *NotYetError
	if _, err := Choose(list, Hint{}); !errors.As(err, &notYet) {
		t.Error(err)
	}
}

func TestTheDiskThatBootedIsTaken(t *testing.T) {
	t.Parallel()
	list, err := List(sys(t, map[string]string{card + "/mmcblk0p1": "boot", stick + "/sda1": "boot", drive + "/nvme0n1p1": "boot"}), "boot")
	if err != nil || len(list) != 3 {
		t.Fatal(list, err)
	}
	for bus, want := range map[string]string{"mmc": "mmcblk0", "usb": "sda", "nvme": "nvme0n1"} {
		if d, err := Choose(list, Hint{Bus: bus}); err != nil || d.Name != want {
			t.Errorf("%s: %+v, %v", bus, d, err)
		}
	}
	var notYet *NotYetError
	if _, err := Choose(list, Hint{}); err == nil || errors.As(err, &notYet) || !strings.Contains(err.Error(), "take the other out") {
		t.Errorf("with no hint, of three: %v", err)
	}
	if d, err := Choose(list[:1], Hint{}); err != nil || d != list[0] {
		t.Errorf("with no hint, of one: %v", err)
	}
	if _, err := Choose(list[:1], Hint{Bus: "usb"}); !errors.As(err, &notYet) {
		t.Errorf("the stick has not come yet: %v", err)
	}
	// There are no such devices here, so that none can have that partition.
	if _, err := Choose(list, Hint{Partition: "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"}); !errors.As(err, &notYet) {
		t.Error(err)
	}
}

func TestWhatFirmwareTells(t *testing.T) {
	t.Parallel()
	none := t.TempDir()
	if h, err := ReadHint(none, none); h != (Hint{}) || err != nil {
		t.Errorf("%+v, %v", h, err)
	}
	uefi := t.TempDir()
	variable := []byte{6, 0, 0, 0}
	for _, c := range utf16.Encode([]rune("C12A7328-F81F-11D2-BA4B-00A0C93EC93B\x00")) {
		variable = append(variable, byte(c), byte(c>>8))
	}
	write(t, filepath.Join(uefi, loaderPartition), string(variable))
	if h, err := ReadHint(uefi, none); h.Partition != "c12a7328-f81f-11d2-ba4b-00a0c93ec93b" || err != nil {
		t.Errorf("%+v, %v", h, err)
	}
	write(t, filepath.Join(uefi, loaderPartition), "xxx")
	if _, err := ReadHint(uefi, none); err == nil {
		t.Error("a torn variable was taken")
	}
	for mode, bus := range map[byte]string{1: "mmc", 4: "usb", 5: "usb", 6: "nvme", 2: ""} {
		pi := t.TempDir()
		write(t, filepath.Join(pi, "chosen/bootloader/boot-mode"), string([]byte{0, 0, 0, mode}))
		if h, err := ReadHint(none, pi); h.Bus != bus || err != nil {
			t.Errorf("%d: %+v, %v", mode, h, err)
		}
	}
}
