package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// hardWatchdog is the kernel's watchdog device (Documentation/watchdog/watchdog-api.rst). It is init's alone: what restarts the
// kiosk must itself be watched, and there is one device.
type hardWatchdog struct{ file *os.File }

const (
	hardTimeout = 15 * time.Second // the most that a Raspberry Pi's takes
	kickEvery   = 4 * time.Second
	// kioskBound is how long init may fail to keep a kiosk alive before it is thought to be broken itself, and no longer kicks.
	// Its own remedies, kiosks that fail or are silent and then an orderly restart, take less.
	kioskBound = mostFailures*(startPatience+mostWait) + time.Minute
)

func openWatchdog(path string) (*hardWatchdog, error) {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("watchdog: %w", err)
	}
	w := &hardWatchdog{f}
	conn, err := f.SyscallConn()
	if err != nil {
		return w, err
	}
	var refused error
	err = conn.Control(func(fd uintptr) {
		refused = unix.IoctlSetPointerInt(int(fd), unix.WDIOC_SETTIMEOUT, int(hardTimeout/time.Second))
	})
	if err = errors.Join(err, refused); err != nil {
		return w, fmt.Errorf("watchdog: it keeps a timeout of its own: %w", err)
	}
	return w, nil
}

// kick: any byte but "V" will do.
func (w *hardWatchdog) kick() error {
	_, err := w.file.Write([]byte{0})
	return err
}
