// Package directory takes holders and cards in from two CSV files (RFC 4180), as a directory and a card printer write
// them:
//
//	holder_id,name,email,mobile,status                        status: active, left
//	serial,profile,holder_id,puk,card_certificate,status      status: issued, revoked
//
// card_certificate is the card authentication certificate (PIV 9E), DER in base64, or empty. An import is all or nothing
// and strict; what is wrong is told by line, never with a PUK, a name or a contact in it. Importing again brings the
// directory up to date. The secret of a card is not changed once central may have given it another.
package directory

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

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

// Import takes the files in. A dry run finds the same flaws and keeps nothing.
func Import(ctx context.Context, s store.Store, v *vault.Vault, now time.Time, holders, cards File, dryRun bool) (Result, error) {
	people, flaws := readHolders(holders)
	plastic, more := readCards(cards)
	flaws = append(flaws, more...)
	defer func() {
		for _, h := range people {
			h.wipe()
		}
		for _, c := range plastic {
			c.puk.Wipe()
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
			says, err := r.card(tx, v, c)
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
		return tx.AppendEvent(ledger.Event{At: now, Kind: ledger.Imported, Note: note})
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
func (r *Result) card(tx *store.Tx, v *vault.Vault, c card) (says string, err error) {
	if _, _, err := tx.Holder(c.Holder); errors.Is(err, store.ErrNotFound) {
		return "the holder_id is neither on record nor among the holders of this import", nil
	} else if err != nil {
		return "", err
	}
	before, err := tx.Card(c.Serial)
	switch {
	case errors.Is(err, store.ErrNotFound):
		r.NewCards++
		if err := tx.ImportCard(c.Card); err != nil {
			return "", err
		}
		return "", keep(tx, v, c)
	case err != nil:
		return "", err
	case before.Holder != c.Holder:
		return "the card was issued to another holder: a card for somebody else needs a serial of its own", nil
	}
	grants, err := tx.Grants(c.Serial)
	if err != nil {
		return "", err
	}
	same, err := unchanged(tx, v, c)
	if err != nil {
		return "", err
	}
	if touched := before.Settled > 0 || len(grants) > 0; touched && (!same || before.Profile != c.Profile) {
		return "the card was served already, so its puk and profile cannot be changed by import: import it with those it had, or issue a new card", nil
	}
	if err := tx.ImportCard(c.Card); err != nil || same {
		return "", err
	}
	return "", keep(tx, v, c)
}

// unchanged says whether the PUK is the one that the card came with.
func unchanged(tx *store.Tx, v *vault.Vault, c card) (bool, error) {
	sealed, err := tx.Secret(c.Serial, 0)
	if err != nil {
		return false, err
	}
	puk, err := v.Open(subject(c.Card), sealed)
	if err != nil {
		return false, err
	}
	defer puk.Wipe()
	return puk.Equal(c.puk), nil
}

func keep(tx *store.Tx, v *vault.Vault, c card) error {
	sealed, err := v.Seal(subject(c.Card), c.puk)
	if err != nil {
		return err
	}
	return tx.SetSecret(c.Serial, 0, sealed)
}

func subject(c cases.Card) vault.Subject { return vault.Subject{Kind: vault.KindPUK, ID: c.Serial} }
