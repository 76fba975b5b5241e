package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// keyPower is a power button's key (linux/input-event-codes.h: EV_KEY, KEY_POWER).
const (
	eventKey = 1
	keyPower = 116
)

// hasPowerKey reads a device's keys as sysfs shows them: words of hexadecimal digits, the highest first.
func hasPowerKey(capabilities string) bool {
	words := strings.Fields(capabilities)
	const perWord = 64 // of a 64-bit kernel, which is the only one here
	n := len(words) - 1 - keyPower/perWord
	if n < 0 {
		return false
	}
	word, err := strconv.ParseUint(words[n], 16, 64)
	return err == nil && word>>(keyPower%perWord)&1 == 1
}

// onlyButtons tells a button from a keyboard: somebody at a kiosk's keyboard must not turn it off.
func onlyButtons(capabilities string) bool {
	words := strings.Fields(capabilities)
	const keyA = 30
	word, err := strconv.ParseUint(words[len(words)-1], 16, 64)
	return err == nil && word>>keyA&1 == 0
}

// watchPower calls pressed when the power button of an input device is, until ctx ends or the device goes. It returns at once if the
// device has none.
func watchPower(ctx context.Context, log *slog.Logger, e uevent, pressed func()) {
	name := e.get("DEVNAME")
	if e.get("SUBSYSTEM") != "input" || e.get("ACTION") != "add" || !strings.HasPrefix(name, "input/event") {
		return
	}
	capabilities, err := os.ReadFile(filepath.Join("/sys", e.get("DEVPATH"), "device/capabilities/key"))
	if err != nil || !hasPowerKey(string(capabilities)) || !onlyButtons(string(capabilities)) {
		return
	}
	f, err := os.OpenFile(filepath.Join("/dev", name), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		log.Error("power button", "err", err)
		return
	}
	go func() {
		defer f.Close()
		defer context.AfterFunc(ctx, func() { f.Close() })()
		if err := readPower(f, pressed); err != nil && ctx.Err() == nil && !errors.Is(err, unix.ENODEV) && !errors.Is(err, fs.ErrClosed) {
			log.Error("power button", "err", err)
		}
	}()
}

// inputEventSize is that of struct input_event on 64 bits (linux/input.h): two words of time, two bytes of type, two of code, four of value.
const inputEventSize = 24

func readPower(f *os.File, pressed func()) error {
	var buf [64 * inputEventSize]byte
	for {
		n, err := f.Read(buf[:])
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		for b := buf[:n]; len(b) >= inputEventSize; b = b[inputEventSize:] {
			kind, code := binary.NativeEndian.Uint16(b[16:]), binary.NativeEndian.Uint16(b[18:])
			if kind == eventKey && code == keyPower && binary.NativeEndian.Uint32(b[20:]) == 1 {
				pressed()
			}
		}
	}
}
