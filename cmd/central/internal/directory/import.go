// Package directory takes holders and cards in from two CSV files (RFC 4180), as a directory and a card printer write
// them:
//
//	holder_id,name,email,mobile,status                        status: active, left
//	serial,profile,holder_id,secret,card_certificate,status   status: issued, revoked
//
// secret is what lets another set the card's passcode: PUK, reset code, administrator's PIN, or the administrator's key in
// hex. If it is empty, nothing is said of it: a new card is kept to be named, and cannot be served.
// card_certificate is the card authentication certificate (PIV 9E), DER in base64, or empty. It must hold now and chain to
// the authorities of the configuration, unless the card is revoked or came with the same before.
//
// An import is all or nothing and strict; what is wrong is told by line, never with a secret, a name or a contact in it.
// Importing again brings the directory up to date. The secret of a card that was served is not changed, for central may have
// given the card another, but in two cases, in which only the Registration Authority can have written a new one: the card's
// PUK was found blocked, or is of a kind that does not rotate. The new one then begins a generation of its own, which no
// grant or outcome of before belongs to.
package directory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
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

// card says what is wrong with the card in view of what is on record.
func (r *Result) card(tx *store.Tx, v *vault.Vault, c card, terms Terms) (says string, err error) {
	if _, _, err := tx.Holder(c.Holder); errors.Is(err, store.ErrNotFound) {
		return "the holder_id is neither on record nor among the holders of this import", nil
	} else if err != nil {
		return "", err
	}
	before, err := tx.Card(c.Serial)
	// One that was taken before may have run out since: a file with all cards stays good, and the proof looks again.
	if err != nil || before.Revoked || !bytes.Equal(before.Certificate, c.Certificate) {
		if says := doubt(c, terms); says != "" {
			return says, nil
		}
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		r.NewCards++
		if err := tx.ImportCard(c.Card); err != nil {
			return "", err
		}
		return "", keep(tx, v, c, 0)
	case err != nil:
		return "", err
	case before.Holder != c.Holder:
		return "the card was issued to another holder: a card for somebody else needs a serial of its own", nil
	}
	grants, err := tx.Grants(c.Serial)
	if err != nil {
		return "", err
	}
	served := before.Settled > 0 || len(grants) > 0
	switch {
	case before.Profile == c.Profile:
	case served:
		return "the card was served already, so its profile cannot be changed by import: import it with the one it had, or issue a new card", nil
	case before.HasSecret && c.secret.Len() == 0:
		return "the profile is another than before, so the secret must stand there, too", nil
	default:
		return "", errors.Join(tx.ImportCard(c.Card), keep(tx, v, c, 0))
	}
	what, err := compare(tx, v, c)
	if err != nil {
		return "", err
	}
	if served {
		switch {
		case what == theSame:
		case what == anOlder:
			return "the secret is one that this card had before its present one: import it with the present one, or without any", nil
		case !before.PUKBlocked && c.profile.PUK.Rotates:
			return "the card was served already, so its secret cannot be changed by import: import it with the one it had, or without any, or issue a new card", nil
		case slices.ContainsFunc(grants, func(g cases.Grant) bool { return g.Outcome == nil && terms.Now.Before(g.ExpiresAt) }):
			return "a kiosk is unlocking this card at this moment, so its secret cannot be changed: import it in two minutes", nil
		default:
			return "", renew(tx, v, before, c, grants)
		}
	}
	if err := tx.ImportCard(c.Card); err != nil || what == theSame {
		return "", err
	}
	return "", keep(tx, v, c, 0)
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

// renew begins a generation with the secret that the Registration Authority gave the card. The one after the settled may be
// on the card already, by a grant of which no outcome came, and is passed over.
func renew(tx *store.Tx, v *vault.Vault, before cases.Card, c card, grants []cases.Grant) error {
	before.Settled += 2
	before.PUKBlocked = false
	if err := errors.Join(tx.ImportCard(c.Card), tx.SetCard(before), keep(tx, v, c, before.Settled)); err != nil {
		return err
	}
	for _, g := range grants {
		g.Booked = 0 // of another secret's count
		if err := tx.SetGrant(g); err != nil {
			return err
		}
	}
	return nil
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
