package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"latchkey/card/pcsc"
)

// machine is what is looked at beside PC/SC itself.
type machine struct {
	root   fs.FS  // the file system
	socket string // of pcscd
	// dial connects to the socket, to learn from the kernel why pcscd cannot be reached.
	dial func(socket string) error
}

// Where pcsc-lite and its drivers are on Debian.
const (
	defaultSocket = "/run/pcscd/pcscd.comm"
	daemonPath    = "usr/sbin/pcscd"
	driverBundles = "usr/lib/pcsc/drivers/*.bundle"
)

// Interfaces of USB devices; the class of smartcard readers is 0B (USB-IF, Device Class Smart Card CCID 1.1 §4.2).
const (
	usbClasses = "sys/bus/usb/devices/*/bInterfaceClass"
	ccidClass  = "0b"
)

func thisMachine() machine {
	m := machine{root: os.DirFS("/"), socket: os.Getenv("PCSCLITE_CSOCK_NAME"), dial: func(socket string) error {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			return err
		}
		return conn.Close()
	}}
	if m.socket == "" {
		m.socket = defaultSocket // libpcsclite's own choice
	}
	return m
}

// unreachable says why pcscd does not list its readers.
func (m machine) unreachable(err error) *finding {
	f := &finding{Check: checkPCSCD, Level: wrong, Fixer: engineer}
	dialled := m.dial(m.socket)
	switch {
	case errors.Is(err, pcsc.ErrRefused):
		f.Check, f.Seen, f.Cause = checkPermission, "pcscd refuses this user", "polkit does not allow it"
		f.Cure = "allow the user the polkit actions org.debian.pcsc-lite.access_pcsc and access_card"
	case errors.Is(dialled, unix.EACCES):
		f.Check, f.Seen = checkPermission, fmt.Sprintf("this user may not open pcscd's socket %s", m.socket)
		f.Cause = "the mode of the socket or of its folder keeps the user out"
		f.Cure = "run cardctl as a user who may, or mend the mode"
	case errors.Is(err, pcsc.ErrSilent):
		f.Seen, f.Cause = "pcscd does not answer", "it hangs, often in the driver of a reader"
		f.Cure = `unplug the readers and restart it ("systemctl restart pcscd")`
	case dialled == nil:
		f.Seen, f.Cause = fmt.Sprintf("pcscd's socket %s is open, but no PC/SC comes of it (%v)", m.socket, err), "another version of pcscd, or not pcscd"
		f.Cure = `restart it ("systemctl restart pcscd"); then look at its log`
	case !m.has(daemonPath) && errors.Is(dialled, fs.ErrNotExist):
		f.Seen, f.Cause = "pcscd is not running", "it is not installed"
		f.Cure = `install it with the driver ("apt-get install pcscd libccid")`
	case errors.Is(dialled, fs.ErrNotExist):
		f.Seen, f.Cause = "pcscd is not running", fmt.Sprintf("its socket %s is not there: nobody started it", m.socket)
		f.Cure = `start it ("systemctl start pcscd.socket")`
	default:
		f.Seen, f.Cause = "pcscd is not running", fmt.Sprintf("nobody listens on its socket %s: it ended without cleaning up", m.socket)
		f.Cure = `start it ("systemctl restart pcscd.socket")`
	}
	return f
}

func (m machine) has(name string) bool {
	_, err := fs.Stat(m.root, name)
	return err == nil
}

// usbReaders names the smartcard readers on USB, whether pcscd drives them or not.
func (m machine) usbReaders() (names []string) {
	classes, _ := fs.Glob(m.root, usbClasses)
	for _, class := range classes {
		if m.text(class) != ccidClass {
			continue
		}
		// The interface 1-2:1.0 is of the device 1-2.
		device, _, _ := strings.Cut(path.Base(path.Dir(class)), ":")
		dir := path.Join(path.Dir(path.Dir(class)), device)
		names = append(names, strings.TrimSpace(fmt.Sprintf("%s (USB %s:%s)",
			m.text(path.Join(dir, "product")), m.text(path.Join(dir, "idVendor")), m.text(path.Join(dir, "idProduct")))))
	}
	return names
}

func (m machine) text(name string) string {
	b, _ := fs.ReadFile(m.root, name)
	return strings.TrimSpace(string(b))
}

// drivers are the driver bundles for readers on USB.
func (m machine) drivers() (names []string) {
	bundles, _ := fs.Glob(m.root, driverBundles)
	for _, b := range bundles {
		names = append(names, strings.TrimSuffix(path.Base(b), ".bundle"))
	}
	return names
}

// driver says why pcscd has no reader, or that the readers it has are driven.
func (m machine) driver(slots []pcsc.Slot) *finding {
	f := &finding{Check: checkDriver, Level: wrong, Fixer: engineer}
	plugged, drivers := m.usbReaders(), m.drivers()
	switch {
	case len(slots) > 0:
		return &finding{Check: checkDriver, Level: ok, Seen: "pcscd drives " + quoted(slots)}
	case len(plugged) > 0 && len(drivers) == 0:
		f.Seen = fmt.Sprintf("pcscd does not drive %s", strings.Join(plugged, ", "))
		f.Cause, f.Cure = "no driver is installed", `install it ("apt-get install libccid") and restart pcscd`
	case len(plugged) > 0:
		f.Seen = fmt.Sprintf("pcscd does not drive %s", strings.Join(plugged, ", "))
		f.Cause = fmt.Sprintf("the installed driver (%s) does not know it, or another program or a virtual machine has it", strings.Join(drivers, ", "))
		f.Cure = "restart pcscd; if that does not help, its log says why, and the maker may have a driver of his own"
	case len(drivers) == 0:
		f.Level, f.Seen = warning, "no driver for readers on USB is installed"
		f.Cause, f.Cure = "libccid is missing", `install it ("apt-get install libccid")`
	default:
		return &finding{Check: checkDriver, Level: ok, Seen: "installed: " + strings.Join(drivers, ", ") + "; no CCID reader is on USB"}
	}
	return f
}
