package directory

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/store"
	"latchkey/cmd/central/internal/vault"
)

// What is wrong with a card in view of what is on record.
const (
	noHolder      = "the holder_id is neither on record nor among the holders of this import"
	otherHolder   = "the card was issued to another holder: a card for somebody else needs a serial of its own"
	noSecret      = "the secret is missing, and --reissued says that the card was given one anew: write it there, or import the card without --reissued"
	profileServed = "the card was served already, so its profile cannot be changed by import: import it with the one it had, or issue a new card"
	profileAlone  = "the profile is another than before, so the secret must stand there, too"
	secretServed  = "the card was served already, so its secret cannot be changed by import: import it with the one it had, or without any, or with --reissued if you gave the card this one since"
	secretOlder   = "the secret is one that this card had before its present one: import it with the present one, or without any, or with --reissued if you gave the card this one again"
	beingUnlocked = "a kiosk is unlocking this card at this moment, so its secret cannot be changed: import it in two minutes"
)

// card says what is wrong with the card in view of what is on record.
func (r *run) card(tx *store.Tx, c card) (says string, err error) {
	if _, known := r.people[c.Holder]; !known {
		return noHolder, nil
	}
	if r.terms.Reissued && c.secret.Len() == 0 {
		return noSecret, nil
	}
	known, found := r.known[c.Serial]
	before, isNew := known.Card, !found
	if !isNew && len(c.Certificate) == 0 {
		c.Certificate = before.Certificate
	}
	// One that was taken before may have run out since: a file with all cards stays good, and the proof looks again.
	if isNew || before.Revoked || !bytes.Equal(before.Certificate, c.Certificate) {
		if says := doubt(c, r.terms); says != "" {
			return says, nil
		}
	}
	if isNew {
		r.NewCards++
		if r.keep {
			err = tx.ImportCard(c.Card)
		}
		return "", errors.Join(err, r.hold(tx, c, 0))
	}
	if before.Holder != c.Holder {
		return otherHolder, nil
	}
	return r.again(tx, known, c)
}

// again imports a card that is on record.
func (r *run) again(tx *store.Tx, known store.Known, c card) (says string, err error) {
	before, grants, terms := known.Card, known.Grants, r.terms
	var (
		served = before.Settled > 0 || len(grants) > 0
		live   = slices.ContainsFunc(grants, func(g cases.Grant) bool { return g.Outcome == nil && terms.Now.Before(g.ExpiresAt) })
		what   = theSame
		noted  []string
	)
	if before.Profile == c.Profile {
		if what, err = r.likeness(known.Secrets, c); err != nil {
			return "", err
		}
	} else {
		noted = append(noted, "profile")
		if c.secret.Len() > 0 {
			what = another
		}
	}
	reissued := terms.Reissued && served
	switch {
	case before.Profile != c.Profile && served:
		return profileServed, nil
	case before.Profile != c.Profile && before.HasSecret && what == theSame:
		return profileAlone, nil
	case served && live && (reissued || what != theSame):
		return beingUnlocked, nil
	case reissued:
		r.Reissued++
		generation, err := r.renew(tx, before, grants)
		if err := errors.Join(err, r.hold(tx, c, generation)); err != nil {
			return "", err
		}
		noted = append(noted, fmt.Sprintf("reissued generation %d", generation))
	case what == theSame:
	case served && what == anOlder:
		return secretOlder, nil
	case served && c.profile.PUK.Rotates:
		return secretServed, nil
	default:
		if err := r.hold(tx, c, before.Settled); err != nil {
			return "", err
		}
		noted = append(noted, "secret")
	}
	if !bytes.Equal(before.Certificate, c.Certificate) {
		noted = append(noted, "certificate")
	}
	if !r.keep || len(noted) == 0 && before.Revoked == c.Revoked {
		return "", nil
	}
	if err := tx.ImportCard(c.Card); err != nil {
		return "", err
	}
	if before.Profile != c.Profile {
		if err := supersede(tx, c.Serial, terms.Now, terms.By); err != nil {
			return "", err
		}
	}
	if len(noted) == 0 {
		return "", nil
	}
	return "", tx.AppendEvent(ledger.Event{At: terms.Now, Kind: ledger.CardChanged, Card: c.Serial, Note: strings.Join(noted, ", "), By: terms.By})
}

// supersede ends the card's open cases: they were begun by the rules of another kind of card.
func supersede(tx *store.Tx, serial string, now time.Time, by string) error {
	open, err := tx.OpenCases(serial)
	for _, o := range open {
		o.Supersede(now)
		err = errors.Join(err, tx.SetCase(o), tx.AppendEvent(ledger.Event{
			At: now, Kind: ledger.CaseEnded, Kiosk: o.Kiosk, Case: o.ID, Card: serial, Note: string(o.Reason), By: by,
		}))
	}
	return err
}

// likeness is what an imported secret is to those on record.
type likeness int

const (
	theSame likeness = iota // or empty: nothing is said
	anOlder                 // the card was given another by import since
	another
)

// likeness compares with the secrets that are on record, newest first.
func (r *run) likeness(list []store.Secret, c card) (likeness, error) {
	if c.secret.Len() == 0 {
		return theSame, nil
	}
	for i, kept := range list {
		equal, err := r.holds(subject(c, kept.Generation), kept.Sealed, c.secret)
		switch {
		case err != nil:
			return another, err
		case equal && i == 0:
			return theSame, nil
		case equal:
			return anOlder, nil
		}
	}
	return another, nil
}

// renew begins a generation for the secret that the Registration Authority gave the card. The one after the newest of a grant
// may be on the card already, or known to a kiosk, and is passed over.
func (r *run) renew(tx *store.Tx, c cases.Card, grants []cases.Grant) (generation int64, err error) {
	for _, g := range grants {
		c.Settled = max(c.Settled, g.Base)
	}
	c.Settled += 2
	c.PUKBlocked = false
	if !r.keep {
		return c.Settled, nil
	}
	for _, g := range grants {
		g.Booked = 0 // of another secret's count
		err = errors.Join(err, tx.SetGrant(g))
	}
	return c.Settled, errors.Join(err, tx.SetCard(c))
}

// hold seals the secret of a card for a generation.
func (r *run) hold(tx *store.Tx, c card, generation int64) error {
	sealed, err := r.seal(subject(c, generation), c.secret)
	if err != nil || sealed == nil || !r.keep {
		return err
	}
	return tx.SetSecret(c.Serial, generation, sealed)
}

func subject(c card, generation int64) vault.Subject {
	return vault.CardSecret(c.Serial, cases.Challenges(c.profile), generation)
}
