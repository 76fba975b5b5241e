package store

import (
	"fmt"

	"latchkey/cmd/central/internal/cases"
)

// Organisation is one that holders belong to.
type Organisation struct {
	ID   string // ODS code, as policy names it
	Name string
}

// Position is what a holder is somewhere.
type Position struct {
	Holder       string
	Organisation string
	Role         string // job role, such as "R8000"
	Workgroup    string // empty if there is none
}

// Organisations lists all organisations by id.
func (t *Tx) Organisations() (list []Organisation, err error) {
	err = t.rows(keys{everything}, `SELECT id, name FROM organisations ORDER BY id`, nil, func(scan func(...any) error) error {
		var o Organisation
		err := scan(&o.ID, &o.Name)
		list = append(list, o)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("organisations: %w", err)
	}
	return list, nil
}

// OrganisationsOf finds organisations by id.
func (t *Tx) OrganisationsOf(ids []string) (byID map[string]Organisation, err error) {
	byID = map[string]Organisation{}
	err = inParts(ids, func(list string, args []any) error {
		return t.rows(each(organisationKey, args), `SELECT id, name FROM organisations WHERE id IN (`+list+`)`, args, func(scan func(...any) error) error {
			var o Organisation
			err := scan(&o.ID, &o.Name)
			byID[o.ID] = o
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("organisations: %w", err)
	}
	return byID, nil
}

// SetOrganisation adds an organisation or names it anew.
func (t *Tx) SetOrganisation(o Organisation) error {
	err := t.exec(keys{organisationKey(o.ID)}, `INSERT INTO organisations (id, name) VALUES ($1, $2)
		ON CONFLICT (id) DO UPDATE SET name = excluded.name`, o.ID, o.Name)
	if err != nil {
		return fmt.Errorf("store organisation: %w", err)
	}
	return nil
}

// Positions lists what a holder is.
func (t *Tx) Positions(holder string) (list []Position, err error) {
	err = t.rows(keys{holderKey(holder)}, `SELECT organisation, role, workgroup FROM positions WHERE holder = $1 ORDER BY organisation, role, workgroup`,
		[]any{holder}, func(scan func(...any) error) error {
			p := Position{Holder: holder}
			err := scan(&p.Organisation, &p.Role, &p.Workgroup)
			list = append(list, p)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("positions: %w", err)
	}
	return list, nil
}

// SetPositions puts these in the place of all that the holder had.
func (t *Tx) SetPositions(holder string, list []Position) error {
	err := t.exec(keys{holderKey(holder)}, `DELETE FROM positions WHERE holder = $1`, holder)
	for _, p := range list {
		if err == nil {
			err = t.exec(keys{holderKey(holder), organisationKey(p.Organisation)}, `INSERT INTO positions (holder, organisation, role, workgroup) VALUES ($1, $2, $3, $4)`,
				holder, p.Organisation, p.Role, p.Workgroup)
		}
	}
	if err != nil {
		return fmt.Errorf("store positions: %w", err)
	}
	return nil
}

// CardsOfHolder lists the cards that were issued to a holder, by serial.
func (t *Tx) CardsOfHolder(holder string) ([]cases.Card, error) {
	return t.cards(keys{holderKey(holder)}, `WHERE holder = $1 ORDER BY serial`, holder)
}

// Known is what is on record of a card.
type Known struct {
	Card    cases.Card
	Secrets []Secret      // newest first
	Grants  []cases.Grant // oldest first
}

// KnownCards finds all that is on record of cards, by serial.
func (t *Tx) KnownCards(serials []string) (map[string]Known, error) {
	known := map[string]Known{}
	err := inParts(serials, func(list string, args []any) error {
		k := each(cardKey, args)
		cards, err := t.cards(k, `WHERE serial IN (`+list+`)`, args...)
		if err != nil {
			return err
		}
		secrets := map[string][]Secret{}
		err = t.rows(k, `SELECT card, generation, sealed FROM secrets WHERE card IN (`+list+`) ORDER BY card, generation DESC`, args, func(scan func(...any) error) error {
			var card string
			var s Secret
			err := scan(&card, &s.Generation, &s.Sealed)
			secrets[card] = append(secrets[card], s)
			return err
		})
		if err != nil {
			return fmt.Errorf("secrets: %w", err)
		}
		grants, err := t.grants(k, `WHERE card IN (`+list+`) ORDER BY card, number`, args...)
		if err != nil {
			return err
		}
		granted := map[string][]cases.Grant{}
		for _, g := range grants {
			granted[g.Card] = append(granted[g.Card], g)
		}
		for _, c := range cards {
			known[c.Serial] = Known{c, secrets[c.Serial], granted[c.Serial]}
		}
		return nil
	})
	return known, err
}
