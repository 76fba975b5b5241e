package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"latchkey/cmd/internal/device"
	"latchkey/firmware/audit"
	"latchkey/tools/console"
)

// The program on a terminal, with neither central nor pcscd: it shows a screen, its memory is in no core file, the keys that
// stop other programs do not stop it, an engineer takes it back into service whose case was opened, and SIGTERM ends it in order.
// The hardware's watchdog is left to who watches it.
func TestOnATerminal(t *testing.T) {
	t.Parallel()
	// The marks of a case that was opened are there before the kiosk is started.
	board, watchdog := boardWithWatchdog(t)
	dir, config := configure(t, withWatchdog, map[string]string{"board.toml": board, "data/case-opened": ""})
	terminal, err := console.Open(100, 30)
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	cmd := exec.Command("kiosk", "--config", config)
	systemd, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer systemd.Close()
	cmd.Env = append(os.Environ(), "PCSCLITE_CSOCK_NAME="+filepath.Join(dir, "nobody"), "NOTIFY_SOCKET="+filepath.Join(dir, "notify"), "WATCHDOG_USEC=2000000")
	told := func(text string) {
		t.Helper()
		b := make([]byte, 4096)
		for {
			n, err := systemd.Read(b)
			if err != nil {
				t.Fatalf("systemd is not told %q: %v", text, err)
			}
			if strings.Contains("\n"+string(b[:n])+"\n", "\n"+text+"\n") {
				return
			}
		}
	}
	if err := terminal.Start(cmd); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	await := func(text string) {
		t.Helper()
		if _, err := terminal.Await(t.Context(), text); err != nil {
			t.Fatalf("%v; the screen was %q", err, terminal.Text())
		}
	}
	if err := systemd.SetReadDeadline(time.Now().Add(5 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	told("READY=1")
	told("WATCHDOG=1")
	await("Its case has been opened")
	if out, err := exec.Command("kiosk", "clear-tamper", "--data", filepath.Join(dir, "data")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	await("Its card reader")
	told("STATUS=fault: no-daemon")
	if err := terminal.Type("\x03\x1a\x1c"); err != nil { // Ctrl-C, Ctrl-Z, Ctrl-\
		t.Fatal(err)
	}
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", cmd.Process.Pid))
	if err != nil || !regexp.MustCompile(`Max core file size +0 +0`).Match(limits) {
		t.Errorf("%v; limits: %s", err, limits)
	}
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTSTP, syscall.SIGQUIT, syscall.SIGTERM} {
		if err := cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	told("STOPPING=1")
	if err := cmd.Wait(); err != nil {
		t.Errorf("ended with %v", err)
	}
	if kinds := journalKinds(t, dir); !slices.Contains(kinds, audit.KindCaseOpened) || !slices.Contains(kinds, audit.KindCaseCleared) {
		t.Errorf("the journal has %v", kinds)
	}
	if got, err := os.ReadFile(watchdog); err != nil || len(got) > 0 {
		t.Errorf("the watchdog, which is for who watches the kiosk, was given %q, %v", got, err)
	}
}

// A kiosk that cannot start, here for want of a terminal, says so and does not have the machine restarted: the watchdog is for a loop that
// stands.
func TestAKioskThatDoesNotStartStopsTheWatchdog(t *testing.T) {
	t.Parallel()
	board, watchdog := boardWithWatchdog(t)
	_, config := configure(t, withWatchdog, map[string]string{"board.toml": board})
	cmd := exec.Command("kiosk", "--config", config)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "open the terminal") {
		t.Errorf("%v: %s", err, out)
	}
	if got, err := os.ReadFile(watchdog); err != nil || string(got) != "V" {
		t.Errorf("the watchdog was given %q, %v", got, err)
	}
}

// journalKinds are the kinds of the entries in the journal of the kiosk that ran in dir.
func journalKinds(t *testing.T, dir string) (kinds []audit.Kind) {
	t.Helper()
	c, err := device.ReadConfig(filepath.Join(dir, "kiosk.toml"), "")
	if err != nil {
		t.Fatal(err)
	}
	d, err := device.Open(c, logName)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	stored, _, err := d.Journal.Pending(100)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range stored {
		e, err := audit.Decode(s.Body)
		if err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, e.Kind)
	}
	return kinds
}
