package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/elimity-com/scim"
	scimerrors "github.com/elimity-com/scim/errors"
	"github.com/elimity-com/scim/optional"

	"latchkey/cmd/central/internal/directory"
	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/store"
	"latchkey/cmd/central/internal/vault"
	"latchkey/firmware/secret"
)

// users are the holders that a directory feeds: those who have a user name, by SCIM or by an import.
type users struct{ *Server }

var _ scim.ResourceHandler = users{}

// byDirectory is who did what came by SCIM, as the ledger has it.
const byDirectory = "scim"

// answered makes an error of a transaction one that may be told. What is central's own is logged, and not told.
func (u users) answered(err error) error {
	var told scimerrors.ScimError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &told):
		return told
	case errors.Is(err, store.ErrNotFound):
		return scimerrors.ScimError{Status: http.StatusNotFound, Detail: "There is no such user."}
	}
	u.Log.Error("scim", "err", err)
	return scimerrors.ScimErrorInternal
}

// invalid is what a user that cannot be taken comes to.
func invalid(says string) error {
	return scimerrors.ScimError{ScimType: scimerrors.ScimTypeInvalidValue, Status: http.StatusBadRequest, Detail: says}
}

// user finds a holder that a directory feeds.
func user(tx *store.Tx, id string) (store.Person, error) {
	p, err := tx.Person(id)
	if err == nil && p.UserName == "" {
		err = store.ErrNotFound
	}
	return p, err
}

// Get implements scim.ResourceHandler.
func (u users) Get(r *http.Request, id string) (found scim.Resource, err error) {
	err = u.Store.View(r.Context(), func(tx *store.Tx) error {
		p, err := user(tx, id)
		if err == nil {
			found, err = u.resource(p)
		}
		return err
	})
	return found, u.answered(err)
}

// GetAll implements scim.ResourceHandler.
func (u users) GetAll(r *http.Request, params scim.ListRequestParams) (page scim.Page, err error) {
	wanted := r.Context().Value(scimRequestKey{}).(*scimRequest).wanted
	err = u.Store.View(r.Context(), func(tx *store.Tx) error {
		page = scim.Page{Resources: []scim.Resource{}}
		var list []store.Person
		if wanted == nil {
			var err error
			if list, page.TotalResults, err = tx.Accounts(params.StartIndex-1, params.Count); err != nil {
				return err
			}
		} else {
			var p store.Person
			var err error
			switch wanted.attribute {
			case "username":
				p, err = tx.PersonNamed(strings.ToLower(wanted.value))
			case "externalid":
				p, err = tx.PersonKnownAs(wanted.value)
			default:
				p, err = user(tx, wanted.value)
			}
			if errors.Is(err, store.ErrNotFound) {
				return nil
			}
			if err != nil {
				return err
			}
			page.TotalResults = 1
			if params.StartIndex == 1 && params.Count > 0 {
				list = []store.Person{p}
			}
		}
		for _, p := range list {
			one, err := u.resource(p)
			if err != nil {
				return err
			}
			page.Resources = append(page.Resources, one)
		}
		return nil
	})
	return page, u.answered(err)
}

// Create implements scim.ResourceHandler.
func (u users) Create(r *http.Request, attributes scim.ResourceAttributes) (made scim.Resource, err error) {
	id := directory.NewID()
	err = u.Store.Update(r.Context(), func(tx *store.Tx) error {
		made, err = u.keep(tx, nil, id, attributes, "added")
		return err
	})
	if err == nil {
		r.Context().Value(scimRequestKey{}).(*scimRequest).location(id)
	}
	return made, u.answered(err)
}

// Replace implements scim.ResourceHandler.
func (u users) Replace(r *http.Request, id string, attributes scim.ResourceAttributes) (scim.Resource, error) {
	return u.change(r.Context(), id, func(scim.ResourceAttributes) (scim.ResourceAttributes, error) { return attributes, nil })
}

// Patch implements scim.ResourceHandler.
func (u users) Patch(r *http.Request, id string, operations []scim.PatchOperation) (scim.Resource, error) {
	return u.change(r.Context(), id, func(present scim.ResourceAttributes) (scim.ResourceAttributes, error) {
		// Whoever changes the parts of a name that was made of them changes the whole.
		shown, composed, whole := text(present, "displayName"), nameOf(present), false
		for _, o := range operations {
			if err := apply(present, o); err != nil {
				return nil, invalid(err.Error())
			}
			whole = whole || strings.EqualFold(o.Path.AttributePath.AttributeName, "displayName")
		}
		name, _ := present["name"].(map[string]any)
		if next := nameOf(present); !whole && next != "" && (shown == composed || text(name, "formatted") != "") {
			present["displayName"] = next
		}
		return present, nil
	})
}

func (u users) change(ctx context.Context, id string, to func(present scim.ResourceAttributes) (scim.ResourceAttributes, error)) (changed scim.Resource, err error) {
	err = u.Store.Update(ctx, func(tx *store.Tx) error {
		p, err := user(tx, id)
		if err != nil {
			return err
		}
		present, err := u.attributes(p)
		if err != nil {
			return err
		}
		next, err := to(present)
		if err != nil {
			return err
		}
		changed, err = u.keep(tx, &p, id, next, "changed")
		return err
	})
	return changed, u.answered(err)
}

// Delete implements scim.ResourceHandler. The holder's cards are evidence, so that the holder stays on record, as one who left,
// and is no longer the directory's: the user name may become another person's, who must not get this one's cards.
func (u users) Delete(r *http.Request, id string) error {
	return u.answered(u.Store.Update(r.Context(), func(tx *store.Tx) error {
		p, err := user(tx, id)
		if err != nil {
			return err
		}
		now := u.now()
		p.Active, p.UserName, p.ExternalID, p.ChangedAt = false, "", "", now
		return errors.Join(tx.SetPerson(p), tx.AppendEvent(ledger.Event{At: now, Kind: ledger.Imported, Note: "user deleted", By: byDirectory}))
	}))
}

// keep holds what is said of a user against what is on record, and keeps it. before is nil for a new one.
func (u users) keep(tx *store.Tx, before *store.Person, id string, a scim.ResourceAttributes, what string) (scim.Resource, error) {
	e := directory.Entry{ID: id, Active: true, Language: directory.English}
	if before != nil {
		e.Active = before.Active // unless it is said
	}
	if active, said := a["active"].(bool); said {
		e.Active = active
	}
	name, _ := a["name"].(map[string]any)
	extension, _ := a[enterpriseSchema.ID].(map[string]any)
	e.GivenName, e.FamilyName = text(name, "givenName"), text(name, "familyName")
	if e.Name = text(a, "displayName"); e.Name == "" {
		e.Name = nameOf(a)
	}
	e.UserName, e.ExternalID = strings.ToLower(text(a, "userName")), text(a, "externalId")
	e.EmployeeNumber, e.Department, e.Organisation = text(extension, "employeeNumber"), text(extension, "department"), text(extension, "organization")
	if language, _, _ := strings.Cut(strings.ToLower(text(a, "preferredLanguage")), "-"); language == directory.Welsh {
		e.Language = directory.Welsh
	}
	emails, _ := a["emails"].([]any)
	phones, _ := a["phoneNumbers"].([]any)
	e.Email = secret.New([]byte(contactIn(emails, workEmail)))
	e.Mobile = secret.New([]byte(strings.TrimPrefix(contactIn(phones, mobilePhone), "tel:")))
	defer e.Wipe()
	if e.UserName == "" {
		return scim.Resource{}, invalid("userName is missing.")
	}
	if e.Name == "" {
		return scim.Resource{}, invalid("The name is missing: send displayName, or name.")
	}
	if err := place(tx, before, &e); err != nil {
		return scim.Resource{}, err
	}
	if says := e.Wrong(); says != "" {
		return scim.Resource{}, invalid(says)
	}
	if err := unique(tx, e); err != nil {
		return scim.Resource{}, err
	}
	now := u.now()
	if before != nil && before.Active != e.Active {
		what = map[bool]string{true: "activated", false: "deactivated"}[e.Active]
	}
	after, changed, err := directory.NewFeeding(u.Vault, byDirectory, now).Keep(tx, before, e)
	if err == nil && changed {
		err = tx.AppendEvent(ledger.Event{At: now, Kind: ledger.Imported, Note: "user " + what, By: byDirectory})
	}
	if err != nil {
		return scim.Resource{}, err
	}
	return u.resource(after)
}

// place finds the organisation, which directories name by its id or by its name.
func place(tx *store.Tx, before *store.Person, e *directory.Entry) error {
	if e.Organisation == "" || before != nil && before.Organisation == e.Organisation {
		return nil
	}
	byID, err := tx.OrganisationsOf([]string{e.Organisation})
	if err != nil {
		return err
	}
	if _, known := byID[e.Organisation]; known {
		return nil
	}
	all, err := tx.Organisations()
	if err != nil {
		return err
	}
	for _, o := range all {
		if strings.EqualFold(o.Name, e.Organisation) {
			e.Organisation = o.ID
			return nil
		}
	}
	return invalid("The organization is not on record by this id or name: import it first, from a file of organisations.")
}

// unique refuses names that are another holder's.
func unique(tx *store.Tx, e directory.Entry) error {
	taken := scimerrors.ScimErrorUniqueness
	other, err := tx.PersonNamed(e.UserName)
	if err == nil && other.ID != e.ID {
		taken.Detail = "There is a user with this userName."
		return taken
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if e.ExternalID == "" {
		return nil
	}
	other, err = tx.PersonKnownAs(e.ExternalID)
	if err == nil && other.ID != e.ID {
		taken.Detail = "There is a user with this externalId."
		return taken
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return nil
}

func text(m map[string]any, name string) string {
	s, _ := m[name].(string)
	return strings.TrimSpace(s)
}

// nameOf is the whole name as the parts say it; empty if there are none.
func nameOf(a scim.ResourceAttributes) string {
	name, _ := a["name"].(map[string]any)
	if whole := text(name, "formatted"); whole != "" {
		return whole
	}
	return strings.TrimSpace(text(name, "givenName") + " " + text(name, "familyName"))
}

// attributes are what central keeps of a user, as SCIM has them. They are for the directory that sent them.
func (u users) attributes(p store.Person) (scim.ResourceAttributes, error) {
	a := scim.ResourceAttributes{"userName": p.UserName, "displayName": p.Name, "active": p.Active, "preferredLanguage": p.Language}
	if p.ExternalID != "" {
		a["externalId"] = p.ExternalID
	}
	parts := func(values map[string]any) map[string]any {
		for key, value := range values {
			if value == "" {
				delete(values, key)
			}
		}
		return values
	}
	if name := parts(map[string]any{"givenName": p.GivenName, "familyName": p.FamilyName}); len(name) > 0 {
		a["name"] = name
	}
	if e := parts(map[string]any{"employeeNumber": p.EmployeeNumber, "organization": p.Organisation, "department": p.Department}); len(e) > 0 {
		a[enterpriseSchema.ID] = e
	}
	for _, c := range []struct {
		name, kept string
		kind       vault.Kind
		sealed     []byte
	}{{"emails", workEmail, vault.KindEmail, p.Email}, {"phoneNumbers", mobilePhone, vault.KindMobile, p.Mobile}} {
		if len(c.sealed) == 0 {
			continue
		}
		value, err := u.Vault.Open(vault.Subject{Kind: c.kind, ID: p.ID}, c.sealed)
		if err != nil {
			return nil, fmt.Errorf("contact: %w", err)
		}
		a[c.name] = contactList(string(value.Reveal()), c.kept)
		value.Wipe()
	}
	return a, nil
}

func (u users) resource(p store.Person) (scim.Resource, error) {
	a, err := u.attributes(p)
	r := scim.Resource{ID: p.ID, Attributes: a}
	if p.ExternalID != "" {
		r.ExternalID = optional.NewString(p.ExternalID)
	}
	if !p.ChangedAt.IsZero() {
		r.Meta.LastModified = &p.ChangedAt
	}
	return r, err
}
