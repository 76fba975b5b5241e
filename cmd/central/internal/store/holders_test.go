package store

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"latchkey/cmd/central/internal/cases"
)

func TestHoldersAndWhereTheyBelong(t *testing.T) { conforms(t, testHoldersAndWhereTheyBelong) }

func testHoldersAndWhereTheyBelong(t *testing.T, another func() Store) {
	s := another()
	seed(t, s)
	whole := Person{
		Holder:   cases.Holder{ID: "h2", Name: "Ms Aisha Khan", Active: true, Organisation: "RX1", Language: "cy", EmailChangedAt: now, MobileChangedAt: now.Add(time.Minute)},
		Contacts: Contacts{Email: []byte{1}, Mobile: []byte{2}},
		Account:  Account{"aisha@nhs.net", "x-2", "Aisha", "Khan", "Ward 3", "1234", now},
	}
	plain := Person{Holder: cases.Holder{ID: "h1", Name: "Mr John Rigby", Active: true, Language: English}, Contacts: Contacts{Email: []byte{1}}}
	bare := Person{Holder: cases.Holder{ID: "h3", Name: "B", Language: English}}
	trust := Organisation{"RX1", "Anytown NHS Trust"}
	update(t, s, func(tx *Tx) error {
		return errors.Join(tx.SetOrganisation(Organisation{"RX1", "Anytown"}), tx.SetOrganisation(trust), tx.SetOrganisation(Organisation{"RA9", "A"}),
			tx.SetPerson(Person{Holder: cases.Holder{ID: "h2", Name: "A", QuarantinedAt: now}, Account: Account{UserName: "a"}}), tx.SetPerson(whole), tx.SetPerson(bare),
			tx.SetPositions("h2", []Position{{"h2", "RX1", "R1", "a"}}), tx.SetPositions("h2", []Position{{"h2", "RX1", "R8000", ""}, {"h2", "RA9", "R1", "w"}}),
			tx.SetSecret("0a0b", 0, []byte{3}), tx.SetSecret("0a0b", 2, []byte{4}), tx.ImportCard(cases.Card{Serial: "0a0c", Profile: "piv", Holder: "h2"}))
	})
	var failed error // of one run
	check := func(what string, got, want any, err error) {
		t.Helper()
		if failed = errors.Join(failed, err); err == nil && !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", what, got, want)
		}
	}
	look := func(tx *Tx) error {
		failed = nil
		got, err := tx.Person("h2")
		check("by id", got, whole, err)
		got, err = tx.PersonNamed("aisha@nhs.net")
		check("by user name", got, whole, err)
		got, err = tx.PersonKnownAs("x-2")
		check("by external id", got, whole, err)
		got, err = tx.Person("h1")
		check("without an account", got, plain, err)
		_, missing := tx.PersonNamed("nobody")
		if !errors.Is(missing, ErrNotFound) {
			failed = errors.Join(failed, missing)
		}
		list, total, err := tx.Accounts(0, 10)
		check("fed", []any{list, total}, []any{[]Person{whole}, 1}, err)
		list, total, err = tx.Accounts(1, 10)
		check("no more fed", []any{list, total}, []any{[]Person(nil), 1}, err)
		list, err = tx.People("h1", 1)
		check("after", list, []Person{whole}, err)
		ids, names, err := tx.PeopleOf([]string{"h1", "h2", "h9"}, []string{"aisha@nhs.net", "nobody"})
		check("by ids", []any{ids, names}, []any{map[string]Person{"h1": plain, "h2": whole}, map[string]Person{"aisha@nhs.net": whole}}, err)
		positions, err := tx.Positions("h2")
		check("positions", positions, []Position{{"h2", "RA9", "R1", "w"}, {"h2", "RX1", "R8000", ""}}, err)
		places, err := tx.Organisations()
		check("organisations", places, []Organisation{{"RA9", "A"}, trust}, err)
		byID, err := tx.OrganisationsOf([]string{"RX1", "RX9"})
		check("organisations by id", byID, map[string]Organisation{"RX1": trust}, err)
		cards, err := tx.CardsOfHolder("h2")
		check("cards", cards, []cases.Card{{Serial: "0a0c", Profile: "piv", Holder: "h2"}}, err)
		known, err := tx.KnownCards([]string{"0a0b", "0a0d"})
		check("known cards", known, map[string]Known{"0a0b": {
			Card: cases.Card{Serial: "0a0b", Profile: "piv", Holder: "h1", Certificate: []byte{2}, HasSecret: true}, Secrets: []Secret{{2, []byte{4}}, {0, []byte{3}}},
		}}, err)
		return failed
	}
	// Neither quarantine nor wrong codes are the directory's.
	if err := s.View(context.Background(), look); err != nil {
		t.Error(err)
	}
	update(t, s, look)
	err := s.Update(context.Background(), func(tx *Tx) error {
		return tx.SetPerson(Person{Holder: cases.Holder{ID: "h3", Name: "C"}, Account: Account{UserName: "aisha@nhs.net"}})
	})
	if err == nil {
		t.Error("two holders have one user name")
	}
}

// Many are found in parts, of which the last is filled up.
func TestManyHoldersAreFoundAtOnce(t *testing.T) { conforms(t, testManyHoldersAreFoundAtOnce) }

func testManyHoldersAreFoundAtOnce(t *testing.T, another func() Store) {
	s := another()
	var ids []string
	update(t, s, func(tx *Tx) error {
		ids = nil
		for i := range 600 {
			ids = append(ids, fmt.Sprintf("h%d", i))
			if err := tx.SetPerson(Person{Holder: cases.Holder{ID: ids[i], Name: "A"}}); err != nil {
				return err
			}
		}
		return nil
	})
	update(t, s, func(tx *Tx) error {
		for _, n := range []int{0, 1, 7, 9, 513, 600} {
			got, _, err := tx.PeopleOf(ids[:n], nil)
			if err != nil {
				return err
			}
			if len(got) != n {
				t.Errorf("%d of %d were found", len(got), n)
			}
		}
		return nil
	})
}
