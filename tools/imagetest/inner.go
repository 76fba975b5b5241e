package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"latchkey/tools/qemu"
	"latchkey/tools/rig"
)

// inner are the checks of what can be seen from inside alone, in the debug image, on a machine with a TPM.
var inner = []check{
	{"flashed with a provisioning file, it enrols itself at its first start, and the RA confirms what the screen shows", false, func(ctx context.Context, l *lab) (string, error) {
		if err := errors.Join(l.powerOn(ctx), l.confirm(ctx)); err != nil {
			return "", err
		}
		_, err := l.see(ctx, "ready", attract)
		return "", err
	}},
	{"the screen says that it is a debug image", false, func(ctx context.Context, l *lab) (string, error) {
		_, err := l.see(ctx, "", "DEBUG IMAGE")
		return "", err
	}},
	{"the setup partition is empty again", false, func(ctx context.Context, l *lab) (string, error) {
		return "", l.until(ctx, func() error {
			b, err := l.read("setup", mib)
			if err == nil && strings.Trim(string(b), "\x00") != "" {
				err = errors.New("it holds something")
			}
			return err
		})
	}},
	{"root is erofs, read-only, on dm-verity", false, rootIsSealed},
	{"/data is ext4 on a mapped device, with nosuid, nodev and noexec", false, dataIsConfined},
	{"the kiosk does not run as root, and has few capabilities", false, kioskIsConfined},
	{"pcscd is killed: it comes back, and the next card is read", false, killReaderStack},
	{"the whole system takes at most 128 MiB of memory, with the kiosk ready", false, lean},
	{"a provisioning file for another kiosk on a stick changes nothing, and it is said why", true, foreignFile},
	{"a newer one for this kiosk waits until the visit is over, and is taken then", true, renewBetweenVisits},
	{"the kernel hangs: the hardware's watchdog restarts the machine, and the kiosk is ready again", true, hang},
	{"nothing of what the kiosk keeps stands in clear on the disk", false, sealedDisk},
	{"it starts again, and its TPM opens what it keeps", true, func(ctx context.Context, l *lab) (string, error) {
		if err := l.powerOn(ctx); err != nil {
			return "", err
		}
		_, err := l.see(ctx, "", attract)
		return "", err
	}},
}

func foreignFile(ctx context.Context, l *lab) (string, error) {
	if _, err := l.see(ctx, "", attract); err != nil {
		return "", err
	}
	const kiosk = "cat /data/kiosk/kiosk.toml; pidof kiosk"
	before, err := l.shell(ctx, kiosk)
	if err != nil {
		return "", err
	}
	said := ""
	if err := l.byStick(ctx, "another", "en", false, func() error {
		if err := l.told(ctx, "a provisioning file is refused", 1); err != nil {
			return err
		}
		said, err = l.shell(ctx, "cat /run/latchkey/setup.said")
		return err
	}); err != nil {
		return "", err
	}
	if after, err := l.shell(ctx, kiosk); err != nil || after != before {
		return "", fmt.Errorf("it was %s, and is %s, %w", before, after, err)
	}
	return ": " + said, nil
}

// setUpSaid is what init says when a provisioning file was taken.
const setUpSaid = "this kiosk is set up"

func renewBetweenVisits(ctx context.Context, l *lab) (string, error) {
	if err := l.insert(ctx, openCard); err != nil {
		return "", err
	}
	if _, err := l.see(ctx, "", notLocked); err != nil {
		return "", err
	}
	return "", l.byStick(ctx, rig.KioskID, "en", true, func() error {
		if err := l.told(ctx, "a provisioning file waits until nobody is served", 1); err != nil {
			return err
		}
		if log, err := l.ConsoleLog(); err != nil || strings.Count(log, setUpSaid) > 1 {
			return fmt.Errorf("it did not wait for the end of the visit: %w", err)
		}
		if err := l.reader.Eject(ctx); err != nil {
			return err
		}
		if err := l.told(ctx, setUpSaid, 2); err != nil {
			return err
		}
		_, err := l.see(ctx, "", attract)
		return err
	})
}

// told waits until init has said something so many times.
func (l *lab) told(ctx context.Context, what string, times int) error {
	_, err := l.AwaitConsole(ctx, func(log string) bool { return strings.Count(log, what) >= times })
	return err
}

// initLine is what init may write in between.
var initLine = regexp.MustCompile(`(?m)^time=.* level=.*\n`)

// shellPrompt is how the debug image's shell asks for a command.
const shellPrompt = "debug:"

// shell has the debug image's serial shell run a command, and returns what it says.
func (l *lab) shell(ctx context.Context, command string) (string, error) {
	l.shells++
	// What is typed before somebody reads may be lost.
	if _, err := l.AwaitConsole(ctx, func(log string) bool { return strings.Contains(log, shellPrompt) }); err != nil {
		return "", err
	}
	begin, end := fmt.Sprintf("<<%d<<", l.shells), fmt.Sprintf(">>%d>>", l.shells)
	// The marks are put together by the shell, so that its echo of the line does not hold them. All is said in one breath, since init
	// writes to the same line.
	if err := l.Type(fmt.Sprintf("o=$(%s); r=$?; echo '<''<%d<''<'\"$o\"'>''>%d>''>' $r\r", command, l.shells, l.shells)); err != nil {
		return "", err
	}
	whole := regexp.MustCompile(regexp.QuoteMeta(begin) + `((?s:.*))` + regexp.QuoteMeta(end) + ` (\d+)`)
	var m []string
	if _, err := l.AwaitConsole(ctx, func(log string) bool { m = whole.FindStringSubmatch(log); return m != nil }); err != nil {
		return "", fmt.Errorf("%s: %w", command, err)
	}
	said := strings.TrimSpace(strings.ReplaceAll(initLine.ReplaceAllString(m[1], ""), "\r", ""))
	if m[2] != "0" {
		return said, fmt.Errorf("%s ended with %s: %s", command, m[2], said)
	}
	return said, nil
}

// mounted is a line of /proc/mounts, by where.
func (l *lab) mounted(ctx context.Context, where string) (device, kind, options string, err error) {
	all, err := l.shell(ctx, "cat /proc/mounts")
	if err != nil {
		return "", "", "", err
	}
	for line := range strings.Lines(all) {
		if f := strings.Fields(line); len(f) > 3 && f[1] == where {
			device, kind, options = f[0], f[2], f[3] // the last covers the others
		}
	}
	if device == "" {
		err = fmt.Errorf("nothing is mounted at %s: %s", where, all)
	}
	return device, kind, options, err
}

// mapped is what a device-mapper device is: its name and UUID, which begins with the target's kind.
func (l *lab) mapped(ctx context.Context) (string, error) {
	return l.shell(ctx, "for d in /sys/block/dm-*; do cat $d/dm/name $d/dm/uuid; cat $d/ro; done")
}

func rootIsSealed(ctx context.Context, l *lab) (string, error) {
	device, kind, options, err := l.mounted(ctx, "/")
	if err != nil {
		return "", err
	}
	if kind != "erofs" || !strings.HasPrefix(options, "ro") {
		return "", fmt.Errorf("it is %s, %s", kind, options)
	}
	if said, err := l.shell(ctx, "touch /etc/here 2>&1"); err == nil || !strings.Contains(said, "Read-only") {
		return "", fmt.Errorf("a file in /etc: %q, %w", said, err)
	}
	dm, err := l.mapped(ctx)
	return fmt.Sprintf(": %s; %s", device, strings.Join(strings.Fields(dm), " ")), err
}

func dataIsConfined(ctx context.Context, l *lab) (string, error) {
	device, kind, options, err := l.mounted(ctx, "/data")
	if err != nil {
		return "", err
	}
	for _, want := range []string{"rw", "nosuid", "nodev", "noexec"} {
		if !strings.Contains(","+options+",", ","+want+",") {
			err = fmt.Errorf("it is not %s: %s", want, options)
		}
	}
	if kind != "ext4" {
		err = fmt.Errorf("it is %s", kind)
	}
	return ": " + device, err
}

// process is the number of a program's first process.
func (l *lab) process(ctx context.Context, name string) (string, error) {
	said, err := l.shell(ctx, "pidof "+name)
	list := strings.Fields(said)
	if err != nil || len(list) == 0 {
		return "", fmt.Errorf("there is no %s: %w", name, err)
	}
	return list[len(list)-1], nil // pidof says the youngest first
}

func kioskIsConfined(ctx context.Context, l *lab) (string, error) {
	said := ""
	for _, name := range []string{"kiosk", "pcscd"} {
		pid, err := l.process(ctx, name)
		if err != nil {
			return "", err
		}
		status, err := l.shell(ctx, "grep -E '^(Uid|CapEff|NoNewPrivs)' /proc/"+pid+"/status")
		if err != nil {
			return "", err
		}
		m := regexp.MustCompile(`(?s)Uid:\s+(\d+).*CapEff:\s+([0-9a-f]+).*NoNewPrivs:\s+(\d)`).FindStringSubmatch(status)
		if m == nil {
			return "", fmt.Errorf("%s: %q", name, status)
		}
		said += fmt.Sprintf("; %s uid %s, capabilities %s", name, m[1], strings.TrimLeft(m[2], "0"))
		if name == "kiosk" && (m[1] == "0" || m[3] != "1" || len(strings.TrimLeft(m[2], "0")) > 8) {
			return "", fmt.Errorf("%s: %s", name, status)
		}
	}
	return strings.Replace(said, ";", ":", 1), nil
}

func killReaderStack(ctx context.Context, l *lab) (string, error) {
	pid, err := l.process(ctx, "pcscd")
	if err != nil {
		return "", err
	}
	if _, err := l.shell(ctx, "kill -9 "+pid); err != nil {
		return "", err
	}
	if err := l.until(ctx, func() error {
		again, err := l.process(ctx, "pcscd")
		if err == nil && again == pid {
			err = errors.New("it still runs")
		}
		return err
	}); err != nil {
		return "", err
	}
	if _, err := l.see(ctx, "", attract); err != nil {
		return "", err
	}
	if err := l.insert(ctx, openCard); err != nil {
		return "", err
	}
	if _, err := l.see(ctx, "", notLocked); err != nil {
		return "", err
	}
	return "", l.reader.Eject(ctx)
}

// memory is what the machine was given less what is available, in MiB: the kernel and what it reserves count, too. total is what the
// kernel has left for others.
func (l *lab) memory(ctx context.Context) (used, total int, err error) {
	said, err := l.shell(ctx, "grep -E 'MemTotal|MemAvailable' /proc/meminfo")
	if err != nil {
		return 0, 0, err
	}
	m := regexp.MustCompile(`(?s)MemTotal:\s+(\d+).*MemAvailable:\s+(\d+)`).FindStringSubmatch(said)
	if m == nil {
		return 0, 0, fmt.Errorf("it says %q", said)
	}
	all, err := strconv.Atoi(m[1])
	if err != nil {
		return 0, 0, err
	}
	available, err := strconv.Atoi(m[2])
	return qemu.Memory - available/1024, all / 1024, err
}

func lean(ctx context.Context, l *lab) (string, error) {
	const aim = 128
	var used, total int
	err := l.until(ctx, func() (err error) { // what was a moment's is given back
		if used, total, err = l.memory(ctx); err == nil && used > aim {
			err = fmt.Errorf("it takes %d MiB", used)
		}
		return err
	})
	return fmt.Sprintf(": %d MiB, of which the kernel reserved %d for itself", used, qemu.Memory-total), err
}

// hang has the kernel panic and do nothing then, as one that a fault of the hardware has stopped. Init had the watchdog begin.
func hang(ctx context.Context, l *lab) (string, error) {
	if err := errors.Join(l.told(ctx, "the hardware's watchdog watches", 1), l.OnWatchdog(ctx, "reset")); err != nil {
		return "", err
	}
	if n := l.Seen("WATCHDOG"); n > 0 {
		return "", fmt.Errorf("it has fired %d times before that", n)
	}
	if _, err := l.shell(ctx, "echo 0 > /proc/sys/kernel/panic"); err != nil {
		return "", err
	}
	restarts, began := l.Seen("RESET"), time.Now()
	if err := l.Type("echo c > /proc/sysrq-trigger\r"); err != nil {
		return "", err
	}
	if err := errors.Join(l.Await(ctx, "WATCHDOG", 1), l.Await(ctx, "RESET", restarts+1), l.OnWatchdog(ctx, "none")); err != nil {
		return "", err
	}
	took := time.Since(began)
	_, err := l.see(ctx, "after-watchdog", attract)
	return fmt.Sprintf(": after %.0f s", took.Seconds()), err
}

// inClear is what the kiosk keeps in a file.
const inClear = "BEGIN CERTIFICATE"

// sealedDisk looks for what is on /data in clear where there is no TPM.
func sealedDisk(ctx context.Context, l *lab) (string, error) {
	if _, err := l.shell(ctx, "grep -q central_ca /data/kiosk/kiosk.toml && sync"); err != nil {
		return "", fmt.Errorf("what is looked for is not there: %w", err)
	}
	l.powerOff()
	for _, text := range []string{inClear, "central_ca", "kiosk.toml"} {
		if found, err := l.holds(text); err != nil || found {
			return "", fmt.Errorf("%q stands on the disk in clear: %w", text, err)
		}
	}
	return "", nil
}
