// Package mapper makes devices with Linux's device mapper by its ioctls (linux/dm-ioctl.h, version 4), for the three targets that the image
// has: verity for the root (Documentation/admin-guide/device-mapper/verity.rst), crypt and linear for /data (dm-crypt.rst, linear.rst).
//
// It makes them and removes them. It knows neither LVM nor LUKS, has no header of its own, and never asks udev.
package mapper

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Control is the mapper's device, which devtmpfs has when the module dm_mod is loaded.
const Control = "/dev/mapper/control"

const sector = 512

// Target is what a device does. One target is the whole device.
type Target struct {
	Size     int64 // bytes
	ReadOnly bool

	kind, params string
}

// HashError is a root hash that is none.
type HashError struct{ Hash string }

// Error implements error.
func (e *HashError) Error() string {
	return fmt.Sprintf("root hash %q is not a SHA-256 in hexadecimal", e.Hash)
}

const verityBlock = 4096 // bytes, of data and of hashes

// Verity is a device whose first blocks are data and whose following are the hash tree without a superblock (SHA-256, no salt), as veritysetup
// format --no-superblock makes it. A block that is not what was hashed restarts the machine.
func Verity(device, root string, blocks int64) (Target, error) {
	if b, err := hex.DecodeString(root); err != nil || len(b) != 32 {
		return Target{}, &HashError{root}
	}
	if blocks <= 0 {
		return Target{}, fmt.Errorf("verity: %d blocks", blocks)
	}
	return Target{blocks * verityBlock, true, "verity",
		fmt.Sprintf("1 %s %s %d %d %d %d sha256 %s - 1 restart_on_corruption", device, device, verityBlock, verityBlock, blocks, blocks, root)}, nil
}

// Linear is a part of a device: size bytes from start, both of whole sectors.
func Linear(device string, start, size int64) Target {
	return Target{size, false, "linear", fmt.Sprintf("%s %d", device, start/sector)}
}

// CryptKeySize is that of aes-xts-plain64 with AES-256, in bytes.
const CryptKeySize = 64

// Crypt is such a part, encrypted under a key that was given to the kernel's keyring as a logon key: the name is all that the table says, and
// nobody can read it back.
func Crypt(device string, start, size int64, key string) Target {
	return Target{size, false, "crypt", fmt.Sprintf("aes-xts-plain64 :%d:logon:%s 0 %s %d", CryptKeySize, key, device, start/sector)}
}

// Create makes a device of a name, unlike any other, and returns its file.
func Create(name string, t Target) (string, error) {
	device, err := create(name, t)
	if err != nil {
		return "", fmt.Errorf("device mapper: %s %s: %w", t.kind, name, err)
	}
	return device, nil
}

func create(name string, t Target) (device string, err error) {
	control, err := os.OpenFile(Control, os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	defer control.Close()
	head, err := request(name, t.ReadOnly)
	if err != nil {
		return "", err
	}
	if err := command(control, unix.DM_DEV_CREATE, head); err != nil {
		return "", fmt.Errorf("create: %w", err)
	}
	device = fmt.Sprintf("/dev/dm-%d", unix.Minor(dev(head)))
	defer func() {
		if err != nil {
			err = errors.Join(err, Remove(name))
		}
	}()
	table, err := load(name, t)
	if err != nil {
		return "", err
	}
	if err := command(control, unix.DM_TABLE_LOAD, table); err != nil {
		return "", fmt.Errorf("load table: %w", err)
	}
	// Not suspended means resumed, which puts the table into effect.
	if head, err = request(name, t.ReadOnly); err != nil {
		return "", err
	}
	if err := command(control, unix.DM_DEV_SUSPEND, head); err != nil {
		return "", fmt.Errorf("resume: %w", err)
	}
	return device, nil
}

// Remove removes a device that nobody has open.
func Remove(name string) error {
	control, err := os.OpenFile(Control, os.O_RDWR, 0)
	if err == nil {
		defer control.Close()
		var head []byte
		if head, err = request(name, false); err == nil {
			err = command(control, unix.DM_DEV_REMOVE, head)
		}
	}
	if err != nil {
		return fmt.Errorf("device mapper: remove %s: %w", name, err)
	}
	return nil
}

const headSize = int(unsafe.Sizeof(unix.DmIoctl{}))

// request is what every command begins with.
func request(name string, readOnly bool) ([]byte, error) {
	b := make([]byte, headSize)
	head := (*unix.DmIoctl)(unsafe.Pointer(&b[0]))
	if len(name) == 0 || len(name) >= len(head.Name) {
		return nil, fmt.Errorf("name %q", name)
	}
	head.Version[0] = unix.DM_VERSION_MAJOR
	head.Data_size, head.Data_start = uint32(len(b)), uint32(headSize)
	if readOnly {
		head.Flags = unix.DM_READONLY_FLAG
	}
	copy(head.Name[:], name)
	return b, nil
}

// load is the command that loads a table of one target: behind the head its description, behind that its parameters with a NUL.
func load(name string, t Target) ([]byte, error) {
	b, err := request(name, t.ReadOnly)
	if err != nil {
		return nil, err
	}
	if t.Size <= 0 || t.Size%sector != 0 {
		return nil, fmt.Errorf("%d bytes are not whole sectors", t.Size)
	}
	spec := unix.DmTargetSpec{Length: uint64(t.Size / sector)}
	copy(spec.Target_type[:len(spec.Target_type)-1], t.kind)
	length := (len(t.params) + 8) &^ 7 // a NUL, and whole words
	spec.Next = uint32(unsafe.Sizeof(spec)) + uint32(length)
	b = append(b, unsafe.Slice((*byte)(unsafe.Pointer(&spec)), unsafe.Sizeof(spec))...)
	b = append(b, t.params...)
	b = append(b, make([]byte, length-len(t.params))...)
	head := (*unix.DmIoctl)(unsafe.Pointer(&b[0]))
	head.Data_size, head.Target_count = uint32(len(b)), 1
	return b, nil
}

func command(control *os.File, number uintptr, request []byte) error {
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, control.Fd(), number, uintptr(unsafe.Pointer(&request[0]))); e != 0 {
		return e
	}
	return nil
}

// dev is the device that a command's answer names.
func dev(answer []byte) uint64 { return (*unix.DmIoctl)(unsafe.Pointer(&answer[0])).Dev }
