package main

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
)

// deviceRight is who besides root may use a kind of device.
type deviceRight struct {
	subsystem string
	pattern   string // of the device's name below /dev
	group     string
	mode      os.FileMode
}

// deviceRights are the kiosk's and the reader stack's. What is not here stays root's.
var deviceRights = []deviceRight{
	{"input", "input/event*", "input", 0o640},
	{"gpio", "gpiochip*", "gpio", 0o660},
	{"tpmrm", "tpmrm*", "kiosk", 0o660}, // the key of the kiosk's identity
	{"usb", "bus/usb/*/*", "pcscd", 0o660},
	{"tty", "ttyACM*", "pcscd", 0o660}, // serial readers
	{"tty", "ttyUSB*", "pcscd", 0o660},
}

// backlightGroup may change a screen's brightness, which is a file of sysfs.
const backlightGroup = "video"

// kioskGroups are what the kiosk's user belongs to besides its own.
var kioskGroups = []string{"input", "gpio", backlightGroup}

// rights gives devices to groups when they appear.
type rights struct {
	root   string // "" is /
	groups map[string]int
	log    *slog.Logger
}

// groupNumbers are those of /etc/group; what is missing there is told, and its devices stay root's.
func groupNumbers(log *slog.Logger) map[string]int {
	numbers := map[string]int{"kiosk": kioskUser, "pcscd": pcscdUser}
	for _, name := range kioskGroups {
		g, err := user.LookupGroup(name)
		if err != nil {
			log.Error("the image lacks a group", "err", err)
			continue
		}
		if n, err := strconv.Atoi(g.Gid); err == nil {
			numbers[name] = n
		}
	}
	return numbers
}

func (r *rights) give(e uevent) {
	action := e.get("ACTION")
	if action != "add" && action != "change" && action != "bind" {
		return
	}
	if e.get("SUBSYSTEM") == "backlight" {
		r.set(filepath.Join(r.root, "sys", e.get("DEVPATH"), "brightness"), backlightGroup, 0o664)
		return
	}
	name := e.get("DEVNAME")
	if name == "" || action != "add" {
		return
	}
	for _, right := range deviceRights {
		if is, _ := filepath.Match(right.pattern, name); is && right.subsystem == e.get("SUBSYSTEM") {
			r.set(filepath.Join(r.root, "dev", name), right.group, right.mode)
		}
	}
}

func (r *rights) set(path, group string, mode os.FileMode) {
	gid, is := r.groups[group]
	if !is {
		return
	}
	if err := errors.Join(os.Chown(path, -1, gid), os.Chmod(path, mode)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.log.Error("device", "path", path, "err", err)
	}
}
