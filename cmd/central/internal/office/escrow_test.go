package office

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"latchkey/card/profiles"
	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/store"
	"latchkey/cmd/central/internal/vault"
	"latchkey/firmware/wire"
)

// granted puts in a grant of a card and its case.
func granted(tx *store.Tx, serial, kiosk string, number int, base int64, booked int) error {
	id := fmt.Sprintf("%s-%d", serial, number)
	g := cases.Grant{
		Case: id, Card: serial, Number: number, Kiosk: kiosk, Base: base, First: base, Tries: 1, Booked: booked,
		IssuedAt: noon.Add(time.Duration(number) * time.Hour), ExpiresAt: noon.Add(time.Duration(number)*time.Hour + time.Minute),
	}
	return errors.Join(tx.SetCase(cases.Case{ID: id, Card: serial, Holder: "h1", Kiosk: kiosk, State: cases.Closed}), tx.AddGrant(g))
}

func TestEscrowFindsEveryCardWithoutAUsableSecret(t *testing.T) {
	t.Parallel()
	s, v, lost := newStore(t), keyed(t, 9, 1), keyed(t, 5)
	furnish(t, s, keyed(t, 1), escrowPage+3) // and one of the family gids, all in order
	want := map[string]Why{
		"aa00": "secret-unknown", "aa01": WhyUnknownKey, "aa02": WhySealed, "aa03": WhyForm, "aa04": WhySealed, "aa05": "puk-blocked",
		"aa06": "generation", "aa07": "tries-used-up", "aa08": WhyProfile, "aa09": "secret-unknown",
	}
	must(t, s.Update(context.Background(), func(tx *store.Tx) error {
		puk := func(serial string, n int64) vault.Subject { return vault.CardSecret(serial, false, n) }
		card := func(serial, profile string, sealed []byte) error {
			err := tx.ImportCard(cases.Card{Serial: serial, Profile: profile, Holder: "h1"})
			if sealed != nil {
				err = errors.Join(err, tx.SetSecret(serial, 0, sealed))
			}
			return err
		}
		good := func(serial string) []byte { return sealed(t, v, puk(serial, 0), "12345678") }
		_, err := tx.AddKiosk(store.Kiosk{Name: "k1", Kind: store.KindKiosk, State: store.KioskActive})
		return errors.Join(err,
			card("aa00", "piv", nil),
			card("aa01", "piv", sealed(t, lost, puk("aa01", 0), "12345678")),
			card("aa02", "piv", good("ffff")),
			card("aa03", "piv", sealed(t, v, puk("aa03", 0), "1234")),
			card("aa04", "gids", good("aa04")), // a PUK where an administrator's key is wanted
			card("aa05", "piv", good("aa05")), tx.SetCard(cases.Card{Serial: "aa05", PUKBlocked: true}),
			card("aa06", "piv", good("aa06")), granted(tx, "aa06", "k1", 1, 3, 0),
			card("aa07", "piv", good("aa07")), granted(tx, "aa07", "k1", 1, 0, 2),
			card("aa08", "of-another-maker", good("aa08")),
			card("aa09", "gids", sealed(t, v, vault.CardSecret("aa09", true, 0), strings.Repeat("0123456789abcdef", 3))), // of an earlier generation
			tx.SetCard(cases.Card{Serial: "aa09", Settled: 2}),
			tx.ImportCard(cases.Card{Serial: "bb00", Profile: "piv", Holder: "h1", Revoked: true}),
			card("bb01", "piv", good("bb01")), tx.SetCard(cases.Card{Serial: "bb01", Settled: 4}), // a PUK that is derived
		)
	}))
	got := map[string]Why{}
	var order []string
	checked, err := Escrow(context.Background(), s, v, profiles.Embedded(), func(u Unusable) error {
		if u.Cure == "" || strings.Contains(u.Cure, "12345678") {
			t.Errorf("%s: %q", u.Card, u.Cure)
		}
		got[u.Card] = u.Why
		order = append(order, u.Card)
		// Nobody waits for it.
		return s.Update(context.Background(), func(tx *store.Tx) error { return tx.SetHolderWrongCodes(cases.Holder{ID: "h1"}) })
	})
	must(t, err)
	if !maps.Equal(got, want) || len(order) != len(want) {
		t.Errorf("found %v, want %v", got, want)
	}
	if checked != escrowPage+3+1+len(want)+1 {
		t.Errorf("%d cards were looked at", checked)
	}
	enough := errors.New("enough")
	if checked, err = Escrow(context.Background(), s, v, profiles.Embedded(), func(Unusable) error { return enough }); !errors.Is(err, enough) || checked == 0 {
		t.Errorf("ended with %v after %d", err, checked)
	}
}

func TestWhoReceivedWhichGeneration(t *testing.T) {
	t.Parallel()
	s, v := newStore(t), keyed(t, 9)
	furnish(t, s, v, 1)
	must(t, s.Update(context.Background(), func(tx *store.Tx) error {
		opened := int64(0)
		g := cases.Grant{Case: "0a0000-1", Card: "0a0000", Outcome: &cases.Outcome{At: noon, Passcode: wire.Yes, Opened: &opened, Rotated: wire.Yes}}
		var err error
		for _, k := range []string{"k1", "k2"} {
			_, e := tx.AddKiosk(store.Kiosk{Name: k, Kind: store.KindKiosk, State: store.KioskActive})
			err = errors.Join(err, e)
		}
		return errors.Join(err, granted(tx, "0a0000", "k1", 1, 0, 0), tx.SetGrant(g), tx.SetCard(cases.Card{Serial: "0a0000", Settled: 1}),
			granted(tx, "0a0000", "k2", 2, 1, 0), granted(tx, "0b", "k2", 1, 0, 0))
	}))
	first, second := Given{"k1", "0a0000-1", noon.Add(time.Hour), false}, Given{"k2", "0a0000-2", noon.Add(2 * time.Hour), false}
	for serial, want := range map[string][]Generation{
		"0a0000": {
			{Number: 0, Imported: true, Given: []Given{first}},
			{Number: 1, Settled: true, Given: []Given{first, second}},
			{Number: 2, Given: []Given{second}},
		},
		"0b": {{Number: 0, Imported: true, Settled: true, Given: []Given{{"k2", "0b-1", noon.Add(time.Hour), true}}}},
	} {
		got, err := Generations(context.Background(), s, profiles.Embedded(), serial)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n%+v, %v, want\n%+v", serial, got, err, want)
		}
	}
	var refused *Refused
	if _, err := Generations(context.Background(), s, profiles.Embedded(), "ffff"); !errors.As(err, &refused) {
		t.Errorf("a card that is not there: %v", err)
	}
}
