package store

import (
	"database/sql"
	"fmt"
	"time"
)

// Answer is what a request was answered with, under its Idempotency-Key.
type Answer struct {
	Kiosk, Route, Key string
	BodyMAC           []byte
	Case              string // empty where there is none
	At                time.Time
	Status            int    // HTTP; 0 while the effect is under way
	Body              []byte // nil once it died with its case
	DiesAt            time.Time
}

// Answer finds what a request was answered with.
func (t *Tx) Answer(kiosk, route, key string) (Answer, error) {
	a := Answer{Kiosk: kiosk, Route: route, Key: key}
	var at, dies int64
	err := t.row(keys{kioskKey(kiosk)}, `SELECT body_mac, case_id, at, status, body, dies_at FROM answers WHERE kiosk = $1 AND route = $2 AND key = $3`,
		[]any{kiosk, route, key}, &a.BodyMAC, &a.Case, &at, &a.Status, &a.Body, &dies)
	if err != nil {
		return a, fmt.Errorf("stored answer: %w", err)
	}
	a.At, a.DiesAt = moment(at), moment(dies)
	return a, nil
}

// KioskAnswer is Kiosk, and what its request was answered with, or nil: one question, with which every request begins.
func (t *Tx) KioskAnswer(kiosk, route, key string) (k Kiosk, was *Answer, err error) {
	err = ErrNotFound
	e := t.rows(keys{kioskKey(kiosk)}, `SELECT `+kioskColumns+`, body_mac, case_id, at, status, body, dies_at
		FROM kiosks LEFT JOIN answers ON kiosk = name AND route = $2 AND key = $3 WHERE name = $1`,
		[]any{kiosk, route, key}, func(scan func(...any) error) error {
			a := Answer{Kiosk: kiosk, Route: route, Key: key}
			var at, status, dies sql.NullInt64
			var of sql.NullString
			k, err = scanKiosk(func(into ...any) error { return scan(append(into, &a.BodyMAC, &of, &at, &status, &a.Body, &dies)...) })
			if at.Valid {
				a.Case, a.Status, a.At, a.DiesAt = of.String, int(status.Int64), moment(at.Int64), moment(dies.Int64)
				was = &a
			}
			return err
		})
	if e != nil {
		err = e
	}
	if err != nil {
		return k, nil, fmt.Errorf("kiosk and stored answer: %w", err)
	}
	return k, was, nil
}

// SetAnswer stores an answer, or what an effect under way has come to.
func (t *Tx) SetAnswer(a Answer) error {
	err := t.exec(keys{kioskKey(a.Kiosk)}, `INSERT INTO answers (kiosk, route, key, body_mac, case_id, at, status, body, dies_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
		ON CONFLICT (kiosk, route, key) DO UPDATE SET case_id = excluded.case_id, status = excluded.status, body = excluded.body, dies_at = excluded.dies_at`,
		a.Kiosk, a.Route, a.Key, a.BodyMAC, a.Case, millis(a.At), a.Status, a.Body, millis(a.DiesAt))
	if err != nil {
		return fmt.Errorf("store answer: %w", err)
	}
	return nil
}

// sweep is how often old answers are looked for: whoever removes the same rows at once is in each other's way.
const sweep = time.Minute

// DropAnswers removes what nobody can ask for again, strikes and words that count no more, and feedback of the days before feedbackSince,
// unless that was done within the last minute.
func (t *Tx) DropAnswers(now, feedbackSince time.Time) error {
	last := t.swept.Load()
	if passed := now.UnixMilli() - last; passed >= 0 && passed < sweep.Milliseconds() || !t.swept.CompareAndSwap(last, now.UnixMilli()) {
		return nil
	}
	// Of all kiosks and without their keys: who still reads what is dead reads it as it was a moment before.
	if err := t.exec(nil, `DELETE FROM answers WHERE dies_at <= $1`, now.UnixMilli()); err != nil {
		return fmt.Errorf("drop old answers: %w", err)
	}
	if err := t.dropFeedback(now, feedbackSince); err != nil {
		return err
	}
	return t.dropStrikes(now)
}
