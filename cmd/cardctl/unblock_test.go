//go:build cgo

package main

import (
	"bytes"
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"latchkey/firmware/secret"
	"latchkey/firmware/unlock"
	"latchkey/firmware/wire"
	"latchkey/tools/cardsim"
	"latchkey/tools/console"
	"latchkey/tools/reader"
)

const (
	presentPasscode = "314159"
	chosenPasscode  = "271828"
)

// deskTest is the program on a terminal, with a reader stack and a central of its own.
type deskTest struct {
	t        *testing.T
	path     string // of the card
	central  *central
	stack    *reader.Reader
	terminal *console.Console
	cmd      *exec.Cmd
}

func newDeskTest(t *testing.T, spec cardsim.Spec) *deskTest {
	t.Helper()
	t.Parallel()
	d := &deskTest{t: t, path: filepath.Join(t.TempDir(), "card")}
	spec.Passcode, spec.PUK, spec.PUKTries = secret.New([]byte(presentPasscode)), secret.New([]byte(presentPUK)), 5
	c, err := cardsim.Create(d.path, spec)
	d.check(err)
	d.central = startCentral(t, c)
	d.stack, err = reader.Start(context.Background(), reader.Config{Log: os.Stderr})
	d.check(err)
	t.Cleanup(func() { d.stack.Close() })
	return d
}

func (d *deskTest) check(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *deskTest) start(args ...string) {
	d.t.Helper()
	var err error
	d.terminal, err = console.Open(120, 300) // it does not scroll
	d.check(err)
	d.cmd = exec.Command("cardctl", append([]string{"unblock", "--config", d.central.config()}, args...)...)
	d.cmd.Env = append(os.Environ(), slices.Concat(d.stack.Env(), d.stack.Libraries())...)
	d.check(d.terminal.Start(d.cmd))
	terminal, process := d.terminal, d.cmd.Process
	d.t.Cleanup(func() {
		process.Kill()
		terminal.Close()
	})
}

func (d *deskTest) insert() { d.t.Helper(); d.check(d.stack.Insert(0, d.path)) }

// sees waits for a text; types types a line where it was asked for.
func (d *deskTest) sees(text string) {
	d.t.Helper()
	ctx, stop := context.WithTimeout(d.t.Context(), time.Minute)
	defer stop()
	if _, err := d.terminal.Await(ctx, text); err != nil {
		d.t.Fatal(err)
	}
}

func (d *deskTest) asked(text, answer string) {
	d.t.Helper()
	d.sees(text)
	d.check(d.terminal.Type(answer + "\n"))
}

func (d *deskTest) ends(code int) {
	d.t.Helper()
	err := d.cmd.Wait()
	var exit *exec.ExitError
	switch {
	case err == nil && code == 0:
	case errors.As(err, &exit) && exit.ExitCode() == code:
	default:
		d.t.Fatalf("ended with %v, want exit code %d; the terminal: %s", err, code, d.terminal.Text())
	}
}

// card is what is on the card now.
func (d *deskTest) card() *cardsim.Card {
	d.t.Helper()
	d.check(d.stack.Eject(0))
	c, err := cardsim.Open(d.path)
	d.check(err)
	return c
}

func has(t *testing.T, c *cardsim.Card, passcode, puk string) {
	t.Helper()
	if !c.HasPasscode(secret.New([]byte(passcode))) {
		t.Errorf("the card's passcode is not %s", passcode)
	}
	if !c.HasPUK(secret.New([]byte(puk))) {
		t.Errorf("the card's PUK is not %s", puk)
	}
}

// keepsSecrets looks for passcodes, codes and PUKs on the terminal and in every file that the desk wrote.
func (d *deskTest) keepsSecrets(also ...string) {
	d.t.Helper()
	shown := d.terminal.Text()
	for _, s := range append(also, presentPasscode, chosenPasscode, presentPUK, nextPUK) {
		if strings.Contains(shown, s) {
			d.t.Errorf("%s stands on the terminal: %s", s, shown)
		}
	}
	d.check(filepath.WalkDir(filepath.Join(d.central.dir, "data"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		for _, s := range append(also, presentPasscode, chosenPasscode, presentPUK, nextPUK, theCode, theHolder) {
			if bytes.Contains(b, []byte(s)) {
				d.t.Errorf("%s stands in %s", s, path)
			}
		}
		return err
	}))
}

// A locked card at a desk: what is asked, what is refused on the way, what stands on the card in the end, and what central
// was told before the program ended.
func TestUnblock(t *testing.T) {
	d := newDeskTest(t, cardsim.Spec{Blocked: true})
	d.start()
	d.sees("Put the card in.")
	d.insert()
	d.sees("Mr John Rigby")
	d.asked("is this you (yes or no)?", "perhaps")
	d.asked("Type yes or no.", "yes")
	d.asked("2 text to •••• 123", "3")
	d.asked("Type one of the numbers.", "1")
	d.asked("A code of 6 digits was sent to j•••@nhs.net", "12345")
	d.asked("The code has 6 digits.", "again")
	d.asked("Another can be sent in", "111111")
	d.asked("That code is not right.", theCode)
	d.asked("Choose a passcode: 6 to 8 digits.", "2718")
	d.asked("That passcode is too short.", chosenPasscode)
	d.asked("The same again:", "999999")
	d.asked("The two passcodes were not the same.", chosenPasscode)
	d.asked("New passcode: The same again:", chosenPasscode)
	d.sees("The card is unlocked. Take the card out.")
	d.ends(0)
	has(t, d.card(), chosenPasscode, nextPUK)
	d.keepsSecrets("999999")
	outcome, entries := d.central.told()
	if outcome.Passcode != wire.Yes || outcome.Rotated != wire.Yes || entries < 5 {
		t.Errorf("central was told %+v and %d entries", outcome, entries)
	}
	if text := d.terminal.Text(); strings.Contains(text, "does not have the record") {
		t.Errorf("the terminal says %s", text)
	}
}

// A card that is not locked: its passcode is changed with the present one, of which one try is left over, and central has
// no part in it.
func TestUnblockChanges(t *testing.T) {
	d := newDeskTest(t, cardsim.Spec{})
	d.insert()
	d.check(noticed(d.stack, "0 Yes "))
	d.start()
	d.sees("A card is in already. Take it out and put it in again.")
	d.check(d.stack.Eject(0))
	d.sees("Put the card in.")
	d.insert()
	d.asked("The card is not locked. 3 tries are left.", "1")
	d.asked("Present passcode, not shown", "000000")
	d.asked("That is not the present passcode. 2 tries are left.", presentPasscode)
	d.asked("New passcode:", "123456")
	d.asked("That passcode is easy to guess: it is a sequence", "perhaps")
	d.asked("Type yes or no.", "no")
	d.asked("(yes or no)? no Choose a passcode: 6 to 8 digits. It is not shown. New passcode:", chosenPasscode) // the second time
	d.asked("The same again:", chosenPasscode)
	d.sees("The passcode is changed.")
	d.ends(0)
	has(t, d.card(), chosenPasscode, presentPUK)
	d.keepsSecrets("000000")
}

// Forgotten, and the last but one try is not taken either.
func TestUnblockForgotten(t *testing.T) {
	d := newDeskTest(t, cardsim.Spec{})
	d.start()
	d.sees("Put the card in.")
	d.insert()
	d.asked("What does the holder want?", "1")
	d.asked("Present passcode", "000000")
	d.asked("2 tries are left. Present passcode", "000001")
	d.sees("One try is left, and it is not spent here.")
	d.asked("a code is sent Number:", "2")
	d.asked("to set the passcode of a smartcard issued to Mr John Rigby", "yes")
	d.asked("Where should the code go?", "1")
	d.asked("Code (", theCode)
	d.asked("New passcode:", chosenPasscode)
	d.asked("The same again:", chosenPasscode)
	d.sees("The new passcode is set.")
	d.ends(0)
	has(t, d.card(), chosenPasscode, nextPUK)
}

// Ctrl-C ends a visit as Cancel does: central knows, the card is as it was, and the terminal shows again what is typed.
func TestUnblockIsEnded(t *testing.T) {
	d := newDeskTest(t, cardsim.Spec{Blocked: true})
	d.start()
	d.sees("Put the card in.")
	d.insert()
	d.sees("is this you")
	d.check(d.terminal.Type("\x03"))
	d.sees("It was ended here. Nothing has been changed on the card.")
	d.sees("The RA finds this visit by the reference 3f2a91c0.")
	d.ends(1)
	d.central.mu.Lock()
	asked := strings.Join(d.central.asked, " ")
	d.central.mu.Unlock()
	if !strings.Contains(asked, theCase+"/end") {
		t.Errorf("central was asked for %s", asked)
	}
	has(t, d.card(), presentPasscode, presentPUK)
	d.terminal.Mark()
	d.check(d.terminal.Type("echo"))
	d.sees("echo")
}

// A card that is being written is finished, whoever wants to end the program.
func TestUnblockFinishesWriting(t *testing.T) {
	d := newDeskTest(t, cardsim.Spec{Blocked: true})
	d.start()
	d.sees("Put the card in.")
	c, err := cardsim.Open(d.path)
	d.check(err)
	writing, goOn := make(chan struct{}), make(chan struct{})
	c.Before = func(command []byte) error {
		if command[1] == insResetRetryCounter {
			close(writing)
			<-goOn
		}
		return nil
	}
	d.check(d.stack.InsertServe(0, c.ServeVPCD))
	d.asked("is this you", "yes")
	d.asked("Where should the code go?", "2")
	d.asked("Code (", theCode)
	d.asked("New passcode:", chosenPasscode)
	d.asked("The same again:", chosenPasscode)
	<-writing
	for range 3 {
		d.check(d.cmd.Process.Signal(syscall.SIGINT))
		d.sees("The card is being written: this ends by itself.")
	}
	close(goOn)
	d.sees("The card is unlocked.")
	d.ends(0)
	has(t, d.card(), chosenPasscode, nextPUK)
}

// What central refuses is told in its words, with a reference, and the exit code.
func TestUnblockIsRefused(t *testing.T) {
	d := newDeskTest(t, cardsim.Spec{Blocked: true})
	d.central.refuse("/v1/cases/"+theCase+"/proof", wire.CodeCardRevoked)
	d.start()
	d.sees("Put the card in.")
	d.insert()
	d.sees("This card has been cancelled.")
	d.sees("cardctl: the passcode was not set: card-revoked, reference 3f2a91c0")
	d.ends(1)
	has(t, d.card(), presentPasscode, presentPUK)
}

// An outcome that central could not be told goes with the next run.
func TestUnblockKeepsWhatCentralDoesNotTake(t *testing.T) {
	d := newDeskTest(t, cardsim.Spec{Blocked: true})
	d.start()
	d.sees("Put the card in.")
	c, err := cardsim.Open(d.path)
	d.check(err)
	c.After = func(command []byte) error {
		if command[1] == insResetRetryCounter {
			d.central.server.Listener.Close()
			d.central.server.CloseClientConnections()
		}
		return nil
	}
	d.check(d.stack.InsertServe(0, c.ServeVPCD))
	d.asked("is this you", "yes")
	d.asked("Where should the code go?", "1")
	d.asked("Code (", theCode)
	d.asked("New passcode:", chosenPasscode)
	d.asked("The same again:", chosenPasscode)
	d.sees("The card is unlocked.")
	d.check(d.cmd.Process.Signal(syscall.SIGINT)) // or ten seconds
	d.sees("It is kept here and goes with the next run.")
	d.ends(0)
}

// Nobody comes; the reader is not there; the holder's card is one of two.
func TestUnblockWaits(t *testing.T) {
	d := newDeskTest(t, cardsim.Spec{Blocked: true})
	d.start("--wait", "1s")
	d.sees("cardctl: the passcode was not set: no card was put in within 1s")
	d.ends(1)

	d.start("--reader", "Acme")
	d.sees(`no reader is called "Acme"`)
	d.ends(1)

	d.insert()
	d.start("--reader", "00 01")
	d.sees("Put the card in.")
	d.check(d.terminal.Type("\x03"))
	d.sees("the passcode was not set: it was ended")
	d.ends(1)
}

// Each reason of the machine and of central has words of its own at the desk.
func TestEveryReasonHasWords(t *testing.T) {
	t.Parallel()
	f, err := parser.ParseFile(token.NewFileSet(), "../../firmware/unlock/view.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	reasons := 0
	ast.Inspect(f, func(n ast.Node) bool {
		spec, is := n.(*ast.ValueSpec)
		if !is || len(spec.Values) != 1 || !strings.HasPrefix(spec.Names[0].Name, "Reason") {
			return true
		}
		text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		switch unlock.Reason(text) {
		case unlock.ReasonContactForm, unlock.ReasonServiceNone, unlock.ReasonServiceWrong, unlock.ReasonServiceLocked:
			return true // of screens that a desk never reaches
		}
		reasons++
		if got := reasonText(unlock.View{Reason: unlock.Reason(text), Series: "x", Code: &unlock.Code{Digits: 6}}); strings.Contains(got, "It cannot go on") {
			t.Errorf("%s has no words", text)
		}
		return true
	})
	if reasons < 30 {
		t.Errorf("only %d reasons were found", reasons)
	}
	for _, e := range wire.Catalogue {
		if got := reasonText(unlock.View{Reason: unlock.Reason(e.Code)}); strings.Contains(got, "kiosk") || strings.Contains(got, "It cannot go on") {
			t.Errorf("%s is told at a desk as %q", e.Code, got)
		}
	}
}
