package office

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/store"
	"latchkey/cmd/central/internal/vault"
	"latchkey/firmware/secret"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func value(b byte) secret.Value { return secret.New(bytes.Repeat([]byte{b}, 32)) }

// keyed makes a vault that seals under the first key and opens what the others sealed.
func keyed(t *testing.T, first byte, old ...byte) *vault.Vault {
	t.Helper()
	kek := func(b byte) vault.KEK {
		k, err := vault.NewKEK(value(b))
		must(t, err)
		return k
	}
	root, err := vault.NewRoot(value(2))
	must(t, err)
	k := vault.Keys{KEK: kek(first), Root: root, Codes: value(3)}
	for _, o := range old {
		k.Old = append(k.Old, kek(o))
	}
	v, err := vault.With(k)
	must(t, err)
	return v
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newStore(t *testing.T) store.Store {
	t.Helper()
	s, err := store.Open(context.Background(), filepath.Join(t.TempDir(), "central.db"))
	must(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func sealed(t *testing.T, v *vault.Vault, s vault.Subject, plain string) []byte {
	t.Helper()
	b, err := v.Seal(s, secret.New([]byte(plain)))
	must(t, err)
	return b
}

// furnish puts in cards with PUKs, one with an administrator's key, a holder with contacts and a message.
func furnish(t *testing.T, s store.Store, v *vault.Vault, cards int) {
	t.Helper()
	must(t, s.Update(context.Background(), func(tx *store.Tx) error {
		err := tx.ImportHolder(cases.Holder{ID: "h1", Name: "Mr John Rigby", Active: true}, store.Contacts{
			Email:  sealed(t, v, vault.Subject{Kind: vault.KindEmail, ID: "h1"}, "j.rigby@nhs.net"),
			Mobile: sealed(t, v, vault.Subject{Kind: vault.KindMobile, ID: "h1"}, "07700900123"),
		})
		for i := range cards {
			serial := fmt.Sprintf("0a%04x", i)
			err = errors.Join(err, tx.ImportCard(cases.Card{Serial: serial, Profile: "piv", Holder: "h1"}),
				tx.SetSecret(serial, 0, sealed(t, v, vault.CardSecret(serial, false, 0), "12345678")))
		}
		return errors.Join(err, tx.ImportCard(cases.Card{Serial: "0b", Profile: "gids", Holder: "h1"}),
			tx.SetSecret("0b", 0, sealed(t, v, vault.CardSecret("0b", true, 0), strings.Repeat("0123456789abcdef", 3))),
			tx.AddMessage(store.Message{
				ID: "m1", Kind: store.MessageFrozen, Holder: "h1", MadeAt: noon, DueAt: noon, DiesAt: noon,
				Recipient: sealed(t, v, vault.Subject{Kind: vault.KindMessageTo, ID: "m1"}, "j.rigby@nhs.net"),
				Content:   sealed(t, v, vault.Subject{Kind: vault.KindMessageContent, ID: "m1"}, "Your card was frozen."),
			}))
	}))
}

func silent(store.SealedKind, int) {}

func rotations(t *testing.T, s store.Store) (list []ledger.Event) {
	t.Helper()
	must(t, s.View(context.Background(), func(tx *store.Tx) error {
		events, err := tx.Events("")
		for _, e := range events {
			if e.Kind == ledger.KeyRotated {
				list = append(list, e)
			}
		}
		return err
	}))
	return list
}

func TestAKeyIsReplacedWhileOthersServe(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	before, both, after := keyed(t, 1), keyed(t, 9, 1), keyed(t, 9)
	const cards = 130
	furnish(t, s, before, cards)

	// A central that was not told yet goes on serving and takes in new secrets under the old key.
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		subject := vault.CardSecret("0a0001", false, 0)
		for ctx.Err() == nil {
			err := s.Update(context.Background(), func(tx *store.Tx) error {
				kept, err := tx.Secret("0a0001", 0)
				if err != nil {
					return err
				}
				if got, err := both.Open(subject, kept); err != nil || string(got.Reveal()) != "12345678" {
					t.Errorf("while it was wrapped anew: %q, %v", got.Reveal(), err)
				}
				return tx.SetSecret("0a0001", 0, sealed(t, before, subject, "12345678"))
			})
			if err != nil {
				t.Error(err)
				return
			}
		}
	})
	told := map[store.SealedKind]int{}
	r, err := Rewrap(context.Background(), s, both, "a.engineer", noon, func(kind store.SealedKind, done int) { told[kind] = done })
	stop()
	wg.Wait()
	must(t, err)
	if len(r.Stuck) > 0 || r.Done[store.SealedSecret] < cards {
		t.Errorf("%+v", r)
	}
	r2, err := Rewrap(context.Background(), s, both, "a.engineer", noon, silent)
	must(t, err)
	if len(r2.Old) > 0 || !strings.Contains(r2.Says(), "can be removed from old_keks") {
		t.Errorf("%+v %s", r2, r2.Says())
	}
	if want := (map[store.SealedKind]int{
		store.SealedEmail: 1, store.SealedMobile: 1, store.SealedMessageTo: 1, store.SealedMessageContent: 1, store.SealedSecret: r.Done[store.SealedSecret],
	}); !maps.Equal(r.Done, want) || !maps.Equal(told, want) {
		t.Errorf("done %v, told %v, want %v", r.Done, told, want)
	}
	must(t, s.View(context.Background(), func(tx *store.Tx) error {
		kept, err := tx.Secret("0a0050", 0)
		got, e := after.Open(vault.CardSecret("0a0050", false, 0), kept)
		key, e2 := tx.Secret("0b", 0)
		answer, e3 := after.Answer(vault.CardSecret("0b", true, 0), key, make([]byte, 8))
		_, contacts, e4 := tx.Holder("h1")
		mobile, e5 := after.Open(vault.Subject{Kind: vault.KindMobile, ID: "h1"}, contacts.Mobile)
		if err := errors.Join(err, e, e2, e3, e4, e5); err != nil {
			return err
		}
		if string(got.Reveal()) != "12345678" || answer.Len() != 16 || string(mobile.Reveal()) != "07700900123" {
			t.Errorf("%q %q %q", got.Reveal(), answer.Reveal(), mobile.Reveal())
		}
		return nil
	}))
	events := rotations(t, s)
	if len(events) == 0 || events[0].By != "a.engineer" || !strings.Contains(events[0].Note, "emails 1 mobiles 1 message-to 1 message-contents 1") {
		t.Errorf("%+v", events)
	}
}

func TestRewrapCanBeEndedAndRunAgain(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	before, both := keyed(t, 1), keyed(t, 9, 1)
	furnish(t, s, before, 3*rewrapBatch)
	ctx, stop := context.WithCancel(context.Background())
	r, err := Rewrap(ctx, s, both, "a.engineer", noon, func(store.SealedKind, int) { stop() })
	if !errors.Is(err, context.Canceled) || r.Done[store.SealedSecret] != rewrapBatch {
		t.Fatalf("%+v, %v", r, err)
	}
	if events := rotations(t, s); len(events) != 1 || !strings.Contains(events[0].Note, fmt.Sprintf("secrets %d", rewrapBatch)) {
		t.Errorf("%+v", events)
	}
	r, err = Rewrap(context.Background(), s, both, "a.engineer", noon, silent)
	must(t, err)
	if len(r.Old) > 0 || r.Done[store.SealedSecret] != 2*rewrapBatch+1 {
		t.Errorf("%+v", r)
	}
	r, err = Rewrap(context.Background(), s, both, "a.engineer", noon, silent)
	must(t, err)
	if len(r.Done) > 0 || len(rotations(t, s)) != 2 {
		t.Errorf("what was done was done again: %+v", r)
	}
}

func TestRewrapNamesWhatItCannotOpen(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	furnish(t, s, keyed(t, 1), 2)
	other := keyed(t, 5)
	must(t, s.Update(context.Background(), func(tx *store.Tx) error {
		return tx.SetSecret("0a0000", 0, sealed(t, other, vault.CardSecret("0a0000", false, 0), "12345678"))
	}))
	r, err := Rewrap(context.Background(), s, keyed(t, 9, 1), "a.engineer", noon, silent)
	must(t, err)
	if len(r.Stuck) != 1 || r.Stuck[0].ID != "0a0000" || r.Old[other.KeyID()] != 1 || !strings.Contains(r.Stuck[0].Why, other.KeyID().String()) ||
		!strings.Contains(r.Says(), other.KeyID().String()) || r.Done[store.SealedSecret] != 2 {
		t.Errorf("%+v %s", r, r.Says())
	}
}

func TestAKeyFileIsNeverOverwritten(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "kek-2027.key")
	id, err := MakeKey(path)
	must(t, err)
	k, err := vault.ReadKEK(path)
	must(t, err)
	if k.ID() != id {
		t.Errorf("made %s, the file has %s", id, k.ID())
	}
	var refused *Refused
	if _, err := MakeKey(path); !errors.As(err, &refused) {
		t.Errorf("made twice: %v", err)
	}
}
