// Package directory takes holders and cards in from two CSV files (RFC 4180), as a directory and a card printer write
// them:
//
//	holder_id,name,email,mobile,status                        status: active, left
//	serial,profile,holder_id,secret,card_certificate,status   status: issued, revoked
//
// secret is what lets another set the card's passcode: PUK, reset code, administrator's PIN, or the administrator's key in
// hex. If it is empty, nothing is said of it: a new card is kept to be named, and cannot be served.
// card_certificate is the card authentication certificate (PIV 9E), DER in base64. It must hold now and chain to the
// authorities of the configuration, unless the card is revoked or came with the same before. If it is empty, nothing is said
// of it, either: a card keeps the one that is on record.
//
// An import is all or nothing and strict; what is wrong is told by line, never with a secret, a name or a contact in it.
// Importing again brings the directory up to date. The secret of a card that was served is not changed where the kind of PUK
// rotates, for central may have given the card another. Where it does not, another secret corrects the record, and says
// nothing of the card: tries that are booked stay so, and a blocked PUK stays blocked.
//
// Terms.Reissued is the Registration Authority's word that it gave the cards of the file their secrets anew, and so their
// full count of tries. The secret, which can be the same, then begins a generation of its own, past all that any grant or
// outcome of before belongs to.
//
// What an import changes of a card's profile, secret or certificate stands in the ledger, but not the values. A card of
// another profile than before has to begin again: its open cases are ended.
package directory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"latchkey/card/profiles"
	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/store"
	"latchkey/cmd/central/internal/vault"
	"latchkey/firmware/secret"
)

// Flaw is what is wrong with a line, in one sentence.
type Flaw struct {
	File string
	Line int
	Says string
}

func (f Flaw) String() string { return fmt.Sprintf("%s line %d: %s", f.File, f.Line, f.Says) }

// Result of an import. With flaws, nothing was imported.
type Result struct {
	Holders, NewHolders int
	Cards, NewCards     int
	Reissued            int // cards that were served and have their secret anew
	Flaws               []Flaw
}

// File is one of the two, and its name for flaws.
type File struct {
	Name string
	io.Reader
}

// errNothing rolls back what is only tried, or flawed.
var errNothing = errors.New("nothing is kept")

// Terms are what cards are held against.
type Terms struct {
	Profiles profiles.Set
	Issuers  cases.Issuers
	Now      time.Time
	Reissued bool // the Registration Authority gave the cards their secrets anew
}

// Import takes the files in. A dry run finds the same flaws and keeps nothing.
func Import(ctx context.Context, s store.Store, v *vault.Vault, terms Terms, holders, cards File, dryRun bool) (Result, error) {
	people, flaws := readHolders(holders)
	plastic, more := readCards(cards, terms.Profiles)
	flaws = append(flaws, more...)
	defer func() {
		for _, h := range people {
			h.wipe()
		}
		for _, c := range plastic {
			c.secret.Wipe()
		}
	}()
	var r Result
	err := s.Update(ctx, func(tx *store.Tx) error {
		r = Result{Holders: len(people), Cards: len(plastic), Flaws: slices.Clone(flaws)}
		for _, h := range people {
			if err := r.holder(tx, v, h); err != nil {
				return err
			}
		}
		for _, c := range plastic {
			says, err := r.card(tx, v, c, terms)
			if err != nil {
				return err
			}
			if says != "" {
				r.Flaws = append(r.Flaws, Flaw{cards.Name, c.line, says})
			}
		}
		if len(r.Flaws) > 0 || dryRun {
			return errNothing
		}
		note := fmt.Sprintf("holders %d new %d cards %d new %d", r.Holders, r.NewHolders, r.Cards, r.NewCards)
		return tx.AppendEvent(ledger.Event{At: terms.Now, Kind: ledger.Imported, Note: note})
	})
	if err != nil && !errors.Is(err, errNothing) {
		return Result{}, fmt.Errorf("import: %w", err)
	}
	return r, nil
}

func (r *Result) holder(tx *store.Tx, v *vault.Vault, h holder) error {
	_, _, err := tx.Holder(h.ID)
	if errors.Is(err, store.ErrNotFound) {
		r.NewHolders++
	} else if err != nil {
		return err
	}
	seal := func(kind vault.Kind, plain secret.Value) ([]byte, error) {
		if plain.Len() == 0 {
			return nil, nil
		}
		return v.Seal(vault.Subject{Kind: kind, ID: h.ID}, plain)
	}
	var c store.Contacts
	if c.Email, err = seal(vault.KindEmail, h.email); err != nil {
		return err
	}
	if c.Mobile, err = seal(vault.KindMobile, h.mobile); err != nil {
		return err
	}
	return tx.ImportHolder(h.Holder, c)
}

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
func (r *Result) card(tx *store.Tx, v *vault.Vault, c card, terms Terms) (says string, err error) {
	if _, _, err := tx.Holder(c.Holder); errors.Is(err, store.ErrNotFound) {
		return noHolder, nil
	} else if err != nil {
		return "", err
	}
	if terms.Reissued && c.secret.Len() == 0 {
		return noSecret, nil
	}
	before, err := tx.Card(c.Serial)
	isNew := errors.Is(err, store.ErrNotFound)
	if err != nil && !isNew {
		return "", err
	}
	if !isNew && len(c.Certificate) == 0 {
		c.Certificate = before.Certificate
	}
	// One that was taken before may have run out since: a file with all cards stays good, and the proof looks again.
	if isNew || before.Revoked || !bytes.Equal(before.Certificate, c.Certificate) {
		if says := doubt(c, terms); says != "" {
			return says, nil
		}
	}
	if isNew {
		r.NewCards++
		return "", errors.Join(tx.ImportCard(c.Card), keep(tx, v, c, 0))
	}
	if before.Holder != c.Holder {
		return otherHolder, nil
	}
	return r.again(tx, v, before, c, terms)
}

// again imports a card that is on record.
func (r *Result) again(tx *store.Tx, v *vault.Vault, before cases.Card, c card, terms Terms) (says string, err error) {
	grants, err := tx.Grants(c.Serial)
	if err != nil {
		return "", err
	}
	var (
		served = before.Settled > 0 || len(grants) > 0
		live   = slices.ContainsFunc(grants, func(g cases.Grant) bool { return g.Outcome == nil && terms.Now.Before(g.ExpiresAt) })
		what   = theSame
		noted  []string
	)
	if before.Profile == c.Profile {
		if what, err = compare(tx, v, c); err != nil {
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
		generation, err := renew(tx, before, grants)
		if err := errors.Join(err, keep(tx, v, c, generation)); err != nil {
			return "", err
		}
		noted = append(noted, fmt.Sprintf("reissued generation %d", generation))
	case what == theSame:
	case served && what == anOlder:
		return secretOlder, nil
	case served && c.profile.PUK.Rotates:
		return secretServed, nil
	default:
		if err := keep(tx, v, c, before.Settled); err != nil {
			return "", err
		}
		noted = append(noted, "secret")
	}
	if !bytes.Equal(before.Certificate, c.Certificate) {
		noted = append(noted, "certificate")
	}
	if err := tx.ImportCard(c.Card); err != nil {
		return "", err
	}
	if before.Profile != c.Profile {
		if err := supersede(tx, c.Serial, terms.Now); err != nil {
			return "", err
		}
	}
	if len(noted) == 0 {
		return "", nil
	}
	return "", tx.AppendEvent(ledger.Event{At: terms.Now, Kind: ledger.CardChanged, Card: c.Serial, Note: strings.Join(noted, ", ")})
}

// supersede ends the card's open cases: they were begun by the rules of another kind of card.
func supersede(tx *store.Tx, serial string, now time.Time) error {
	open, err := tx.OpenCases(serial)
	for _, o := range open {
		o.Supersede(now)
		err = errors.Join(err, tx.SetCase(o), tx.AppendEvent(ledger.Event{
			At: now, Kind: ledger.CaseEnded, Kiosk: o.Kiosk, Case: o.ID, Card: serial, Note: string(o.Reason),
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

func compare(tx *store.Tx, v *vault.Vault, c card) (likeness, error) {
	if c.secret.Len() == 0 {
		return theSame, nil
	}
	list, err := tx.Secrets(c.Serial)
	if err != nil {
		return another, err
	}
	for i, kept := range list { // newest first
		equal, err := v.Holds(subject(c, kept.Generation), kept.Sealed, c.secret)
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
func renew(tx *store.Tx, c cases.Card, grants []cases.Grant) (generation int64, err error) {
	for _, g := range grants {
		c.Settled = max(c.Settled, g.Base)
		g.Booked = 0 // of another secret's count
		err = errors.Join(err, tx.SetGrant(g))
	}
	c.Settled += 2
	c.PUKBlocked = false
	return c.Settled, errors.Join(err, tx.SetCard(c))
}

func keep(tx *store.Tx, v *vault.Vault, c card, generation int64) error {
	if c.secret.Len() == 0 {
		return nil
	}
	sealed, err := v.Seal(subject(c, generation), c.secret)
	if err != nil {
		return err
	}
	return tx.SetSecret(c.Serial, generation, sealed)
}

func subject(c card, generation int64) vault.Subject {
	return vault.CardSecret(c.Serial, cases.Challenges(c.profile), generation)
}
