package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// shellProgram is in debug images alone.
const shellProgram = "/bin/busybox"

// serialConsole is the device of the kernel's serial console, or "".
func serialConsole(active string) string {
	names := strings.Fields(active)
	for i := len(names) - 1; i >= 0; i-- { // the last is /dev/console's
		if !strings.HasPrefix(names[i], "tty") || strings.Trim(strings.TrimPrefix(names[i], "tty"), "0123456789") != "" {
			return names[i]
		}
	}
	return ""
}

// shellUnit is root's shell on the serial console, for engineers with a debug image.
func shellUnit(ps *processes) unit {
	return unit{
		name: "shell", patience: time.Second,
		start: func() (*process, error) {
			active, err := os.ReadFile("/sys/class/tty/console/active")
			if err != nil {
				return nil, err
			}
			name := serialConsole(string(active))
			if name == "" {
				return nil, errors.New("the kernel has no serial console")
			}
			tty, err := os.OpenFile(filepath.Join("/dev", name), os.O_RDWR|unix.O_NOCTTY, 0)
			if err != nil {
				return nil, err
			}
			defer tty.Close()
			return ps.start([]string{shellProgram, "sh", "-l"}, &os.ProcAttr{
				Dir: "/", Files: []*os.File{tty, tty, tty},
				Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/run", "TERM=linux", "PS1=debug:\\w# "},
				Sys: &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0},
			})
		},
	}
}
