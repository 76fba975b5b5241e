package main

import (
	"context"
	"errors"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/store"
	"latchkey/firmware/wire/ra"
)

// A kiosk is disabled after it was given PUKs: the office is told how many cards that concerns, which, and what to do.
func TestExposedCardsAreListed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := newCentral(dir); err != nil {
		t.Fatal(err)
	}
	serving(t, dir)
	run, update := commands(t, dir), updates(t, dir)
	update(func(tx *store.Tx) error {
		err := tx.ImportHolder(cases.Holder{ID: "h1", Name: "Mr John Rigby", Active: true}, store.Contacts{})
		for _, k := range []string{"k1", "k2"} {
			_, e := tx.AddKiosk(store.Kiosk{Name: k, Kind: store.KindKiosk, State: store.KioskActive})
			err = errors.Join(err, e)
		}
		for i, c := range []struct {
			serial, profile, kiosk string
			settled                int64
		}{
			{"0a01", "piv", "k1", 0}, {"0a02", "openpgp", "k1", 0}, {"0a03", "piv", "k1", 2}, {"0a04", "gids", "k1", 0}, {"0a05", "piv", "k2", 0},
			{"0a06", "of-old", "k1", 0}, {"0a07", "of-old", "k1", 2},
		} {
			id := string(rune('a' + i))
			err = errors.Join(err, tx.ImportCard(cases.Card{Serial: c.serial, Profile: c.profile, Holder: "h1"}),
				tx.SetSecret(c.serial, 0, []byte{1}), tx.SetCard(cases.Card{Serial: c.serial, Settled: c.settled}),
				tx.SetCase(cases.Case{ID: id, Card: c.serial, Holder: "h1", Kiosk: c.kiosk}),
				tx.AddGrant(cases.Grant{Case: id, Card: c.serial, Number: 1, Kiosk: c.kiosk, IssuedAt: time.UnixMilli(1)}))
		}
		return err
	})
	if got := run("card", "list", "--exposed"); strings.Contains(got, "0a0") {
		t.Errorf("before a kiosk was disabled:\n%s", got)
	}
	if got := run("kiosk", "disable", "k1"); got != "k1 disabled; cards exposed by it: 3\n" {
		t.Errorf("disabled: %s", got)
	}
	var got []string
	for _, r := range decode[[]ra.CardLine](t, run("card", "list", "--exposed", "--json")) {
		got = append(got, strings.Join(append([]string{r.Serial, r.State, string(r.Remedy)}, r.ExposedBy...), " "))
	}
	if strings.Join(got, "; ") != "0a01 in order walk k1; 0a02 in order import k1; 0a06 in order profile k1" {
		t.Errorf("exposed: %v", got)
	}
	if got := run("card", "list"); strings.Count(got, "0a0") != 7 || !strings.Contains(got, "0a02  openpgp  in order  0        k1          import") {
		t.Errorf("all cards:\n%s", got)
	}
	if got := run("card", "show", "0a02"); !strings.Contains(got, "exposed by            k1\n") {
		t.Errorf("shown:\n%s", got)
	}
	if got := run("card", "show", "0a05", "--json"); !strings.Contains(got, `"exposed_by": []`) {
		t.Errorf("shown:\n%s", got)
	}
	// The walk at another kiosk, past both PUKs that the disabled one was given.
	update(func(tx *store.Tx) error { return tx.SetCard(cases.Card{Serial: "0a01", Settled: 2}) })
	if got := run("card", "list", "--exposed"); strings.Contains(got, "0a01") || !strings.Contains(got, "0a02") {
		t.Errorf("after a walk elsewhere:\n%s", got)
	}
}

// A holder who typed too many wrong codes is let in again by the office, and that stands in the ledger.
func TestWrongCodesAreForgiven(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := newCentral(dir); err != nil {
		t.Fatal(err)
	}
	serving(t, dir)
	run, update := commands(t, dir), updates(t, dir)
	update(func(tx *store.Tx) error {
		return errors.Join(tx.ImportHolder(cases.Holder{ID: "h1", Name: "Mr John Rigby", Active: true}, store.Contacts{}),
			tx.SetHolderWrongCodes(cases.Holder{ID: "h1", WrongCodes: 10}),
			tx.ImportCard(cases.Card{Serial: "0a01", Profile: "piv", Holder: "h1"}),
			tx.SetCard(cases.Card{Serial: "0a01", Settled: 3, WrongCodes: 4, PUKBlocked: true}))
	})
	if out := run("card", "reset-attempts", "0a01"); out != "0a01: wrong codes forgiven: 4 of the card, 10 of its holder\n" {
		t.Error(out)
	}
	update(func(tx *store.Tx) error {
		c, err := tx.Card("0a01")
		h, _, err2 := tx.Holder("h1")
		if c.WrongCodes != 0 || h.WrongCodes != 0 || c.Settled != 3 || !c.PUKBlocked {
			t.Errorf("left %+v, %+v", c, h)
		}
		events, err3 := tx.Events("")
		if e := events[len(events)-1]; e.Kind != ledger.AttemptsReset || e.Card != "0a01" || e.Note != "card 4 holder 10" || e.By != me(t) {
			t.Errorf("the ledger tells %+v", e)
		}
		return errors.Join(err, err2, err3)
	})
}

// updates changes the database of a folder beside the central that serves from it.
func updates(t *testing.T, dir string) func(func(*store.Tx) error) {
	return func(f func(*store.Tx) error) {
		t.Helper()
		s, err := store.OpenSQLite(context.Background(), filepath.Join(dir, "central.db"))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if err := s.Update(context.Background(), f); err != nil {
			t.Fatal(err)
		}
	}
}

// me is the name by which this machine knows who runs the test.
func me(t *testing.T) string {
	t.Helper()
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return u.Username
}
