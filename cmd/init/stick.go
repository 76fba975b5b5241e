package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"latchkey/image"
	"latchkey/image/provision"
)

// lookFolder is where a stick is mounted for a moment, to look for a provisioning file.
const lookFolder = image.Run + "/look"

// sticks are USB sticks with a FAT file system. A kiosk that serves has the first one mounted for what an engineer exports; one
// that is not set up has none mounted, and looks at each for a provisioning file.
type sticks struct {
	boot string // the disk that booted, whatever bus it is on: not a stick
	log  *slog.Logger

	mu       sync.Mutex
	devices  []string // sda1, or sda where there is no table
	export   bool     // whether one is to be mounted
	mounted  string   // which is
	looked   string   // which is looked at, and is not to be mounted meanwhile
	appeared chan struct{}
}

func newSticks(boot string, log *slog.Logger) *sticks {
	return &sticks{boot: boot, log: log, appeared: make(chan struct{}, 1)}
}

// heed takes note of a device that came or went.
func (s *sticks) heed(e uevent) {
	name, path := e.get("DEVNAME"), e.get("DEVPATH")
	if e.get("SUBSYSTEM") != "block" || name == "" || !onUSB(path) || slices.Contains(strings.Split(path, "/"), s.boot) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch e.get("ACTION") {
	case "remove":
		s.devices = slices.DeleteFunc(s.devices, func(d string) bool { return d == name })
		if s.mounted == name {
			s.mounted = ""
			if err := unix.Unmount(image.Stick, unix.MNT_DETACH); err != nil {
				s.log.Error("stick: unmount", "err", err)
			}
			s.log.Info("stick: it was pulled out", "device", name)
		}
	case "add", "change":
		if !slices.Contains(s.devices, name) {
			s.devices = append(s.devices, name)
		}
		select {
		case s.appeared <- struct{}{}:
		default:
		}
	}
	s.mountOne()
}

func onUSB(devpath string) bool {
	return slices.ContainsFunc(strings.Split(devpath, "/"), func(part string) bool { return strings.HasPrefix(part, "usb") })
}

// serve says whether a stick is to be mounted for export.
func (s *sticks) serve(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.export = on
	if !on && s.mounted != "" {
		s.mounted = ""
		if err := unix.Unmount(image.Stick, 0); err != nil {
			s.log.Error("stick: unmount", "err", err)
		}
	}
	s.mountOne()
}

// mountOne mounts a stick for export, if one is wanted and none is. Its caller has the lock.
func (s *sticks) mountOne() {
	if !s.export || s.mounted != "" {
		return
	}
	for _, d := range s.devices {
		if d == s.looked {
			continue
		}
		// Written at once: an engineer pulls a stick out when the screen says that the file is there.
		options := fmt.Sprintf("uid=%d,gid=%d,fmask=0177,dmask=0077,utf8", kioskUser, kioskUser)
		if err := mountFAT(d, image.Stick, unix.MS_SYNCHRONOUS, options); err == nil {
			s.mounted = d
			s.log.Info("stick: mounted for export", "device", d)
			return
		} else if !errors.Is(err, unix.EINVAL) { // another file system, or a disk with a table
			s.log.Error("stick", "device", d, "err", err)
		}
	}
}

func mountFAT(device, at string, flags uintptr, options string) error {
	if err := os.MkdirAll(at, 0o755); err != nil {
		return err
	}
	return unix.Mount("/dev/"+device, at, "vfat", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC|flags, options)
}

// find looks for a provisioning file on all sticks, and gives each that it finds to take until that is content.
func (s *sticks) find(take func(text []byte, device string) bool) {
	s.mu.Lock()
	devices := slices.Clone(s.devices)
	s.mu.Unlock()
	for _, d := range devices {
		text, err := s.read(d)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOMEDIUM):
			continue
		case err != nil:
			s.log.Error("stick: it cannot be read", "device", d, "err", err)
			continue
		}
		if take(text, d) {
			return
		}
	}
}

func (s *sticks) read(device string) (text []byte, err error) {
	err = s.onStick(device, unix.MS_RDONLY, func(dir string) error {
		f, err := os.Open(filepath.Join(dir, provision.StickName))
		if err != nil {
			return err
		}
		defer f.Close()
		text, err = io.ReadAll(io.LimitReader(f, provision.MaxSize+1))
		return err
	})
	return text, err
}

// wipe overwrites and removes the provisioning file on a stick, if it is still the one that was read.
func (s *sticks) wipe(device string, text []byte) error {
	err := s.onStick(device, unix.MS_SYNCHRONOUS, func(dir string) error {
		path := filepath.Join(dir, provision.StickName)
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		there, err := io.ReadAll(io.LimitReader(f, provision.MaxSize+1))
		same := bytes.Equal(there, text)
		clear(there)
		if err == nil && same {
			_, err = f.WriteAt(make([]byte, len(text)), 0)
			err = errors.Join(err, f.Sync())
		}
		if err = errors.Join(err, f.Close()); err == nil && same {
			err = os.Remove(path)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("stick %s: its provisioning file stays on it: delete it yourself: %w", device, err)
	}
	return nil
}

// onStick does something with the folder where the stick is mounted: for export already, or for as long as this takes.
func (s *sticks) onStick(device string, flags uintptr, do func(dir string) error) error {
	s.mu.Lock()
	if s.mounted == device {
		s.mu.Unlock()
		return do(image.Stick)
	}
	s.looked = device
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.looked = ""
		s.mountOne()
	}()
	if err := mountFAT(device, lookFolder, flags, "fmask=0177,dmask=0077,utf8"); err != nil {
		return err
	}
	return errors.Join(do(lookFolder), unix.Unmount(lookFolder, 0))
}
