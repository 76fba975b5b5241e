package store

import (
	"errors"
	"reflect"
	"testing"
	"time"
)

func TestServiceChainsAndCards(t *testing.T) { conforms(t, testServiceChainsAndCards) }

func testServiceChainsAndCards(t *testing.T, another func() Store) {
	s := another()
	seed(t, s)
	chain := func(id string, at time.Time) ServiceChain {
		return ServiceChain{ID: id, Kiosk: "k1", Seed: []byte{1}, End: "E" + id, MadeAt: at, Due: 1000}
	}
	list := func(kiosk string) (got []ServiceChain) {
		t.Helper()
		view(t, s, func(tx *Tx) (err error) { got, err = tx.ServiceChains(kiosk); return err })
		return got
	}
	cards := func() (got []ServiceCard, serial int64) {
		t.Helper()
		view(t, s, func(tx *Tx) (err error) { got, serial, err = tx.ServiceCards(); return err })
		return got, serial
	}
	update(t, s, func(tx *Tx) error { return tx.AddServiceChain(chain("a", now)) })
	a := list("k1")[0]
	want := chain("a", now)
	want.Serial = now.UnixMilli()
	if !reflect.DeepEqual(a, want) {
		t.Fatalf("got  %+v\nwant %+v", a, want)
	}
	// One that the kiosk never had makes room for the next.
	update(t, s, func(tx *Tx) error { return tx.AddServiceChain(chain("b", now)) })
	b := list("k1")
	if len(b) != 1 || b[0].ID != "b" || b[0].Serial <= a.Serial {
		t.Fatalf("after another: %+v", b)
	}
	held := b[0]
	held.HeldAt, held.Due, held.Given = now, 990, 991
	update(t, s, func(tx *Tx) error {
		// A clock that was set back gives no number twice.
		return errors.Join(tx.SetServiceChain(held), tx.AddServiceChain(chain("c", now.Add(-time.Hour))))
	})
	if got := list("k1"); len(got) != 2 || got[0].ID != "c" || got[0].Serial <= held.Serial || !reflect.DeepEqual(got[1], held) {
		t.Fatalf("newest first: %+v", got)
	}
	update(t, s, func(tx *Tx) error { return tx.DropServiceChains("k1", list("k1")[0].Serial) })
	if got := list("k1"); len(got) != 1 || got[0].ID != "c" {
		t.Fatalf("after the others were dropped: %+v", got)
	}
	if got := list("k2"); got != nil {
		t.Fatalf("another kiosk's: %+v", got)
	}

	if got, serial := cards(); got != nil || serial != 0 {
		t.Fatalf("cards %+v, serial %d", got, serial)
	}
	last := list("k1")[0].Serial
	change := func(want bool, f func(tx *Tx) (bool, error)) {
		t.Helper()
		update(t, s, func(tx *Tx) error {
			did, err := f(tx)
			if did != want {
				t.Errorf("changed %v, want %v", did, want)
			}
			return err
		})
		_, serial := cards()
		if want != (serial > last) {
			t.Errorf("serial %d after %d", serial, last)
		}
		last = max(last, serial)
	}
	one := ServiceCard{Key: [32]byte{1}, Name: "Engineer 1", AddedAt: now}
	two := ServiceCard{Key: [32]byte{2}, Name: "Engineer 2", AddedAt: now}
	change(true, func(tx *Tx) (bool, error) { return tx.AddServiceCard(two) })
	change(true, func(tx *Tx) (bool, error) { return tx.AddServiceCard(one) })
	change(false, func(tx *Tx) (bool, error) { return tx.AddServiceCard(one) })
	if got, _ := cards(); !reflect.DeepEqual(got, []ServiceCard{one, two}) {
		t.Fatalf("cards %+v", got)
	}
	change(true, func(tx *Tx) (bool, error) { return tx.RemoveServiceCard(one.Key, now) })
	change(false, func(tx *Tx) (bool, error) { return tx.RemoveServiceCard(one.Key, now) })
	if got, _ := cards(); !reflect.DeepEqual(got, []ServiceCard{two}) {
		t.Fatalf("cards %+v", got)
	}
}
