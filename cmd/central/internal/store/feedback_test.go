package store

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/cmd/central/internal/cases"
)

func TestFeedback(t *testing.T) { conforms(t, testFeedback) }

func testFeedback(t *testing.T, another func() Store) {
	s := another()
	said := []Feedback{
		{ID: "f1", Day: "2026-10-31", Site: "Main entrance", Stars: 5},
		{ID: "f2", Day: "2026-11-01", Site: "", Stars: 1, Comment: []byte{1}},
		{ID: "f3", Day: "2026-11-01", Site: "Main entrance", Stars: 2, Contact: []byte{2}},
		{ID: "f4", Day: "2026-11-22", Site: "Main entrance", Stars: 5, Comment: []byte{3}, Contact: []byte{4}},
	}
	update(t, s, func(tx *Tx) error {
		for _, i := range rand.Perm(len(said)) {
			if err := tx.AddFeedback(said[i]); err != nil {
				return err
			}
		}
		return nil
	})
	look := func(f FeedbackFilter, limit int, want []Feedback) {
		t.Helper()
		view(t, s, func(tx *Tx) error {
			got, err := tx.Feedback(f, limit)
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%+v: %+v, want %+v", f, got, want)
			}
			return err
		})
	}
	all := FeedbackFilter{From: "2026-10-31", Until: "2026-11-22"}
	look(all, 9, said)
	look(all, 2, said[:2])
	look(FeedbackFilter{From: "2026-11-01", Until: "2026-11-21"}, 9, said[1:3])
	look(FeedbackFilter{From: "2026-11-01", Until: "2026-11-22", Site: "Main entrance"}, 9, said[2:])
	view(t, s, func(tx *Tx) error {
		got, err := tx.FeedbackSums(all)
		want := []FeedbackSum{{"2026-10", "Main entrance", 1, 5}, {"2026-11", "", 1, 1}, {"2026-11", "Main entrance", 2, 7}}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("sums %+v, want %+v", got, want)
		}
		return err
	})
	for id, want := range map[string]bool{"f2": true, "f9": false} {
		view(t, s, func(tx *Tx) error {
			if got, err := tx.HasFeedback(id); err != nil || got != want {
				t.Errorf("%s is there: %v, %v", id, got, err)
			}
			return nil
		})
	}
	// What was kept long enough goes, and which kiosk sent some goes within the hour.
	subject, hour := FeedbackSubject("k1"), now.Truncate(time.Hour)
	update(t, s, func(tx *Tx) error {
		for _, at := range []time.Time{hour.Add(-2 * time.Hour), hour} {
			if err := tx.exec(nil, `INSERT INTO strikes (subject, at, why) VALUES ($1, $2, '')`, subject, millis(at)); err != nil {
				return err
			}
		}
		return tx.AddStrike(Strike{Subject: KioskSubject("k1"), At: now.Add(-2 * time.Hour)})
	})
	update(t, s, func(tx *Tx) error {
		return tx.DropAnswers(now, time.Date(2026, 11, 1, 23, 0, 0, 0, time.UTC))
	})
	look(all, 9, said[1:])
	view(t, s, func(tx *Tx) error {
		sent, err := tx.Strikes(subject, now.Add(-cases.VisitWindow))
		others, err2 := tx.Strikes(KioskSubject("k1"), now.Add(-cases.VisitWindow))
		if err != nil || err2 != nil || len(sent) != 1 || len(others) != 1 {
			t.Errorf("%v, %v left of what kiosks sent, and %v, %v of what they did", sent, err, others, err2)
		}
		return nil
	})
}

// The order in which feedback came in, beside the journals, would say whose it is.
func TestTheOrderOfFeedbackIsNotKept(t *testing.T) {
	conforms(t, func(t *testing.T, another func() Store) {
		s := another()
		const n = 40
		update(t, s, func(tx *Tx) error {
			for i := range n {
				if err := tx.AddFeedback(Feedback{ID: fmt.Sprintf("f%02d", i), Day: "2026-11-22", Stars: 3}); err != nil {
					return err
				}
			}
			return nil
		})
		var order []string
		for _, line := range lines(t, backup(t, s)) {
			if i := strings.Index(line, `"f`); strings.HasPrefix(line, "[") && i > 0 {
				order = append(order, line[i+1:i+4])
			}
		}
		if len(order) != n || slices.IsSorted(order) {
			t.Errorf("a backup has it in the order in which it came: %v", order)
		}
	})
}
