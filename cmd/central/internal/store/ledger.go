package store

import (
	"errors"
	"fmt"

	"latchkey/cmd/central/internal/ledger"
)

// AppendEvent adds an event of central's to the ledger and numbers it among its kiosk's.
func (t *Tx) AppendEvent(e ledger.Event) error {
	err := t.exec(keys{kioskKey(e.Kiosk)}, `INSERT INTO events (kiosk, seq, at, kind, case_id, card, note, by_whom)
		VALUES ($1, (SELECT COALESCE(MAX(seq), 0) + 1 FROM events WHERE kiosk = $1), $2, $3, $4, $5, $6, $7)`,
		e.Kiosk, millis(e.At), e.Kind, e.Case, e.Card, e.Note, e.By)
	if err != nil {
		return fmt.Errorf("append to ledger: %w", err)
	}
	return nil
}

func scanEvent(scan func(...any) error) (e ledger.Event, err error) {
	var at int64
	err = scan(&e.Seq, &at, &e.Kind, &e.Kiosk, &e.Case, &e.Card, &e.Note, &e.By)
	e.At = moment(at)
	return e, err
}

// Events lists central's events of a case, in order; if it is empty all events, in the order of central's clock.
func (t *Tx) Events(caseID string) (list []ledger.Event, err error) {
	where, args := `WHERE case_id = $1 ORDER BY kiosk, seq`, []any{caseID}
	if caseID == "" {
		where, args = `ORDER BY at, kiosk, seq`, nil
	}
	err = t.rows(keys{everything}, `SELECT seq, at, kind, kiosk, case_id, card, note, by_whom FROM events `+where, args,
		func(scan func(...any) error) error {
			e, err := scanEvent(scan)
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
	if err := t.row(keys{kioskKey(kiosk)}, `SELECT COALESCE(MAX(seq), 0) FROM entries WHERE kiosk = $1`, []any{kiosk}, &last); err != nil {
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
	if err := t.row(keys{kioskKey(kiosk)}, `SELECT hash FROM entries WHERE kiosk = $1 AND seq = $2`, []any{kiosk, seq}, &b); err != nil {
		return hash, fmt.Errorf("entry %d: %w", seq, err)
	}
	if copy(hash[:], b) != len(hash) {
		return hash, errors.New("entry: the stored hash is cut off")
	}
	return hash, nil
}

// AppendEntry adds an entry of a kiosk's journal.
func (t *Tx) AppendEntry(kiosk string, e ledger.Linked) error {
	err := t.exec(keys{kioskKey(kiosk)}, `INSERT INTO entries (kiosk, seq, body, salt, hash) VALUES ($1, $2, $3, $4, $5)`,
		kiosk, e.Seq, e.Body, e.Salt[:], e.Hash[:])
	if err != nil {
		return fmt.Errorf("append entry %d: %w", e.Seq, err)
	}
	return nil
}
