package api

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"latchkey/cmd/central/internal/directory"
	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/store"
	"latchkey/firmware/wire"
)

const scimToken = "only for the tests of this package: 0123456789"

// feeder is a directory that feeds holders.
type feeder struct {
	*world
	client *http.Client
	url    string
	token  string
}

func (w *world) fed() *feeder {
	w.t.Helper()
	path := filepath.Join(w.dir, "scim-token")
	if err := os.WriteFile(path, []byte(scimToken+"\n"), 0o600); err != nil {
		w.t.Fatal(err)
	}
	var err error
	if w.server.SCIM, err = ReadToken("scim.token_file", path); err != nil {
		w.t.Fatal(err)
	}
	s := httptest.NewTLSServer(w.server.Web())
	w.t.Cleanup(s.Close)
	f := &feeder{world: w, url: s.URL, token: scimToken}
	f.client = s.Client()
	return f
}

// scimUser is a user as SCIM shows one.
type scimUser struct {
	ID         string `json:"id"`
	ExternalID string `json:"externalId"`
	UserName   string `json:"userName"`
	Display    string `json:"displayName"`
	Active     bool   `json:"active"`
	Language   string `json:"preferredLanguage"`
	Name       struct {
		Given  string `json:"givenName"`
		Family string `json:"familyName"`
	} `json:"name"`
	Emails, PhoneNumbers []struct{ Value, Type string }
	Enterprise           struct {
		Number     string `json:"employeeNumber"`
		Place      string `json:"organization"`
		Department string `json:"department"`
	} `json:"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"`
}

func (u scimUser) String() string {
	return fmt.Sprintln(u.ExternalID, u.UserName, u.Display, u.Active, u.Language, u.Name, u.Emails, u.PhoneNumbers, u.Enterprise)
}

// ask sends a request and wants this status.
func (f *feeder) ask(method, path, body string, want int) []byte {
	f.t.Helper()
	rq, err := http.NewRequestWithContext(f.t.Context(), method, f.url+"/scim/v2"+path, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	rq.Header.Set("Authorization", "Bearer "+f.token)
	rq.Header.Set("Content-Type", "application/scim+json; charset=utf-8")
	a, err := f.client.Do(rq)
	if err != nil {
		f.t.Fatal(err)
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	if a.StatusCode != want {
		f.t.Fatalf("%s %s: %d, want %d: %s", method, path, a.StatusCode, want, b)
	}
	if is := a.Header.Get("Content-Type"); want != http.StatusNoContent && is != "application/scim+json" {
		f.t.Errorf("%s %s: content type %s", method, path, is)
	}
	return b
}

func (f *feeder) user(method, path, body string, want int) (u scimUser) {
	f.t.Helper()
	b := f.ask(method, path, body, want)
	if err := json.Unmarshal(b, &u); err != nil {
		f.t.Fatalf("%v: %s", err, b)
	}
	return u
}

func (f *feeder) find(filter string) (list []scimUser) {
	f.t.Helper()
	var page struct {
		TotalResults int
		Resources    []scimUser
	}
	b := f.ask("GET", "/Users?filter="+strings.NewReplacer(" ", "%20", `"`, "%22").Replace(filter), "", http.StatusOK)
	if err := json.Unmarshal(b, &page); err != nil || page.TotalResults != len(page.Resources) || page.Resources == nil {
		f.t.Fatalf("%v: %s", err, b)
	}
	return page.Resources
}

// What Entra ID sends, as its documentation has it ("Tutorial: Develop and plan provisioning for a SCIM endpoint").
const entraUser = `{
    "schemas": [
        "urn:ietf:params:scim:schemas:core:2.0:User",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],
    "externalId": "0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef",
    "userName": "Test_User_ab6490ee-1e48-479e-a20b-2d77186b5dd1",
    "active": true,
    "emails": [{
        "primary": true,
        "type": "work",
        "value": "Test_User_fd0ea19b-0777-472c-9f96-4f70d2226f2e@testuser.com"
    }],
    "meta": {
        "resourceType": "User"
    },
    "name": {
        "formatted": "givenName familyName",
        "familyName": "familyName",
        "givenName": "givenName"
    },
    "roles": []
}`

// patch wraps operations.
func patch(operations string) string {
	return `{"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [` + operations + `]}`
}

func TestEntraFeedsHolders(t *testing.T) {
	t.Parallel()
	f := newWorld(t).fed()
	f.update(func(tx *store.Tx) error {
		return tx.SetOrganisation(store.Organisation{ID: "RX1", Name: "Anytown NHS Trust"})
	})
	if list := f.find(`userName eq "non-existent user"`); len(list) != 0 {
		t.Errorf("%v", list)
	}
	u := f.user("POST", "/Users", entraUser, http.StatusCreated)
	if u.ID == "" || u.Display != "givenName familyName" || !u.Active || u.Language != "en" || len(u.Emails) != 1 || u.Emails[0].Type != "work" {
		t.Fatalf("%+v", u)
	}
	if list := f.find(`userName eq "TEST_USER_ab6490ee-1e48-479e-a20b-2d77186b5dd1"`); len(list) != 1 || list[0].String() != u.String() {
		t.Errorf("%v", list)
	}
	if list := f.find(`externalId eq "0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef"`); len(list) != 1 || list[0].ID != u.ID {
		t.Errorf("%v", list)
	}
	if list := f.find(`id eq "` + u.ID + `"`); len(list) != 1 || list[0].ID != u.ID {
		t.Errorf("%v", list)
	}
	f.ask("POST", "/Users", entraUser, http.StatusConflict)

	at := "/Users/" + u.ID
	for _, step := range []struct {
		operations string
		want       func(u *scimUser)
	}{
		// With the flag aadOptscim062020 and without it.
		{`{"op": "Replace", "path": "displayName", "value": "Pvlo"},
			{"op": "Replace", "path": "emails[type eq \"work\"].value", "value": "TestBcwqnm@test.microsoft.com"},
			{"op": "Replace", "path": "name.givenName", "value": "Gtfd"}, {"op": "Replace", "path": "name.familyName", "value": "Pkqf"},
			{"op": "Replace", "path": "externalId", "value": "Eqpj"},
			{"op": "Replace", "path": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:employeeNumber", "value": "Eqpj"}`, func(u *scimUser) {
			u.Display, u.Emails[0].Value, u.Name.Given, u.Name.Family, u.ExternalID, u.Enterprise.Number = "Pvlo", "TestBcwqnm@test.microsoft.com", "Gtfd", "Pkqf", "Eqpj", "Eqpj"
		}},
		{`{"op": "replace", "path": "emails[type eq \"work\"].value", "value": "TestMhvaes@test.microsoft.com"},
			{"op": "replace", "value": {"displayName": "Kkom Unua", "name.givenName": "Kkom", "name.familyName": "Unua",
			"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:employeeNumber": "Aklq"}}`, func(u *scimUser) {
			u.Emails[0].Value, u.Display, u.Name.Given, u.Name.Family, u.Enterprise.Number = "TestMhvaes@test.microsoft.com", "Kkom Unua", "Kkom", "Unua", "Aklq"
		}},
		// Who changes a part of a name that was made of its parts changes the whole.
		{`{"op": "Replace", "path": "name.familyName", "value": "updatedFamilyName"}`, func(u *scimUser) { u.Name.Family, u.Display = "updatedFamilyName", "Kkom updatedFamilyName" }},
		{`{"op": "Add", "path": "nickName", "value": "Babs"}`, func(*scimUser) {}},
		{`{"op": "Add", "path": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager", "value": "2819c223-7f76-453a-919d-413861904646"},
			{"op": "Add", "path": "title", "value": "Nurse"}, {"op": "Add", "path": "addresses[type eq \"work\"].locality", "value": "Leeds"},
			{"op": "Add", "path": "phoneNumbers[type eq \"fax\"].value", "value": "+44 113 496 0000"},
			{"op": "Add", "path": "phoneNumbers[type eq \"mobile\"].value", "value": "+44 7700 900123"}`, func(u *scimUser) {
			u.PhoneNumbers = []struct{ Value, Type string }{{"+44 7700 900123", "mobile"}}
		}},
		{`{"op": "Add", "value": {"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department": "Ward 3", "preferredLanguage": "cy-GB",
			"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"organization": "Anytown NHS Trust", "manager": {"value": "x"}}}}`, func(u *scimUser) {
			u.Enterprise.Department, u.Enterprise.Place, u.Language = "Ward 3", "RX1", "cy"
		}},
		{`{"op": "Replace", "path": "userName", "value": "5b50642d-79fc-4410-9e90-4c077cdd1a59@testuser.com"}`, func(u *scimUser) { u.UserName = "5b50642d-79fc-4410-9e90-4c077cdd1a59@testuser.com" }},
		{`{"op": "Replace", "path": "active", "value": "False"}`, func(u *scimUser) { u.Active = false }},
		{`{"op": "replace", "path": "active", "value": true}`, func(u *scimUser) { u.Active = true }},
		{`{"op": "replace", "value": {"active": "False"}}`, func(u *scimUser) { u.Active = false }},
		{`{"op": "Replace", "path": "emails", "value": [{"type": "home", "value": "me@home.org"}, {"type": "work", "value": "kkom@nhs.net", "primary": true}]}`, func(u *scimUser) { u.Emails[0].Value = "kkom@nhs.net" }},
		{`{"op": "Remove", "path": "phoneNumbers[type eq \"mobile\"]"}, {"op": "Remove", "path": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department"},
			{"op": "Remove", "path": "nickName"}`, func(u *scimUser) { u.PhoneNumbers, u.Enterprise.Department = nil, "" }},
		{`{"op": "Remove", "path": "emails[value eq \"kkom@nhs.net\"]"}`, func(u *scimUser) { u.Emails = nil }},
	} {
		step.want(&u)
		got := f.user("PATCH", at, patch(step.operations), http.StatusOK)
		if got.String() != u.String() {
			t.Fatalf("%s:\ngot  %vwant %v", step.operations, got, u)
		}
		if again := f.user("GET", at, "", http.StatusOK); again.String() != u.String() {
			t.Errorf("%s: is on record as %v", step.operations, again)
		}
	}
	for _, bad := range []string{
		`{"op": "Replace", "path": "emails[type eq \"work\"].value", "value": "no address"}`, `{"op": "Replace", "path": "userName", "value": ""}`,
		`{"op": "Replace", "path": "active", "value": "perhaps"}`, `{"op": "Become", "path": "active", "value": true}`, `{"op": "replace", "value": 3}`,
		`{"op": "Replace", "path": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:organization", "value": "Nowhere"}`,
		`{"op": "Replace", "path": "emails[type co \"wo\"].value", "value": "a@nhs.net"}`, ``,
	} {
		f.ask("PATCH", at, patch(bad), http.StatusBadRequest)
	}
	if got := f.user("GET", at, "", http.StatusOK); got.String() != u.String() {
		t.Errorf("a bad patch changed %v to %v", u, got)
	}
	// A user who is deleted stays as a holder who left, and the name is free for somebody else, who gets nothing of it.
	f.ask("DELETE", at, "", http.StatusNoContent)
	f.ask("GET", at, "", http.StatusNotFound)
	f.ask("DELETE", at, "", http.StatusNotFound)
	f.update(func(tx *store.Tx) error {
		h, _, err := tx.Holder(u.ID)
		if h.Active {
			t.Error("a deleted user is active")
		}
		return err
	})
	other := f.user("POST", "/Users", `{"userName": "5b50642d-79fc-4410-9e90-4c077cdd1a59@testuser.com", "displayName": "B", "active": "True"}`, http.StatusCreated)
	if other.ID == u.ID || !other.Active {
		t.Errorf("%v", other)
	}
	other = f.user("PUT", "/Users/"+other.ID, `{"userName": "b", "displayName": "C", "emails": [{"value": "c@nhs.net"}]}`, http.StatusOK)
	if other.UserName != "b" || other.Display != "C" || len(other.Emails) != 1 || !other.Active {
		t.Errorf("%v", other)
	}
	log := f.log.String()
	for _, secret := range []string{"testuser", "TestBcwqnm", "kkom", scimToken, u.ID} {
		if strings.Contains(log, secret) {
			t.Errorf("the log has %q", secret)
		}
	}
}

func TestOnlyTheTokenFeeds(t *testing.T) {
	t.Parallel()
	f := newWorld(t).fed()
	for _, token := range []string{"", "x", scimToken + "x", scimToken[1:]} {
		f.token = token
		for _, path := range []string{"/Users", "/Schemas", "/ServiceProviderConfig", "/elsewhere"} {
			f.ask("GET", path, "", http.StatusUnauthorized)
		}
		f.ask("POST", "/Users", entraUser, http.StatusUnauthorized)
	}
	f.token = scimToken
	f.ask("GET", "/Users", "", http.StatusOK)
	f.ask("GET", "/elsewhere", "", http.StatusNotFound)
	f.ask("POST", "/Users", `{"userName": "a", "displayName": "`+strings.Repeat("a", 2<<20)+`"}`, http.StatusRequestEntityTooLarge)

	short := filepath.Join(f.dir, "short")
	if err := os.WriteFile(short, []byte("a short one"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadToken("scim.token_file", short); err == nil || !strings.Contains(err.Error(), "write a long random word there") {
		t.Error(err)
	}
}

func TestDiscoveryAndPages(t *testing.T) {
	t.Parallel()
	f := newWorld(t).fed()
	for path, has := range map[string]string{
		"/ServiceProviderConfig":                     `"oauthbearertoken"`,
		"/ResourceTypes":                             `"/Users"`,
		"/Schemas":                                   `"employeeNumber"`,
		"/Schemas/" + userSchema.ID:                  `"phoneNumbers"`,
		"/ResourceTypes/User":                        enterpriseSchema.ID,
		"/Users?startIndex=1&count=0":                `"totalResults":0`,
		"/Users?filter=userName%20eq%20%22nobody%22": `"Resources":[]`,
	} {
		if b := f.ask("GET", path, "", http.StatusOK); !strings.Contains(string(b), has) {
			t.Errorf("%s: %s", path, b)
		}
	}
	for _, filter := range []string{"userName%20co%20%22a%22", "displayName%20eq%20%22a%22", "userName%20eq%20%22a%22%20or%20id%20eq%20%22b%22", "userName", "userName%20eq%20true"} {
		f.ask("GET", "/Users?filter="+filter, "", http.StatusBadRequest)
	}
	for i := range 5 {
		f.user("POST", "/Users", fmt.Sprintf(`{"userName": "u%d", "externalId": "e%[1]d", "displayName": "U"}`, i), http.StatusCreated)
	}
	f.ask("POST", "/Users", `{"userName": "other", "externalId": "e1", "displayName": "U"}`, http.StatusConflict)
	f.ask("POST", "/Users", `{"userName": "nameless"}`, http.StatusBadRequest)
	f.ask("POST", "/Users", `{`, http.StatusBadRequest)
	seen := map[string]bool{}
	for start := 1; start < 7; start += 2 {
		var page struct {
			TotalResults int
			Resources    []scimUser
		}
		if err := json.Unmarshal(f.ask("GET", fmt.Sprintf("/Users?startIndex=%d&count=2", start), "", http.StatusOK), &page); err != nil || page.TotalResults != 5 {
			t.Errorf("%v: %+v", err, page)
		}
		for _, u := range page.Resources {
			seen[u.UserName] = true
		}
	}
	if len(seen) != 5 {
		t.Errorf("the pages have %v", seen)
	}
}

// Whom an import knows by a user name the directory goes on with. What it changes is told as an import's changes are, and who is
// deactivated gets no further in a walk that is under way.
func TestADirectoryGoesOnWithWhoWasImported(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	f := w.fed()
	r, err := directory.Import(t.Context(), w.server.Store, w.server.Vault, directory.Terms{Profiles: w.server.Profiles, Now: w.server.Now()},
		[]directory.File{{Name: "h", Reader: strings.NewReader("holder_id,name,email,mobile,status,user_name\nh1,Mr John Rigby," + email + "," + mobile + ",active,John@nhs.net\n")}}, false)
	if err != nil || len(r.Flaws) > 0 {
		t.Fatal(err, r.Flaws)
	}
	list := f.find(`userName eq "john@nhs.net"`)
	if len(list) != 1 || list[0].ID != "h1" || list[0].Emails[0].Value != email {
		t.Fatalf("%v", list)
	}
	f.ask("POST", "/Users", `{"userName": "john@nhs.net", "displayName": "J"}`, http.StatusConflict)

	k := w.kiosk("k1")
	v := k.begin(w.card)
	v.prove()
	f.ask("PATCH", "/Users/h1", patch(`{"op": "Replace", "path": "emails[type eq \"work\"].value", "value": "john.r@nhs.net"}`), http.StatusOK)
	w.update(func(tx *store.Tx) error {
		h, _, err := tx.Holder("h1")
		if h.EmailChangedAt.IsZero() {
			t.Error("the change has no date")
		}
		events, err2 := tx.Events("")
		found := 0
		for _, e := range events {
			if e.Kind == ledger.ContactChanged && e.By == "scim" && e.Card == w.card.serial && e.Note == "email" {
				found++
			}
		}
		due, err3 := tx.DueMessages(w.server.Now(), 100)
		if found != 1 || len(due) != 2 || err2 != nil || err3 != nil {
			t.Errorf("%d events, %d messages, %v %v", found, len(due), err2, err3)
		}
		return err
	})
	f.ask("PATCH", "/Users/h1", patch(`{"op": "Replace", "path": "active", "value": "False"}`), http.StatusOK)
	k.refused(v.path("code"), wire.SendCodeRequest{Channel: "email"}, wire.CodeHolderInactive)
}

func FuzzSCIMPatch(f *testing.F) {
	f.Add(patch(`{"op": "Replace", "path": "active", "value": "False"}`))
	f.Add(patch(`{"op": "Add", "path": "emails[type eq \"work\"].value", "value": "a@nhs.net"}`))
	f.Add(patch(`{"op": "replace", "value": {"name.givenName": "K", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department": "W"}}`))
	f.Add(patch(`{"op": "remove", "path": "phoneNumbers"}`))
	f.Add(patch(`{"op": "replace", "path": "name", "value": {"familyName": null}}`))
	w := newWorld(f)
	d := w.fed()
	u := d.user("POST", "/Users", entraUser, http.StatusCreated)
	web := w.server.Web()
	f.Fuzz(func(t *testing.T, body string) {
		if plain, left, err := plainPatch([]byte(body)); err == nil && left && strings.Contains(string(plain), "op") {
			if again, left, err := plainPatch(plain); err != nil || !left || string(again) != string(plain) {
				t.Errorf("plain is %s, and plain again %s, %v", plain, again, err)
			}
		}
		rq := httptest.NewRequest("PATCH", "/scim/v2/Users/"+u.ID, strings.NewReader(body))
		rq.Header.Set("Authorization", "Bearer "+scimToken)
		a := httptest.NewRecorder()
		web.ServeHTTP(a, rq)
		if a.Code != http.StatusOK && a.Code != http.StatusBadRequest && a.Code != http.StatusConflict {
			t.Errorf("%d %s: %s", a.Code, a.Body, w.log)
		}
	})
}
