package store

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"latchkey/cmd/central/internal/cases"
)

// Strike is something that counts against a subject: "kiosk/NAME", "holder/ID", "address/IP".
type Strike struct {
	Subject string
	At      time.Time
	Why     string // a code of the catalogue, and the card if it counts by cards
}

// strikesKept is how long strikes of a subject are looked at, at most.
func strikesKept(subject string) time.Duration {
	if strings.HasPrefix(subject, LockoutSubject("")) {
		return cases.LockoutWindow
	}
	if strings.HasPrefix(subject, FeedbackSubject("")) {
		return cases.StrikeWindow
	}
	return cases.VisitWindow // the longest of all others
}

// AddStrike books a strike, and drops those of the same subject that nobody looks at any more.
func (t *Tx) AddStrike(s Strike) error {
	err := errors.Join(
		t.exec(keys{strikeKey(s.Subject)}, `DELETE FROM strikes WHERE subject = $1 AND at < $2`, s.Subject, millis(s.At.Add(-strikesKept(s.Subject)))),
		t.exec(keys{strikeKey(s.Subject)}, `INSERT INTO strikes (subject, at, why) VALUES ($1, $2, $3)`, s.Subject, millis(s.At), s.Why))
	if err != nil {
		return fmt.Errorf("book strike: %w", err)
	}
	return nil
}

// AddStrikeOnce books a strike, unless the subject was struck for the same reason since then.
func (t *Tx) AddStrikeOnce(s Strike, since time.Time) error {
	var booked int
	err := t.row(keys{strikeKey(s.Subject)}, `SELECT COUNT(*) FROM strikes WHERE subject = $1 AND at >= $2 AND why = $3`,
		[]any{s.Subject, millis(since), s.Why}, &booked)
	if err != nil {
		return fmt.Errorf("book strike: %w", err)
	}
	if booked > 0 {
		return nil
	}
	return t.AddStrike(s)
}

// Strikes lists when a subject was struck since a time, oldest first: a day ago at most, or a month for lockouts.
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
