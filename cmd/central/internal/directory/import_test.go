package directory

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"math/big"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey/card/profiles"
	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/store"
	"latchkey/cmd/central/internal/vault"
	"latchkey/firmware/secret"
)

const (
	holdersHead = "holder_id,name,email,mobile,status\n"
	cardsHead   = "serial,profile,holder_id,secret,card_certificate,status\n"
	rigby       = holdersHead + "h1,Mr John Rigby,john.rigby@nhs.net,+44 7700 900123,active\n"
)

// authority issues the certificates of cards.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(until time.Time) authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: rand.Text()}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: epoch.AddDate(-5, 0, 0), NotAfter: until,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return authority{key, cert}
}

func (a authority) issue(from, until time.Time) string {
	template := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: from, NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, a.key.Public(), a.key)
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

var (
	epoch       = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	issuer      = newAuthority(epoch.AddDate(9, 0, 0))
	expired     = newAuthority(epoch.AddDate(-1, 0, 0))
	certificate = issuer.issue(epoch.AddDate(-2, 0, 0), epoch.AddDate(1, 0, 0))
	terms       = Terms{Profiles: profiles.Embedded(), Issuers: cases.Issuers{Roots: x509.NewCertPool()}, Now: epoch}
)

func init() {
	terms.Issuers.Roots.AddCert(issuer.cert)
	terms.Issuers.Roots.AddCert(expired.cert)
}

type world struct {
	s store.Store
	v *vault.Vault
}

func newWorld(t *testing.T) world {
	t.Helper()
	s, err := store.OpenSQLite(context.Background(), filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	key := func(b byte) secret.Value { return secret.New([]byte(strings.Repeat(string(rune(b)), 32))) }
	v, err := vault.New(key('a'), key('b'), key('c'))
	if err != nil {
		t.Fatal(err)
	}
	return world{s, v}
}

func (w world) load(t *testing.T, holders, cards string, dry bool) Result {
	t.Helper()
	return w.loadOn(t, terms, holders, cards, dry)
}

func (w world) loadOn(t *testing.T, terms Terms, holders, cards string, dry bool) Result {
	t.Helper()
	r, err := Import(context.Background(), w.s, w.v, terms, []File{{"holders.csv", strings.NewReader(holders)}, {"cards.csv", strings.NewReader(cards)}}, dry)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (w world) do(t *testing.T, f func(*store.Tx) error) {
	t.Helper()
	if err := w.s.Update(context.Background(), f); err != nil {
		t.Fatal(err)
	}
}

func aCard(puk string) string {
	return cardsHead + "0a0b,piv,h1," + puk + "," + certificate + ",issued\n"
}

func TestImport(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if r := w.load(t, rigby, aCard("12345678"), true); len(r.Flaws) > 0 || r.NewCards != 1 {
		t.Errorf("dry run: %+v", r)
	}
	w.do(t, func(tx *store.Tx) error {
		if _, err := tx.Card("0a0b"); err == nil {
			t.Error("a dry run kept a card")
		}
		return nil
	})
	if r := w.load(t, "\ufeff"+rigby, aCard("12345678"), false); len(r.Flaws) > 0 || r.NewHolders != 1 || r.NewCards != 1 {
		t.Errorf("import: %+v", r)
	}
	w.do(t, func(tx *store.Tx) error {
		h, contacts, err := tx.Holder("h1")
		if err != nil {
			return err
		}
		email, err := w.v.Open(vault.Subject{Kind: vault.KindEmail, ID: "h1"}, contacts.Email)
		if err != nil || string(email.Reveal()) != "john.rigby@nhs.net" || h.Name != "Mr John Rigby" || !h.Active {
			t.Errorf("%+v, %q, %v", h, email.Reveal(), err)
		}
		sealed, err := tx.Secret("0a0b", 0)
		if err != nil {
			return err
		}
		puk, err := w.v.Open(vault.Subject{Kind: vault.KindPUK, ID: "0a0b"}, sealed)
		if err != nil || string(puk.Reveal()) != "12345678" {
			t.Errorf("PUK %q, %v", puk.Reveal(), err)
		}
		return nil
	})

	// Again: the directory changes, a PUK that nobody used may, too.
	left := strings.Replace(rigby, "active", "left", 1)
	if r := w.load(t, left, aCard("87654321"), false); len(r.Flaws) > 0 || r.NewHolders != 0 || r.NewCards != 0 {
		t.Errorf("again: %+v", r)
	}
	w.do(t, func(tx *store.Tx) error {
		h, _, err := tx.Holder("h1")
		if h.Active {
			t.Error("the holder has not left")
		}
		return err
	})

	// A file that does not tell the secret changes nothing of it.
	if r := w.load(t, left, aCard(""), false); len(r.Flaws) > 0 {
		t.Errorf("without a secret: %+v", r)
	}
	// Past generation 0 the same file is harmless, another PUK is not taken.
	w.do(t, func(tx *store.Tx) error { return tx.SetCard(cases.Card{Serial: "0a0b", Settled: 1}) })
	if r := w.load(t, rigby, aCard("87654321"), false); len(r.Flaws) > 0 {
		t.Errorf("same secret: %+v", r)
	}
	r := w.load(t, left, aCard("11112222"), false)
	if len(r.Flaws) != 1 || !strings.Contains(r.Flaws[0].String(), "cards.csv line 2: the card was served already") {
		t.Errorf("another secret: %+v", r.Flaws)
	}
	w.do(t, func(tx *store.Tx) error {
		h, _, err := tx.Holder("h1")
		if !h.Active {
			t.Error("a flawed import changed a holder")
		}
		return err
	})
}

func TestEveryFlawIsToldByLineAndWithoutSecrets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	holders := rigby +
		"h 2,A,,,active\n" +
		"h3,,,,active\n" +
		"h4,B,john rigby at nhs,,active\n" +
		"h5,C,,07700/900123,active\n" +
		"h6,D,,,gone\n" +
		"h1,E,,,active\n" +
		"h7,F,,\n"
	cards := cardsHead +
		"0A0B,piv,h1,12345678,,issued\n" +
		"0a01,pivot,h1,12345678,,issued\n" +
		"0a02,piv,h1,1234567,,issued\n" +
		"0a03,piv,h1,1234567x,,issued\n" +
		"0a04,piv,h1,12345678,%%%,issued\n" +
		"0a05,piv,h1,12345678,AAAA,issued\n" +
		"0a06,piv,h1,12345678,,lost\n" +
		"0a07,piv,h9,12345678,,issued\n" +
		"0a08,nhs-series-4-to-6,h1,,,issued\n" +
		"0a09,gids,h1,12345678,,issued\n" +
		"0a10,gids,h1,0123456789abcdef0123456789abcdef0123456789abcdeg,,issued\n" +
		"0a11,iso,h1,1234567812345678,,issued\n" +
		"0a12,piv,h1,12345678," + issuer.issue(epoch.AddDate(-2, 0, 0), epoch.AddDate(0, 0, -1)) + ",issued\n" +
		"0a13,piv,h1,12345678," + issuer.issue(epoch.AddDate(0, 0, 1), epoch.AddDate(1, 0, 0)) + ",issued\n" +
		"0a14,piv,h1,12345678," + newAuthority(epoch.AddDate(9, 0, 0)).issue(epoch.AddDate(-2, 0, 0), epoch.AddDate(1, 0, 0)) + ",issued\n" +
		"0a15,piv,h1,12345678," + expired.issue(epoch.AddDate(-2, 0, 0), epoch.AddDate(1, 0, 0)) + ",issued\n" +
		"0a16,piv,h1,12345678," + issuer.issue(epoch.AddDate(-2, 0, 0), epoch.AddDate(0, 0, -1)) + ",revoked\n"
	want := []string{
		"holders.csv line 3: the holder_id must be", "holders.csv line 4: the name must be", "holders.csv line 5: the email is not an address",
		"holders.csv line 6: the mobile must be", "holders.csv line 7: the status must be active or left",
		"holders.csv line 8: the holder_id is that of line 2", "holders.csv line 9: there are 4 fields, there must be 5",
		"cards.csv line 2: the serial must be", "cards.csv line 3: the profile is not one of authentic, gids, isoapplet, openpgp, openpgp-admin, piv, piv-any",
		"cards.csv line 4: the secret is not of the profile's form: 8 digits", "cards.csv line 5: the secret is not",
		"cards.csv line 6: the card_certificate is not base64", "cards.csv line 7: the card_certificate is not an X.509",
		"cards.csv line 8: the status must be issued or revoked", "cards.csv line 10: the profile is not one of", "cards.csv line 11: the secret is not of the profile's form: 48 hex digits",
		"cards.csv line 12: the secret is not of", "cards.csv line 13: the profile is not one of",
		"cards.csv line 9: the holder_id is neither on record", // lines 14, 15, 17: a certificate that ran out is no flaw
		"cards.csv line 16: the card_certificate does not chain to",
	}
	r := w.load(t, holders, cards, false)
	for i, f := range r.Flaws {
		if i >= len(want) || !strings.HasPrefix(f.String(), want[i]) {
			t.Errorf("flaw %d: %s", i, f)
		}
		for _, plain := range []string{"1234567", "rigby", "900123"} {
			if strings.Contains(f.String(), plain) {
				t.Errorf("a flaw tells %q: %s", plain, f)
			}
		}
	}
	if len(r.Flaws) != len(want) {
		t.Errorf("%d flaws, want %d", len(r.Flaws), len(want))
	}
	w.do(t, func(tx *store.Tx) error {
		if _, _, err := tx.Holder("h1"); err == nil {
			t.Error("a flawed import kept a holder")
		}
		return nil
	})
	for text, says := range map[string]string{
		"":                 "the file is empty",
		"id,nom\n":         "the first line must be holder_id,name,email,mobile,status (holders), or ",
		"holder_id;name\n": "the columns are not separated by commas",
		"\xff\xfei\x00":    "the file is UTF-16",
		"holder_id,name,email,mobile,status,mail\n":              "may go on with each once of organisation, language, user_name",
		"holder_id,name,email,mobile,status,language,language\n": "may go on with each once of",
		"id,name,more\n":                      "the first line of organisations must be id,name",
		holdersHead + "h1,J\xfcrgen,,,active": "the line is not UTF-8",
		holdersHead + "h1;J;;;active":         "the fields are not separated by commas",
		holdersHead + "h1,\"A,,,":             "the line is not CSV",
	} {
		if r := w.load(t, text, cardsHead, true); len(r.Flaws) != 1 || !strings.Contains(r.Flaws[0].Says, says) {
			t.Errorf("%q: %+v", text, r.Flaws)
		}
	}
}

// A file may be imported again at any time, with what was true when it was written. What the Registration Authority wrote on
// a card that was served already is taken by its word alone; else another secret is a corrected record, of cards whose
// secret nobody but the Registration Authority changes.
func TestANewSecretForAServedCard(t *testing.T) {
	t.Parallel()
	const (
		live  = "a kiosk is unlocking this card at this moment"
		older = "the secret is one that this card had before"
		keep  = "the card was served already, so its secret cannot be changed"
		none  = "the secret is missing, and --reissued says"
	)
	first, second := "111111111111", "222222222222"
	unknown := cases.Outcome{Passcode: "unknown", Rotated: "unknown", Tries: -1}
	over := cases.Grant{ExpiresAt: epoch, Booked: 1}
	out := cases.Grant{ExpiresAt: epoch.Add(time.Second), Booked: 1}
	told := out
	told.Outcome = &unknown
	ahead := over
	ahead.Base = 5
	type step struct {
		secret   string
		reissued bool
		says     string
		settled  int64
		booked   int
		blocked  bool
	}
	for _, tc := range []struct {
		name, profile string
		grant         cases.Grant
		steps         []step // on a card that was found blocked
	}{
		{"does not rotate", "openpgp", over, []step{
			{first, false, "", 0, 1, true}, {second, false, "", 0, 1, true}, {first, false, "", 0, 1, true},
			{second, true, "", 2, 0, false}, {first, false, older, 2, 0, false}, {second, false, "", 2, 0, false}, {"", false, "", 2, 0, false},
			{first, true, "", 4, 0, false}, {first, true, "", 6, 0, false}, {"", true, none, 6, 0, false},
		}},
		{"does not rotate, at a kiosk now", "openpgp", out, []step{
			{second, false, live, 0, 1, true}, {second, true, live, 0, 1, true}, {first, true, live, 0, 1, true}, {first, false, "", 0, 1, true},
		}},
		{"does not rotate, was at a kiosk", "openpgp", told, []step{{second, false, "", 0, 1, true}, {second, true, "", 2, 0, false}}},
		{"rotates", "openpgp-admin", over, []step{
			{first, false, "", 0, 1, true}, {second, false, keep, 0, 1, true}, {first, true, "", 2, 0, false}, {second, true, "", 4, 0, false},
			{first, false, older, 4, 0, false},
		}},
		{"a grant left for a generation that is not known to be settled", "openpgp-admin", ahead, []step{{second, true, "", 7, 0, false}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			row := func(secret string) string { return cardsHead + "0c0d," + tc.profile + ",h1," + secret + ",,issued\n" }
			if r := w.load(t, rigby, row(first), false); len(r.Flaws) > 0 {
				t.Fatal(r.Flaws)
			}
			w.serve(t, "0c0d", tc.grant)
			w.do(t, func(tx *store.Tx) error { return tx.SetCard(cases.Card{Serial: "0c0d", PUKBlocked: true}) })
			for i, step := range tc.steps {
				on := terms
				on.Reissued = step.reissued
				r := w.loadOn(t, on, rigby, row(step.secret), false)
				if got := strings.Join(flawsOf(r), "; "); !strings.HasPrefix(got, step.says) || step.says == "" && got != "" {
					t.Errorf("step %d: %q, want %q", i, got, step.says)
				}
				w.do(t, func(tx *store.Tx) error {
					c, err := tx.Card("0c0d")
					grants, err2 := tx.Grants("0c0d")
					if c.Settled != step.settled || c.PUKBlocked != step.blocked || grants[0].Booked != step.booked {
						t.Errorf("step %d left %+v, booked %d; want %+v", i, c, grants[0].Booked, step)
					}
					if step.says == "" && step.secret != "" {
						sealed, err := tx.Secret("0c0d", c.Settled)
						if same, err2 := w.v.Holds(vault.CardSecret("0c0d", false, c.Settled), sealed, secret.New([]byte(step.secret))); !same {
							t.Errorf("step %d: another secret is kept, %v", i, errors.Join(err, err2))
						}
					}
					return errors.Join(err, err2)
				})
			}
			if r := w.load(t, rigby, cardsHead+"0c0d,gids,h1,,,issued\n", false); len(r.Flaws) != 1 || !strings.Contains(r.Flaws[0].Says, "its profile cannot be changed") {
				t.Errorf("another profile: %v", r.Flaws)
			}
		})
	}
}

// serve records a grant of the card, at k1.
func (w world) serve(t *testing.T, serial string, g cases.Grant) {
	t.Helper()
	g.Case, g.Card, g.Number, g.Kiosk = "c1", serial, 1, "k1"
	w.do(t, func(tx *store.Tx) error {
		_, err := tx.AddKiosk(store.Kiosk{Name: "k1", Kind: store.KindKiosk, State: store.KioskActive})
		return errors.Join(err, tx.SetCase(cases.Case{ID: "c1", Card: serial, Holder: "h1", Kiosk: "k1"}), tx.AddGrant(g), tx.SetGrant(g))
	})
}

// told is what the ledger says of cards and their cases.
func (w world) told(t *testing.T) string {
	t.Helper()
	var list []string
	w.do(t, func(tx *store.Tx) error {
		events, err := tx.Events("")
		for _, e := range events {
			if e.Card != "" {
				list = append(list, string(e.Kind)+" "+e.Kiosk+" "+e.Card+" "+e.Note)
			}
		}
		return err
	})
	return strings.Join(list, "; ")
}

// What an import changed of a card is told in the ledger, once for each import and without the values.
func TestTheLedgerTellsWhatAnImportChanged(t *testing.T) {
	t.Parallel()
	newer := issuer.issue(epoch.AddDate(-1, 0, 0), epoch.AddDate(2, 0, 0))
	w := newWorld(t)
	want := ""
	for _, tc := range []struct {
		row      string
		reissued bool
		told     string
	}{
		{"piv,h1,,", false, ""},
		{"piv,h1,12345678," + certificate, false, "secret, certificate"},
		{"piv,h1,12345678," + certificate, false, ""},
		{"piv,h1,87654321,", true, "secret"}, // it was not served
		{"piv,h1,87654321," + newer, false, "certificate"},
		{"piv-any,h1,87654321,", false, "profile, secret"},
	} {
		on := terms
		on.Reissued = tc.reissued
		if r := w.loadOn(t, on, rigby, cardsHead+"0a0b,"+tc.row+",issued\n", false); len(r.Flaws) > 0 || r.Reissued != 0 {
			t.Fatalf("%s: %+v", tc.row, r)
		}
		if tc.told != "" {
			want += "; card-changed  0a0b " + tc.told
		}
		if got := w.told(t); got != strings.TrimPrefix(want, "; ") {
			t.Fatalf("%s: the ledger tells %s", tc.row, got)
		}
	}
	w.serve(t, "0a0b", cases.Grant{ExpiresAt: epoch})
	on := terms
	on.Reissued = true
	if r := w.loadOn(t, on, rigby, cardsHead+"0a0b,piv-any,h1,87654321,"+certificate+",issued\n", false); len(r.Flaws) > 0 || r.Reissued != 1 {
		t.Errorf("%+v", r)
	}
	if got := w.told(t); !strings.HasSuffix(got, "; card-changed  0a0b reissued generation 2, certificate") {
		t.Errorf("the ledger tells %s", got)
	}
}

// A directory without certificates does not strike one from the record: the card would be served without proof, or not at all.
func TestAnImportWithoutACertificateKeepsTheOneOnRecord(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.load(t, rigby, aCard("12345678"), false)
	for _, row := range []string{"piv,h1,12345678,,issued\n", "piv,h1,,,revoked\n", "piv-any,h1,12345678,,issued\n"} {
		if r := w.load(t, rigby, cardsHead+"0a0b,"+row, false); len(r.Flaws) > 0 {
			t.Error(r.Flaws)
		}
		w.do(t, func(tx *store.Tx) error {
			c, err := tx.Card("0a0b")
			if base64.StdEncoding.EncodeToString(c.Certificate) != certificate {
				t.Errorf("after %s the certificate on record is %x", row, c.Certificate)
			}
			return err
		})
	}
}

// Who began with a card of one profile cannot go on with one of another.
func TestAnotherProfileEndsOpenCases(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.load(t, rigby, aCard("12345678"), false)
	state := func(id string) (c cases.Case) {
		w.do(t, func(tx *store.Tx) (err error) {
			c, err = tx.Case(id)
			return err
		})
		return c
	}
	w.do(t, func(tx *store.Tx) error {
		_, err := tx.AddKiosk(store.Kiosk{Name: "k1", Kind: store.KindKiosk, State: store.KioskActive})
		return errors.Join(err, tx.SetCase(cases.Case{ID: "c1", Card: "0a0b", Holder: "h1", Kiosk: "k1", State: cases.Accepted, ExpiresAt: epoch.Add(time.Minute)}))
	})
	w.load(t, rigby, aCard("12345678"), false)
	if c := state("c1"); c.State != cases.Accepted {
		t.Errorf("the same profile: the case is %s", c.State)
	}
	w.load(t, rigby, strings.Replace(aCard("12345678"), "piv", "piv-any", 1), false)
	if c := state("c1"); c.State != cases.Closed || c.Reason != cases.ReasonSuperseded {
		t.Errorf("another profile: the case is %s, %s", c.State, c.Reason)
	}
	for _, want := range []string{"card-changed  0a0b profile, secret", "case-ended k1 0a0b superseded"} {
		if got := w.told(t); !strings.Contains(got, want) {
			t.Errorf("the ledger tells %s, not %s", got, want)
		}
	}
}

// Until it is served a card's row is what the last import says.
func TestACardThatWasNotServedChangesFreely(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	has := func() (yes bool) {
		w.do(t, func(tx *store.Tx) error {
			c, err := tx.Card("0c0d")
			yes = c.HasSecret
			return err
		})
		return yes
	}
	key := strings.Repeat("0123456789ABCDEF", 3)
	for _, tc := range []struct {
		row, flaw string
		has       bool
	}{
		{"openpgp,h1,,", "", false},
		{"openpgp,h1,123456789012,", "", true},
		{"openpgp,h1,210987654321,", "", true},
		{"gids,h1,,", "the profile is another than before, so the secret must stand there, too", true},
		{"gids,h1," + key + ",", "", true},
		{"gids,h1," + strings.ToLower(key) + ",", "", true},
	} {
		r := w.load(t, rigby, cardsHead+"0c0d,"+tc.row+",issued\n", false)
		if got := strings.Join(flawsOf(r), "; "); got != tc.flaw || has() != tc.has {
			t.Errorf("%s: %q, want %q; there is a secret: %v", tc.row, got, tc.flaw, has())
		}
	}
	w.do(t, func(tx *store.Tx) error {
		sealed, err := tx.Secret("0c0d", 0)
		if err != nil {
			return err
		}
		same, err := w.v.Holds(vault.Subject{Kind: vault.KindAdminKey, ID: "0c0d"}, sealed, secret.New([]byte(strings.ToLower(key))))
		if err != nil || !same {
			t.Errorf("another key was kept, %v", err)
		}
		return nil
	})
}

func flawsOf(r Result) (says []string) {
	for _, f := range r.Flaws {
		says = append(says, f.Says)
	}
	return says
}

func TestCertificatesNeedAnAuthority(t *testing.T) {
	t.Parallel()
	none := terms
	none.Issuers = cases.Issuers{}
	card := func(cert string) string { return cardsHead + "0a0b,piv,h1,12345678," + cert + ",issued\n" }
	for cert, says := range map[string]string{certificate: "name theirs as ca in [cards] of central.toml", "": ""} {
		w := newWorld(t)
		r := w.loadOn(t, none, rigby, card(cert), false)
		if got := strings.Join(flawsOf(r), "; "); !strings.Contains(got, says) || says == "" && got != "" {
			t.Errorf("got %q, want %q in it", got, says)
		}
	}
	// A file goes on being good when a card in it runs out; another certificate has to be the authorities', too.
	w := newWorld(t)
	w.load(t, rigby, card(certificate), false)
	later := terms
	later.Now = epoch.AddDate(2, 0, 0)
	if r := w.loadOn(t, later, rigby, card(certificate), false); len(r.Flaws) > 0 {
		t.Errorf("the same again: %v", r.Flaws)
	}
	stranger := newAuthority(epoch.AddDate(9, 0, 0)).issue(epoch.AddDate(-2, 0, 0), epoch.AddDate(1, 0, 0))
	if r := w.loadOn(t, later, rigby, card(stranger), false); len(r.Flaws) != 1 {
		t.Errorf("another that no authority issued: %v", r.Flaws)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(rigby)
	f.Add(aCard("12345678"))
	f.Add("\ufeffid,name\nRX1,\"An, Trust\"\n")
	f.Add("holder_id,organisation,role,workgroup\nh1,RX1,R8000,\n")
	f.Add("holder_id,name,email,mobile,status,user_name,language,organisation\r\nh1,J,,,active,J@x,cy,RX1\r\n")
	f.Add("holder_id;name;email;mobile;status\n")
	f.Fuzz(func(t *testing.T, text string) {
		b := batch{seen: map[string]place{}}
		b.read(File{"f", strings.NewReader(text)}, terms.Profiles)
		if rows := len(b.holders) + len(b.cards) + len(b.organisations) + len(b.positions); rows == 0 && len(b.flaws) == 0 && strings.Count(strings.TrimSpace(text), "\n") > 0 {
			known := false
			for _, k := range kinds {
				known = known || strings.Contains(text, strings.Join(k.columns, ","))
			}
			if !known && !strings.Contains(text, "\"") {
				t.Errorf("nothing was read and nothing was said of %q", text)
			}
		}
		for _, c := range b.cards {
			if n := c.secret.Len(); n != 0 && n != c.profile.PUK.Length {
				t.Errorf("a secret of length %d was taken", n)
			}
		}
		for _, h := range b.holders {
			if says := h.Wrong(); says != "" {
				t.Errorf("taken, although %s", says)
			}
		}
	})
}
