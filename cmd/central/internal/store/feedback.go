package store

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"latchkey/cmd/central/internal/cases"
)

// Feedback is what a holder had to say. Who, where exactly and when exactly is not kept.
type Feedback struct {
	ID               string // 32 lower-case hex digits
	Day              string // UTC, as time.DateOnly
	Site             string // of the kiosk; empty if not known
	Stars            int
	Comment, Contact []byte // sealed; nil if there is none
}

// places are how many tries one row has to find a place that is free: of two billion, a few are taken.
const places = 8

// HasFeedback says whether there is one with this id.
func (t *Tx) HasFeedback(id string) (bool, error) {
	var one int64
	err := t.row(keys{feedbackKey(id)}, `SELECT 1 FROM feedback WHERE id = $1`, []any{id}, &one)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("feedback: %w", err)
	}
	return true, nil
}

// AddFeedback keeps one whose id is new. It goes to a random place.
func (t *Tx) AddFeedback(f Feedback) error {
	for range places {
		var b [4]byte
		rand.Read(b[:])
		place := int64(binary.BigEndian.Uint32(b[:]) >> 1)
		var id string
		err := t.row(keys{feedbackKey(f.ID)}, `INSERT INTO feedback (place, id, day, site, stars, comment, contact) VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT (place) DO NOTHING RETURNING id`, []any{place, f.ID, f.Day, f.Site, f.Stars, f.Comment, f.Contact}, &id)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, ErrNotFound):
			return fmt.Errorf("keep feedback: %w", err)
		}
	}
	return errors.New("keep feedback: no place is free")
}

// FeedbackFilter says which feedback is asked for.
type FeedbackFilter struct {
	From, Until string // days, both included
	Site        string // empty: any
}

const fromFeedback = ` FROM feedback WHERE day >= $1 AND day <= $2 AND ($3 = '' OR site = $3) `

// Feedback lists by day and site, at most limit; within these the order is none.
func (t *Tx) Feedback(f FeedbackFilter, limit int) (list []Feedback, err error) {
	err = t.rows(keys{everything}, `SELECT id, day, site, stars, comment, contact`+fromFeedback+`ORDER BY day, site, id LIMIT $4`,
		[]any{f.From, f.Until, f.Site, limit}, func(scan func(...any) error) error {
			var one Feedback
			err := scan(&one.ID, &one.Day, &one.Site, &one.Stars, &one.Comment, &one.Contact)
			list = append(list, one)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("feedback: %w", err)
	}
	return list, nil
}

// FeedbackSum is what was said at a site in a month, in numbers.
type FeedbackSum struct {
	Month        string // such as 2026-11
	Site         string
	Count, Stars int // how many, and their stars together
}

// FeedbackSums sums by month and site.
func (t *Tx) FeedbackSums(f FeedbackFilter) (list []FeedbackSum, err error) {
	err = t.rows(keys{everything}, `SELECT SUBSTR(day, 1, 7), site, COUNT(*), CAST(SUM(stars) AS BIGINT)`+fromFeedback+`GROUP BY 1, 2 ORDER BY 1, 2`,
		[]any{f.From, f.Until, f.Site}, func(scan func(...any) error) error {
			var one FeedbackSum
			err := scan(&one.Month, &one.Site, &one.Count, &one.Stars)
			list = append(list, one)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("feedback: %w", err)
	}
	return list, nil
}

// dropFeedback removes what was kept long enough, and what says which kiosk sent some an hour ago.
func (t *Tx) dropFeedback(now, since time.Time) error {
	if err := t.exec(nil, `DELETE FROM feedback WHERE day < $1`, since.UTC().Format(time.DateOnly)); err != nil {
		return fmt.Errorf("drop old feedback: %w", err)
	}
	prefix := FeedbackSubject("")
	err := t.exec(nil, `DELETE FROM strikes WHERE subject >= $1 AND subject < $2 AND at < $3`, prefix, prefix[:len(prefix)-1]+"0", millis(now.Add(-cases.StrikeWindow)))
	if err != nil {
		return fmt.Errorf("drop old feedback: %w", err)
	}
	return nil
}
