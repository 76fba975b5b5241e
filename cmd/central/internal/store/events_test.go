package store

import (
	"context"
	"errors"
	"testing"
	"time"

	"latchkey/cmd/central/internal/ledger"
)

// The ledger is asked what happened since, what of a kind, about a card, and what somebody did; the newest are given.
// Who made an enrolment code is forwarded before there is a kiosk, and also if there never is one.
func TestEventsOfAKioskThatIsNotThereYetAreForwarded(t *testing.T) {
	conforms(t, func(t *testing.T, another func() Store) {
		s := another()
		update(t, s, func(tx *Tx) error {
			return errors.Join(tx.AddEnrolment(Enrolment{CodeMAC: []byte{8}, Kiosk: "new", Kind: KindKiosk, MadeAt: 1, ExpiresAt: 2}),
				tx.AppendEvent(ledger.Event{At: now, Kind: ledger.KioskEnrolling, Kiosk: "new", By: "alice"}))
		})
		view(t, s, func(tx *Tx) error {
			list, err := tx.EventsToForward(10)
			if len(list) != 1 || list[0].By != "alice" {
				t.Errorf("to forward: %+v", list)
			}
			return err
		})
	})
}

func TestEventsAreFound(t *testing.T) {
	conforms(t, func(t *testing.T, another func() Store) {
		s := another()
		at := func(n int64) time.Time { return time.UnixMilli(n).UTC() }
		update(t, s, func(tx *Tx) error {
			return errors.Join(
				tx.AppendEvent(ledger.Event{At: at(3), Kind: ledger.KioskDisabled, Kiosk: "k1", By: "jane"}),
				tx.AppendEvent(ledger.Event{At: at(1), Kind: ledger.CardFrozen, Card: "0a01", By: "jane"}),
				tx.AppendEvent(ledger.Event{At: at(2), Kind: ledger.CaseBegun, Kiosk: "k1", Card: "0a01", Case: "c"}),
				tx.AppendEvent(ledger.Event{At: at(4), Kind: ledger.CardFrozen, Card: "0a02", By: "o'neill"}),
			)
		})
		for _, test := range []struct {
			name  string
			f     EventFilter
			limit int
			want  string
		}{
			{"all", EventFilter{}, 9, "1234"},
			{"the newest", EventFilter{}, 2, "34"},
			{"since", EventFilter{Since: at(3)}, 9, "34"},
			{"kind", EventFilter{Kind: ledger.CardFrozen}, 9, "14"},
			{"card", EventFilter{Card: "0a01"}, 9, "12"},
			{"by", EventFilter{By: "o'neill"}, 9, "4"},
			{"both", EventFilter{Card: "0a01", By: "jane"}, 9, "1"},
			{"none", EventFilter{By: "jane", Card: "0a02"}, 9, ""},
		} {
			got := ""
			err := s.View(context.Background(), func(tx *Tx) error {
				list, err := tx.NewestEvents(test.f, test.limit)
				for _, e := range list {
					got += string(rune('0' + e.At.UnixMilli()))
				}
				return err
			})
			if err != nil || got != test.want {
				t.Errorf("%s: %q, want %q; %v", test.name, got, test.want, err)
			}
		}
	})
}
