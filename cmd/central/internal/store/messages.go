package store

import (
	"fmt"
	"time"
)

// MessageKind is what a message is about.
type MessageKind string

// Kinds of message.
const (
	MessageCode           MessageKind = "code"            // a one-time code
	MessageContactChanged MessageKind = "contact-changed" // told to the old contact and to the new one
	MessageFrozen         MessageKind = "frozen"          // the card was frozen
)

// MessageState is how far a message has come.
type MessageState string

// States of a message.
const (
	MessageWaiting MessageState = "waiting" // nobody has begun to hand it over
	MessageSending MessageState = "sending" // somebody has; if they are gone, nobody knows whether it went
	MessageSent    MessageState = "sent"    // it was taken
	MessageFailed  MessageState = "failed"  // it was refused, came back, or was not taken in time
)

// Message is one in the outbox.
type Message struct {
	ID                 string // 32 lower-case hex digits
	Kind               MessageKind
	Case, Card, Holder string // empty where there is none
	Channel            string // email, mobile
	Language           string // en, cy
	Recipient, Content []byte // sealed; nil once the message is over
	State              MessageState
	MadeAt, DueAt      time.Time
	DiesAt             time.Time // it is worth nothing after that
	Tries              int
	Reference          string // of whoever took it
	Failure            string // of a failed one: why, without a name in it
}

// AddMessage puts a message into the outbox.
func (t *Tx) AddMessage(m Message) error {
	err := t.exec(keys{messageKey(m.ID)}, `INSERT INTO messages (id, kind, case_id, card, holder, channel, language, recipient, content, state,
			made_at, due_at, dies_at, tries, reference, failure) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)`,
		m.ID, m.Kind, m.Case, m.Card, m.Holder, m.Channel, m.Language, m.Recipient, m.Content, m.State,
		millis(m.MadeAt), millis(m.DueAt), millis(m.DiesAt), m.Tries, m.Reference, m.Failure)
	if err != nil {
		return fmt.Errorf("keep message: %w", err)
	}
	return nil
}
