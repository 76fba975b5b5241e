package directory

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"math/big"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/store"
	"latchkey/cmd/central/internal/vault"
	"latchkey/firmware/secret"
)

const (
	holdersHead = "holder_id,name,email,mobile,status\n"
	cardsHead   = "serial,profile,holder_id,puk,card_certificate,status\n"
	rigby       = holdersHead + "h1,Mr John Rigby,john.rigby@nhs.net,+44 7700 900123,active\n"
)

var certificate = func() string {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}()

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
	r, err := Import(context.Background(), w.s, w.v, time.Now(), File{"holders.csv", strings.NewReader(holders)}, File{"cards.csv", strings.NewReader(cards)}, dry)
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
		"0a07,piv,h9,12345678,,issued\n"
	want := []string{
		"holders.csv line 3: the holder_id must be", "holders.csv line 4: the name must be", "holders.csv line 5: the email is not an address",
		"holders.csv line 6: the mobile must be", "holders.csv line 7: the status must be active or left",
		"holders.csv line 8: the holder_id is that of line 2", "holders.csv line 9: there are 4 fields, there must be 5",
		"cards.csv line 2: the serial must be", "cards.csv line 3: the profile is not one of authentic, gids, isoapplet, openpgp, openpgp-admin, piv, piv-any",
		"cards.csv line 4: the puk is not of the profile's form: 8 digits", "cards.csv line 5: the puk is not",
		"cards.csv line 6: the card_certificate is not base64", "cards.csv line 7: the card_certificate is not an X.509",
		"cards.csv line 8: the status must be issued or revoked", "cards.csv line 9: the holder_id is neither on record",
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

func FuzzRead(f *testing.F) {
	f.Add(rigby, aCard("12345678"))
	f.Fuzz(func(t *testing.T, holders, cards string) {
		people, flaws := readHolders(File{"h", strings.NewReader(holders)})
		plastic, more := readCards(File{"c", strings.NewReader(cards)})
		if len(people) == 0 && len(flaws) == 0 && !strings.HasPrefix(strings.TrimPrefix(holders, "\ufeff"), "holder_id") {
			t.Errorf("nothing was read and nothing was said of %q", holders)
		}
		for _, c := range plastic {
			if c.puk.Len() != c.form.Length {
				t.Errorf("a PUK of length %d was taken", c.puk.Len())
			}
		}
		_ = more
	})
}
