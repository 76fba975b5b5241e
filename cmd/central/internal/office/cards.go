package office

import (
	"context"
	"errors"
	"fmt"
	"time"

	"latchkey/card/profiles"
	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/store"
	"latchkey/firmware/wire/ra"
)

// exposure of a card: which kiosks that are not trusted were given a PUK that it may still have.
type exposure struct {
	cases.Card
	by  []string
	way ra.CardLineRemedy // how it gets out of danger
}

func exposures(tx *store.Tx, set profiles.Set) (list []exposure, err error) {
	cards, err := tx.CardsGrantedToSuspects()
	if err != nil {
		return nil, err
	}
	suspect, err := suspects(tx)
	if err != nil {
		return nil, err
	}
	for _, c := range cards {
		grants, err := tx.Grants(c.Serial)
		if err != nil {
			return nil, err
		}
		if e := exposureOf(set, c, grants, suspect); len(e.by) > 0 {
			list = append(list, e)
		}
	}
	return list, nil
}

// suspects tells the grants that somebody else may have had: those of kiosks that were disabled, or whose case was opened and not cleared,
// and those that a kiosk had got when central learnt that its case was opened, whatever became of it since.
func suspects(tx *store.Tx) (func(cases.Grant) bool, error) {
	kiosks, err := tx.Kiosks()
	by := map[string]store.Kiosk{}
	for _, k := range kiosks {
		by[k.Name] = k
	}
	return func(g cases.Grant) bool {
		k := by[g.Kiosk]
		return k.State == store.KioskDisabled || k.CaseToldAt != 0 && (k.CaseClearedAt == 0 || g.IssuedAt.UnixMilli() <= k.CaseToldAt)
	}, err
}

func exposureOf(set profiles.Set, c cases.Card, grants []cases.Grant, suspect func(cases.Grant) bool) exposure {
	profile, unknown := set.Named(c.Profile) // the zero Profile counts as one whose secret leaves central and stays
	e := exposure{Card: c, by: cases.Exposed(c, profile, grants, suspect), way: ra.CardLineRemedyWalk}
	switch {
	case unknown != nil:
		e.way = ra.CardLineRemedyProfile
	case !profile.PUK.Rotates:
		e.way = ra.CardLineRemedyImport
	}
	return e
}

// cardState is what is wrong with a card on record; "in order" if nothing is.
func cardState(c cases.Card) string {
	switch {
	case c.Revoked:
		return "revoked"
	case !c.FrozenAt.IsZero():
		return "frozen"
	case c.PUKBlocked:
		return string(cases.WhyPUKBlocked)
	case !c.HasSecret:
		return string(cases.WhySecretUnknown)
	}
	return "in order"
}

// ListCards lists the cards by serial: all, or those that are exposed.
func ListCards(ctx context.Context, s store.Store, set profiles.Set, exposed bool) (rows []ra.CardLine, err error) {
	err = s.View(ctx, func(tx *store.Tx) error {
		rows = []ra.CardLine{}
		list, err := exposures(tx, set)
		if err != nil {
			return err
		}
		by := map[string]exposure{}
		var cards []cases.Card
		for _, e := range list {
			by[e.Serial] = e
			cards = append(cards, e.Card)
		}
		if !exposed {
			if cards, err = tx.Cards(); err != nil {
				return err
			}
		}
		for _, c := range cards {
			row := ra.CardLine{Serial: c.Serial, Profile: c.Profile, State: cardState(c), Settled: c.Settled, ExposedBy: []string{}}
			if e, is := by[c.Serial]; is {
				row.ExposedBy, row.Remedy = e.by, e.way
			}
			rows = append(rows, row)
		}
		return nil
	})
	return rows, err
}

// ShowCard is a card and all its grants.
func ShowCard(ctx context.Context, s store.Store, set profiles.Set, serial string) (r ra.Card, err error) {
	err = s.View(ctx, func(tx *store.Tx) error {
		c, err := cardNamed(tx, serial)
		if err != nil {
			return err
		}
		r = ra.Card{
			Serial: c.Serial, Profile: c.Profile, State: cardState(c), Revoked: c.Revoked, Settled: c.Settled, WrongCodes: c.WrongCodes,
			FrozenAt: known(c.FrozenAt), ApprovedUntil: known(c.ApprovedUntil), ExposedBy: []string{}, Generations: []ra.Generation{}, Grants: []ra.Grant{},
		}
		grants, err := tx.Grants(c.Serial)
		if err != nil {
			return err
		}
		suspect, err := suspects(tx)
		if err != nil {
			return err
		}
		imported, err := tx.Secrets(c.Serial)
		if err != nil {
			return err
		}
		r.ExposedBy = append(r.ExposedBy, exposureOf(set, c, grants, suspect).by...)
		for _, g := range generations(set, c, imported, grants) {
			row := ra.Generation{Number: g.Number, Imported: g.Imported, Settled: g.Settled, Given: []ra.Given{}}
			for _, to := range g.Given {
				row.Given = append(row.Given, ra.Given{Kiosk: to.Kiosk, Case: to.Case, At: to.At, Answered: to.Answered})
			}
			r.Generations = append(r.Generations, row)
		}
		for _, g := range grants {
			row := ra.Grant{
				Case: g.Case, Kiosk: g.Kiosk, Base: g.Base, First: g.First, Tries: g.Tries, Booked: g.Booked,
				IssuedAt: g.IssuedAt, ExpiresAt: g.ExpiresAt,
			}
			if o := g.Outcome; o != nil {
				row.Outcome = &ra.Outcome{
					At: o.At, Passcode: string(o.Passcode), Opened: o.Opened, Rotated: string(o.Rotated), Tries: o.Tries, PukBlocked: o.PUKBlocked,
				}
			}
			r.Booked += g.Booked
			r.Grants = append(r.Grants, row)
		}
		return nil
	})
	return r, err
}

// ResetAttempts forgives the wrong codes of a card and of its holder, and says how many there were.
func ResetAttempts(ctx context.Context, s store.Store, serial, by string, now time.Time) (f ra.Forgiven, err error) {
	err = s.Update(ctx, func(tx *store.Tx) error {
		c, err := cardNamed(tx, serial)
		if err != nil {
			return err
		}
		h, _, err := tx.Holder(c.Holder)
		if err != nil {
			return err
		}
		f = ra.Forgiven{Card: c.WrongCodes, Holder: h.WrongCodes}
		c.WrongCodes, h.WrongCodes = 0, 0
		note := fmt.Sprintf("card %d holder %d", f.Card, f.Holder)
		return errors.Join(tx.SetCard(c), tx.SetHolderWrongCodes(h),
			tx.AppendEvent(ledger.Event{At: now, Kind: ledger.AttemptsReset, Card: c.Serial, Note: note, By: by}))
	})
	return f, err
}

func cardNamed(tx *store.Tx, serial string) (cases.Card, error) {
	c, err := tx.Card(serial)
	if errors.Is(err, store.ErrNotFound) {
		return c, refuse("there is no card with the serial %s: it is written in lower-case hex", serial)
	}
	return c, err
}

// known is nil of the zero Time.
func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
