package store

import (
	"fmt"
	"slices"
	"time"

	"latchkey/cmd/central/internal/ledger"
)

// EventFilter says which events are asked for; a zero field lets all through.
type EventFilter struct {
	Since time.Time
	Kind  ledger.Kind
	Card  string // serial
	By    string
}

// NewestEvents lists the newest of central's events that f lets through, at most limit, in the order of central's clock.
func (t *Tx) NewestEvents(f EventFilter, limit int) (list []ledger.Event, err error) {
	err = t.rows(keys{everything}, `SELECT seq, at, kind, kiosk, case_id, card, note, by_whom FROM events
			WHERE at >= $1 AND kind <> '`+string(ledger.Erased)+`' AND ($2 = '' OR kind = $2) AND ($3 = '' OR card = $3) AND ($4 = '' OR by_whom = $4)
			ORDER BY at DESC, kiosk DESC, seq DESC LIMIT $5`, []any{millis(f.Since), f.Kind, f.Card, f.By, limit},
		func(scan func(...any) error) error {
			var e ledger.Event
			var at int64
			err := scan(&e.Seq, &at, &e.Kind, &e.Kiosk, &e.Case, &e.Card, &e.Note, &e.By)
			e.At = moment(at)
			list = append(list, e)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("events: %w", err)
	}
	slices.Reverse(list)
	return list, nil
}
