package directory

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/store"
	"latchkey/cmd/central/internal/vault"
	"latchkey/firmware/secret"
)

// take imports files that are told by their first lines.
func (w world) take(t *testing.T, terms Terms, dry bool, texts ...string) Result {
	t.Helper()
	var files []File
	for i, text := range texts {
		files = append(files, File{fmt.Sprintf("%c.csv", 'a'+i), strings.NewReader(text)})
	}
	r, err := Import(context.Background(), w.s, w.v, terms, files, dry)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (w world) person(t *testing.T, id string) (p store.Person) {
	t.Helper()
	w.do(t, func(tx *store.Tx) (err error) {
		p, err = tx.Person(id)
		return err
	})
	return p
}

const (
	trusts    = "id,name\nRX1,Anytown NHS Trust\nRX2,Othertown Health Board\n"
	wholeHead = "holder_id,name,email,mobile,status,organisation,language,user_name\n"
)

func TestFilesAreToldByTheirFirstLinesInAnyOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.take(t, terms, false,
		"holder_id,organisation,role,workgroup\nh1,RX1,R8000,Ward 3\nh1,RX2,R0260,\n", aCard("12345678"),
		"holder_id,name,email,mobile,status,user_name,organisation,language\nh1,Mr John Rigby,john.rigby@nhs.net,,active,John.Rigby@nhs.net,RX1,cy\n",
		"\ufeff"+trusts)
	if len(r.Flaws) > 0 || r.NewHolders != 1 || r.NewCards != 1 || r.Organisations != 2 || r.Positions != 2 {
		t.Fatalf("%+v", r)
	}
	p := w.person(t, "h1")
	if p.Organisation != "RX1" || p.Language != Welsh || p.UserName != "john.rigby@nhs.net" || !p.EmailChangedAt.IsZero() {
		t.Errorf("%+v", p)
	}
	// Columns that are not there say nothing; positions of a holder are all of them.
	r = w.take(t, terms, false, rigby, "holder_id,organisation,role,workgroup\nh1,RX2,R0260,\n")
	if p := w.person(t, "h1"); len(r.Flaws) > 0 || p.Organisation != "RX1" || p.Language != Welsh || p.UserName != "john.rigby@nhs.net" {
		t.Errorf("%+v %+v", r.Flaws, p)
	}
	w.do(t, func(tx *store.Tx) error {
		list, err := tx.Positions("h1")
		if want := []store.Position{{Holder: "h1", Organisation: "RX2", Role: "R0260"}}; !slices.Equal(list, want) {
			t.Errorf("%+v", list)
		}
		return err
	})
	// Columns that are empty say that there is none.
	w.take(t, terms, false, wholeHead+"h1,Mr John Rigby,,,active,,,\n")
	if p := w.person(t, "h1"); p.Organisation != "" || p.Language != English || p.UserName != "" {
		t.Errorf("%+v", p)
	}
}

func TestFlawsInViewOfTheRecord(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.take(t, terms, false, trusts, wholeHead+"h1,Mr John Rigby,,,active,RX1,,jr\n")
	r := w.take(t, terms, false, wholeHead+"h2,B,,,active,RX9,,\nh3,C,,,active,,,JR\nh4,D,,,active,,,d\nh5,E,,,active,,,D\nh6,F,,,active,,fr,\n",
		"holder_id,organisation,role,workgroup\nh4,RX9,R1,\nh9,RX1,R1,\nh4,RX1,R1,\nh4,RX1,R1,\nh4,RX1,,\n", "id,name\nRX 1,A\nRX3,\n")
	want := []string{
		"a.csv line 5: the user_name is that of line 4", "a.csv line 6: the language must be en or cy",
		"b.csv line 5: the holder_id with organisation with role with workgroup is that of line 4", "b.csv line 6: the role must be",
		"c.csv line 2: the id must be", "c.csv line 3: the name must be",
		"a.csv line 2: the organisation is neither", "a.csv line 3: the user_name is that of another holder",
		"b.csv line 2: the organisation is neither", "b.csv line 3: the holder_id is neither",
	}
	for i, f := range r.Flaws {
		if i >= len(want) || !strings.HasPrefix(f.String(), want[i]) {
			t.Errorf("flaw %d: %s", i, f)
		}
	}
	if len(r.Flaws) != len(want) {
		t.Errorf("%d flaws, want %d", len(r.Flaws), len(want))
	}
}

func TestWhoCannotBeSentACodeIsAWarning(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	terms := terms
	terms.Policies = cases.Policies{Default: cases.Policy{Domains: []string{"nhs.net"}}, By: map[string]cases.Policy{"RX1": {Domains: []string{"nhs.net"}, SMS: true}}}
	r := w.take(t, terms, false, trusts, "holder_id,name,email,mobile,status,organisation\nh1,A,a@nhs.net,,active,\nh2,B,b@home.org,,active,\n"+
		"h3,C,,07700 900123,active,\nh4,D,,07700 900123,active,RX1\nh5,E,,,left,\nh6,F,,,active,\n")
	got := []string{}
	for _, f := range r.Warnings {
		got = append(got, fmt.Sprint(f.Line))
		if strings.Contains(f.Says, "home.org") || strings.Contains(f.Says, "900") {
			t.Errorf("a warning tells a contact: %s", f)
		}
	}
	if len(r.Flaws) > 0 || r.NewHolders != 6 || strings.Join(got, " ") != "3 4 7" {
		t.Errorf("%v %+v", got, r)
	}
}

// A contact that is changed is what somebody would do who wants another's codes.
func TestAContactThatIsChangedIsDatedAndToldAndStandsInTheLedger(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	later := terms
	later.Now, later.By = epoch.AddDate(0, 0, 1), "mary"
	w.load(t, rigby, aCard("12345678"), false)
	if r := w.take(t, later, false, rigby); len(r.Flaws) > 0 {
		t.Fatal(r.Flaws)
	}
	if p, told := w.person(t, "h1"), w.notices(t); !p.EmailChangedAt.IsZero() || !p.MobileChangedAt.IsZero() || len(told) > 0 {
		t.Errorf("nothing was changed: %+v, told %v", p, told)
	}
	// A dry run tells nobody.
	changed := strings.ReplaceAll(rigby, "john.rigby@nhs.net", "mallory@nhs.net")
	w.take(t, later, true, changed)
	if told := w.notices(t); len(told) > 0 {
		t.Errorf("a dry run told %v", told)
	}
	w.take(t, later, false, changed)
	p := w.person(t, "h1")
	if !p.EmailChangedAt.Equal(later.Now) || !p.MobileChangedAt.IsZero() {
		t.Errorf("%+v", p)
	}
	if got := w.notices(t); !slices.Equal(got, []string{"email john.rigby@nhs.net", "email mallory@nhs.net"}) {
		t.Errorf("told %v", got)
	}
	w.do(t, func(tx *store.Tx) error {
		events, err := tx.Events("")
		found := 0
		for _, e := range events {
			if e.Kind == ledger.ContactChanged {
				found++
				if e.Card != "0a0b" || e.Note != "email" || e.By != "mary" || !e.At.Equal(later.Now) {
					t.Errorf("%+v", e)
				}
			}
		}
		if found != 1 {
			t.Errorf("%d events", found)
		}
		return err
	})
	// A new one where there was none is told on the other.
	w.take(t, later, false, holdersHead+"h2,A,a@nhs.net,,active\n")
	w.take(t, later, false, holdersHead+"h2,A,a@nhs.net,07700900456,active\n")
	if got := w.notices(t); !slices.Equal(got, []string{"email a@nhs.net", "email john.rigby@nhs.net", "email mallory@nhs.net", "mobile 07700900456"}) {
		t.Errorf("told %v", got)
	}
}

// notices lists whom notices are for, in order of address.
func (w world) notices(t *testing.T) (list []string) {
	t.Helper()
	w.do(t, func(tx *store.Tx) error {
		list = nil
		ids, err := tx.DueMessages(epoch.AddDate(1, 0, 0), 100)
		if err != nil {
			return err
		}
		for _, id := range ids {
			m, err := tx.Message(id)
			if err != nil {
				return err
			}
			to, err := w.v.Open(vault.Subject{Kind: vault.KindMessageTo, ID: id}, m.Recipient)
			if err != nil {
				return err
			}
			if m.Kind != store.MessageContactChanged {
				t.Errorf("a message of kind %s", m.Kind)
			}
			list = append(list, m.Channel+" "+string(to.Reveal()))
		}
		return nil
	})
	slices.Sort(list)
	return list
}

func TestEntriesOfPeople(t *testing.T) {
	t.Parallel()
	good := func() Entry { return Entry{ID: NewID(), Name: "A", Language: English} }
	if says := good().Wrong(); says != "" {
		t.Error(says)
	}
	for says, spoil := range map[string]func(*Entry){
		"the holder_id":     func(e *Entry) { e.ID = "h/1" },
		"the name":          func(e *Entry) { e.Name = "" },
		"the email":         func(e *Entry) { e.Email = secret.New([]byte("a@b c")) },
		"the mobile":        func(e *Entry) { e.Mobile = secret.New([]byte("call me")) },
		"the organisation":  func(e *Entry) { e.Organisation = "an organisation" },
		"the language":      func(e *Entry) { e.Language = "fr" },
		"the user_name":     func(e *Entry) { e.UserName = " a" },
		"what is said of a": func(e *Entry) { e.Department = "\x00" },
	} {
		e := good()
		spoil(&e)
		if got := e.Wrong(); !strings.HasPrefix(got, says) {
			t.Errorf("%q, want %q", got, says)
		}
	}
}
