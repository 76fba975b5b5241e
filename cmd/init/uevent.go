package main

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// uevent is what the kernel tells of a device (lib/kobject_uevent.c): "action@devpath", then KEY=VALUE, each ended by NUL.
type uevent struct {
	properties []string // as they came
}

func (e uevent) get(key string) string {
	for _, p := range e.properties {
		if v, is := strings.CutPrefix(p, key+"="); is {
			return v
		}
	}
	return ""
}

// parseUevent reads one message of the kernel's.
func parseUevent(b []byte) (uevent, error) {
	parts := strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
	if !strings.Contains(parts[0], "@") {
		return uevent{}, fmt.Errorf("uevent: %.40q is no message of the kernel's", parts[0])
	}
	e := uevent{parts[1:]}
	for _, key := range []string{"ACTION", "DEVPATH", "SUBSYSTEM", "SEQNUM"} {
		if e.get(key) == "" {
			return uevent{}, fmt.Errorf("uevent: it has no %s", key)
		}
	}
	return e, nil
}

// Groups of NETLINK_KOBJECT_UEVENT: the kernel's own, and that on which libudev listens (systemd's sd-device/device-monitor.c).
const (
	kernelGroup  = 1
	libudevGroup = 2
)

// eventSocket hears the kernel's uevents and tells libudev's listeners.
type eventSocket struct{ file *os.File }

// A machine that starts tells of a thousand devices at once; none may be lost.
const eventBuffer = 4 << 20

func openEvents() (*eventSocket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return nil, fmt.Errorf("uevents: %w", err)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, eventBuffer) // less is what there is without it
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: kernelGroup}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("uevents: %w", err)
	}
	return &eventSocket{os.NewFile(uintptr(fd), "uevents")}, nil
}

// read waits for the kernel's next message. errMissed says that some were lost; any other error is the socket's end.
func (s *eventSocket) read() (uevent, error) {
	conn, err := s.file.SyscallConn()
	if err != nil {
		return uevent{}, err
	}
	buf := make([]byte, 16<<10) // the kernel's are 2 KiB at most
	for {
		var n int
		var from unix.Sockaddr
		var failed error
		if err := conn.Read(func(fd uintptr) bool {
			n, from, failed = unix.Recvfrom(int(fd), buf, 0)
			return !errors.Is(failed, unix.EAGAIN)
		}); err != nil {
			return uevent{}, err
		}
		if errors.Is(failed, unix.ENOBUFS) {
			return uevent{}, errMissed
		}
		if failed != nil {
			return uevent{}, fmt.Errorf("uevents: %w", failed)
		}
		if sender, is := from.(*unix.SockaddrNetlink); !is || sender.Pid != 0 {
			continue // not the kernel
		}
		if e, err := parseUevent(buf[:n]); err == nil {
			return e, nil
		}
	}
}

var errMissed = errors.New("uevents: some were lost")

// relay tells libudev's listeners, as udevd would once it is done with a device.
func (s *eventSocket) relay(e uevent) error {
	conn, err := s.file.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = conn.Control(func(fd uintptr) {
		failed = unix.Sendto(int(fd), libudevMessage(e), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: libudevGroup})
	})
	if errors.Is(failed, unix.ECONNREFUSED) || errors.Is(failed, unix.ESRCH) {
		failed = nil // nobody listens
	}
	return errors.Join(err, failed)
}

func (s *eventSocket) close() error { return s.file.Close() }

// libudevMessage is an event in the form that libudev reads: struct monitor_netlink_header of systemd's
// sd-device/device-monitor.c, then the properties. Its listeners filter by the hashes in the kernel, so they must be right.
func libudevMessage(e uevent) []byte {
	const size = 40
	var properties bytes.Buffer
	for _, p := range e.properties {
		properties.WriteString(p)
		properties.WriteByte(0)
	}
	b := make([]byte, size, size+properties.Len())
	copy(b, "libudev\x00")
	binary.BigEndian.PutUint32(b[8:], 0xfeedcafe)
	binary.NativeEndian.PutUint32(b[12:], size)
	binary.NativeEndian.PutUint32(b[16:], size)
	binary.NativeEndian.PutUint32(b[20:], uint32(properties.Len()))
	binary.BigEndian.PutUint32(b[24:], murmur(e.get("SUBSYSTEM")))
	if t := e.get("DEVTYPE"); t != "" {
		binary.BigEndian.PutUint32(b[28:], murmur(t))
	}
	return append(b, properties.Bytes()...)
}

// murmur is Austin Appleby's MurmurHash2 with seed 0, which libudev's filters use.
func murmur(s string) uint32 {
	const m = 0x5bd1e995
	h := uint32(len(s))
	for ; len(s) >= 4; s = s[4:] {
		k := binary.LittleEndian.Uint32([]byte(s[:4])) * m
		h = h*m ^ (k^k>>24)*m
	}
	if len(s) > 0 {
		var rest [4]byte
		copy(rest[:], s)
		h = (h ^ binary.LittleEndian.Uint32(rest[:])) * m
	}
	h = (h ^ h>>13) * m
	return h ^ h>>15
}

// present are the devices that root/sys lists on a bus or in a class, each as the kernel would tell of a new one; those that have no driver yet
// come first.
func present(root string) ([]uevent, error) {
	buses, err := onBuses(root)
	if err != nil {
		return nil, err
	}
	classes, err := listed(root, "class", "")
	return append(buses, classes...), err
}

// onBuses are those on a bus: what needs a driver to be of use is there.
func onBuses(root string) ([]uevent, error) {
	list, err := listed(root, "bus", "devices")
	slices.SortStableFunc(list, func(a, b uevent) int { return cmp.Compare(len(a.get("DRIVER")), len(b.get("DRIVER"))) })
	return list, err
}

// listed are the devices to which the links in root/sys/KIND/*/BELOW lead. There are hundreds, and each counts while the machine starts.
func listed(root, kind, below string) (list []uevent, err error) {
	sys := filepath.Join(root, "/sys")
	subsystems, err := os.ReadDir(filepath.Join(sys, kind))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("devices: %w", err)
	}
	text := make([]byte, 16<<10)
	for _, subsystem := range subsystems {
		folder := filepath.Join(sys, kind, subsystem.Name(), below)
		links, err := os.ReadDir(folder)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) {
			return nil, fmt.Errorf("devices: %w", err)
		}
		for _, link := range links {
			if link.Type()&fs.ModeSymlink == 0 {
				continue // a file of the class' own
			}
			to, err := os.Readlink(filepath.Join(folder, link.Name()))
			if err != nil {
				continue // it went while we looked
			}
			dir := filepath.Join(folder, to)
			n, err := readAttribute(dir+"/uevent", text)
			if err != nil {
				continue // it went, or its driver does not tell
			}
			e := uevent{[]string{"ACTION=add", "DEVPATH=" + strings.TrimPrefix(dir, sys), "SUBSYSTEM=" + subsystem.Name()}}
			e.properties = append(e.properties, strings.FieldsFunc(string(text[:n]), func(r rune) bool { return r == '\n' })...)
			list = append(list, e)
		}
	}
	return list, nil
}

// readAttribute reads a file of sysfs, which comes whole at the first read, with a third of the system calls that os.ReadFile makes.
func readAttribute(path string, into []byte) (n int, err error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	for {
		if n, err = unix.Read(fd, into); !errors.Is(err, unix.EINTR) {
			return max(n, 0), err
		}
	}
}

// sequence is the number of the newest event that the kernel has told of.
func sequence() (uint64, error) {
	b, err := os.ReadFile("/sys/kernel/uevent_seqnum")
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
}
