package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
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
	events, err := openEvents()
	if err != nil {
		return err
	}
	defer events.close()
	// What the root needs, and what firmware says, are independent of the disk; much of all that is waiting.
	var hint disk.Hint
	var cannot error
	var beside sync.WaitGroup
	beside.Go(func() {
		if cannot = loadModules(moduleList); cannot == nil {
			hint, cannot = bootHint()
		}
	})
	drivers, err := earlyDrivers()
	beside.Wait()
	if err := errors.Join(cannot, err); err != nil {
		return err
	}
	d, err := bootDisk(events, drivers, hint)
	if err != nil {
		return err
	}
	if d.Partition(image.BootA) != "" {
		countBoot(d, b.slot)
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

// bootDisk waits for the disk that the machine booted from.
func bootDisk(events *eventSocket, drivers *modules, hint disk.Hint) (*disk.Disk, error) {
	patience := time.Now().Add(diskTime)
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
		// A second at most: a disk is known a moment before its partitions are, and an event can be lost in a flood of them.
		if err := untilBlock(events, drivers, min(left, time.Second)); err != nil {
			return nil, err
		}
	}
}

// untilBlock loads drivers for what comes, until a disk or a partition has, or for so long.
func untilBlock(events *eventSocket, drivers *modules, most time.Duration) error {
	if err := events.file.SetReadDeadline(time.Now().Add(most)); err != nil {
		return err
	}
	for {
		e, err := events.read()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, errMissed):
			return nil
		case err != nil:
			return err
		}
		drivers.heed(e)
		if e.get("SUBSYSTEM") == "block" {
			return nil
		}
	}
}

// countBoot takes a try off a slot of a board whose firmware does not count, and restarts the machine into the other slot when none was left.
// A boot partition that cannot be read or written must not keep a good slot from booting.
func countBoot(d *disk.Disk, s slot.Slot) {
	const folder = "/count"
	leave := false
	err := mountBoot(d, folder)
	if err == nil {
		leave, err = slot.Pi{Boot: folder}.Count(s)
		err = errors.Join(err, unix.Unmount(folder, 0))
	}
	if err != nil {
		say("%v", err)
	}
	if leave {
		log(2, fmt.Sprintf("slot %s was started %d times and never served: slot %s is started", s, slot.Tries, s.Other()))
		stop(restart)
	}
}

// mountBoot mounts the boot partition for the moment in which something is written there.
func mountBoot(d *disk.Disk, folder string) error {
	device := d.Partition(image.Boot)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	if err := unix.Mount(device, folder, "vfat", harmless|unix.MS_SYNCHRONOUS, ""); err != nil {
		return fmt.Errorf("mount %s: %w", device, err)
	}
	return nil
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
