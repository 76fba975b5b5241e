// Command init is process 1 of the image, twice: from the initial RAM disk it finds the disk that the machine booted from, has dm-verity check
// the root of the slot that was chosen, and goes over to it (stage 1); from there it mounts, opens /data, and keeps the kiosk's services
// alive (stage 2). There is no shell and no way to be given other work.
//
// It restarts the machine rather than run from a root that is not what was signed, and it never erases /data before central was told.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"latchkey/image/disk"
	"latchkey/image/slot"
)

// machine is what the early part found out, for the services.
type machine struct {
	slot    slot.Slot
	disk    *disk.Disk // the one that booted
	volume  *volume    // /data
	drivers *modules   // nil: without tables nothing is loaded
	ps      *processes
	lost    bool // /data could not be saved: what is there is in memory, and a copy of the kiosk's identity
}

// outcome is how the services end.
type outcome int

const (
	restart outcome = iota
	powerOff
)

func main() {
	if os.Getpid() != 1 {
		if code, is := asModprobe(os.Args); is {
			os.Exit(code)
		}
		fmt.Fprintln(os.Stderr, "init: this is process 1 of the image, and does nothing else")
		os.Exit(1)
	}
	if inInitramfs() {
		die(stage1())
	}
	end, err := stage2()
	if err != nil {
		die(err)
	}
	stop(end)
}

// stage2 runs the machine until it is to end.
func stage2() (outcome, error) {
	// Ctrl-Alt-Del comes as SIGINT (reboot(2)); it is read as SIGTERM is.
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_CAD_OFF); err != nil {
		say("ctrl-alt-del: %v", err)
	}
	ctx, done := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer done()
	if err := mounts(); err != nil {
		return restart, err
	}
	beModprobe()
	m, err := findMachine()
	if err != nil {
		return restart, err
	}
	defer m.ps.reaping()()
	// /data is checked while drivers are loaded: both take long.
	var beside sync.WaitGroup
	var broken error
	opened := make(chan struct{})
	beside.Go(func() {
		broken = m.data(ctx)
		if close(opened); broken == nil {
			m.tend(ctx, done)
		}
	})
	end := services(ctx, m, func() error {
		<-opened
		return broken
	})
	done()
	beside.Wait()
	if broken != nil {
		return restart, broken
	}
	endProcesses()
	if err := m.closeData(); err != nil {
		say("%v", err)
	}
	return end, nil
}

// findMachine is told by stage 1 which disk booted.
func findMachine() (*machine, error) {
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return nil, err
	}
	b, err := parseBoot(string(line))
	if err != nil {
		return nil, err
	}
	list, err := disk.List("/sys", partitions...)
	if err != nil {
		return nil, err
	}
	name := os.Getenv(diskVariable)
	for _, d := range list {
		if d.Name == name {
			m := &machine{slot: b.slot, disk: d, ps: newProcesses()}
			if m.drivers, err = kernelModules(); err != nil {
				say("no drivers are loaded: %v", err)
			}
			return m, nil
		}
	}
	return nil, fmt.Errorf("the disk that the machine booted from, %q, is gone", name)
}

// load loads a module by its name. The kernel would ask for it by starting this program anew.
func (m *machine) load(name string) {
	if m.drivers == nil {
		return
	}
	if err := m.drivers.load(name); err != nil {
		say("%v", err)
	}
}

// endProcesses ends what the services left, lest it has files open.
func endProcesses() {
	if err := unix.Kill(-1, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		say("end processes: %v", err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			if _, err := unix.Wait4(-1, nil, 0, nil); err != nil && !errors.Is(err, unix.EINTR) {
				return // none is left
			}
		}
	}()
	select {
	case <-ended:
	case <-time.After(killTime):
		say("end processes: one hangs in the kernel")
	}
}

// An orderly end takes seconds. What waits for a dead stick or medium cannot even be killed, though, and a machine without a hardware watchdog
// would hang there for good.
const (
	killTime = 3 * time.Second
	stopTime = 30 * time.Second
)

// boundEnd ends the machine when it has not ended in order after a time.
func boundEnd(end outcome) {
	time.AfterFunc(stopTime, func() {
		say("the machine does not end in order, and is ended")
		reboot(end)
	})
}

// stop ends the machine.
func stop(end outcome) {
	boundEnd(end)
	unix.Sync()
	reboot(end)
	select {}
}

// reboot returns only when it failed.
func reboot(end outcome) {
	how := unix.LINUX_REBOOT_CMD_RESTART
	if end == powerOff {
		how = unix.LINUX_REBOOT_CMD_POWER_OFF
	}
	say("stop: %v", unix.Reboot(how))
}

// deathTime is how long somebody can read why the machine restarts.
const deathTime = 10 * time.Second

// die tells why the machine cannot go on, on the screen and in the kernel's log, and restarts it. The boot loader counts such starts.
func die(err error) {
	log(2, fmt.Sprintf("this kiosk cannot start: %v", err)) // also a quiet kernel prints what is critical
	if !inInitramfs() {
		loadDrivers() // the screen's, say
	}
	// The screen may be missing; the kernel's log has it.
	if tty, open := os.OpenFile("/dev/tty1", os.O_WRONLY|unix.O_NOCTTY, 0); open == nil {
		fmt.Fprintf(tty, "\r\n This kiosk cannot start: %v.\r\n It tries again in %d seconds.\r\n", err, int(deathTime.Seconds()))
		tty.Close()
	}
	<-time.After(deathTime)
	stop(restart)
}

// say writes a line into the kernel's log, which the services keep.
func say(format string, args ...any) { log(5, fmt.Sprintf(format, args...)) }

// log writes a line of a level of syslog(3)'s.
func log(level int, line string) {
	if os.Getpid() != 1 { // as modprobe, and in tests
		fmt.Fprintln(os.Stderr, "init:", line)
		return
	}
	if to, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0); err == nil {
		fmt.Fprintf(to, "<%d>init: %s\n", level, line)
		to.Close()
	}
}
