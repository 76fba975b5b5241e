package store

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"latchkey/cmd/central/internal/cases"
)

// envelope begins as package vault's do: a version and the id of the key.
func envelope(key [8]byte, rest string) []byte {
	return append(append([]byte{2}, key[:]...), rest...)
}

func TestSealedSecretsAreFoundByTheirKey(t *testing.T) {
	conforms(t, testSealedSecretsAreFoundByTheirKey)
}

func testSealedSecretsAreFoundByTheirKey(t *testing.T, another func() Store) {
	s := another()
	seed(t, s)
	before, after := [8]byte{1, 2, 3}, [8]byte{0xFF, 0}
	update(t, s, func(tx *Tx) (err error) {
		for i := range 5 {
			serial := fmt.Sprintf("0c%02x", i)
			err = errors.Join(err, tx.ImportCard(cases.Card{Serial: serial, Profile: "piv", Holder: "h1"}),
				tx.SetSecret(serial, 0, envelope(before, "a"+serial)), tx.SetSecret(serial, 2, envelope(before, "b"+serial)))
		}
		return errors.Join(err, tx.SetSecret("0a0b", 0, envelope(after, "x")),
			tx.ImportHolder(cases.Holder{ID: "h1", Name: "Mr John Rigby", Active: true}, Contacts{Email: envelope(before, "mail")}),
			tx.ImportHolder(cases.Holder{ID: "h2", Name: "Ms Ann Other", Active: true}, Contacts{Mobile: envelope(before, "mobile")}),
			tx.AddMessage(Message{ID: "m1", Kind: MessageFrozen, Recipient: envelope(before, "to"), Content: envelope(after, "text"), MadeAt: now, DueAt: now, DiesAt: now}),
			tx.AddFeedback(Feedback{ID: "f1", Day: "2026-11-22", Stars: 4, Comment: envelope(before, "comment"), Contact: envelope(before, "contact")}),
			tx.AddServiceChain(ServiceChain{ID: "s1", Kiosk: "k1", Seed: envelope(before, "seed"), End: "E", MadeAt: now, Due: 1000}),
			tx.AddFeedback(Feedback{ID: "f2", Day: "2026-11-22", Stars: 5}),
			tx.AddMessage(Message{ID: "m2", Kind: MessageFrozen, State: MessageSent, MadeAt: now, DueAt: now, DiesAt: now}))
	})
	count := func() (got map[[8]byte]int) {
		t.Helper()
		if err := s.View(context.Background(), func(tx *Tx) (err error) { got, err = tx.SealedUnder(); return err }); err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := count(); got[before] != 16 || got[after] != 2 || len(got) != 2 {
		t.Errorf("sealed under each: %v", got)
	}
	seen := map[SealedKind]int{}
	for _, kind := range SealedKinds {
		at, pages := Sealed{Kind: kind}, 0
		for {
			var page []Sealed
			if err := s.View(context.Background(), func(tx *Tx) (err error) { page, err = tx.SealedNotUnder(after, at, 3); return err }); err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			if pages++; pages > 4 {
				t.Fatal("the pages do not end")
			}
			at = page[len(page)-1]
			for _, one := range page {
				seen[kind]++
				update(t, s, func(tx *Tx) error {
					lost := one
					lost.Sealed = []byte("what it was earlier")
					stale, err := tx.ReplaceSealed(lost, envelope(after, "stale"))
					if stale {
						t.Errorf("%s of %s was replaced although it is another by now", kind, one.ID)
					}
					done, err2 := tx.ReplaceSealed(one, envelope(after, string(one.Sealed[9:])))
					if !done {
						t.Errorf("%s of %s was not replaced", kind, one.ID)
					}
					return errors.Join(err, err2)
				})
			}
		}
	}
	if want := (map[SealedKind]int{SealedSecret: 10, SealedEmail: 1, SealedMobile: 1, SealedMessageTo: 1, SealedComment: 1, SealedContact: 1, SealedServiceSeed: 1}); !reflect.DeepEqual(seen, want) {
		t.Errorf("seen %v, want %v", seen, want)
	}
	if got := count(); got[after] != 18 || len(got) != 1 {
		t.Errorf("sealed under each: %v", got)
	}
	update(t, s, func(tx *Tx) error {
		got, err := tx.Secret("0c03", 2)
		if string(got) != string(envelope(after, "b0c03")) {
			t.Errorf("generation 2 of 0c03 is %q", got)
		}
		_, contacts, e := tx.Holder("h1")
		if string(contacts.Email[9:]) != "mail" || contacts.Mobile != nil {
			t.Errorf("contacts %q", contacts)
		}
		return errors.Join(err, e)
	})
}

func TestCardsAreReadInPages(t *testing.T) { conforms(t, testCardsAreReadInPages) }

func testCardsAreReadInPages(t *testing.T, another func() Store) {
	s := another()
	seed(t, s)
	update(t, s, func(tx *Tx) (err error) {
		for i := range 7 {
			serial := fmt.Sprintf("0c%02x", i)
			c := cases.Case{ID: serial, Card: serial, Holder: "h1", Kiosk: "k1", State: cases.Granted}
			err = errors.Join(err, tx.ImportCard(cases.Card{Serial: serial, Profile: "piv", Holder: "h1"}), tx.SetSecret(serial, 0, []byte(serial)), tx.SetCase(c),
				tx.AddGrant(cases.Grant{Case: serial, Card: serial, Number: 1, Kiosk: "k1", IssuedAt: now, ExpiresAt: now}))
		}
		return err
	})
	err := s.View(context.Background(), func(tx *Tx) error {
		page, err := tx.CardsAfter("0c01", 3)
		if err != nil {
			return err
		}
		if len(page) != 3 || page[0].Serial != "0c02" || page[2].Serial != "0c04" || !page[0].HasSecret {
			t.Fatalf("page %+v", page)
		}
		secrets, err := tx.SecretsBetween("0c02", "0c04")
		grants, e := tx.GrantsBetween("0c02", "0c04")
		if len(secrets) != 3 || secrets[1].ID != "0c03" || len(grants) != 3 || grants[2].Card != "0c04" {
			t.Errorf("%+v %+v", secrets, grants)
		}
		rest, e2 := tx.CardsAfter("0c06", 3)
		if len(rest) != 0 {
			t.Errorf("%+v after the last", rest)
		}
		return errors.Join(err, e, e2)
	})
	if err != nil {
		t.Error(err)
	}
}
