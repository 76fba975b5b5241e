package directory

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/mail"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/delivery"
	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/store"
	"latchkey/cmd/central/internal/vault"
	"latchkey/firmware/secret"
)

// Entry is what a directory says of a holder.
type Entry struct {
	ID            string
	Name          string
	Active        bool
	Email, Mobile secret.Value // empty if there is none
	Organisation  string       // id; empty if there is none
	Language      string       // English or Welsh
	store.Account              // but for ChangedAt
}

// Languages of messages.
const (
	English = store.English
	Welsh   = "cy"
)

// Wipe wipes the contacts.
func (e Entry) Wipe() {
	e.Email.Wipe()
	e.Mobile.Wipe()
}

// NewID makes the id of a holder whose directory gives none that central could use.
func NewID() string {
	var b [12]byte
	rand.Read(b[:])
	return "u-" + hex.EncodeToString(b[:])
}

var (
	idForm           = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
	organisationForm = regexp.MustCompile(`^[A-Za-z0-9-]{1,32}$`)
	mobileForm       = regexp.MustCompile(`^\+?[0-9 ().-]{7,30}$`)
)

// Wrong says what of the entry cannot be taken, and what can; empty if nothing is wrong. It repeats nothing of the entry.
func (e Entry) Wrong() string {
	email, mobile := string(e.Email.Reveal()), string(e.Mobile.Reveal())
	switch {
	case !idForm.MatchString(e.ID):
		return "the holder_id must be 1 to 64 letters, digits, dots, hyphens or underscores"
	case e.Name == "" || !plain(e.Name):
		return "the name must be 1 to 200 bytes of printable UTF-8 without space around it"
	case email != "" && !address(email):
		return "the email is not an address"
	case mobile != "" && !mobileForm.MatchString(mobile):
		return "the mobile must be 7 to 30 digits, spaces, dots, hyphens and brackets, with or without a + before them"
	case e.Organisation != "" && !organisationForm.MatchString(e.Organisation):
		return "the organisation must be the id of one: 1 to 32 letters, digits or hyphens"
	case e.Language != English && e.Language != Welsh:
		return "the language must be en or cy"
	case !plain(e.UserName) || e.UserName != strings.ToLower(e.UserName):
		return "the user_name must be at most 200 bytes of printable UTF-8 without space around it"
	case !plain(e.ExternalID) || !plain(e.GivenName) || !plain(e.FamilyName) || !plain(e.Department) || !plain(e.EmployeeNumber):
		return "what is said of a holder must be at most 200 bytes of printable UTF-8 each, without space around it"
	}
	return ""
}

// plain takes up to 200 bytes that can be shown, or none.
func plain(s string) bool {
	return len(s) <= 200 && printable(s) && strings.TrimSpace(s) == s
}

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// address takes what a mail host will: local@domain, ASCII, nothing around it (RFC 5321 §4.5.3.1).
func address(s string) bool {
	a, err := mail.ParseAddress(s)
	return err == nil && a.Address == s && len(s) <= 254 && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// unreachable says why no code could be sent to a holder whom the entry describes; empty if one can, or the holder left.
func (e Entry) unreachable(p cases.Policy) string {
	if !e.Active || len(cases.Channels(p, string(e.Email.Reveal()), string(e.Mobile.Reveal()))) > 0 {
		return ""
	}
	switch {
	case e.Email.Len() == 0 && e.Mobile.Len() == 0:
		return "no code can be sent to this holder: there is neither email nor mobile"
	case e.Email.Len() == 0:
		return "no code can be sent to this holder: there is no email, and policy sends none to the mobile"
	}
	return "no code can be sent to this holder: policy does not allow the email's domain, and there is no mobile that it allows"
}

// Feeding is who brings holders up to date, when, and under which keys. Contacts that stay are not sealed anew.
type Feeding struct {
	vault *vault.Vault
	by    string
	now   time.Time
	// What was sealed and compared before the write lock was asked for, so that nothing of it is done behind it. Both are
	// by subject and octets: what was changed in between is sealed or compared then.
	sealed map[vault.Subject][]byte
	equal  map[comparison]bool
}

// comparison is of the secret in this import with one on record. An import has one secret of a subject.
type comparison struct {
	vault.Subject
	sealed string
}

// NewFeeding is for one import, or one request. by is the name of who feeds, as the ledger keeps it.
func NewFeeding(v *vault.Vault, by string, now time.Time) *Feeding {
	return &Feeding{vault: v, by: by, now: now, sealed: map[vault.Subject][]byte{}, equal: map[comparison]bool{}}
}

func (f *Feeding) seal(s vault.Subject, plain secret.Value) (sealed []byte, err error) {
	if plain.Len() == 0 {
		return nil, nil
	}
	sealed, done := f.sealed[s]
	if !done {
		if sealed, err = f.vault.Seal(s, plain); err == nil {
			f.sealed[s] = sealed
		}
	}
	return sealed, err
}

// holds says whether the secret is the one that is sealed; an empty one is where nothing is.
func (f *Feeding) holds(s vault.Subject, sealed []byte, plain secret.Value) (equal bool, err error) {
	if len(sealed) == 0 || plain.Len() == 0 {
		return len(sealed) == 0 && plain.Len() == 0, nil
	}
	c := comparison{s, string(sealed)}
	equal, done := f.equal[c]
	if !done {
		if equal, err = f.vault.Holds(s, sealed, plain); err == nil {
			f.equal[c] = equal
		}
	}
	return equal, err
}

// contact is one of a holder's two, before and after.
type contact struct {
	channel string
	vault.Subject
	before, after []byte
	plain         secret.Value // after
	changed       bool
}

// compare works out what the holder will be. before is nil for a new one.
func (f *Feeding) compare(before *store.Person, e Entry) (after store.Person, contacts [2]contact, err error) {
	var had store.Person
	if before != nil {
		had = *before
	}
	after = had
	after.ID, after.Name, after.Active, after.Organisation, after.Language = e.ID, e.Name, e.Active, e.Organisation, e.Language
	after.Account = e.Account
	after.ChangedAt = had.ChangedAt
	contacts = [2]contact{
		{channel: cases.ChannelEmail, Subject: vault.Subject{Kind: vault.KindEmail, ID: e.ID}, before: had.Email, plain: e.Email},
		{channel: cases.ChannelMobile, Subject: vault.Subject{Kind: vault.KindMobile, ID: e.ID}, before: had.Mobile, plain: e.Mobile},
	}
	for i := range contacts {
		c := &contacts[i]
		same, err := f.holds(c.Subject, c.before, c.plain)
		if err != nil {
			return after, contacts, err
		}
		if c.after = c.before; !same {
			if c.after, err = f.seal(c.Subject, c.plain); err != nil {
				return after, contacts, err
			}
			c.changed = before != nil
		}
	}
	after.Email, after.Mobile = contacts[0].after, contacts[1].after
	if contacts[0].changed {
		after.EmailChangedAt = f.now
	}
	if contacts[1].changed {
		after.MobileChangedAt = f.now
	}
	return after, contacts, nil
}

// Keep adds a holder, or brings one up to date, and says whether anything was changed. A contact of a holder who was on record
// that is changed stands in the ledger, beside each card, and the holder is told on the old one and on the new; if there was no old
// one, on the other. before is what is on record; nil for a new holder.
func (f *Feeding) Keep(tx *store.Tx, before *store.Person, e Entry) (after store.Person, changed bool, err error) {
	after, contacts, err := f.compare(before, e)
	if err != nil {
		return after, false, err
	}
	if before != nil && same(*before, after) && !contacts[0].changed && !contacts[1].changed {
		return after, false, nil
	}
	after.ChangedAt = f.now
	if err := tx.SetPerson(after); err != nil {
		return after, false, err
	}
	var noted []string
	for i, c := range contacts {
		if !c.changed {
			continue
		}
		noted = append(noted, c.channel)
		if err := f.tell(tx, after.Holder, c, contacts[1-i]); err != nil {
			return after, false, err
		}
	}
	if len(noted) == 0 {
		return after, true, nil
	}
	cards, err := tx.CardsOfHolder(e.ID)
	if err != nil {
		return after, false, err
	}
	event := ledger.Event{At: f.now, Kind: ledger.ContactChanged, Note: strings.Join(noted, ", "), By: f.by}
	if len(cards) == 0 {
		return after, true, tx.AppendEvent(event)
	}
	for _, c := range cards {
		event.Card = c.Serial
		err = errors.Join(err, tx.AppendEvent(event))
	}
	return after, true, err
}

// same compares all but the contacts.
func same(a, b store.Person) bool {
	return a.Name == b.Name && a.Active == b.Active && a.Organisation == b.Organisation && a.Language == b.Language && a.Account == b.Account
}

// tell books the notices about a contact that was changed.
func (f *Feeding) tell(tx *store.Tx, h cases.Holder, c, other contact) error {
	if old := c; len(old.before) > 0 {
		if err := f.tellOld(tx, h, old); err != nil {
			return err
		}
	} else if len(other.before) > 0 {
		if err := f.tellOld(tx, h, other); err != nil {
			return err
		}
	}
	if c.plain.Len() == 0 {
		return nil
	}
	return delivery.Notice(f.vault, tx, store.MessageContactChanged, h, "", c.channel, c.plain, f.now)
}

func (f *Feeding) tellOld(tx *store.Tx, h cases.Holder, c contact) error {
	old, err := f.vault.Open(c.Subject, c.before)
	if err != nil {
		return fmt.Errorf("old contact: %w", err)
	}
	defer old.Wipe()
	return delivery.Notice(f.vault, tx, store.MessageContactChanged, h, "", c.channel, old, f.now)
}
