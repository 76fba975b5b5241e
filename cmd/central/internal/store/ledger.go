package store

import (
	"crypto/rand"
	"errors"
	"fmt"

	"latchkey/cmd/central/internal/ledger"
)

// AppendEvent adds an event of central's to the ledger and numbers it among its kiosk's.
func (t *Tx) AppendEvent(e ledger.Event) error {
	var salt [32]byte
	rand.Read(salt[:])
	err := t.exec(keys{kioskKey(e.Kiosk)}, `INSERT INTO events (kiosk, seq, at, kind, case_id, card, note, by_whom, salt)
		VALUES ($1, (SELECT COALESCE(MAX(seq), 0) + 1 FROM events WHERE kiosk = $1), $2, $3, $4, $5, $6, $7, $8)`,
		e.Kiosk, millis(e.At), e.Kind, e.Case, e.Card, e.Note, e.By, salt[:])
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

// currentLog is which of a kiosk's journals central takes, in a statement about a kiosk $1.
const currentLog = `COALESCE((SELECT log FROM kiosks WHERE name = $1), 1)`

// HeldEntries is the number of the last entry that is held of a kiosk's journal. If there is none, it is the entry before the
// journal's first: 0, or -1 if the kiosk, which an engineer let begin anew, has not told yet.
func (t *Tx) HeldEntries(kiosk string) (last int64, err error) {
	err = t.row(keys{kioskKey(kiosk)}, `SELECT COALESCE((SELECT MAX(seq) FROM entries WHERE kiosk = $1 AND log = `+currentLog+`),
		(SELECT log_from FROM kiosks WHERE name = $1), 0)`, []any{kiosk}, &last)
	if err != nil {
		return 0, fmt.Errorf("entries held: %w", err)
	}
	return last, nil
}

// HeldHash is the hash of a kiosk's chain after an entry that is held, or after the one before the journal's first.
func (t *Tx) HeldHash(kiosk string, seq int64) (hash [32]byte, err error) {
	if seq <= 0 {
		return hash, nil
	}
	var b []byte
	err = t.row(keys{kioskKey(kiosk)}, `SELECT COALESCE((SELECT hash FROM entries WHERE kiosk = $1 AND log = `+currentLog+` AND seq = $2),
		(SELECT log_hash FROM kiosks WHERE name = $1 AND log_from = $2))`, []any{kiosk, seq}, &b)
	if err == nil && b == nil {
		err = ErrNotFound
	}
	if err != nil {
		return hash, fmt.Errorf("entry %d: %w", seq, err)
	}
	if copy(hash[:], b) != len(hash) {
		return hash, errors.New("entry: the stored hash is cut off")
	}
	return hash, nil
}

// AppendEntry adds an entry of a kiosk's journal.
func (t *Tx) AppendEntry(kiosk string, e ledger.Linked) error {
	s := said(e.Body)
	err := t.exec(keys{kioskKey(kiosk)}, `INSERT INTO entries (kiosk, log, seq, body, salt, hash, signature, before, kind, at, case_id, reason)
		VALUES ($1, `+currentLog+`, $2, $3, $4, $5, $6, (SELECT log_hash FROM kiosks WHERE name = $1 AND log > 1 AND log_from = CAST($2 AS BIGINT) - 1), $7, $8, $9, $10)`,
		kiosk, e.Seq, e.Body, e.Salt[:], e.Hash[:], e.Signature, s.Kind, s.At, s.Case, s.Reason)
	if err != nil {
		return fmt.Errorf("append entry %d: %w", e.Seq, err)
	}
	return nil
}

// SetKioskLog stores which of its journals central takes from a kiosk, where that begins (Log, LogFrom, LogHash), and BackedUp.
// What was shown of the journal before counts no more.
func (t *Tx) SetKioskLog(k Kiosk) error {
	err := t.exec(keys{kioskKey(k.Name)}, `UPDATE kiosks SET log = $2, log_from = $3, log_hash = $4, backed_up = $5,
		shown_seq = 0, shown_hash = NULL, shown_at = 0 WHERE name = $1`,
		k.Name, k.Log, k.LogFrom, digest(k.LogHash), k.BackedUp)
	if err != nil {
		return fmt.Errorf("store kiosk: %w", err)
	}
	return nil
}
