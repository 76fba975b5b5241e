package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf16"
)

// Hint is what firmware tells about the disk that it booted from. The zero value tells nothing.
type Hint struct {
	Partition string // GUID of the one that the boot loader was on, in small letters
	Bus       string // "mmc", "usb" or "nvme"
}

// loaderPartition is where systemd-boot says it (systemd's "Boot Loader Interface").
const loaderPartition = "LoaderDevicePartUUID-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"

// ReadHint reads it from UEFI's variables, which may be missing, or from a Raspberry Pi's device tree.
func ReadHint(efivars, deviceTree string) (Hint, error) {
	b, err := os.ReadFile(filepath.Join(efivars, loaderPartition))
	switch {
	case err == nil:
		id, err := variableText(b)
		if err != nil {
			return Hint{}, fmt.Errorf("boot disk: variable LoaderDevicePartUUID: %w", err)
		}
		return Hint{Partition: strings.ToLower(id)}, nil
	case !errors.Is(err, fs.ErrNotExist):
		return Hint{}, fmt.Errorf("boot disk: %w", err)
	}
	b, err = os.ReadFile(filepath.Join(deviceTree, "chosen/bootloader/boot-mode"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Hint{}, nil
	case err != nil:
		return Hint{}, fmt.Errorf("boot disk: %w", err)
	case len(b) != 4:
		return Hint{}, fmt.Errorf("boot disk: the device tree's boot-mode has %d bytes and not 4", len(b))
	}
	// Raspberry Pi documentation, "Raspberry Pi bootloader configuration", BOOT_ORDER: the modes' numbers.
	switch binary.BigEndian.Uint32(b) {
	case 1:
		return Hint{Bus: "mmc"}, nil
	case 4, 5:
		return Hint{Bus: "usb"}, nil
	case 6:
		return Hint{Bus: "nvme"}, nil
	}
	return Hint{}, nil // from the network, say; then the disk with the names is right if it is the only one
}

// variableText is the text of a variable as efivarfs gives it: four bytes of attributes, then UTF-16 that ends with a NUL.
func variableText(b []byte) (string, error) {
	if len(b) < 4 || len(b)%2 != 0 {
		return "", fmt.Errorf("it has %d bytes, which is no text", len(b))
	}
	var text []uint16
	for at := 4; at < len(b); at += 2 {
		c := binary.LittleEndian.Uint16(b[at:])
		if c == 0 {
			break
		}
		text = append(text, c)
	}
	return string(utf16.Decode(text)), nil
}

// NotYetError says that the disk is not among those that have come; others may come.
type NotYetError struct{ reason string }

// Error implements error.
func (e *NotYetError) Error() string { return e.reason }

// Choose takes the disk that booted, of those with all names. Its error is a *NotYetError as long as another that comes may be the one.
func Choose(disks []*Disk, hint Hint) (*Disk, error) {
	var match []*Disk
	reason := "no disk has this image's partitions"
	for _, d := range disks {
		is, err := d.matches(hint)
		switch {
		case is:
			match = append(match, d)
		case err != nil: // another's disk may be broken
			reason = fmt.Sprintf("%s has this image, and cannot be read: %v", d.Name, err)
		default:
			reason = fmt.Sprintf("%s has this image, and is not the disk that the firmware booted", d.Name)
		}
	}
	switch len(match) {
	case 0:
		return nil, &NotYetError{reason}
	case 1:
		return match[0], nil
	}
	return nil, fmt.Errorf("two disks have this image, and the firmware does not tell which of %s and %s it booted: take the other out", match[0].Name, match[1].Name)
}

func (d *Disk) matches(hint Hint) (bool, error) {
	switch {
	case hint.Partition != "":
		f, err := os.Open(d.Device())
		if err != nil {
			return false, err
		}
		defer f.Close()
		size, err := SizeOf(f)
		if err != nil {
			return false, err
		}
		t, err := Read(f, size)
		if err != nil {
			return false, err
		}
		return slices.ContainsFunc(t.Partitions, func(p Partition) bool { return p.ID.String() == hint.Partition }), nil
	case hint.Bus != "":
		return d.on(hint.Bus), nil
	}
	return true, nil
}

// on tells whether the disk is on a bus. A USB disk's place among the devices goes through its USB device.
func (d *Disk) on(bus string) bool {
	usb := strings.Contains(d.where, "/usb")
	if bus == "usb" {
		return usb
	}
	return !usb && strings.HasPrefix(d.Name, bus)
}
