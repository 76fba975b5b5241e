// Command tpmport is put before the image's first process in an emulated machine that is to have a TPM: no driver in Debian's 64-bit ARM
// kernels knows the TPMs that QEMU emulates. It has the kernel make a TPM whose commands come to a program (Linux:
// Documentation/security/tpm/tpm_vtpm_proxy.rst), leaves itself behind to carry them over a serial port to the software TPM on the other
// side, and becomes the image's own first process. It has no other use.
package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	carrier   = "latchkey-tpm-carrier"
	imageInit = "/init.image"
	own       = "/tpm" // folder with this program's modules and their list
)

func main() {
	if os.Args[0] == carrier {
		fmt.Fprintln(os.Stderr, "tpmport:", carry(os.NewFile(3, "kernel"), os.NewFile(4, "port")))
		os.Exit(1)
	}
	if err := begin(); err != nil {
		fmt.Fprintln(os.Stderr, "tpmport:", err)
	}
	err := unix.Exec(imageInit, []string{"/init"}, os.Environ())
	fmt.Fprintln(os.Stderr, "tpmport:", err)
}

func begin() error {
	mounts := []struct{ what, where string }{{"devtmpfs", "/dev"}, {"sysfs", "/sys"}}
	for _, m := range mounts {
		if err := os.MkdirAll(m.where, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.what, m.where, m.what, 0, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.where, err)
		}
	}
	defer func() {
		for _, m := range mounts { // the image's first process mounts its own
			_ = unix.Unmount(m.where, unix.MNT_DETACH)
		}
	}()
	list, err := os.ReadFile(own + "/modules")
	if err != nil {
		return err
	}
	for file := range strings.FieldsSeq(string(list)) {
		f, err := os.Open(own + file)
		if err != nil {
			return err
		}
		if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("load %s: %w", file, err)
		}
		f.Close()
	}
	port, err := openPort()
	if err != nil {
		return err
	}
	kernel, err := newTPM()
	if err != nil {
		return err
	}
	if _, err := os.StartProcess("/init", []string{carrier}, &os.ProcAttr{Files: []*os.File{nil, nil, os.Stderr, kernel, port}}); err != nil {
		return err
	}
	_, err = await("/dev/tpmrm0")
	return err
}

// await waits for a file that a driver makes.
func await(pattern string) (string, error) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); <-tick.C {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			return found[0], nil
		}
	}
	return "", fmt.Errorf("there is no %s", pattern)
}

func openPort() (*os.File, error) {
	if _, err := await("/sys/class/virtio-ports/*/name"); err != nil {
		return nil, err
	}
	names, err := filepath.Glob("/sys/class/virtio-ports/*/name")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if b, err := os.ReadFile(name); err == nil && strings.TrimSpace(string(b)) == "tpm" {
			return os.OpenFile(filepath.Join("/dev", filepath.Base(filepath.Dir(name))), os.O_RDWR, 0)
		}
	}
	return nil, errors.New("no serial port is named tpm")
}

// newTPM has the kernel make a TPM 2.0, and returns where its commands come out (include/uapi/linux/vtpm_proxy.h).
func newTPM() (*os.File, error) {
	const (
		newDevice = 0xC014A100 // VTPM_PROXY_IOC_NEW_DEV
		isTPM2    = 1          // VTPM_PROXY_FLAG_TPM2
	)
	proxies, err := os.OpenFile("/dev/vtpmx", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer proxies.Close()
	device := struct{ flags, number, file, major, minor uint32 }{flags: isTPM2}
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, proxies.Fd(), newDevice, uintptr(unsafe.Pointer(&device))); e != 0 {
		return nil, fmt.Errorf("make a TPM: %w", e)
	}
	return os.NewFile(uintptr(device.file), "tpm"), nil
}

// carry hands commands over, one after the other, until an end is lost.
func carry(kernel, port *os.File) error {
	const (
		header      = 10 // tag, length, code (TPM 2.0 part 1, 18.2)
		setLocality = 0x20001000
	)
	b := make([]byte, 4096)
	for {
		n, err := kernel.Read(b)
		if err != nil {
			return err
		}
		if n >= header && binary.BigEndian.Uint32(b[6:]) == setLocality {
			// It is the kernel's word to an emulator, and no TPM's: any locality is this one's.
			if _, err := kernel.Write([]byte{0x80, 0x01, 0, 0, 0, header, 0, 0, 0, 0}); err != nil {
				return err
			}
			continue
		}
		if _, err := port.Write(b[:n]); err != nil {
			return err
		}
		if _, err := io.ReadFull(port, b[:header]); err != nil {
			return err
		}
		size := binary.BigEndian.Uint32(b[2:])
		if size < header || int(size) > len(b) {
			return fmt.Errorf("an answer of %d bytes", size)
		}
		if _, err := io.ReadFull(port, b[header:size]); err != nil {
			return err
		}
		if _, err := kernel.Write(b[:size]); err != nil {
			return err
		}
	}
}
