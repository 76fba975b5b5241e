package reader

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"syscall"

	"latchkey/firmware/secret"
)

// Client is the independent program that Accepts asks about cards of a family.
func Client(family string) string {
	if family == "piv" {
		return "yubico-piv-tool"
	}
	return "pkcs15-tool"
}

// Await waits until clients see a card in the first slot, or see that none is there. It asks again and again, since
// opensc-tool --wait can miss the insertion that it waits for when the machine is busy.
func (r *Reader) Await(ctx context.Context, present bool) error {
	want := "No"
	if present {
		want = "Yes"
	}
	for {
		out, err := r.Command(ctx, "opensc-tool", "--list-readers").CombinedOutput()
		if ctx.Err() != nil {
			return fmt.Errorf("reader: no client says %s of a card in the first slot: %w (%s)", want, ctx.Err(), bytes.Join(bytes.Fields(out), []byte(" ")))
		}
		if said := firstSlot.FindSubmatch(out); err == nil && said != nil && string(said[1]) == want {
			return nil
		}
	}
}

var firstSlot = regexp.MustCompile(`(?m)^\s*0\s+(Yes|No)\s`)

// Accepts asks an independent client, which knows nothing of us, whether the card in the first slot takes a passcode, and
// returns its answer in its own words, too. A refusal costs the card a try. The passcode stands in no process list.
func (r *Reader) Accepts(ctx context.Context, family string, passcode secret.Value) (accepted bool, said string, err error) {
	args := []string{"--verify-pin", "--pin", "env:LATCHKEY_PASSCODE"}
	switch family {
	case "piv":
		args = []string{"--reader=Latchkey Virtual Reader 00 00", "--action=verify-pin"}
	case "openpgp":
		args = append(args, "--auth-id", "01") // the administrator's PIN is another
	}
	cmd := r.Command(ctx, Client(family), args...)
	// Without a terminal yubico-piv-tool takes the passcode from its input.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	line := append(append([]byte(nil), passcode.Reveal()...), '\n')
	defer clear(line)
	cmd.Stdin = bytes.NewReader(line)
	if family != "piv" {
		cmd.Env = append(cmd.Environ(), "LATCHKEY_PASSCODE="+string(passcode.Reveal()))
	}
	out, err := cmd.CombinedOutput()
	var refused *exec.ExitError
	if err != nil && !errors.As(err, &refused) {
		return false, "", fmt.Errorf("reader: %s: %w", Client(family), err)
	}
	said = strings.Join(strings.Fields(strings.NewReplacer("Enter PIN:", "", "Using reader with a card: Latchkey Virtual Reader 00 00", "").Replace(string(out))), " ")
	return err == nil, said, nil
}
