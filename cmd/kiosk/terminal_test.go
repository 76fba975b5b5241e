package main

import (
	"crypto/elliptic"
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
// stop other programs do not stop it, an engineer takes it back into service whose case was opened, and SIGTERM ends it in order,
// with its watchdog.
func TestOnATerminal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := enrol(dir, elliptic.P256(), "cert.pem", "key.pem", "central.pem"); err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf("central = \"https://127.0.0.1:9\"\ncentral_ca = \"%[1]s/cert.pem\"\ncentral_key = \"%[1]s/central.pem\"\n"+
		"certificate = \"%[1]s/cert.pem\"\nkey = \"%[1]s/key.pem\"\ndata = \"%[1]s/data\"\nhelp = \"the RA\"\n[board]\nname = \"board.toml\"\n", dir)
	// The watchdog is a file, and so are the marks of a case that was opened before the kiosk was started.
	files := map[string]string{
		"board.toml": fmt.Sprintf("title = \"a test\"\n[watchdog]\ndevice = \"%s/watchdog\"\ntimeout = \"15s\"\n", dir),
		"watchdog":   "", "data/case-opened": "",
	}
	if err := os.Mkdir(filepath.Join(dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "kiosk.toml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	terminal, err := console.Open(100, 30)
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	cmd := exec.Command("kiosk", "--config", filepath.Join(dir, "kiosk.toml"))
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
	if err := systemd.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
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
	if got, err := os.ReadFile(filepath.Join(dir, "watchdog")); err != nil || !regexp.MustCompile(`^\x00\x00+V$`).Match(got) {
		t.Errorf("the watchdog was given %q, %v", got, err)
	}
}

// A kiosk that cannot start, here for want of a terminal, says so and does not have the machine restarted: the watchdog is for a loop that
// stands.
func TestAKioskThatDoesNotStartStopsTheWatchdog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := enrol(dir, elliptic.P256(), "cert.pem", "key.pem", "central.pem"); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"board.toml": fmt.Sprintf("title = \"a test\"\n[watchdog]\ndevice = \"%s/watchdog\"\ntimeout = \"15s\"\n", dir), "watchdog": "",
		"kiosk.toml": "central = \"https://127.0.0.1:9\"\ncentral_ca = \"cert.pem\"\ncentral_key = \"central.pem\"\ncertificate = \"cert.pem\"\n" +
			"key = \"key.pem\"\ndata = \"data\"\nhelp = \"the RA\"\n[board]\nname = \"board.toml\"\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("kiosk", "--config", filepath.Join(dir, "kiosk.toml"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "open the terminal") {
		t.Errorf("%v: %s", err, out)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "watchdog")); err != nil || string(got) != "V" {
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
