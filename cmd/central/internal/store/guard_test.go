package store

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"latchkey/cmd/central/internal/cases"
)

func TestStrikes(t *testing.T) { conforms(t, testStrikes) }

func testStrikes(t *testing.T, another func() Store) {
	s := another()
	seed(t, s)
	const network = "network/192.0.2.1"
	update(t, s, func(tx *Tx) (err error) {
		for i := range 3 {
			err = errors.Join(err, tx.AddStrike(Strike{Subject: network, At: now.Add(time.Duration(i) * time.Minute), Why: "card-unknown"}))
		}
		return errors.Join(err, tx.AddStrike(Strike{Subject: "kiosk/k1", At: now, Why: "card-unknown"}))
	})
	update(t, s, func(tx *Tx) error {
		for number, want := range map[int]time.Time{1: now.Add(2 * time.Minute), 2: now.Add(time.Minute), 3: {}} {
			card, at, err := tx.CardStruck("0a0b", network, now.Add(time.Second), number) // the oldest is out of the window
			if err != nil || !at.Equal(want) || card.Serial != "0a0b" || card.Holder != "h1" {
				t.Errorf("strike %d from the newest: %v, want %v; %v", number, at, want, err)
			}
		}
		if _, _, err := tx.CardStruck("ffff", network, now, 1); !errors.Is(err, ErrNotFound) {
			t.Errorf("a card that is not there: %v", err)
		}
		return tx.DropStrikes(network)
	})
	update(t, s, func(tx *Tx) error {
		gone, err := tx.Strikes(network, now)
		stays, err2 := tx.Strikes("kiosk/k1", now)
		if len(gone) != 0 || len(stays) != 1 {
			t.Errorf("forgiven: %v, of somebody else: %v", gone, stays)
		}
		return errors.Join(err, err2, tx.DropAnswers(now.Add(cases.LockoutWindow+time.Second), now))
	})
	update(t, s, func(tx *Tx) error {
		old, err := tx.Strikes("kiosk/k1", time.UnixMilli(0))
		if len(old) != 0 {
			t.Errorf("a strike from a month ago is still there: %v", old)
		}
		return err
	})
}

func TestVisits(t *testing.T) { conforms(t, testVisits) }

func testVisits(t *testing.T, another func() Store) {
	s := another()
	seed(t, s)
	add := func(id, card, kiosk string, state cases.State, ago time.Duration) cases.Case {
		c := cases.Case{ID: id, Card: card, Holder: "h1", Kiosk: kiosk, State: state, BegunAt: now.Add(-ago), ExpiresAt: now.Add(time.Hour)}
		if ago > 0 {
			c.ProvedAt = now.Add(-ago)
		}
		update(t, s, func(tx *Tx) error { return tx.SetCase(c) })
		return c
	}
	update(t, s, func(tx *Tx) error {
		var err error
		for _, k := range []Kiosk{
			{Name: "far", Kind: KindKiosk, State: KioskActive, Place: &Place{51_507_200, -127_600}}, {Name: "nowhere", Kind: KindKiosk, State: KioskActive},
			{Name: "here", Kind: KindKiosk, State: KioskActive, Place: &Place{53_800_800, -1_549_100}},
		} {
			_, e := tx.AddKiosk(k)
			err = errors.Join(err, e)
		}
		for _, serial := range []string{"0a01", "0a02", "0a03"} {
			err = errors.Join(err, tx.ImportCard(cases.Card{Serial: serial, Profile: "piv", Holder: "h1"}))
		}
		return err
	})
	mine := add("mine", "0a0b", "here", cases.Begun, 0)
	left := add("left", "0a0b", "far", cases.CodeSent, time.Minute)
	add("over", "0a0b", "nowhere", cases.Settled, 2*time.Hour)
	add("long ago", "0a0b", "far", cases.Closed, 25*time.Hour)
	add("of others", "0a01", "here", cases.Settled, time.Minute)
	add("again", "0a01", "here", cases.Settled, 2*time.Minute)
	add("of others, too", "0a02", "here", cases.Closed, time.Minute)
	add("an hour ago", "0a03", "here", cases.Closed, time.Hour+time.Second)
	add("elsewhere", "0a03", "far", cases.Closed, time.Minute)
	update(t, s, func(tx *Tx) error {
		open, around, err := tx.Visits("0a0b", "here", now)
		if !reflect.DeepEqual(open, []cases.Case{left, mine}) {
			t.Errorf("open: %+v", open)
		}
		want := cases.Surroundings{Place: &cases.Place{Latitude: 53.8008, Longitude: -1.5491}, OtherCards: 2, Elsewhere: []cases.Seen{
			{At: now.Add(-2 * time.Hour)}, {At: now.Add(-time.Minute), Place: &cases.Place{Latitude: 51.5072, Longitude: -0.1276}},
		}}
		if !reflect.DeepEqual(around, want) {
			t.Errorf("around: %+v, want %+v", around, want)
		}
		return err
	})
}

// An address has its limit whoever's it is.
func TestSendsToOneAddress(t *testing.T) { conforms(t, testSendsToOneAddress) }

func testSendsToOneAddress(t *testing.T, another func() Store) {
	s := another()
	seed(t, s)
	old := cases.Case{ID: "old", Card: "0a0b", Holder: "h1", Kiosk: "k1", State: cases.Closed}
	update(t, s, func(tx *Tx) error {
		return errors.Join(tx.SetCase(old), tx.AddSend(old, []byte{1}, now.Add(-25*time.Hour)), tx.DropSends(now.Add(-24*time.Hour)))
	})
	update(t, s, func(tx *Tx) error {
		sends, err := tx.Sends(old, []byte{1}, now.Add(-48*time.Hour))
		if len(sends.Card)+len(sends.Address) != 0 {
			t.Errorf("what counts no more is kept for ever: %+v", sends)
		}
		return err
	})
	a := cases.Case{ID: "a", Card: "0a0b", Holder: "h1", Kiosk: "k1"}
	b := cases.Case{ID: "b", Card: "0c0d", Holder: "h2", Kiosk: "k2"}
	update(t, s, func(tx *Tx) error {
		return errors.Join(tx.SetCase(a), tx.AddSend(a, []byte{1}, now), tx.AddSend(a, []byte{2}, now.Add(time.Second)))
	})
	update(t, s, func(tx *Tx) error {
		sent, err := tx.Sends(b, []byte{1}, now.Add(-time.Hour))
		if len(sent.Address) != 1 || len(sent.Card)+len(sent.Holder)+len(sent.Kiosk) != 0 {
			t.Errorf("%+v", sent)
		}
		return err
	})
}

// What an unlock stores of a card leaves a freeze and an approval as they are, and the other way round.
func TestFreezesStandByThemselves(t *testing.T) { conforms(t, testFreezesStandByThemselves) }

func testFreezesStandByThemselves(t *testing.T, another func() Store) {
	s := another()
	seed(t, s)
	see := func(frozen, approved, quarantined time.Time, wrong int) {
		t.Helper()
		update(t, s, func(tx *Tx) error {
			c, err := tx.Card("0a0b")
			h, _, err2 := tx.Holder("h1")
			if !c.FrozenAt.Equal(frozen) || !c.ApprovedUntil.Equal(approved) || c.WrongCodes != wrong || !h.QuarantinedAt.Equal(quarantined) {
				t.Errorf("%+v %+v", c, h)
			}
			return errors.Join(err, err2)
		})
	}
	update(t, s, func(tx *Tx) error {
		return errors.Join(tx.FreezeCard("0a0b", now), tx.ApproveCard("0a0b", now.Add(time.Hour)), tx.QuarantineHolder("h1", now))
	})
	update(t, s, func(tx *Tx) error {
		return errors.Join(tx.SetCard(cases.Card{Serial: "0a0b", WrongCodes: 4}), tx.ImportCard(cases.Card{Serial: "0a0b", Profile: "piv", Holder: "h1"}))
	})
	see(now, now.Add(time.Hour), now, 4)
	update(t, s, func(tx *Tx) error {
		return errors.Join(tx.UnfreezeCard("0a0b"), tx.ApproveCard("0a0b", time.Time{}), tx.QuarantineHolder("h1", time.Time{}))
	})
	see(time.Time{}, time.Time{}, time.Time{}, 4)
}
