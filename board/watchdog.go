package board

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// watchdog is the kernel's watchdog device (Documentation/watchdog/watchdog-api.rst): once open, it resets the machine
// unless it is written to in time.
type watchdog struct{ device *os.File }

// magic is what stops the watchdog when it is the last thing written ("Magic Close feature").
const magic = "V"

// openWatchdog starts the watchdog. With an error and a watchdog it runs with a timeout of its driver's.
func openWatchdog(path string, timeout time.Duration) (*watchdog, error) {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("watchdog: %w", err)
	}
	w := &watchdog{f}
	if err := w.setTimeout(timeout); err != nil {
		return w, fmt.Errorf("watchdog: %s does not take a timeout of %s, and keeps its own: %w", path, timeout, err)
	}
	return w, nil
}

func (w *watchdog) setTimeout(d time.Duration) error {
	conn, err := w.device.SyscallConn()
	if err != nil {
		return err
	}
	var refused error
	err = conn.Control(func(fd uintptr) {
		refused = unix.IoctlSetPointerInt(int(fd), unix.WDIOC_SETTIMEOUT, int(d/time.Second))
	})
	return errors.Join(err, refused)
}

// kick: any byte but the magic one keeps the machine alive, as WDIOC_KEEPALIVE does.
func (w *watchdog) kick() error {
	_, err := w.device.WriteString("\x00")
	return err
}

func (w *watchdog) close(stop bool) error {
	if stop {
		if _, err := w.device.WriteString(magic); err != nil {
			return fmt.Errorf("stop the watchdog: %w", errors.Join(err, w.device.Close()))
		}
	}
	return w.device.Close()
}
