package office

import (
	"context"
	"errors"
	"fmt"
	"time"

	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/store"
	"latchkey/cmd/central/internal/vault"
)

// Holder is one as staff see him or her: contacts masked, as at the kiosk.
type Holder struct {
	ID              string
	Name            string
	Organisation    string // id; empty if there is none
	Active          bool
	Email, Mobile   string // masked; empty if there is none
	EmailChangedAt  time.Time
	MobileChangedAt time.Time
	QuarantinedAt   time.Time // zero if not
	WrongCodes      int       // since the last unlock
	Fed             bool      // by a directory, as he or she changes there
	Language        string
	Cards           []string         // serials
	Positions       []store.Position // of ShowHolder alone
}

// holdersPage is the most holders of one list.
const holdersPage = 1000

// ListHolders lists the holders that come after an id, by id, at most 1,000: the next list begins after the last of this one.
func ListHolders(ctx context.Context, s store.Store, v *vault.Vault, after string) (list []Holder, err error) {
	err = s.View(ctx, func(tx *store.Tx) error {
		list = []Holder{}
		people, err := tx.People(after, holdersPage)
		if err != nil {
			return err
		}
		for _, p := range people {
			h, err := holderOf(tx, v, p)
			if err != nil {
				return err
			}
			list = append(list, h)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list holders: %w", err)
	}
	return list, nil
}

// ShowHolder shows a holder.
func ShowHolder(ctx context.Context, s store.Store, v *vault.Vault, id string) (h Holder, err error) {
	err = s.View(ctx, func(tx *store.Tx) error {
		p, err := tx.Person(id)
		if errors.Is(err, store.ErrNotFound) {
			return refuse("there is no holder with the id %s: \"central holder list\" lists them", id)
		}
		if err != nil {
			return err
		}
		if h, err = holderOf(tx, v, p); err != nil {
			return err
		}
		h.Positions, err = tx.Positions(id)
		return err
	})
	return h, err
}

func holderOf(tx *store.Tx, v *vault.Vault, p store.Person) (Holder, error) {
	h := Holder{
		ID: p.ID, Name: p.Name, Organisation: p.Organisation, Active: p.Active, EmailChangedAt: p.EmailChangedAt, MobileChangedAt: p.MobileChangedAt,
		QuarantinedAt: p.QuarantinedAt, WrongCodes: p.WrongCodes, Fed: p.UserName != "", Language: p.Language, Cards: []string{},
	}
	for _, c := range []struct {
		kind   vault.Kind
		sealed []byte
		mask   func(string) string
		into   *string
	}{{vault.KindEmail, p.Email, cases.MaskEmail, &h.Email}, {vault.KindMobile, p.Mobile, cases.MaskMobile, &h.Mobile}} {
		if len(c.sealed) == 0 {
			continue
		}
		plain, err := v.Open(vault.Subject{Kind: c.kind, ID: p.ID}, c.sealed)
		if err != nil {
			return h, fmt.Errorf("contact: %w", err)
		}
		*c.into = c.mask(string(plain.Reveal()))
		plain.Wipe()
	}
	cards, err := tx.CardsOfHolder(p.ID)
	for _, c := range cards {
		h.Cards = append(h.Cards, c.Serial)
	}
	return h, err
}

// ListOrganisations lists the organisations by id.
func ListOrganisations(ctx context.Context, s store.Store) (list []store.Organisation, err error) {
	err = s.View(ctx, func(tx *store.Tx) error {
		list, err = tx.Organisations()
		return err
	})
	return list, err
}
