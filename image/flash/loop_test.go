//go:build disks

package flash_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"latchkey/image"
	"latchkey/image/flash"
	"latchkey/image/flash/flashtest"
)

// What only the kernel's block layer shows: a disk that somebody uses, one that is write-protected, one whose end is missing; and that what
// was written past the page cache is what is read through it. This needs root and /dev/loop-control, which a bare root may not have: make
// flash-test runs it.

// loop makes a loop device of a file (linux/loop.h), and a machine to which it is a removable disk.
func loop(t *testing.T, file string, flags uint32) (flash.Machine, flash.Medium) {
	t.Helper()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	must(t, err)
	defer control.Close()
	backing, err := os.OpenFile(file, os.O_RDWR, 0)
	must(t, err)
	defer backing.Close()
	for {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		must(t, err)
		name := fmt.Sprintf("loop%d", n)
		device, err := os.OpenFile("/dev/"+name, os.O_RDWR, 0)
		must(t, err)
		err = unix.IoctlLoopConfigure(int(device.Fd()), &unix.LoopConfig{Fd: uint32(backing.Fd()), Info: unix.LoopInfo64{Flags: flags}})
		if errors.Is(err, unix.EBUSY) { // somebody else was faster
			device.Close()
			continue
		}
		must(t, err)
		t.Cleanup(func() {
			if err := unix.IoctlSetInt(int(device.Fd()), unix.LOOP_CLR_FD, 0); err != nil {
				t.Error(err)
			}
			device.Close()
		})
		m := flashtest.NewMachine(t)
		info, err := backing.Stat()
		must(t, err)
		var st unix.Stat_t
		must(t, unix.Fstat(int(device.Fd()), &st))
		m.Disk(name, "pci0000:00/usb1/1-1/block", info.Size(), map[string]string{"dev": fmt.Sprintf("%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))})
		m.Machine.Dev = "/dev"
		medium, err := m.Medium("/dev/" + name)
		must(t, err)
		return m.Machine, medium
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// full is a file without a zero in it. Its size is no multiple of 4096: disks' seldom are.
func full(t *testing.T, size int) string {
	path := filepath.Join(t.TempDir(), "disk")
	must(t, os.WriteFile(path, bytes.Repeat([]byte{0xa5}, size), 0o600))
	return path
}

func TestLoopDevice(t *testing.T) {
	im := flashtest.New(t, image.UEFI)
	opened := open(t, im)
	file := full(t, flashtest.Size+3*mib+512)
	machine, medium := loop(t, file, 0)
	own := flashtest.Setup(t, t.TempDir(), "ward-7", nil)
	must(t, opened.Write(t.Context(), machine, medium, flash.Options{Setup: setups(t, own)[0]}))
	for _, path := range []string{medium.Path, file} {
		got := contents(t, path)
		sameAs(t, got, im)
		if !bytes.Equal(setupOf(t, got), contents(t, own)) {
			t.Errorf("%s: the provisioning file is not on it", path)
		}
		if bytes.IndexByte(got[len(got)-mib:], 0xa5) >= 0 {
			t.Errorf("%s: an older table's backup may still be there", path)
		}
	}
	// Somebody uses it: as mounting it would, this claims the disk.
	taken, err := os.OpenFile(medium.Path, os.O_RDONLY|unix.O_EXCL, 0)
	must(t, err)
	var unfit *flash.UnfitError
	if err := opened.Write(t.Context(), machine, medium, flash.Options{}); !errors.As(err, &unfit) || !strings.Contains(err.Error(), "the system uses it") {
		t.Errorf("in use: %v", err)
	}
	must(t, taken.Close())
	if !bytes.Equal(setupOf(t, contents(t, medium.Path)), contents(t, own)) {
		t.Error("in use, and it was written")
	}
}

// Sysfs would have told; this is a slide that is moved later.
func TestLoopDeviceIsWriteProtected(t *testing.T) {
	machine, medium := loop(t, full(t, flashtest.Size), unix.LO_FLAGS_READ_ONLY)
	var failed *flash.WriteError
	err := open(t, flashtest.New(t, image.UEFI)).Write(t.Context(), machine, medium, flash.Options{})
	if !errors.As(err, &failed) || !strings.Contains(err.Error(), "write-protected") {
		t.Errorf("%v", err)
	}
}

// A disk that says it is larger than it is: the kernel gives I/O errors beyond the end of the file behind it.
func TestLoopDeviceIsShort(t *testing.T) {
	file := full(t, flashtest.Size)
	machine, medium := loop(t, file, 0)
	must(t, os.Truncate(file, flashtest.DataAt))
	err := open(t, flashtest.New(t, image.UEFI)).Write(t.Context(), machine, medium, flash.Options{Progress: func(p flash.Phase, done, _ int64) {
		if p == flash.Verifying && done <= mib {
			must(t, os.Truncate(file, flashtest.RootAt))
		}
	}})
	var failed *flash.WriteError
	if !errors.As(err, &failed) || !strings.Contains(err.Error(), "could not be read back") {
		t.Errorf("%v", err)
	}
}
