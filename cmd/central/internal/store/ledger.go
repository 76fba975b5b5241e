package store

import (
	"errors"
	"fmt"

	"latchkey/cmd/central/internal/ledger"
)

// AppendEvent adds an event of central's to the ledger and numbers it.
func (t *Tx) AppendEvent(e ledger.Event) error {
	_, err := t.exec(`INSERT INTO events (seq, at, kind, kiosk, case_id, card, note)
		SELECT COALESCE(MAX(seq), 0) + 1, $1, $2, $3, $4, $5, $6 FROM events`,
		millis(e.At), e.Kind, e.Kiosk, e.Case, e.Card, e.Note)
	if err != nil {
		return fmt.Errorf("append to ledger: %w", err)
	}
	return nil
}

// Events lists central's events of a case, in order; of all cases if it is empty.
func (t *Tx) Events(caseID string) (list []ledger.Event, err error) {
	err = t.rows(`SELECT seq, at, kind, kiosk, case_id, card, note FROM events WHERE $1 = '' OR case_id = $1 ORDER BY seq`, []any{caseID},
		func(scan func(...any) error) error {
			var e ledger.Event
			var at int64
			err := scan(&e.Seq, &at, &e.Kind, &e.Kiosk, &e.Case, &e.Card, &e.Note)
			e.At = moment(at)
			list = append(list, e)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("events: %w", err)
	}
	return list, nil
}

// HeldEntries is the number of the last entry that is held of a kiosk's journal; 0 if there is none.
func (t *Tx) HeldEntries(kiosk string) (last int64, err error) {
	if err := t.row(`SELECT COALESCE(MAX(seq), 0) FROM entries WHERE kiosk = $1`, []any{kiosk}, &last); err != nil {
		return 0, fmt.Errorf("entries held: %w", err)
	}
	return last, nil
}

// HeldHash is the hash of a kiosk's chain after an entry that is held.
func (t *Tx) HeldHash(kiosk string, seq int64) (hash [32]byte, err error) {
	if seq == 0 {
		return hash, nil
	}
	var b []byte
	if err := t.row(`SELECT hash FROM entries WHERE kiosk = $1 AND seq = $2`, []any{kiosk, seq}, &b); err != nil {
		return hash, fmt.Errorf("entry %d: %w", seq, err)
	}
	if copy(hash[:], b) != len(hash) {
		return hash, errors.New("entry: the stored hash is cut off")
	}
	return hash, nil
}

// AppendEntry adds an entry of a kiosk's journal.
func (t *Tx) AppendEntry(kiosk string, e ledger.Linked) error {
	_, err := t.exec(`INSERT INTO entries (kiosk, seq, body, salt, hash) VALUES ($1, $2, $3, $4, $5)`,
		kiosk, e.Seq, e.Body, e.Salt[:], e.Hash[:])
	if err != nil {
		return fmt.Errorf("append entry %d: %w", e.Seq, err)
	}
	return nil
}
