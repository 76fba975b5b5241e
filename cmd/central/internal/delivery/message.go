package delivery

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/store"
	"latchkey/cmd/central/internal/vault"
	"latchkey/firmware/secret"
)

// grace is how long whoever made a message has to begin handing it over before others do.
const grace = 2 * time.Second

// ErrNotSealed: the vault does not seal just now. Nothing was booked.
var ErrNotSealed = errors.New("seal message")

// noticeLife is how long a notice is tried.
const noticeLife = 24 * time.Hour

// Code is what the message with a one-time code says. The message is worth nothing once the code has run out.
type Code struct {
	Digits secret.Value
	Word   secret.Value // that freezes the card
}

// AddCode books the message with the code that was sent last in a case. It leaves once Deliver or Run have it.
func AddCode(v *vault.Vault, tx *store.Tx, c cases.Case, h cases.Holder, to secret.Value, code Code) (id string, err error) {
	content := bytes.Join([][]byte{code.Digits.Reveal(), code.Word.Reveal()}, []byte{'\n'})
	defer clear(content)
	m := store.Message{
		Kind: store.MessageCode, Case: c.ID, Card: c.Card, Holder: h.ID, Channel: c.Code.Channel, Language: h.Language,
		MadeAt: c.Code.SentAt, DueAt: c.Code.SentAt.Add(grace), DiesAt: c.Code.ExpiresAt,
	}
	return add(v, tx, m, to, content)
}

// Notice books a message that tells a holder, on one of the channels of cases, that something happened: every kind but that
// of codes. card is empty where it is about none. The address stays the caller's.
func Notice(v *vault.Vault, tx *store.Tx, kind store.MessageKind, h cases.Holder, card, channel string, to secret.Value, at time.Time) error {
	m := store.Message{
		Kind: kind, Card: card, Holder: h.ID, Channel: channel, Language: h.Language, MadeAt: at, DueAt: at, DiesAt: at.Add(noticeLife),
	}
	_, err := add(v, tx, m, to, nil)
	return err
}

// add seals a message into the outbox. content may be nil.
func add(v *vault.Vault, tx *store.Tx, m store.Message, to secret.Value, content []byte) (id string, err error) {
	var raw [16]byte
	rand.Read(raw[:])
	m.ID, m.State = hex.EncodeToString(raw[:]), store.MessageWaiting
	if m.Recipient, err = v.Seal(vault.Subject{Kind: vault.KindMessageTo, ID: m.ID}, to); err != nil {
		return "", fmt.Errorf("%w: %w", ErrNotSealed, err)
	}
	if content != nil {
		if m.Content, err = v.Seal(vault.Subject{Kind: vault.KindMessageContent, ID: m.ID}, secret.New(content)); err != nil {
			return "", fmt.Errorf("%w: %w", ErrNotSealed, err)
		}
	}
	return m.ID, tx.AddMessage(m)
}

// opened is a message in clear.
type opened struct {
	to   secret.Value
	code Code // of one with a code
}

func (o *opened) wipe() {
	o.to.Wipe()
	o.code.Digits.Wipe()
	o.code.Word.Wipe()
}

// open opens what add sealed.
func open(v *vault.Vault, m store.Message) (o opened, err error) {
	if o.to, err = v.Open(vault.Subject{Kind: vault.KindMessageTo, ID: m.ID}, m.Recipient); err != nil {
		return o, fmt.Errorf("open message: %w", err)
	}
	if m.Kind != store.MessageCode {
		return o, nil
	}
	content, err := v.Open(vault.Subject{Kind: vault.KindMessageContent, ID: m.ID}, m.Content)
	if err != nil {
		o.wipe()
		return o, fmt.Errorf("open message: %w", err)
	}
	defer content.Wipe()
	digits, word, ok := bytes.Cut(content.Reveal(), []byte{'\n'})
	if !ok {
		o.wipe()
		return o, errors.New("open message: it is not one with a code")
	}
	o.code = Code{secret.New(bytes.Clone(digits)), secret.New(bytes.Clone(word))}
	return o, nil
}
