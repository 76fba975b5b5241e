package store

import (
	"database/sql"
	"fmt"
	"time"

	"latchkey/cmd/central/internal/cases"
)

// Whom strikes count against. What each counts has its own, so that one limit does not use up another's.

// KioskSubject is a kiosk that misbehaves.
func KioskSubject(name string) string { return "kiosk/" + name }

// NetworkSubject is a network from which kiosks misbehave.
func NetworkSubject(network string) string { return "network/" + network }

// WordsSubject is a network from which words that freeze nothing are tried.
func WordsSubject(network string) string { return "words/" + network }

// EnrolmentSubject is a network from which enrolment codes are tried.
func EnrolmentSubject(network string) string { return "address/" + network }

// VisitsSubject is a holder whose visits come to nothing.
func VisitsSubject(holder string) string { return "holder/" + holder }

// LockoutSubject is a holder for whose cards too many wrong codes were typed.
func LockoutSubject(holder string) string { return "lockout/" + holder }

// ServiceSubject is a kiosk that was given new service codes.
func ServiceSubject(kiosk string) string { return "service/" + kiosk }

// FeedbackSubject is a kiosk that sends feedback. Its strikes are of the hour, not of the minute.
func FeedbackSubject(kiosk string) string { return "feedback/" + kiosk }

// DropStrikes forgives all strikes of a subject.
func (t *Tx) DropStrikes(subject string) error {
	if err := t.exec(keys{strikeKey(subject)}, `DELETE FROM strikes WHERE subject = $1`, subject); err != nil {
		return fmt.Errorf("forgive strikes: %w", err)
	}
	return nil
}

// dropStrikes removes the strikes and the words of messages that count no more.
func (t *Tx) dropStrikes(now time.Time) error {
	// Without their keys: nobody looks at them again.
	if err := t.exec(nil, `DELETE FROM strikes WHERE at < $1`, millis(now.Add(-cases.LockoutWindow))); err != nil {
		return fmt.Errorf("drop old strikes: %w", err)
	}
	if err := t.exec(nil, `DELETE FROM freeze_words WHERE expires_at <= $1`, millis(now)); err != nil {
		return fmt.Errorf("drop old words: %w", err)
	}
	return nil
}

// CardStruck is Card, and the subject's strike of that number counted from its newest; zero if it has not so many since then.
// Both are one question, which every visit begins with. The strikes are read without the subject's lock, so that a whole hospital
// behind one address does not wait in a row; whoever books one counts them under it.
func (t *Tx) CardStruck(serial, subject string, since time.Time, number int) (c cases.Card, struck time.Time, err error) {
	err = ErrNotFound
	e := t.rows(keys{cardKey(serial)}, `SELECT `+cardColumns+`,
		(SELECT at FROM strikes WHERE subject = $2 AND at >= $3 ORDER BY at DESC LIMIT 1 OFFSET $4) FROM cards WHERE serial = $1`,
		[]any{serial, subject, millis(since), number - 1}, func(scan func(...any) error) error {
			var at sql.NullInt64
			c, err = scanCard(func(into ...any) error { return scan(append(into, &at)...) })
			struck = moment(at.Int64)
			return err
		})
	if e != nil {
		err = e
	}
	if err != nil {
		return c, struck, fmt.Errorf("card: %w", err)
	}
	return c, struck, nil
}

// Visits lists a card's cases that are not over, at any kiosk, and what is on record about its visit to this one. Of other kiosks'
// places what was committed last is good enough.
func (t *Tx) Visits(card, kiosk string, now time.Time) (open []cases.Case, around cases.Surroundings, err error) {
	err = t.rows(keys{cardKey(card), kioskKey(kiosk)}, `SELECT `+caseColumns+`,
			(SELECT latitude FROM kiosks WHERE name = kiosk), (SELECT longitude FROM kiosks WHERE name = kiosk),
			(SELECT COUNT(DISTINCT card) FROM cases WHERE kiosk = $2 AND proved_at > $3 AND card <> $1)
		FROM cases WHERE card = $1 AND (state NOT IN ('settled', 'closed') OR proved_at > $4) ORDER BY begun_at, id`,
		[]any{card, kiosk, millis(now.Add(-cases.BusyWindow)), millis(now.Add(-cases.TravelWindow))},
		func(scan func(...any) error) error {
			var latitude, longitude sql.NullInt64
			c, err := scanCase(func(into ...any) error { return scan(append(into, &latitude, &longitude, &around.OtherCards)...) })
			if err != nil {
				return err
			}
			at := place(latitude, longitude).degrees()
			if c.Kiosk == kiosk {
				around.Place = at
			} else if !c.ProvedAt.IsZero() {
				around.Elsewhere = append(around.Elsewhere, cases.Seen{At: c.ProvedAt, Place: at})
			}
			if !c.State.Over() {
				open = append(open, c)
			}
			return nil
		})
	if err != nil {
		return nil, around, fmt.Errorf("visits: %w", err)
	}
	return open, around, nil
}

// degrees of a place; nil if it is not known.
func (p *Place) degrees() *cases.Place {
	if p == nil {
		return nil
	}
	return &cases.Place{Latitude: float64(p.Latitude) / 1e6, Longitude: float64(p.Longitude) / 1e6}
}

// QuarantineHolder begins a holder's quarantine, or ends it with the zero Time.
func (t *Tx) QuarantineHolder(id string, at time.Time) error {
	if err := t.exec(keys{holderKey(id)}, `UPDATE holders SET quarantined_at = $2 WHERE id = $1`, id, millis(at)); err != nil {
		return fmt.Errorf("quarantine holder: %w", err)
	}
	return nil
}
