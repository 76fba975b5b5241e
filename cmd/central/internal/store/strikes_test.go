package store

import (
	"errors"
	"testing"
	"time"
)

// Lockouts are counted over a month, so that the first of two is still there when the second is booked.
func TestLockoutsAreKeptAMonth(t *testing.T) {
	conforms(t, func(t *testing.T, another func() Store) {
		s, lockouts, network := another(), LockoutSubject("h1"), NetworkSubject("192.0.2.7")
		for _, ago := range []time.Duration{31 * 24 * time.Hour, 10 * 24 * time.Hour, 0} {
			update(t, s, func(tx *Tx) error {
				return errors.Join(tx.AddStrike(Strike{lockouts, now.Add(-ago), "locked"}), tx.AddStrike(Strike{network, now.Add(-ago), "unknown"}))
			})
		}
		update(t, s, func(tx *Tx) error {
			of, err := tx.Strikes(lockouts, time.UnixMilli(0))
			others, err2 := tx.Strikes(network, time.UnixMilli(0))
			if len(of) != 2 || len(others) != 1 {
				t.Errorf("lockouts: %v, of a network: %v", of, others)
			}
			return errors.Join(err, err2)
		})
	})
}

// What counts once in a while, by its reason, is not booked again before that has passed.
func TestAStrikeThatCountsOnce(t *testing.T) {
	conforms(t, func(t *testing.T, another func() Store) {
		s, subject := another(), KioskSubject("k1")
		book := func(at time.Time, why string) {
			t.Helper()
			update(t, s, func(tx *Tx) error { return tx.AddStrikeOnce(Strike{subject, at, why}, at.Add(-time.Hour)) })
		}
		book(now, "card-unknown 0a")
		book(now.Add(time.Minute), "card-unknown 0a")
		book(now.Add(2*time.Minute), "card-unknown 0b")
		book(now.Add(time.Hour+time.Second), "card-unknown 0a")
		update(t, s, func(tx *Tx) error {
			list, err := tx.Strikes(subject, now)
			if len(list) != 3 {
				t.Errorf("booked: %v", list)
			}
			return err
		})
	})
}
