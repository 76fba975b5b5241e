package store

import (
	"fmt"
	"time"
)

// Counts is the state of the service in numbers.
type Counts struct {
	Kiosks         map[KioskState]int64
	Quarantined    int64 // kiosks, of any state
	Opened         int64 // kiosks whose case was opened and not cleared since; disabled ones do not count
	OpenCases      int64
	UnsettledLate  int64 // grants that have run out without an outcome
	Waiting        int64 // messages that are to be handed over
	OldestWaiting  time.Time
	FailedMessages int64 // within the last hour
}

// Counts counts. It is for a View.
func (t *Tx) Counts(now time.Time) (c Counts, err error) {
	c.Kiosks = map[KioskState]int64{KioskEnrolled: 0, KioskActive: 0, KioskDisabled: 0}
	err = t.rows(keys{everything}, `SELECT state, COUNT(*) FROM kiosks GROUP BY state`, nil, func(scan func(...any) error) error {
		var s KioskState
		var n int64
		err := scan(&s, &n)
		c.Kiosks[s] = n
		return err
	})
	if err != nil {
		return c, fmt.Errorf("count kiosks: %w", err)
	}
	var oldest int64
	err = t.row(keys{everything}, `SELECT (SELECT COUNT(*) FROM kiosks WHERE quarantined_at > 0),
		(SELECT COUNT(*) FROM kiosks WHERE case_told_at > 0 AND case_cleared_at = 0 AND state <> 'disabled'),
		(SELECT COUNT(*) FROM cases WHERE state NOT IN ('settled', 'closed') AND expires_at > $1),
		(SELECT COUNT(*) FROM grants WHERE outcome_at IS NULL AND expires_at <= $1),
		(SELECT COUNT(*) FROM messages WHERE state = 'waiting'),
		(SELECT COALESCE(MIN(made_at), 0) FROM messages WHERE state = 'waiting'),
		(SELECT COUNT(*) FROM messages WHERE state = 'failed' AND made_at > $2)`,
		[]any{now.UnixMilli(), now.Add(-time.Hour).UnixMilli()},
		&c.Quarantined, &c.Opened, &c.OpenCases, &c.UnsettledLate, &c.Waiting, &oldest, &c.FailedMessages)
	c.OldestWaiting = moment(oldest)
	if err != nil {
		return c, fmt.Errorf("count: %w", err)
	}
	return c, nil
}
