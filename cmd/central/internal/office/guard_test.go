package office

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/store"
)

// What makes no sense is refused with a sentence that says the cure, and changes nothing.
func TestGuardsRefuseWhatMakesNoSense(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s, err := store.OpenSQLite(ctx, filepath.Join(t.TempDir(), "central.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	now := time.UnixMilli(1795305600000).UTC()
	policies := cases.Policies{Default: cases.Policy{ApprovalValidity: 30 * time.Minute}, By: map[string]cases.Policy{"RXX": {ApprovalValidity: 5 * time.Minute}}}
	err = s.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.AddKiosk(store.Kiosk{Name: "k1", Kind: store.KindKiosk, State: store.KioskActive})
		return errors.Join(err,
			tx.ImportHolder(cases.Holder{ID: "h1", Name: "Ms A", Active: true}, store.Contacts{}),
			tx.ImportHolder(cases.Holder{ID: "h2", Name: "Ms B", Active: true, Organisation: "RXX"}, store.Contacts{}),
			tx.ImportCard(cases.Card{Serial: "0a", Profile: "piv", Holder: "h1"}), tx.ImportCard(cases.Card{Serial: "0b", Profile: "piv", Holder: "h2"}),
			tx.ImportCard(cases.Card{Serial: "0c", Profile: "piv", Holder: "h1", Revoked: true}))
	})
	if err != nil {
		t.Fatal(err)
	}
	approve := func(serial string) error { _, err := ApproveCard(ctx, s, policies, serial, "anna", now); return err }
	freeze := func(serial string) error { return FreezeCard(ctx, s, nil, serial, "anna", now) } // no contacts, nothing to open
	unfreeze := func(serial string) error { return UnfreezeCard(ctx, s, serial, "anna", now) }
	refused := func(err error, says string) {
		t.Helper()
		var r *Refused
		if !errors.As(err, &r) || !strings.Contains(r.Says, says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
	refused(approve("ff"), "there is no card")
	refused(approve("0c"), "give the holder another")
	refused(unfreeze("0a"), "not frozen")
	refused(ReleaseKiosk(ctx, s, "k1", "anna", now), "not in quarantine")
	refused(ReleaseKiosk(ctx, s, "k9", "anna", now), "there is no kiosk")
	refused(ReleaseHolder(ctx, s, "0a", "anna", now), "not in quarantine")
	if err := errors.Join(approve("0a"), freeze("0a"), freeze("0a")); err != nil {
		t.Fatal(err)
	}
	refused(approve("0a"), "unfreeze it first")
	if err := unfreeze("0a"); err != nil {
		t.Fatal(err)
	}
	if until, err := ApproveCard(ctx, s, policies, "0b", "anna", now); err != nil || !until.Equal(now.Add(5*time.Minute)) {
		t.Errorf("an organisation's approval lasts until %v, %v", until, err)
	}
	err = s.View(ctx, func(tx *store.Tx) error {
		c, err := tx.Card("0a")
		if !c.FrozenAt.IsZero() || !c.ApprovedUntil.IsZero() { // a freeze ends what was approved
			t.Errorf("%+v", c)
		}
		all, err2 := tx.Events("")
		var kinds []string
		for _, e := range all {
			if kinds = append(kinds, string(e.Kind)); e.By != "anna" {
				t.Errorf("nobody did %+v", e)
			}
		}
		if got := strings.Join(kinds, " "); got != strings.Join([]string{
			string(ledger.CardApproved), string(ledger.CardFrozen), string(ledger.CardUnfrozen), string(ledger.CardApproved),
		}, " ") {
			t.Errorf("the ledger has %s", got)
		}
		return errors.Join(err, err2)
	})
	if err != nil {
		t.Fatal(err)
	}
}
