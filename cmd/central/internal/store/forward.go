package store

import (
	"errors"
	"fmt"
	"time"

	"latchkey/cmd/central/internal/ledger"
)

// Lease takes or renews what one process of several does at a time, until a time; taken is false if another has it.
func (t *Tx) Lease(name, holder string, now, until time.Time) (taken bool, err error) {
	var who string
	err = t.row(keys{leaseKey(name)}, `INSERT INTO leases (name, holder, until) VALUES ($1, $2, $3)
		ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until WHERE leases.holder = excluded.holder OR leases.until <= $4
		RETURNING holder`, []any{name, holder, millis(until), millis(now)}, &who)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return false, fmt.Errorf("lease: %w", err)
	}
	return err == nil, nil
}

// EventsToForward lists events that are not out yet, at most limit, in order for each kiosk.
func (t *Tx) EventsToForward(limit int) (list []ledger.Event, err error) {
	err = t.rows(keys{everything}, `SELECT e.seq, e.at, e.kind, e.kiosk, e.case_id, e.card, e.note, e.by_whom
		FROM (SELECT name FROM kiosks UNION SELECT kiosk FROM enrolments UNION SELECT '') k
		JOIN events e ON e.kiosk = k.name AND e.seq > COALESCE((SELECT f.seq FROM forwarded f WHERE f.kiosk = k.name), 0)
		ORDER BY e.kiosk, e.seq LIMIT $1`, []any{limit},
		func(scan func(...any) error) error {
			e, err := scanEvent(scan)
			list = append(list, e)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("events to forward: %w", err)
	}
	return list, nil
}

// forwardedKey is one for all kiosks: whoever has the lease is alone, and a batch can be about more kiosks than there are locks.
var forwardedKey = leaseKey("forwarded")

// SetForwarded notes that a kiosk's events are out up to a number.
func (t *Tx) SetForwarded(kiosk string, seq int64) error {
	err := t.exec(keys{forwardedKey}, `INSERT INTO forwarded (kiosk, seq) VALUES ($1, $2)
		ON CONFLICT (kiosk) DO UPDATE SET seq = excluded.seq`, kiosk, seq)
	if err != nil {
		return fmt.Errorf("note what was forwarded: %w", err)
	}
	return nil
}
