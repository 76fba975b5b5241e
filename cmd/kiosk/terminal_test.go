package main

import (
	"bufio"
	"crypto/elliptic"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// The program on a terminal, with neither central nor pcscd: it shows a screen, its memory is in no core file, the keys that
// stop other programs do not stop it, and SIGTERM ends it in order.
func TestOnATerminal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := device(dir, elliptic.P256(), "cert.pem", "key.pem", "central.pem"); err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf("central = \"https://127.0.0.1:9\"\ncentral_ca = \"%[1]s/cert.pem\"\ncentral_key = \"%[1]s/central.pem\"\n"+
		"certificate = \"%[1]s/cert.pem\"\nkey = \"%[1]s/key.pem\"\ndata = \"%[1]s/data\"\nhelp = \"the RA\"\n", dir)
	if err := os.WriteFile(filepath.Join(dir, "kiosk.toml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	person, terminal := openPTY(t)
	cmd := exec.Command("kiosk", "--config", filepath.Join(dir, "kiosk.toml"))
	cmd.Env = append(os.Environ(), "TERM=xterm", "PCSCLITE_CSOCK_NAME="+filepath.Join(dir, "nobody"))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	terminal.Close()

	screen := bufio.NewReader(person)
	var seen strings.Builder
	for !strings.Contains(seen.String(), "out of service") {
		r, _, err := screen.ReadRune()
		if err != nil {
			t.Fatalf("%v; the screen was %q", err, seen.String())
		}
		seen.WriteRune(r)
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
	io.Copy(io.Discard, screen) // until it has let go of the terminal
	if err := cmd.Wait(); err != nil {
		t.Errorf("ended with %v", err)
	}
}

// openPTY opens a terminal, and what a person in front of it sees and types (pty(7)).
func openPTY(t *testing.T) (person, terminal *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { person.Close() })
	fd := int(person.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 30, Col: 100}); err != nil {
		t.Fatal(err)
	}
	if terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	return person, terminal
}
