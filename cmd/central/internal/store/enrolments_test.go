package store

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"latchkey/cmd/central/internal/ledger"
	"latchkey/firmware/audit"
)

func TestEnrolmentsAndKiosksComeBack(t *testing.T) { conforms(t, testEnrolmentsAndKiosksComeBack) }

func testEnrolmentsAndKiosksComeBack(t *testing.T, another func() Store) {
	s := another()
	k := Kiosk{
		Name: "k1", Kind: KindKiosk, Site: "ward 4", Place: &Place{53_800_755, -1_549_077}, Certificate: [32]byte{1}, Next: [32]byte{2}, Key: [32]byte{3},
		ExpiresAt: 5, State: KioskEnrolled, AddedAt: 1, QuarantinedAt: 2, SentEpoch: 3, BackedUp: 4, Log: 1,
	}
	e := Enrolment{CodeMAC: []byte("mac"), Kiosk: "k1", Kind: KindKiosk, Site: "ward 4", Place: k.Place, MadeAt: 1, ExpiresAt: 2}
	update(t, s, func(tx *Tx) error {
		_, err := tx.AddKiosk(k)
		return errors.Join(err, tx.AddEnrolment(Enrolment{CodeMAC: []byte("older"), Kiosk: "k1"}), tx.AddEnrolment(e))
	})
	check := func() {
		t.Helper()
		err := s.View(context.Background(), func(tx *Tx) error {
			got, err := tx.Kiosk("k1")
			if !reflect.DeepEqual(got, k) {
				t.Errorf("got  %+v\nwant %+v", got, k)
			}
			all, err2 := tx.Kiosks()
			if !reflect.DeepEqual(all, []Kiosk{k}) {
				t.Errorf("all are %+v", all)
			}
			kept, err3 := tx.Enrolment(e.CodeMAC)
			if !reflect.DeepEqual(kept, e) {
				t.Errorf("got  %+v\nwant %+v", kept, e)
			}
			if _, err := tx.Enrolment([]byte("older")); !errors.Is(err, ErrNotFound) {
				t.Errorf("an older code for the same kiosk: %v", err)
			}
			return errors.Join(err, err2, err3)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	check()
	k.Certificate, k.Next, k.Key, k.ExpiresAt, k.State = k.Next, [32]byte{}, [32]byte{9}, 6, KioskActive
	e.Key, e.Certificate = [32]byte{9}, []byte("certificate")
	update(t, s, func(tx *Tx) error { return errors.Join(tx.SetKioskTrust(k), tx.UseEnrolment(e)) })
	check()
	k.Shown = ledger.Shown{Point: audit.Point{Seq: 9, Hash: [32]byte{7}}, At: now}
	update(t, s, func(tx *Tx) error { return tx.SetKioskShown(k) })
	check()
	k.Log, k.LogFrom, k.Shown = 2, -1, ledger.Shown{} // what was shown of the journal before counts no more
	update(t, s, func(tx *Tx) error { return tx.SetKioskLog(k) })
	check()
	other := Enrolment{CodeMAC: []byte("another kiosk's"), Kiosk: "k2", Kind: KindKiosk, MadeAt: 1, ExpiresAt: 2}
	update(t, s, func(tx *Tx) error { return tx.AddEnrolment(other) })
	void := func(kiosk string, want bool) {
		t.Helper()
		update(t, s, func(tx *Tx) error {
			if unused, err := tx.VoidEnrolmentsOf(kiosk); err != nil || unused != want {
				t.Errorf("there was an unused code of %s: %t, %v", kiosk, unused, err)
			}
			return nil
		})
	}
	void("k1", false) // it was used
	err := s.View(context.Background(), func(tx *Tx) error {
		if _, err := tx.Enrolment(e.CodeMAC); !errors.Is(err, ErrNotFound) {
			t.Errorf("a void code: %v", err)
		}
		_, err := tx.Enrolment(other.CodeMAC)
		return err
	})
	if err != nil {
		t.Errorf("another kiosk's code: %v", err)
	}
	void("k2", true)
	void("k2", false)
	e.CodeMAC, e.Key, e.Certificate = []byte("the last"), [32]byte{}, nil
	update(t, s, func(tx *Tx) error { return tx.AddEnrolment(e) })
	update(t, s, func(tx *Tx) error { return tx.VoidEnrolments() })
	err = s.View(context.Background(), func(tx *Tx) error { _, err := tx.Enrolment(e.CodeMAC); return err })
	if !errors.Is(err, ErrNotFound) {
		t.Errorf("a void code: %v", err)
	}
}

func TestStrikesAreListedByTime(t *testing.T) {
	conforms(t, func(t *testing.T, another func() Store) {
		s, subject := another(), "address/192.0.2.7"
		update(t, s, func(tx *Tx) error {
			return errors.Join(tx.AddStrike(Strike{subject, now.Add(-25 * time.Hour), "old"}), tx.AddStrike(Strike{"address/192.0.2.8", now, "another's"}),
				tx.AddStrike(Strike{subject, now.Add(-time.Hour), "wrong"}), tx.AddStrike(Strike{subject, now, "wrong"}))
		})
		for since, want := range map[time.Time][]time.Time{
			now.Add(-time.Hour): {now.Add(-time.Hour), now}, now: {now}, now.Add(time.Hour): nil,
		} {
			var got []time.Time
			update(t, s, func(tx *Tx) (err error) { got, err = tx.Strikes(subject, since); return err })
			if !reflect.DeepEqual(got, want) {
				t.Errorf("since %s: %v, want %v", since, got, want)
			}
		}
	})
}
