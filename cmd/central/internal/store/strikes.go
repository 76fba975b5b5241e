package store

import (
	"errors"
	"fmt"
	"time"
)

// Strike is something that counts against a subject: "kiosk/NAME", "holder/ID", "address/IP".
type Strike struct {
	Subject string
	At      time.Time
	Why     string // a code of the catalogue
}

// strikesKept is how long strikes are looked at, at most.
const strikesKept = 24 * time.Hour

// AddStrike books a strike, and drops those of the same subject that nobody looks at any more.
func (t *Tx) AddStrike(s Strike) error {
	err := errors.Join(
		t.exec(keys{strikeKey(s.Subject)}, `DELETE FROM strikes WHERE subject = $1 AND at < $2`, s.Subject, millis(s.At.Add(-strikesKept))),
		t.exec(keys{strikeKey(s.Subject)}, `INSERT INTO strikes (subject, at, why) VALUES ($1, $2, $3)`, s.Subject, millis(s.At), s.Why))
	if err != nil {
		return fmt.Errorf("book strike: %w", err)
	}
	return nil
}

// Strikes lists when a subject was struck since a time, a day ago at most, oldest first.
func (t *Tx) Strikes(subject string, since time.Time) (list []time.Time, err error) {
	err = t.rows(keys{strikeKey(subject)}, `SELECT at FROM strikes WHERE subject = $1 AND at >= $2 ORDER BY at`, []any{subject, millis(since)},
		func(scan func(...any) error) error {
			var at int64
			err := scan(&at)
			list = append(list, moment(at))
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("strikes: %w", err)
	}
	return list, nil
}
