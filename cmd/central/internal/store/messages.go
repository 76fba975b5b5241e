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
	err := t.exec(keys{messageKey(m.ID)}, `INSERT INTO messages (`+messageColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)`,
		m.ID, m.Kind, m.Case, m.Card, m.Holder, m.Channel, m.Language, m.Recipient, m.Content, m.State,
		millis(m.MadeAt), millis(m.DueAt), millis(m.DiesAt), m.Tries, m.Reference, m.Failure)
	if err != nil {
		return fmt.Errorf("keep message: %w", err)
	}
	return nil
}

const messageColumns = `id, kind, case_id, card, holder, channel, language, recipient, content, state, made_at, due_at, dies_at, tries, reference, failure`

// Message finds a message.
func (t *Tx) Message(id string) (m Message, err error) {
	var made, due, dies int64
	err = t.row(keys{messageKey(id)}, `SELECT `+messageColumns+` FROM messages WHERE id = $1`, []any{id},
		&m.ID, &m.Kind, &m.Case, &m.Card, &m.Holder, &m.Channel, &m.Language, &m.Recipient, &m.Content, &m.State,
		&made, &due, &dies, &m.Tries, &m.Reference, &m.Failure)
	if err != nil {
		return m, fmt.Errorf("message: %w", err)
	}
	m.MadeAt, m.DueAt, m.DiesAt = moment(made), moment(due), moment(dies)
	return m, nil
}

// SetMessage stores how far a message has come.
func (t *Tx) SetMessage(m Message) error {
	err := t.exec(keys{messageKey(m.ID)}, `UPDATE messages SET recipient = $2, content = $3, state = $4, due_at = $5, tries = $6, reference = $7, failure = $8
		WHERE id = $1`, m.ID, m.Recipient, m.Content, m.State, millis(m.DueAt), m.Tries, m.Reference, m.Failure)
	if err != nil {
		return fmt.Errorf("store message: %w", err)
	}
	return nil
}

// DueMessages lists the messages that somebody should look at, the longest due first: those that wait, and those that
// somebody began to hand over and should have done with. It is for a View, whoever acts on one looks at it again.
func (t *Tx) DueMessages(now time.Time, limit int) (ids []string, err error) {
	err = t.rows(keys{everything}, `SELECT id FROM messages WHERE state IN ('waiting', 'sending') AND due_at <= $1 ORDER BY due_at, id LIMIT $2`,
		[]any{now.UnixMilli(), limit}, func(scan func(...any) error) error {
			var id string
			err := scan(&id)
			ids = append(ids, id)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("due messages: %w", err)
	}
	return ids, nil
}

// DropMessages removes the messages that are over and have been worth nothing since before then.
func (t *Tx) DropMessages(then time.Time) error {
	// Without their keys: nobody changes what is over so long.
	if err := t.exec(nil, `DELETE FROM messages WHERE state IN ('sent', 'failed') AND dies_at < $1`, then.UnixMilli()); err != nil {
		return fmt.Errorf("drop old messages: %w", err)
	}
	return nil
}
