package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"latchkey/firmware/secret"
	"latchkey/tools/reader"
)

// proveWithin is how long the independent client may take.
const proveWithin = time.Minute

// prove asks an independent client, which knows nothing of us, about the passcode from before and the one set at the kiosk, if
// one is given. It does so in a reader of its own, out of the kiosk's sight; a card that is in is taken out first. A wrong
// passcode costs the card a try; so the old one comes first, and a right one gives the tries back.
func (t *table) prove(h hand, set secret.Value) error {
	if h.was == "" {
		return errors.New("this card has no passcode to prove")
	}
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
	said = append(said, reader.Client(h.family())+" says")
	for _, p := range []struct {
		what     string
		passcode secret.Value
	}{{"old " + h.was, old}, {"new " + strings.Repeat("•", set.Len()), set}} {
		if p.passcode.Len() == 0 {
			continue
		}
		takes, words, err := t.proof.Accepts(ctx, h.family(), p.passcode)
		if err != nil {
			return err
		}
		if takes && words == "" {
			words = "accepted."
		}
		say("to the %s: %s", p.what, words)
	}
	return nil
}

// present waits until the second reader sees its card.
func (t *table) present(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, proveWithin/2)
	defer cancel()
	return t.proof.Await(ctx, true) == nil
}
