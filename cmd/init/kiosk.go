package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"latchkey/image"
)

// kioskUser runs the kiosk: uid and gid, as the image's /etc/passwd has it.
const kioskUser = 1000

// Times of a kiosk's life.
const (
	startPatience = 2 * time.Minute  // until it is ready, on a slow board that checks a large journal
	signPatience  = 30 * time.Second // between signs of life
	endPatience   = 8 * time.Second  // less than the hardware watchdog's time
	// mostFailures in a row, and the machine restarts: the boot loader counts starts that were not called good, and tries the other slot.
	mostFailures = 10
)

const (
	kioskProgram = "/usr/bin/kiosk"
	kioskFolder  = "/data/kiosk"
	kioskConfig  = kioskFolder + "/kiosk.toml"
	kioskTTY     = "/dev/tty1"
	notifyPath   = image.Run + "/notify"
)

// kioskLife is what is known of the kiosk.
type kioskLife struct {
	log   *slog.Logger
	signs <-chan sign
	ready func() // a kiosk has said that it serves

	changed chan struct{}          // room for one: what it does is another thing
	doing   atomic.Pointer[string] // what it has said last that it does; nil before that

	seen atomic.Int64 // when it last gave a sign of life, in nanoseconds since epoch of the monotonic clock
}

// watch returns when a kiosk has given no sign of life for too long, and says so.
func (k *kioskLife) watch(ctx context.Context, p *process) string {
	k.doing.Store(nil)
	patience, late := startPatience, time.NewTimer(startPatience)
	defer late.Stop()
	for {
		select {
		case <-ctx.Done():
			return ""
		case <-late.C:
			return fmt.Sprintf("no sign of life for %v", patience)
		case s, more := <-k.signs:
			if !more {
				return ""
			}
			if s.pid != p.pid {
				continue // of an earlier one, or of its children
			}
			if s.status != "" {
				k.log.Info("kiosk", "status", s.status)
				k.doing.Store(&s.status)
				select {
				case k.changed <- struct{}{}:
				default:
				}
			}
			if s.ready {
				k.ready()
			}
			if s.ready || s.alive {
				k.alive()
				patience = signPatience
				late.Reset(patience)
			}
		}
	}
}

// idle tells whether the kiosk serves nobody: it waits for a card, cannot serve, or has not begun.
func (k *kioskLife) idle() bool {
	doing := k.doing.Load()
	return doing == nil || *doing == "ready" || strings.HasPrefix(*doing, "fault")
}

var processStart = time.Now()

func (k *kioskLife) alive() { k.seen.Store(int64(time.Since(processStart))) }

// silent is how long there was no sign of life.
func (k *kioskLife) silent() time.Duration {
	return time.Since(processStart) - time.Duration(k.seen.Load())
}

// startKiosk runs the kiosk's program on the first virtual terminal, as its own user, with the one capability that it needs: to
// load the console's font and forbid switching terminals (CAP_SYS_TTY_CONFIG).
func startKiosk(ps *processes, log *boundedLog, groups []uint32, env []string, args ...string) (*process, error) {
	tty, err := os.OpenFile(kioskTTY, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	defer tty.Close()
	if err := tty.Chown(kioskUser, kioskUser); err != nil {
		return nil, err
	}
	w, err := log.pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	attr := confined(kioskUser, groups, tty, tty, w)
	attr.Dir = kioskFolder
	attr.Env = append([]string{"PATH=/usr/bin", "HOME=" + kioskFolder, "TERM=linux", "LANG=C.UTF-8",
		"NOTIFY_SOCKET=" + notifyPath, fmt.Sprintf("WATCHDOG_USEC=%d", signPatience.Microseconds()),
		"GODEBUG=clobberfree=1"}, env...) // memory that is freed is overwritten (firmware/secret, Overwrites)
	attr.Sys.Setctty, attr.Sys.Ctty = true, 0
	attr.Sys.AmbientCaps = []uintptr{unix.CAP_SYS_TTY_CONFIG}
	return ps.start(append([]string{kioskProgram}, args...), attr)
}

// kioskUnit is the kiosk that was set up.
func kioskUnit(start func() (*process, error), life *kioskLife, gaveUp func()) unit {
	return unit{
		name: "kiosk", patience: endPatience, start: start, watch: life.watch,
		ended: func(_ *process, failures int) bool {
			if failures >= mostFailures {
				gaveUp()
				return false
			}
			return true
		},
	}
}

// forbidGain has no process here ever gain rights by starting a program (prctl(2), PR_SET_NO_NEW_PRIVS). Whoever is started inherits it.
func forbidGain() error {
	if _, _, errno := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0); errno != 0 {
		return fmt.Errorf("no_new_privs: %w", errno)
	}
	return nil
}
