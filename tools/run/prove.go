package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"latchkey/firmware/secret"
	"latchkey/tools/reader"
)

// The names that package reader gives its first slot, and how long its client may take.
const (
	proofSlot   = "Latchkey Virtual Reader 00 00"
	proveWithin = 10 * time.Second
)

// prove asks yubico-piv-tool, which knows nothing of us, about the passcode from before and the one set at the kiosk, if
// one is given. It does so in a reader of its own, out of the kiosk's sight; a card that is in is taken out first. A wrong
// passcode costs the card a try; so the old one comes first, and a right one gives the tries back.
func (t *table) prove(h hand, set secret.Value) error {
	var said []string
	say := func(format string, args ...any) {
		said = append(said, fmt.Sprintf(format, args...))
		t.change(func(s *state) { s.Proof = append([]string(nil), said...) })
	}
	t.change(func(s *state) { s.Proof = nil })
	was, err := t.take()
	if err != nil {
		return err
	}
	if was {
		say("The card is out of the kiosk.")
	}
	if h.was == "" {
		say("There is no passcode here. Choose a card that has one.")
		return nil
	}
	if t.proof == nil {
		t.proof, err = reader.Start(t.ctx, reader.Config{Dir: filepath.Join(t.system.Dir, "proof"), Log: t.system.Log})
		if err != nil {
			return err
		}
	}
	if err := t.proof.Insert(0, t.system.Card(file(h.key))); err != nil {
		return err
	}
	defer t.proof.Eject(0)
	ctx, cancel := context.WithTimeout(t.ctx, proveWithin)
	defer cancel()
	if !t.present(ctx) {
		say("The card does not answer.")
		return nil
	}
	old := secret.New([]byte(h.was))
	defer old.Wipe()
	said = append(said, "yubico-piv-tool says")
	say("to the old %s: %s", h.was, t.verify(ctx, old))
	if set.Len() > 0 {
		say("to the new %s: %s", strings.Repeat("•", set.Len()), t.verify(ctx, set))
	}
	return nil
}

// present waits until the second reader sees its card.
func (t *table) present(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, proveWithin/2)
	defer cancel()
	return t.proof.Command(ctx, "opensc-tool", "--wait", "--atr").Run() == nil
}

// verify is the tool's answer to a passcode, in its words.
func (t *table) verify(ctx context.Context, passcode secret.Value) string {
	cmd := t.proof.Command(ctx, "yubico-piv-tool", "--reader="+proofSlot, "--action=verify-pin")
	// Without a terminal the tool takes the passcode from its input; as an argument everybody could read it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	line := append(append([]byte(nil), passcode.Reveal()...), '\n')
	defer clear(line)
	cmd.Stdin = bytes.NewReader(line)
	out, err := cmd.CombinedOutput()
	answer := strings.Join(strings.Fields(strings.ReplaceAll(string(out), "Enter PIN:", "")), " ")
	if answer == "" {
		answer = errors.Join(errors.New("nothing"), err).Error()
	}
	return answer
}
