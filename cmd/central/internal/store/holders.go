package store

import (
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"latchkey/cmd/central/internal/cases"
)

// Contacts of a holder, sealed; nil where there is none.
type Contacts struct {
	Email, Mobile []byte
}

// English is the language of messages to holders of whom nothing else was said.
const English = "en"

const selectHolder = `SELECT id, name, active, email, mobile, wrong_codes, organisation, language,
	email_changed_at, mobile_changed_at, quarantined_at FROM holders WHERE id = `

func scanHolder(scan func(...any) error) (h cases.Holder, c Contacts, err error) {
	var email, mobile, quarantined int64
	err = scan(&h.ID, &h.Name, truth{&h.Active}, &c.Email, &c.Mobile, &h.WrongCodes, &h.Organisation, &h.Language, &email, &mobile, &quarantined)
	h.EmailChangedAt, h.MobileChangedAt, h.QuarantinedAt = moment(email), moment(mobile), moment(quarantined)
	return h, c, err
}

// Holder finds a holder and the sealed contacts.
func (t *Tx) Holder(id string) (h cases.Holder, c Contacts, err error) {
	err = ErrNotFound
	e := t.rows(keys{holderKey(id)}, selectHolder+`$1`, []any{id}, func(scan func(...any) error) error {
		h, c, err = scanHolder(scan)
		return err
	})
	if e != nil {
		err = e
	}
	if err != nil {
		return h, c, fmt.Errorf("holder: %w", err)
	}
	return h, c, nil
}

// CardHolder is Card and Holder in one question, of a card of that holder's.
func (t *Tx) CardHolder(serial, holder string) (card cases.Card, h cases.Holder, c Contacts, err error) {
	err = ErrNotFound
	e := t.rows(keys{cardKey(serial), holderKey(holder)}, `SELECT c.*, h.* FROM (`+selectCard+`WHERE serial = $1 AND holder = $2) c,
		(`+selectHolder+`$2) h`, []any{serial, holder}, func(scan func(...any) error) error {
		card, err = scanCard(func(into ...any) error {
			h, c, err = scanHolder(func(more ...any) error { return scan(append(into, more...)...) })
			return err
		})
		return err
	})
	if e != nil {
		err = e
	}
	if err != nil {
		return card, h, c, fmt.Errorf("card and holder: %w", err)
	}
	return card, h, c, nil
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

// Account is what a directory that feeds holders knows of one besides.
type Account struct {
	UserName              string // lower case; of no two holders; empty if no directory feeds this one
	ExternalID            string // of no two holders, either
	GivenName, FamilyName string
	Department            string
	EmployeeNumber        string
	ChangedAt             time.Time // by a directory or an import; zero: not since there are such times
}

// Person is all that the directory says of a holder.
type Person struct {
	cases.Holder
	Contacts
	Account
}

const selectPerson = `SELECT id, name, active, email, mobile, wrong_codes, organisation, language, email_changed_at, mobile_changed_at, quarantined_at,
	user_name, external_id, given_name, family_name, department, employee_number, changed_at FROM holders `

func (t *Tx) people(k keys, where string, args ...any) (list []Person, err error) {
	err = t.rows(k, selectPerson+where, args, func(scan func(...any) error) error {
		var p Person
		var email, mobile, quarantined, changed int64
		var user, external sql.NullString
		err := scan(&p.ID, &p.Name, truth{&p.Active}, &p.Email, &p.Mobile, &p.WrongCodes, &p.Organisation, &p.Language, &email, &mobile, &quarantined,
			&user, &external, &p.GivenName, &p.FamilyName, &p.Department, &p.EmployeeNumber, &changed)
		p.UserName, p.ExternalID = user.String, external.String
		p.EmailChangedAt, p.MobileChangedAt, p.QuarantinedAt, p.ChangedAt = moment(email), moment(mobile), moment(quarantined), moment(changed)
		list = append(list, p)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("holders: %w", err)
	}
	return list, nil
}

func one(list []Person, err error) (Person, error) {
	if err == nil && len(list) == 0 {
		return Person{}, fmt.Errorf("holder: %w", ErrNotFound)
	}
	if err != nil {
		return Person{}, err
	}
	return list[0], nil
}

// Person finds a holder by id.
func (t *Tx) Person(id string) (Person, error) {
	return one(t.people(keys{holderKey(id)}, `WHERE id = $1`, id))
}

// PersonNamed finds a holder by user name, in lower case.
func (t *Tx) PersonNamed(userName string) (Person, error) {
	return one(t.people(keys{accounts}, `WHERE user_name = $1`, userName))
}

// PersonKnownAs finds a holder by the id that the feeding directory uses.
func (t *Tx) PersonKnownAs(externalID string) (Person, error) {
	return one(t.people(keys{accounts}, `WHERE external_id = $1`, externalID))
}

// Accounts lists the holders that a directory feeds, by id, and counts them all.
func (t *Tx) Accounts(offset, limit int) (list []Person, total int, err error) {
	if err := t.row(keys{everything}, `SELECT COUNT(*) FROM holders WHERE user_name IS NOT NULL`, nil, &total); err != nil {
		return nil, 0, fmt.Errorf("count holders: %w", err)
	}
	list, err = t.people(keys{everything}, `WHERE user_name IS NOT NULL ORDER BY id LIMIT $1 OFFSET $2`, limit, offset)
	return list, total, err
}

// People lists the holders that come after an id, by id.
func (t *Tx) People(after string, limit int) ([]Person, error) {
	return t.people(keys{everything}, `WHERE id > $1 ORDER BY id LIMIT $2`, after, limit)
}

// PeopleOf finds holders by id, and those who have one of the user names, by user name.
func (t *Tx) PeopleOf(ids, userNames []string) (byID, byUserName map[string]Person, err error) {
	byID, byUserName = map[string]Person{}, map[string]Person{}
	err = inParts(ids, func(list string, args []any) error {
		people, err := t.people(each(holderKey, args), `WHERE id IN (`+list+`)`, args...)
		for _, p := range people {
			byID[p.ID] = p
		}
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	err = inParts(userNames, func(list string, args []any) error {
		people, err := t.people(keys{accounts}, `WHERE user_name IN (`+list+`)`, args...)
		for _, p := range people {
			byUserName[p.UserName] = p
		}
		return err
	})
	return byID, byUserName, err
}

// SetPerson adds a holder or changes what the directory says of one: all but the count of wrong codes and quarantine.
func (t *Tx) SetPerson(p Person) error {
	if p.Language == "" {
		p.Language = English
	}
	err := t.exec(keys{holderKey(p.ID), accounts}, `INSERT INTO holders (id, name, active, email, mobile, organisation, language, email_changed_at, mobile_changed_at,
			user_name, external_id, given_name, family_name, department, employee_number, changed_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
		ON CONFLICT (id) DO UPDATE SET name = excluded.name, active = excluded.active, email = excluded.email, mobile = excluded.mobile,
			organisation = excluded.organisation, language = excluded.language,
			email_changed_at = excluded.email_changed_at, mobile_changed_at = excluded.mobile_changed_at,
			user_name = excluded.user_name, external_id = excluded.external_id, given_name = excluded.given_name, family_name = excluded.family_name,
			department = excluded.department, employee_number = excluded.employee_number, changed_at = excluded.changed_at`,
		p.ID, p.Name, number(p.Active), p.Email, p.Mobile, p.Organisation, p.Language, millis(p.EmailChangedAt), millis(p.MobileChangedAt),
		orNull(p.UserName), orNull(p.ExternalID), p.GivenName, p.FamilyName, p.Department, p.EmployeeNumber, millis(p.ChangedAt))
	if err != nil {
		return fmt.Errorf("store holder: %w", err)
	}
	return nil
}

func orNull(s string) sql.NullString { return sql.NullString{String: s, Valid: s != ""} }

// inParts calls f with the values in parts, and with what stands for them behind IN. Parts have a few lengths alone, so that there are
// few statements; the last value is repeated to fill them. They stand as VALUES, a table to join with: behind a plain list
// PostgreSQL compares each row with each value, while it knows nothing yet of a table that was just filled.
func inParts(values []string, f func(list string, args []any) error) error {
	for part := range slices.Chunk(values, 512) {
		length := 1
		for length < len(part) {
			length *= 8
		}
		var list strings.Builder
		list.WriteString("VALUES ")
		args := make([]any, length)
		for i := range args {
			if i > 0 {
				list.WriteByte(',')
			}
			list.WriteString("($" + strconv.Itoa(i+1) + ")")
			args[i] = part[min(i, len(part)-1)]
		}
		if err := f(list.String(), args); err != nil {
			return err
		}
	}
	return nil
}

// each is the keys of records that are named by strings.
func each(key func(string) string, names []any) keys {
	k := make(keys, len(names))
	for i, n := range names {
		k[i] = key(n.(string))
	}
	return k
}
