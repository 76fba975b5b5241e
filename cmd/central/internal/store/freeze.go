package store

import (
	"fmt"
	"time"
)

// FreezeWord is what the holder of a card can type to freeze it.
type FreezeWord struct {
	MAC        []byte // under the key of codes
	Case, Card string
	ExpiresAt  time.Time
}

// AddFreezeWord keeps a word that is about to be sent.
func (t *Tx) AddFreezeWord(w FreezeWord) error {
	err := t.exec(keys{cardKey(w.Card)}, `INSERT INTO freeze_words (word_mac, case_id, card, expires_at) VALUES ($1, $2, $3, $4)`,
		w.MAC, w.Case, w.Card, millis(w.ExpiresAt))
	if err != nil {
		return fmt.Errorf("keep freeze word: %w", err)
	}
	return nil
}

// FreezeWord finds a word by its MAC, also one that has run out.
func (t *Tx) FreezeWord(mac []byte) (FreezeWord, error) {
	w := FreezeWord{MAC: mac}
	var expires int64
	err := t.row(keys{wordKey(mac)}, `SELECT case_id, card, expires_at FROM freeze_words WHERE word_mac = $1`, []any{mac}, &w.Case, &w.Card, &expires)
	if err != nil {
		return w, fmt.Errorf("freeze word: %w", err)
	}
	w.ExpiresAt = moment(expires)
	return w, nil
}

// FreezeCard freezes a card, or ends that with the zero Time.
func (t *Tx) FreezeCard(serial string, at time.Time) error {
	if err := t.exec(keys{cardKey(serial)}, `UPDATE cards SET frozen_at = $2 WHERE serial = $1`, serial, millis(at)); err != nil {
		return fmt.Errorf("freeze card: %w", err)
	}
	return nil
}

// UnfreezeCard ends a freeze.
func (t *Tx) UnfreezeCard(serial string) error { return t.FreezeCard(serial, time.Time{}) }

// ApproveCard lets a card pass what steps up until a time; the zero Time ends that.
func (t *Tx) ApproveCard(serial string, until time.Time) error {
	if err := t.exec(keys{cardKey(serial)}, `UPDATE cards SET approved_until = $2 WHERE serial = $1`, serial, millis(until)); err != nil {
		return fmt.Errorf("approve card: %w", err)
	}
	return nil
}
