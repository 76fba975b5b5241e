package office

import (
	"context"
	"errors"
	"time"

	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/store"
	"latchkey/firmware/wire/ra"
)

// Listed are how many of the newest are listed.
const (
	ListedCases  = 1000
	ListedEvents = 10000
)

func caseOf(c cases.Case, now time.Time) ra.Case {
	return ra.Case{
		Id: c.ID, State: string(c.State), Reason: string(c.Reason), Kiosk: c.Kiosk, Attempts: c.Attempts, Sends: c.Sends,
		BegunAt: c.BegunAt, ExpiresAt: c.ExpiresAt, Expired: !c.State.Over() && !c.Open(now),
	}
}

func eventOf(e ledger.Event) ra.Event {
	return ra.Event{At: e.At, Kind: string(e.Kind), Kiosk: e.Kiosk, Case: e.Case, Card: e.Card, Note: e.Note, By: e.By}
}

// ListCases lists the newest cases, oldest of them first.
func ListCases(ctx context.Context, s store.Store, now time.Time) (rows []ra.Case, err error) {
	err = s.View(ctx, func(tx *store.Tx) error {
		rows = []ra.Case{}
		list, err := tx.Cases(ListedCases)
		for _, c := range list {
			rows = append(rows, caseOf(c, now))
		}
		return err
	})
	return rows, err
}

// ShowCase is a case and its events.
func ShowCase(ctx context.Context, s store.Store, id string, now time.Time) (r ra.Case, err error) {
	err = s.View(ctx, func(tx *store.Tx) error {
		c, err := tx.Case(id)
		if errors.Is(err, store.ErrNotFound) {
			return refuse("there is no case %s: \"central case list\" names the newest", id)
		}
		if err != nil {
			return err
		}
		r = caseOf(c, now)
		events, err := tx.Events(c.ID)
		for _, e := range events {
			r.Events = append(r.Events, eventOf(e))
		}
		return err
	})
	return r, err
}

// ListEvents lists the newest of central's events that the filter lets through, oldest of them first.
func ListEvents(ctx context.Context, s store.Store, f store.EventFilter) (rows []ra.Event, err error) {
	err = s.View(ctx, func(tx *store.Tx) error {
		rows = []ra.Event{}
		list, err := tx.NewestEvents(f, ListedEvents)
		for _, e := range list {
			rows = append(rows, eventOf(e))
		}
		return err
	})
	return rows, err
}
