package office

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/store"
	"latchkey/cmd/central/internal/vault"
	"latchkey/firmware/secret"
)

// away is a key of an HSM that does not answer.
type away struct{ vault.KEK }

func (away) Wrap(_, _ []byte) ([]byte, error)   { return nil, errors.New("hsm: it does not answer") }
func (away) Unwrap(_, _ []byte) ([]byte, error) { return nil, errors.New("hsm: it does not answer") }

// A card is frozen although the HSM is away, and the ledger says whom staff have to tell.
func TestACardIsFrozenWithoutTheVault(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s, err := store.OpenSQLite(ctx, filepath.Join(t.TempDir(), "central.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	key := func(b byte) secret.Value { return secret.New(bytes.Repeat([]byte{b}, 32)) }
	kek, err := vault.NewKEK(key(1))
	if err != nil {
		t.Fatal(err)
	}
	root, err := vault.NewRoot(key(2))
	if err != nil {
		t.Fatal(err)
	}
	v, err := vault.With(vault.Keys{KEK: away{kek}, Root: root, Codes: key(3)})
	if err != nil {
		t.Fatal(err)
	}
	err = s.Update(ctx, func(tx *store.Tx) error {
		return errors.Join(tx.ImportHolder(cases.Holder{ID: "h1", Name: "Ms A", Active: true}, store.Contacts{Email: []byte("sealed")}),
			tx.ImportCard(cases.Card{Serial: "0a", Profile: "piv", Holder: "h1"}))
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := FreezeCard(ctx, s, v, "0a", "anna", time.UnixMilli(1795305600000).UTC()); err != nil {
		t.Fatal(err)
	}
	err = s.View(ctx, func(tx *store.Tx) error {
		c, err := tx.Card("0a")
		if c.FrozenAt.IsZero() {
			t.Error("the card is not frozen")
		}
		events, err2 := tx.Events("")
		told := false
		for _, e := range events {
			told = told || e.Kind == ledger.MessageFailed && e.Card == "0a"
		}
		if !told {
			t.Errorf("the ledger does not say that nobody was told: %+v", events)
		}
		return errors.Join(err, err2)
	})
	if err != nil {
		t.Fatal(err)
	}
}
