package kiosk

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"testing"

	"latchkey/card"
	"latchkey/firmware/audit"
	"latchkey/firmware/journal"
	"latchkey/firmware/secret"
	"latchkey/firmware/unlock"
	"latchkey/firmware/wire"
	"latchkey/tools/cardsim"
)

// A card that is not locked, and cards of other kinds than the one that TestUnlock writes.

const present = "161803"

func (b *bench) typed(passcode string) {
	b.holder <- unlock.PasscodeTyped{Passcode: secret.New([]byte(passcode))}
}

// toPresent puts the card in and asks to change its passcode.
func (b *bench) toPresent() {
	b.t.Helper()
	b.insert()
	if v := b.see(unlock.ScreenErrand); !v.CanChange {
		b.t.Fatal("a change is not offered")
	}
	b.holder <- unlock.Pressed{Button: unlock.PressChange}
	b.see(unlock.ScreenPresent)
}

// delivered waits for the entry of a kind.
func (b *bench) delivered(kind audit.Kind) audit.Entry {
	for {
		if e := <-b.central.got; e.Kind == kind {
			return e
		}
	}
}

func newUnlockedBench(t *testing.T) *bench {
	t.Helper()
	return newBenchOf(t, cardsim.Spec{Passcode: secret.New([]byte(present)), PUK: secret.New([]byte(current))})
}

// givesPasscode: VERIFY with data (SP 800-73-4 part 2 §3.2.1).
func givesPasscode(command []byte) bool { return command[1] == 0x20 && len(command) > 5 }

// The holder changes the passcode with the present one. Central is asked for nothing, the journal knows before the card
// is tried, and neither passcode is anywhere.
func TestChange(t *testing.T) {
	t.Parallel()
	b := newUnlockedBench(t)
	noted := true
	b.card.Before = func(command []byte) error {
		if givesPasscode(command) {
			noted = noted && b.journal.Head().Seq >= 2 // started, changing
		}
		return nil
	}
	b.toPresent()
	b.typed(present)
	b.see(unlock.ScreenPasscode)
	b.typed(chosen)
	b.see(unlock.ScreenRepeat)
	b.typed(chosen)
	if v := b.see(unlock.ScreenUnlocked); v.Errand != unlock.ErrandChange {
		t.Errorf("the screen speaks of the errand %q", v.Errand)
	}
	if !b.card.HasPasscode(secret.New([]byte(chosen))) || !b.card.HasPUK(secret.New([]byte(current))) {
		t.Error("the card has not the new passcode and the PUK that it had")
	}
	if !noted {
		t.Error("the card was tried before the journal knew")
	}
	if e := b.delivered(audit.KindChanged); e.Passcode != audit.Yes || e.Case != "" {
		t.Errorf("the journal says %+v", e)
	}
	b.end()

	file, err := os.ReadFile(b.path)
	if err != nil {
		t.Fatal(err)
	}
	b.central.mu.Lock()
	defer b.central.mu.Unlock()
	for line := range strings.Lines(b.central.heard.String()) {
		if !strings.HasPrefix(line, "entries ") {
			t.Errorf("central was asked: %s", line)
		}
	}
	for name, text := range map[string][]byte{"journal": file, "log": b.log.Bytes(), "requests": b.central.heard.Bytes()} {
		for _, s := range []string{present, chosen} {
			if bytes.Contains(text, []byte(s)) {
				t.Errorf("%q stands in the %s", s, name)
			}
		}
	}
}

// Wrong passcodes count down and stop one short of locking the card.
func TestWrongPresentPasscodes(t *testing.T) {
	t.Parallel()
	b := newUnlockedBench(t)
	b.toPresent()
	tries, _ := b.card.TriesLeft()
	for ; tries > 2; tries-- {
		b.typed("111111")
		b.see(unlock.ScreenVerifying)
		if v := b.see(unlock.ScreenPresent); v.Reason != unlock.ReasonPresentWrong || v.TriesLeft != tries-1 {
			t.Fatalf("%s, %d tries left, want %d", v.Reason, v.TriesLeft, tries-1)
		}
	}
	b.typed("111111")
	if v := b.see(unlock.ScreenErrand); v.Reason != unlock.ReasonPresentLast || v.CanChange {
		t.Errorf("%s, a change is offered: %t", v.Reason, v.CanChange)
	}
	if left, _ := b.card.TriesLeft(); left != 1 {
		t.Errorf("the card has %d tries left", left)
	}
}

// The journal is full when the present passcode comes: the card is not tried.
func TestAFullJournalTriesNoPasscode(t *testing.T) {
	t.Parallel()
	b := newUnlockedBench(t)
	b.end()
	b.room = 40
	b.start()
	tried := false
	b.card.Before = func(command []byte) error {
		tried = tried || givesPasscode(command)
		return nil
	}
	b.toPresent()
	var err error
	for err == nil {
		err = b.journal.Append(audit.Entry{Kind: audit.KindStarted, At: 1})
	}
	if !errors.Is(err, journal.ErrFull) {
		t.Fatal(err)
	}
	b.typed(present)
	if v := b.see(unlock.ScreenOutOfService); v.Reason != unlock.ReasonJournalFull {
		t.Errorf("out of service for %s", v.Reason)
	}
	b.end()
	if tried {
		t.Error("the card was given the passcode")
	}
}

// The holder has forgotten the passcode of a card that is not locked.
func TestForgotten(t *testing.T) {
	t.Parallel()
	b := newUnlockedBench(t)
	b.insert()
	b.see(unlock.ScreenErrand)
	b.holder <- unlock.Pressed{Button: unlock.PressForgotten}
	if v := b.serve(unlock.ScreenUnlocked); v.Errand != unlock.ErrandForgotten {
		t.Errorf("the screen speaks of the errand %q", v.Errand)
	}
	if !b.card.HasPasscode(secret.New([]byte(chosen))) || !b.card.HasPUK(secret.New([]byte(next))) {
		t.Error("the card has not the new passcode and the next PUK")
	}
}

// keyless is a card that cannot sign without a passcode.
type keyless struct{ card.Card }

func (keyless) Prove([32]byte) ([]byte, error) { return nil, card.ErrNoKey }

// challenged is a keyless card that is reset by the answer to its challenge.
type challenged struct {
	keyless
	secret    []byte
	challenge []byte
}

func (c *challenged) answer(challenge []byte) []byte {
	h := hmac.New(sha256.New, c.secret)
	h.Write(challenge)
	return h.Sum(nil)
}

func (c *challenged) Challenge() ([]byte, error) {
	c.challenge = []byte("a challenge")
	return c.challenge, nil
}

func (c *challenged) Reset(answer, passcode secret.Value) error {
	if c.challenge == nil || !hmac.Equal(answer.Reveal(), []byte(hex.EncodeToString(c.answer(c.challenge)))) {
		return &card.WrongSecretError{TriesLeft: 1}
	}
	c.challenge = nil
	return c.Card.Reset(secret.New([]byte(current)), passcode)
}

func (*challenged) Rotate(_, _ secret.Value) error { return errors.New("nothing is rotated") }

// Central decides whether a card that cannot sign is served; the loop tells it the truth.
func TestKeylessCard(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.central.noKey = true
	b.wrap = func(c card.Card) (card.Card, error) { return keyless{c}, nil }
	b.walkTo(unlock.ScreenUnlocked)
}

// The answer to the card's challenge opens it; nothing is rotated.
func TestChallengedCard(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	vault := challenged{secret: []byte("the administrator's key")}
	b.central.noKey = true
	b.central.seal = func(challenge []byte) wire.Candidates {
		return wire.Candidates{Current: wire.NewSecret([]byte(hex.EncodeToString(vault.answer(challenge))))}
	}
	b.wrap = func(c card.Card) (card.Card, error) {
		return &challenged{keyless: keyless{c}, secret: vault.secret}, nil
	}
	b.walkTo(unlock.ScreenUnlocked)
	if o := <-b.central.told; !strings.Contains(o, `"rotated":"no"`) || !strings.Contains(o, `"passcode":"yes"`) {
		t.Errorf("told %s", o)
	}
	if !b.card.HasPUK(secret.New([]byte(current))) {
		t.Error("the PUK was changed")
	}
}

// A wrong PUK that was the card's last try: central learns that it is blocked.
func TestABlockedPUKIsTold(t *testing.T) {
	t.Parallel()
	b := newBenchOf(t, cardsim.Spec{Blocked: true, PUK: secret.New([]byte("99999999")), PUKTries: 1})
	if v := b.walkTo(unlock.ScreenStopped); v.Reason != unlock.ReasonPUKBlocked {
		t.Errorf("stopped for %s", v.Reason)
	}
	if o := <-b.central.told; !strings.Contains(o, `"puk_blocked":true`) || !strings.Contains(o, `"passcode":"no"`) {
		t.Errorf("told %s", o)
	}
}

// A card that was withdrawn is named.
func TestRetiredCard(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.wrap = func(card.Card) (card.Card, error) { return nil, &card.RetiredError{Title: "smartcard of series 4"} }
	b.insert()
	if v := b.see(unlock.ScreenStopped); v.Reason != unlock.ReasonRetired || v.Series != "smartcard of series 4" {
		t.Errorf("%s, %q", v.Reason, v.Series)
	}
}
