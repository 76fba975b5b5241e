package api

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/store"
	"latchkey/cmd/central/internal/vault"
	"latchkey/firmware/secret"
	"latchkey/firmware/wire"
)

// kioskAt is a kiosk at a site.
func (w *world) kioskAt(name, site string) *kiosk {
	w.t.Helper()
	k := w.stranger(name)
	w.update(func(tx *store.Tx) error {
		_, err := tx.AddKiosk(store.Kiosk{Name: name, Kind: store.KindKiosk, Site: site, Certificate: sha256.Sum256(k.cert.Certificate[0]), State: store.KioskActive, AddedAt: 1})
		return err
	})
	return k
}

func feedback(id, stars int, comment, contact string) wire.Feedback {
	return wire.Feedback{Id: fmt.Sprintf("%032x", id), Stars: stars, Comment: written(comment), Contact: written(contact)}
}

func written(s string) wire.Text { return wire.Text{Value: secret.New([]byte(s))} }

// kept is all feedback that is stored, opened.
func (w *world) kept() (list []store.Feedback) {
	w.t.Helper()
	w.update(func(tx *store.Tx) (err error) {
		list, err = tx.Feedback(store.FeedbackFilter{From: "2000-01-01", Until: "2999-12-31"}, 1000)
		return err
	})
	for i, f := range list {
		for _, part := range []struct {
			kind vault.Kind
			of   *[]byte
		}{{vault.KindComment, &list[i].Comment}, {vault.KindContact, &list[i].Contact}} {
			if *part.of == nil {
				continue
			}
			plain, err := w.server.Vault.Open(vault.Subject{Kind: part.kind, ID: f.ID}, *part.of)
			if err != nil {
				w.t.Fatal(err)
			}
			*part.of = plain.Reveal()
		}
	}
	return list
}

func TestFeedbackIsKeptApartFromTheWalk(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.kioskAt("kiosk-by-the-lift", "Main entrance")
	k.unlock(w.card)
	const comment, contact = "Cyflym iawn – the passcode page was clear", "j.rigby@nhs.net"
	before := len(w.log.String())
	for range 2 { // the answer was lost
		if a := k.send("/v1/feedback", "", feedback(1, 4, comment, contact)); a.status != http.StatusNoContent || len(a.body) > 0 {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	if a := k.send("/v1/feedback", "", feedback(2, 5, "", "")); a.status != http.StatusNoContent {
		t.Fatalf("%d %s", a.status, a.body)
	}
	list := w.kept()
	if len(list) != 2 {
		t.Fatalf("kept %d, want 2", len(list))
	}
	day := w.server.Now().UTC().Format(time.DateOnly)
	if f := list[0]; f.Day != day || f.Site != "Main entrance" || f.Stars != 4 || string(f.Comment) != comment || string(f.Contact) != contact {
		t.Errorf("%+v", f)
	}
	if f := list[1]; f.Stars != 5 || f.Comment != nil || f.Contact != nil {
		t.Errorf("%+v", f)
	}
	// Neither log nor database tells what was said, or which kiosk brought it when.
	if log := w.log.String()[before:]; strings.Contains(log, k.name) || !strings.Contains(log, "/v1/feedback") {
		t.Errorf("the log names the kiosk:\n%s", log)
	}
	w.update(func(tx *store.Tx) error {
		at, err := tx.Strikes(store.FeedbackSubject(k.name), w.server.Now().Add(-24*time.Hour))
		for _, at := range at {
			if !at.Equal(at.Truncate(time.Hour)) {
				t.Errorf("the minute is kept: %v", at)
			}
		}
		events, err2 := tx.NewestEvents(store.EventFilter{}, 100)
		for _, e := range events {
			if strings.Contains(string(e.Kind)+e.Note, "feedback") {
				t.Errorf("in the ledger: %+v", e)
			}
		}
		if err == nil {
			err = err2
		}
		return err
	})
	files, err := filepath.Glob(filepath.Join(w.dir, "central", "central.db*"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, said := range []string{"Cyflym", "passcode page", contact} {
			if strings.Contains(string(b), said) {
				t.Errorf("%s holds %q in clear", filepath.Base(f), said)
			}
		}
	}
}

func TestFeedbackThatIsNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.kiosk("k1")
	for name, f := range map[string]wire.Feedback{
		"no stars":          feedback(1, 0, "", ""),
		"six stars":         feedback(1, 6, "", ""),
		"an id with cases":  {Id: strings.Repeat("A", 32), Stars: 1},
		"a short id":        {Id: "ab", Stars: 1},
		"a long comment":    feedback(1, 1, strings.Repeat("ŵ", 301), ""),
		"a control":         feedback(1, 1, "red \x1b[31m", ""),
		"backwards":         feedback(1, 1, "a \u202e b", ""),
		"a second line":     feedback(1, 1, "a\nb", ""),
		"no address":        feedback(1, 1, "", "rigby"),
		"half an address":   feedback(1, 1, "", "rigby@"),
		"two addresses":     feedback(1, 1, "", "a@nhs.net b@nhs.net"),
		"a very long one":   feedback(1, 1, "", strings.Repeat("a", 250)+"@b.uk"),
		"an address of two": feedback(1, 1, "", "a@b@nhs.net"),
	} {
		if a := k.send("/v1/feedback", "", f); a.problem.Code != wire.CodeMalformed {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	for _, raw := range []string{`{`, `{"id":"0","stars":"5"}`, `{"id":"00000000000000000000000000000001","stars":5,"comment":7}`} {
		if a := k.send("/v1/feedback", "", []byte(raw)); a.problem.Code != wire.CodeMalformed {
			t.Errorf("%s: %d %s", raw, a.status, a.body)
		}
	}
	if list := w.kept(); len(list) != 0 {
		t.Errorf("kept %+v", list)
	}
	// The most that may be said is taken.
	if a := k.send("/v1/feedback", "", feedback(1, 1, strings.Repeat("ŵ", 300), strings.Repeat("a", 249)+"@b.uk")); a.status != http.StatusNoContent {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestFeedbackIsTakenFromKiosksThatAreServed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.stranger("k0").refused("/v1/feedback", feedback(1, 1, "", ""), wire.CodeKioskUnknown)
	gone, held := w.kiosk("k1"), w.kiosk("k2")
	w.update(func(tx *store.Tx) error { return tx.DisableKiosk("k1") })
	w.update(func(tx *store.Tx) error { return tx.QuarantineKiosk("k2", 1) })
	gone.refused("/v1/feedback", feedback(1, 1, "", ""), wire.CodeKioskDisabled)
	held.refused("/v1/feedback", feedback(1, 1, "", ""), wire.CodeKioskQuarantined)
	if list := w.kept(); len(list) != 0 {
		t.Errorf("kept %+v", list)
	}
}

func TestAKioskCannotFillTheDatabaseWithFeedback(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k, other := w.kiosk("k1"), w.kiosk("k2")
	hour := w.server.Now().UTC().Truncate(time.Hour).Add(time.Hour)
	w.pass(time.Until(hour)) // so that the hour does not end meanwhile
	for i := range cases.FeedbackAnHour {
		if a := k.send("/v1/feedback", "", feedback(i, 3, "", "")); a.status != http.StatusNoContent {
			t.Fatalf("%d: %d %s", i, a.status, a.body)
		}
	}
	p := k.refused("/v1/feedback", feedback(1000, 3, "", ""), wire.CodeRateLimited)
	if p.RetryAt == nil || *p.RetryAt != hour.Add(time.Hour).UnixMilli() {
		t.Errorf("again at %v", p.RetryAt)
	}
	if a := k.send("/v1/feedback", "", feedback(0, 3, "", "")); a.status != http.StatusNoContent {
		t.Errorf("what is kept already: %d %s", a.status, a.body)
	}
	if a := other.send("/v1/feedback", "", feedback(1001, 3, "", "")); a.status != http.StatusNoContent {
		t.Errorf("another kiosk: %d %s", a.status, a.body)
	}
	if n := len(w.kept()); n != cases.FeedbackAnHour+1 {
		t.Errorf("kept %d", n)
	}
	w.pass(time.Hour)
	if a := k.send("/v1/feedback", "", feedback(1000, 3, "", "")); a.status != http.StatusNoContent {
		t.Errorf("an hour later: %d %s", a.status, a.body)
	}
}

// What policy does not keep any longer goes with the first request of a walk.
func TestFeedbackIsForgotten(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(p *cases.Policy) { p.FeedbackDays = 30 })
	k := w.kiosk("k1")
	post[struct{}](k, "/v1/feedback", feedback(1, 3, "", ""))
	w.pass(30 * 24 * time.Hour)
	k.begin(w.card)
	if n := len(w.kept()); n != 1 {
		t.Errorf("after 30 days %d are kept, want 1", n)
	}
	w.pass(24 * time.Hour)
	k.begin(w.card)
	if n := len(w.kept()); n != 0 {
		t.Errorf("after 31 days %d are kept", n)
	}
}

// The kiosk learns with the passcode's rules what becomes of one that is easily guessed: what the holder's organisation has decided.
func TestWeakPasscodesAreTheOrganisationsToDecide(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(p *cases.Policy) { p.Weak = wire.WeakAllow })
	strict := w.server.Policies.Default
	strict.Weak = wire.WeakRefuse
	w.server.Policies.By = map[string]cases.Policy{"RXX": strict}
	k := w.kiosk("k1")
	if p := k.begin(w.card).prove(); p.Passcode.Weak != wire.WeakAllow {
		t.Errorf("for everybody: %q", p.Passcode.Weak)
	}
	w.update(func(tx *store.Tx) error {
		h, contacts, err := tx.Holder("h1")
		if err != nil {
			return err
		}
		if err := tx.SetOrganisation(store.Organisation{ID: "RXX", Name: "A Trust"}); err != nil {
			return err
		}
		h.Organisation = "RXX"
		return tx.ImportHolder(h, contacts)
	})
	if p := k.begin(w.card).prove(); p.Passcode.Weak != wire.WeakRefuse {
		t.Errorf("for RXX: %q", p.Passcode.Weak)
	}
}
