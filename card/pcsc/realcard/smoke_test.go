//go:build !realcard && cgo

package realcard

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey/card/profiles"
	"latchkey/firmware/secret"
	"latchkey/tools/cardsim"
	"latchkey/tools/console"
	"latchkey/tools/reader"
)

func TestMain(m *testing.M) {
	reader.Main()
	os.Exit(m.Run())
}

const inReader = "Latchkey Virtual Reader 00 00"

// smoke is the program on a terminal, before a virtual card in a real reader stack.
type smoke struct {
	t        *testing.T
	stack    *reader.Reader
	terminal *console.Console
	cmd      *exec.Cmd
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (s *smoke) start(program string, args ...string) {
	s.t.Helper()
	var err error
	s.terminal, err = console.Open(160, 300) // it does not scroll
	must(s.t, err)
	s.cmd = exec.Command(program, append([]string{"-test.v", "-reader", inReader}, args...)...)
	s.cmd.Env = append(os.Environ(), s.stack.Env()...)
	must(s.t, s.terminal.Start(s.cmd))
	terminal, process := s.terminal, s.cmd.Process
	s.t.Cleanup(func() {
		process.Kill()
		terminal.Close()
	})
}

func (s *smoke) asked(text, answer string) {
	s.t.Helper()
	ctx, stop := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer stop()
	_, err := s.terminal.Await(ctx, text)
	must(s.t, err)
	must(s.t, s.terminal.Type(answer+"\n"))
}

func (s *smoke) ends(code int, says string) {
	s.t.Helper()
	err := s.cmd.Wait()
	var exit *exec.ExitError
	if !(err == nil && code == 0 || errors.As(err, &exit) && exit.ExitCode() == code) {
		s.t.Fatalf("ended with %v; the terminal: %s", err, s.terminal.Text())
	}
	ctx, stop := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer stop()
	_, err = s.terminal.Await(ctx, says)
	must(s.t, err)
}

// The suite on cards of several kinds: it asks twice, nothing of it presents a wrong PUK, and the card ends as it was.
func TestSmoke(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "card-smoke")
	build := exec.Command("go", "test", "-c", "-tags", "realcard", "-o", program, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	stack, err := reader.Start(t.Context(), reader.Config{Log: os.Stderr})
	must(t, err)
	defer stack.Close()
	s := &smoke{t: t, stack: stack}
	const passcode = "314159"
	for _, name := range []string{"piv", "gids", "openpgp-admin", "isoapplet", "authentic"} {
		p := profiles.Embedded().Must(name)
		puk := strings.Repeat("45", 32)[:p.PUK.Length]
		path := filepath.Join(dir, name)
		_, err := cardsim.Create(path, cardsim.Spec{Profile: p, Passcode: secret.New([]byte(passcode)), PUK: secret.New([]byte(puk))})
		must(t, err)
		must(t, stack.Insert(0, path))
		noticed(t, stack, "0 Yes")

		// A word that is another, and a PUK that is wrong: once each, and it ends.
		s.start(program, "-profile", name)
		s.asked("Type the reader's name, as above:", "00 00")
		s.ends(1, "that is something else; nothing was done")
		s.start(program, "-profile", name)
		s.asked("Type the reader's name, as above:", inReader)
		s.asked("Type BLOCK to go on:", "BLOCK")
		s.asked("Present passcode, not shown:", passcode)
		s.asked(", not shown: Present", strings.Repeat("1", len(puk)))
		s.ends(1, "nothing else was tried")
		after(t, stack, path, passcode, puk, p.PUK.Tries-1)

		must(t, stack.Insert(0, path))
		noticed(t, stack, "0 Yes")
		s.start(program, "-profile", name)
		s.asked("Type the reader's name, as above:", inReader)
		s.asked("Type BLOCK to go on:", "BLOCK")
		s.asked("Present passcode, not shown:", passcode)
		s.asked(", not shown: Present", puk)
		s.ends(0, "passcode and PUK are as before.")
		text := s.terminal.Text()
		if strings.Contains(text, puk) || strings.Contains(text, passcode) || !strings.Contains(text, "--- PASS: TestCard/a_blocked_card_gets_a_new_passcode_and_PUK") {
			t.Errorf("%s: %s", name, text)
		}
		after(t, stack, path, passcode, puk, p.PUK.Tries-1)
	}
}

// after takes the card out and wants it as it was, with at least so many tries of the PUK left.
func after(t *testing.T, stack *reader.Reader, path, passcode, puk string, pukTries int) {
	t.Helper()
	must(t, stack.Eject(0))
	noticed(t, stack, "0 No")
	c, err := cardsim.Open(path)
	must(t, err)
	if !c.HasPasscode(secret.New([]byte(passcode))) || !c.HasPUK(secret.New([]byte(puk))) {
		t.Errorf("%s: passcode or PUK is another", path)
	}
	left, pukLeft := c.TriesLeft()
	if left < 2 || pukLeft < pukTries {
		t.Errorf("%s: %d tries of the passcode and %d of the PUK are left", path, left, pukLeft)
	}
}

// noticed waits until pcscd lists the slot so.
func noticed(t *testing.T, stack *reader.Reader, want string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		out, _ := stack.Command(t.Context(), "opensc-tool", "--list-readers").CombinedOutput()
		if strings.Contains(strings.Join(strings.Fields(string(out)), " "), want) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("pcscd never told %q: %s", want, out)
		}
	}
}
