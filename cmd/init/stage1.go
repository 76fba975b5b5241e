package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"latchkey/image"
	"latchkey/image/disk"
	"latchkey/image/mapper"
	"latchkey/image/slot"
)

const (
	moduleList = "/modules" // in the initial RAM disk: files, in the order in which they are loaded
	newRoot    = "/newroot"
	nextInit   = "/sbin/init"
	diskTime   = 30 * time.Second // for the disk to come; USB's takes longest
)

// partitions that the image's disk has on every board.
var partitions = []string{image.Boot, image.Setup, image.RootA, image.RootB, image.Data}

// inInitramfs tells whether this is stage 1: / is memory and has the list of modules.
func inInitramfs() bool {
	var fs unix.Statfs_t
	if unix.Statfs("/", &fs) != nil || int64(fs.Type) != unix.RAMFS_MAGIC && int64(fs.Type) != unix.TMPFS_MAGIC {
		return false
	}
	_, err := os.Stat(moduleList)
	return err == nil
}

// boot is what the boot loader's entry says on the kernel's command line.
type boot struct {
	slot   slot.Slot
	root   string // hash
	blocks int64  // of the root, of 4096 bytes; the hash tree follows
}

// parseBoot reads the kernel's command line.
func parseBoot(line string) (b boot, err error) {
	words := map[string]string{}
	for _, word := range strings.Fields(line) {
		key, value, _ := strings.Cut(word, "=")
		words[key] = value
	}
	if b.slot, err = slot.Parse(words[image.ArgumentSlot]); err != nil {
		return boot{}, err
	}
	b.root = words[image.ArgumentRoot]
	if b.blocks, err = strconv.ParseInt(words[image.ArgumentBlocks], 10, 64); err != nil || b.blocks <= 0 {
		return boot{}, fmt.Errorf("the kernel command line has %s=%q, which is no number of blocks", image.ArgumentBlocks, words[image.ArgumentBlocks])
	}
	return b, nil
}

// stage1 goes over to the root, and returns only if that failed.
func stage1() error {
	if err := mountAll(kernelMounts); err != nil {
		return err
	}
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	b, err := parseBoot(string(line))
	if err != nil {
		return err
	}
	// Before the modules: what they find is then told.
	events, err := listen()
	if err != nil {
		return err
	}
	defer unix.Close(events)
	if err := loadModules(moduleList); err != nil {
		return err
	}
	d, err := bootDisk(events)
	if err != nil {
		return err
	}
	root := d.Partition(map[slot.Slot]string{slot.A: image.RootA, slot.B: image.RootB}[b.slot])
	verity, err := mapper.Verity(root, b.root, b.blocks)
	if err != nil {
		return err
	}
	device, err := mapper.Create("root", verity)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(newRoot, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(device, newRoot, "erofs", unix.MS_RDONLY|unix.MS_NODEV|unix.MS_NOSUID, ""); err != nil {
		return fmt.Errorf("mount the root of slot %s, %s: %w", b.slot, root, err)
	}
	say("slot %s of %s", b.slot, d.Name)
	return switchRoot(d)
}

// listen has the kernel tell of devices (netlink(7), NETLINK_KOBJECT_UEVENT).
func listen() (int, error) {
	s, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_KOBJECT_UEVENT)
	if err == nil {
		err = unix.Bind(s, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1})
	}
	if err != nil {
		return -1, fmt.Errorf("listen for devices: %w", err)
	}
	return s, nil
}

// bootDisk waits for the disk that the machine booted from.
func bootDisk(events int) (*disk.Disk, error) {
	hint, err := bootHint()
	if err != nil {
		return nil, err
	}
	patience := time.Now().Add(diskTime)
	message := make([]byte, 1<<16)
	for {
		list, err := disk.List("/sys", partitions...)
		if err != nil {
			return nil, err
		}
		d, err := disk.Choose(list, hint)
		var notYet *disk.NotYetError
		if !errors.As(err, &notYet) {
			return d, err
		}
		left := time.Until(patience)
		if left <= 0 {
			return nil, fmt.Errorf("%w, after %v", err, diskTime)
		}
		// A second at most, lest an event is lost in a flood of them.
		wait := unix.NsecToTimeval(int64(min(left, time.Second)))
		if err := unix.SetsockoptTimeval(events, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait); err != nil {
			return nil, err
		}
		if _, _, err := unix.Recvfrom(events, message, 0); err != nil && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.ENOBUFS) {
			return nil, fmt.Errorf("listen for devices: %w", err)
		}
	}
}

const efivars = "/sys/firmware/efi/efivars"

// bootHint asks the firmware which disk it booted. UEFI's variables are mounted for that.
func bootHint() (disk.Hint, error) {
	if _, err := os.Stat("/sys/firmware/efi"); err == nil {
		// A firmware that gives no variables to a running system gives no hint.
		if err := unix.Mount("efivarfs", efivars, "efivarfs", unix.MS_RDONLY|harmless, ""); err != nil && !errors.Is(err, unix.EBUSY) {
			say("mount %s: %v", efivars, err)
		}
	}
	return disk.ReadHint(efivars, "/proc/device-tree")
}

// switchRoot gives back the memory of the initial RAM disk and goes on with the root's own init.
func switchRoot(d *disk.Disk) error {
	for _, m := range kernelMounts {
		if err := unix.Mount(m.target, newRoot+m.target, "", unix.MS_MOVE, ""); err != nil {
			return fmt.Errorf("move %s into the root: %w", m.target, err)
		}
	}
	list, err := os.ReadDir("/")
	if err != nil {
		return err
	}
	for _, e := range list {
		if name := "/" + e.Name(); name != newRoot {
			if err := removeHere(name); err != nil {
				return err
			}
		}
	}
	if err := unix.Chdir(newRoot); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("make the root the root: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return err
	}
	return fmt.Errorf("%s: %w", nextInit, unix.Exec(nextInit, []string{nextInit}, []string{diskVariable + "=" + d.Name}))
}

// diskVariable tells stage 2 the disk that booted.
const diskVariable = "LATCHKEY_DISK"

// removeHere removes a file or a folder of the initial RAM disk, and nothing of what is mounted in it.
func removeHere(name string) error {
	var here, there unix.Stat_t
	if err := unix.Lstat("/", &here); err != nil {
		return err
	}
	if err := unix.Lstat(name, &there); err != nil {
		return err
	}
	if here.Dev != there.Dev {
		return nil
	}
	if there.Mode&unix.S_IFMT == unix.S_IFDIR {
		list, err := os.ReadDir(name)
		if err != nil {
			return err
		}
		for _, e := range list {
			if err := removeHere(filepath.Join(name, e.Name())); err != nil {
				return err
			}
		}
	}
	return os.Remove(name)
}
