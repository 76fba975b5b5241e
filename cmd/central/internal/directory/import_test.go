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
	r, err := Import(context.Background(), w.s, w.v, terms, File{"holders.csv", strings.NewReader(holders)}, File{"cards.csv", strings.NewReader(cards)}, dry)
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
		"h5,C,,07700-900123,active\n" +
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
		"":                        "the file is empty",
		"id,name\n":               "the first line must be holder_id,name,email,mobile,status",
		holdersHead + "h1,\"A,,,": "the line is not CSV",
	} {
		if r := w.load(t, text, cardsHead, true); len(r.Flaws) != 1 || !strings.Contains(r.Flaws[0].Says, says) {
			t.Errorf("%q: %+v", text, r.Flaws)
		}
	}
}

// A file may be imported again at any time, with what was true when it was written. A secret that a served card was given anew
// is taken only where the Registration Authority alone can have done that.
func TestANewSecretForAServedCard(t *testing.T) {
	t.Parallel()
	const (
		live  = "a kiosk is unlocking this card at this moment"
		older = "the secret is one that this card had before"
		keep  = "the card was served already, so its secret cannot be changed"
	)
	first, second, third := "111111111111", "222222222222", "333333333333"
	unknown := cases.Outcome{Passcode: "unknown", Rotated: "unknown", Tries: -1}
	for _, tc := range []struct {
		name, profile string
		blocked       bool
		grant         cases.Grant
		want          []string // for second, first, third
	}{
		{"does not rotate", "openpgp", false, cases.Grant{ExpiresAt: epoch, Booked: 1}, []string{"", older, ""}},
		{"does not rotate, at a kiosk now", "openpgp", false, cases.Grant{ExpiresAt: epoch.Add(time.Second), Booked: 1}, []string{live, "", live}},
		{"does not rotate, was at a kiosk", "openpgp", false, cases.Grant{ExpiresAt: epoch.Add(time.Second), Outcome: &unknown, Booked: 1}, []string{"", older, ""}},
		{"rotates", "openpgp-admin", false, cases.Grant{ExpiresAt: epoch, Booked: 1}, []string{keep, "", keep}},
		{"rotates, and is blocked", "openpgp-admin", true, cases.Grant{ExpiresAt: epoch, Booked: 1}, []string{"", older, keep}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			row := func(secret string) string { return cardsHead + "0c0d," + tc.profile + ",h1," + secret + ",,issued\n" }
			if r := w.load(t, rigby, row(first), false); len(r.Flaws) > 0 {
				t.Fatal(r.Flaws)
			}
			w.do(t, func(tx *store.Tx) error {
				if _, err := tx.AddKiosk(store.Kiosk{Name: "k1", Kind: store.KindKiosk, State: store.KioskActive}); err != nil {
					return err
				}
				tc.grant.Case, tc.grant.Card, tc.grant.Number, tc.grant.Kiosk = "c1", "0c0d", 1, "k1"
				return errors.Join(tx.SetCase(cases.Case{ID: "c1", Card: "0c0d", Holder: "h1", Kiosk: "k1"}), tx.AddGrant(tc.grant), tx.SetGrant(tc.grant),
					tx.SetCard(cases.Card{Serial: "0c0d", PUKBlocked: tc.blocked}))
			})
			settled := int64(0)
			for i, secret := range []string{second, first, third} {
				r := w.load(t, rigby, row(secret), false)
				switch want := tc.want[i]; {
				case want == "" && len(r.Flaws) > 0 || want != "" && (len(r.Flaws) != 1 || !strings.HasPrefix(r.Flaws[0].Says, want)):
					t.Errorf("import %d: %v, want %q", i+2, r.Flaws, want)
				case want == "" && secret != first:
					settled += 2
				}
				w.do(t, func(tx *store.Tx) error {
					c, err := tx.Card("0c0d")
					grants, err2 := tx.Grants("0c0d")
					if c.Settled != settled || settled > 0 && (c.PUKBlocked || grants[0].Booked != 0) {
						t.Errorf("import %d left %+v, booked %d; want generation %d", i+2, c, grants[0].Booked, settled)
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
	f.Add(rigby, aCard("12345678"))
	f.Fuzz(func(t *testing.T, holders, cards string) {
		people, flaws := readHolders(File{"h", strings.NewReader(holders)})
		plastic, more := readCards(File{"c", strings.NewReader(cards)}, terms.Profiles)
		if len(people) == 0 && len(flaws) == 0 && !strings.HasPrefix(strings.TrimPrefix(holders, "\ufeff"), "holder_id") {
			t.Errorf("nothing was read and nothing was said of %q", holders)
		}
		for _, c := range plastic {
			if n := c.secret.Len(); n != 0 && n != c.profile.PUK.Length {
				t.Errorf("a secret of length %d was taken", n)
			}
		}
		_ = more
	})
}
