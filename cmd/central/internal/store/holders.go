package store

import (
	"fmt"

	"latchkey/cmd/central/internal/cases"
)

// Contacts of a holder, sealed; nil where there is none.
type Contacts struct {
	Email, Mobile []byte
}

// English is the language of messages to holders of whom nothing else was said.
const English = "en"

// Holder finds a holder and the sealed contacts.
func (t *Tx) Holder(id string) (cases.Holder, Contacts, error) {
	h := cases.Holder{ID: id}
	var c Contacts
	var email, mobile, quarantined int64
	err := t.row(keys{holderKey(id)}, `SELECT name, active, email, mobile, wrong_codes, organisation, language,
			email_changed_at, mobile_changed_at, quarantined_at FROM holders WHERE id = $1`, []any{id},
		&h.Name, truth{&h.Active}, &c.Email, &c.Mobile, &h.WrongCodes, &h.Organisation, &h.Language, &email, &mobile, &quarantined)
	if err != nil {
		return h, c, fmt.Errorf("holder: %w", err)
	}
	h.EmailChangedAt, h.MobileChangedAt, h.QuarantinedAt = moment(email), moment(mobile), moment(quarantined)
	return h, c, nil
}

// ImportHolder adds a holder or changes what the directory says of one: all but the count of wrong codes and quarantine.
func (t *Tx) ImportHolder(h cases.Holder, c Contacts) error {
	if h.Language == "" {
		h.Language = English
	}
	err := t.exec(keys{holderKey(h.ID)}, `INSERT INTO holders (id, name, active, email, mobile, organisation, language, email_changed_at, mobile_changed_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
		ON CONFLICT (id) DO UPDATE SET name = excluded.name, active = excluded.active, email = excluded.email, mobile = excluded.mobile,
			organisation = excluded.organisation, language = excluded.language,
			email_changed_at = excluded.email_changed_at, mobile_changed_at = excluded.mobile_changed_at`,
		h.ID, h.Name, number(h.Active), c.Email, c.Mobile, h.Organisation, h.Language, millis(h.EmailChangedAt), millis(h.MobileChangedAt))
	if err != nil {
		return fmt.Errorf("import holder: %w", err)
	}
	return nil
}

// SetHolderWrongCodes stores the count of wrong codes.
func (t *Tx) SetHolderWrongCodes(h cases.Holder) error {
	if err := t.exec(keys{holderKey(h.ID)}, `UPDATE holders SET wrong_codes = $2 WHERE id = $1`, h.ID, h.WrongCodes); err != nil {
		return fmt.Errorf("count wrong codes of holder: %w", err)
	}
	return nil
}
