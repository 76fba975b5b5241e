package office

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"latchkey/cmd/central/internal/engineers"
	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/store"
	"latchkey/cmd/central/internal/vault"
	"latchkey/firmware/wire/ra"
	"latchkey/tools/cardsim"
)

// told books what a kiosk told, as the API does.
func told(t *testing.T, s store.Store, kiosk string, due int) {
	t.Helper()
	must(t, s.Update(context.Background(), func(tx *store.Tx) error {
		chains, err := tx.ServiceChains(kiosk)
		if err != nil {
			return err
		}
		c := engineers.News(chains, engineers.Told{Chain: chains[0].ID, Due: due}, noon)
		return errors.Join(tx.SetServiceChain(*c), tx.DropServiceChains(kiosk, c.Serial))
	}))
}

func events(t *testing.T, s store.Store, kind ledger.Kind) (list []string) {
	t.Helper()
	must(t, s.View(context.Background(), func(tx *store.Tx) error {
		all, err := tx.Events("")
		for _, e := range all {
			if e.Kind == kind {
				list = append(list, strings.TrimSpace(e.Kiosk+" "+e.Note+" by "+e.By))
			}
		}
		return err
	}))
	return list
}

func TestCodesAreGivenOutOneByOne(t *testing.T) {
	t.Parallel()
	s, v := newStore(t), keyed(t, 1)
	give := func(number int, skip bool, refused, warned string) string {
		t.Helper()
		code, warning, err := GiveServiceCode(t.Context(), s, v, "k1", number, skip, "ann", noon)
		var r *Refused
		switch {
		case refused == "" && err != nil, refused != "" && (!errors.As(err, &r) || !strings.Contains(err.Error(), refused)):
			t.Fatalf("number %d: %v, want %q", number, err, refused)
		case (warned == "") != (warning == "") || !strings.Contains(warning, warned):
			t.Fatalf("number %d: warning %q, want %q", number, warning, warned)
		case refused != "" && code.Len() != 0:
			t.Fatalf("number %d was refused, and the code given", number)
		}
		return string(code.Reveal())
	}
	give(1000, false, "there is no kiosk k1", "")
	must(t, s.Update(t.Context(), func(tx *store.Tx) error {
		_, err := tx.AddKiosk(store.Kiosk{Name: "k1", Kind: store.KindKiosk, State: store.KioskActive, AddedAt: 1})
		return err
	}))
	give(1000, false, "has no codes yet", "")
	must(t, RenewServiceCodes(t.Context(), s, v, "k1", "ann", noon))
	first := give(1000, false, "", "") // the kiosk has the document, and its word for that was lost
	told(t, s, "k1", 1000)
	if again := give(1000, false, "", ""); again != first {
		t.Error("asked twice, the code was another")
	}
	give(1001, false, "there is no code 1001", "")
	give(0, true, "there is no code 0", "")
	second := give(999, false, "", "")
	if second == first || len(second) != 17 {
		t.Errorf("code 999 is %q, code 1000 %q", second, first)
	}
	give(990, false, "is expected to show 998", "")
	give(990, true, "", "can make codes 991 to 998, too")
	give(995, false, "", "") // that was given away with 990
	told(t, s, "k1", 994)
	give(995, false, "was used already", "")
	give(995, true, "was used already", "")
	must(t, RenewServiceCodes(t.Context(), s, v, "k1", "ann", noon))
	give(994, false, "", "") // the kiosk has not heard of the new ones
	told(t, s, "k1", 1000)
	if other := give(1000, false, "", ""); other == first {
		t.Error("the new codes are the old ones")
	}
	want := []string{"k1 number 1000 by ann", "k1 number 1000 by ann", "k1 number 999 by ann", "k1 number 990, and with it those up to 998 by ann",
		"k1 number 995 by ann", "k1 number 994 by ann", "k1 number 1000 by ann"}
	if got := events(t, s, ledger.ServiceCodeGiven); !slices.Equal(got, want) {
		t.Errorf("ledger %q, want %q", got, want)
	}
	list, err := ListKiosks(t.Context(), s)
	must(t, err)
	if due := list[0].Service; due == nil || due.Due != 1000 || !due.ToldAt.Equal(noon) {
		t.Errorf("listed as due: %+v", due)
	}
	// Without the key under which the seed is sealed.
	if _, _, err := GiveServiceCode(t.Context(), s, keyed(t, 7), "k1", 1000, false, "ann", noon); !errors.Is(err, vault.ErrSealed) {
		t.Errorf("another vault: %v", err)
	}
}

func TestServiceCards(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	virtual, err := cardsim.Create(filepath.Join(t.TempDir(), "card"), cardsim.Spec{})
	must(t, err)
	der := virtual.CardCertificate()
	certificate, err := x509.ParseCertificate(der)
	must(t, err)
	one, err := AddServiceCard(t.Context(), s, ra.NewServiceCard{Name: "Engineer 1", Certificate: der}, "ann", noon)
	must(t, err)
	if key := sha256.Sum256(certificate.RawSubjectPublicKeyInfo); one.KeySha256 != hex.EncodeToString(key[:]) {
		t.Fatalf("%+v is not the card's key", one)
	}
	for _, c := range []struct {
		card ra.NewServiceCard
		want string
	}{
		{ra.NewServiceCard{Name: "Engineer 2", Certificate: der}, "there is a service card Engineer 1"},
		{ra.NewServiceCard{Name: "Engineer 1", KeySha256: strings.Repeat("ab", 32)}, "there is a service card Engineer 1"},
		{ra.NewServiceCard{Name: "", KeySha256: strings.Repeat("ab", 32)}, "the name"},
		{ra.NewServiceCard{Name: "Engineer\n2", KeySha256: strings.Repeat("ab", 32)}, "the name"},
		{ra.NewServiceCard{Name: "Engineer 2", KeySha256: "ab"}, "is no fingerprint"},
		{ra.NewServiceCard{Name: "Engineer 2", Certificate: []byte("x")}, "cannot be read"},
		{ra.NewServiceCard{Name: "Engineer 2"}, "write either"},
		{ra.NewServiceCard{Name: "Engineer 2", Certificate: der, KeySha256: strings.Repeat("ab", 32)}, "write either"},
	} {
		var r *Refused
		if _, err := AddServiceCard(t.Context(), s, c.card, "ann", noon); !errors.As(err, &r) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.card.Name, err, c.want)
		}
	}
	two, err := AddServiceCard(t.Context(), s, ra.NewServiceCard{Name: "Engineer 2", KeySha256: strings.Repeat("AB", 32)}, "ann", noon)
	must(t, err)
	list, err := ListServiceCards(t.Context(), s)
	must(t, err)
	if len(list) != 2 || !slices.Contains(list, one) || !slices.Contains(list, two) {
		t.Errorf("listed %+v", list)
	}
	removed, err := RemoveServiceCard(t.Context(), s, "Engineer 1", "bob", noon)
	must(t, err)
	if removed != one {
		t.Errorf("removed %+v", removed)
	}
	if _, err := RemoveServiceCard(t.Context(), s, "Engineer 1", "bob", noon); err == nil {
		t.Error("removed twice")
	}
	if got := events(t, s, ledger.ServiceCardRemoved); len(got) != 1 || got[0] != "card "+one.KeySha256[:8]+" Engineer 1 by bob" {
		t.Errorf("ledger %q", got)
	}
}
