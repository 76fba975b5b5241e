package api

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/office"
	"latchkey/cmd/central/internal/store"
	"latchkey/cmd/central/internal/tree"
	"latchkey/firmware/audit"
	"latchkey/firmware/checkpoint"
	journals "latchkey/firmware/journal"
	loop "latchkey/firmware/kiosk"
	"latchkey/firmware/link"
	"latchkey/firmware/unlock"
)

// appliance is a kiosk's loop without a card and without a face: it delivers its journal and looks at central's history.
type appliance struct {
	*kiosk
	dir         string
	journal     *journals.Journal
	checkpoints *checkpoint.Store
	log         *syncBuffer
}

func (w *world) appliance(name string) *appliance {
	w.t.Helper()
	a := &appliance{kiosk: w.kiosk(name), dir: w.t.TempDir(), log: &syncBuffer{}}
	a.openJournal("journal")
	var err error
	if a.checkpoints, _, err = checkpoint.Open(a.dir, &w.server.Signing.PublicKey); err != nil {
		w.t.Fatal(err)
	}
	return a
}

func (a *appliance) openJournal(name string) {
	a.t.Helper()
	j, _, err := journals.Open(filepath.Join(a.dir, name), a.name, a.cert.PrivateKey.(*ecdsa.PrivateKey), journals.Config{})
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { j.Close() })
	a.journal = j
}

func (a *appliance) write(n int) {
	a.t.Helper()
	for range n {
		if err := a.journal.Append(audit.Entry{Kind: audit.KindRefused, At: 1, Reason: "test"}); err != nil {
			a.t.Fatal(err)
		}
	}
}

// run lets the real loop speak with central until what is wanted is so.
func (a *appliance) run(what string, so func() bool) {
	a.t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(a.ca.cert)
	central, err := link.New(link.Config{URL: a.url, Roots: pool, Certificate: a.cert})
	if err != nil {
		a.t.Fatal(err)
	}
	defer central.Close()
	ctx, stop := context.WithTimeout(a.t.Context(), 2*time.Minute)
	defer stop()
	reached := false
	k := loop.New(loop.Config{
		Identity: loop.Identity{ID: a.name, Key: a.cert.PrivateKey.(*ecdsa.PrivateKey), CentralKey: &a.server.Signing.PublicKey},
		Central:  central, Journal: a.journal, Log: slog.New(slog.NewTextHandler(a.log, nil)),
		Checkpoints: a.checkpoints, AskCheckpoint: central.Checkpoint,
		Show: func(unlock.View, time.Time) {
			if !reached && so() {
				reached = true
				stop()
			}
		},
	})
	if err := k.Run(ctx); err != nil {
		a.t.Fatal(err)
	}
	if !reached {
		a.t.Fatalf("%s was never so:\n%s", what, a.log)
	}
}

// delivered says whether central holds the journal to its end.
func (a *appliance) delivered() bool {
	waiting, _ := a.journal.Waiting()
	return waiting == 0
}

func (w *world) signed() audit.Signed {
	w.t.Helper()
	s, err := w.server.Tree.Sign(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

func (w *world) publicly(path string) (int, []byte) {
	w.t.Helper()
	server := httptest.NewTLSServer(w.server.Web())
	defer server.Close()
	r, err := server.Client().Get(server.URL + path)
	if err != nil {
		w.t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return r.StatusCode, b
}

func reasons(s *checkpoint.Store) (list []string) {
	for _, f := range s.Status().Findings {
		list = append(list, string(f.Reason))
	}
	return list
}

func TestACheckpointIsPublishedAndCosigned(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if status, _ := w.publicly("/checkpoint"); status != http.StatusNotFound {
		t.Errorf("before the first: %d", status)
	}
	one := w.signed()
	status, note := w.publicly("/checkpoint")
	if got, err := w.server.Tree.Key.Key().Open(note); status != http.StatusOK || err != nil || got.Checkpoint != one.Checkpoint || one.Size == 0 {
		t.Fatalf("%d %s: %v", status, note, err)
	}
	if again := w.signed(); !bytes.Equal(again.Note, one.Note) {
		t.Error("nothing came, and it is signed anew")
	}
	private, witness, err := audit.NewWitnessKey(nil, "audit.example.org")
	if err != nil {
		t.Fatal(err)
	}
	file, err := audit.Cosign(private, one, w.server.Now())
	if err != nil {
		t.Fatal(err)
	}
	cosign := func(name string, msg []byte) error {
		_, err := w.server.Tree.Cosign(t.Context(), name, msg, "mary")
		return err
	}
	var refused tree.Refused
	if err := cosign("audit.example.org", file); !errors.As(err, &refused) {
		t.Errorf("a witness whom nobody named: %v", err)
	}
	w.server.Tree.Witnesses = []audit.Witness{witness}
	if err := cosign("audit.example.org", one.Note); !errors.As(err, &refused) {
		t.Errorf("without a cosignature: %v", err)
	}
	future, err := audit.Cosign(private, one, w.server.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if err := cosign("audit.example.org", future); !errors.As(err, &refused) {
		t.Errorf("from the future: %v", err)
	}
	if status, _ := w.publicly("/checkpoint/witnessed"); status != http.StatusNotFound {
		t.Errorf("before the first cosignature: %d", status)
	}
	for range 2 {
		if err := cosign("audit.example.org", file); err != nil {
			t.Fatal(err)
		}
	}
	two := w.signed()
	if two.Size <= one.Size {
		t.Error("that it was cosigned stands in no record")
	}
	status, body := w.publicly(fmt.Sprintf("/checkpoint?from=%d", one.Size))
	shown, err := audit.ParseShown(body)
	if err != nil || status != http.StatusOK || shown.Old != one.Size || !bytes.Equal(shown.Note, two.Note) {
		t.Fatalf("with a proof: %d %s: %v", status, body, err)
	}
	if err := audit.CheckConsistency(one.Checkpoint, two.Checkpoint, shown.Proof); err != nil {
		t.Error(err)
	}
	for from, want := range map[string]int{"0": http.StatusOK, "1000000": http.StatusOK, "-1": http.StatusBadRequest, "x": http.StatusBadRequest} {
		if status, _ := w.publicly("/checkpoint?from=" + from); status != want {
			t.Errorf("from %s: %d", from, status)
		}
	}
	_, note = w.publicly("/checkpoint/witnessed")
	if !bytes.Equal(note, file) {
		t.Errorf("published:\n%s\nwant\n%s", note, file)
	}
	if list := w.alarms(ledger.Cosigned); len(list) != 2 || !strings.Contains(list[0], "audit.example.org") {
		t.Errorf("%q", list)
	}
}

// A kiosk keeps what it was shown, follows a history that grows, and says so of one that does not.
func TestAKioskSeesAnotherHistory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.appliance("k1")
	a.write(3)
	a.run("delivery", a.delivered)
	first := w.signed()
	a.run("the first checkpoint", func() bool { return a.checkpoints.Size() == first.Size })
	a.write(9)
	a.run("delivery", a.delivered)
	next := w.signed()
	a.run("the next checkpoint", func() bool { return a.checkpoints.Size() == next.Size })
	if list := reasons(a.checkpoints); len(list) != 0 {
		t.Fatalf("found %q in a history that grew", list)
	}

	// Somebody with central's keys writes the ledger anew, without one record.
	w.update(func(tx *store.Tx) error {
		return errors.Join(tx.AppendEvent(ledger.Event{At: w.server.Now(), Kind: ledger.Imported}), tx.AppendEvent(ledger.Event{At: w.server.Now(), Kind: ledger.Imported}))
	})
	forged := w.forged()
	a.run("the finding", func() bool { return len(reasons(a.checkpoints)) == 1 && a.delivered() })
	f := a.checkpoints.Status().Findings[0]
	if f.Reason != checkpoint.OtherHistory || f.Size != next.Size || a.checkpoints.Size() != next.Size || !bytes.Equal(f.Shown, forged) {
		t.Errorf("%+v", f)
	}
	for _, note := range [][]byte{f.Kept, f.Shown} { // both are signed: nobody can deny that there were two
		if _, err := w.server.Tree.Key.Key().Open(note); err != nil {
			t.Error(err)
		}
	}
	said := 0
	a.run("delivery", a.delivered) // looks once more
	size := w.signed()
	w.view(func(tx *store.Tx) error {
		all, err := tx.Records(0, size.Size)
		for _, r := range all {
			if strings.Contains(string(r.Body), `"kind":"checkpoint"`) && r.Source == "kiosk/k1/1" {
				said++
			}
		}
		return err
	})
	if said != 1 {
		t.Errorf("the journal says %d times that central showed another history", said)
	}
	if list := w.alarms(ledger.HistoryDoubted); len(list) != 1 || !strings.HasPrefix(list[0], "k1 history-doubted other-history, at ") {
		t.Errorf("%q", list)
	}
	// Said once, and remembered by the next start.
	again, damaged, err := checkpoint.Open(a.dir, &w.server.Signing.PublicKey)
	if err != nil || damaged != "" || len(reasons(again)) != 1 || again.Size() != next.Size {
		t.Errorf("%v %q %v", reasons(again), damaged, err)
	}
}

func (w *world) view(f func(*store.Tx) error) {
	w.t.Helper()
	if err := w.server.Store.View(context.Background(), f); err != nil {
		w.t.Fatal(err)
	}
}

// forged signs a checkpoint of another history, and publishes it.
func (w *world) forged() []byte {
	w.t.Helper()
	c := w.signed()
	c.Root[0] ^= 1
	s, err := w.server.Tree.Key.Sign(c.Epoch, c.Checkpoint)
	if err != nil {
		w.t.Fatal(err)
	}
	w.update(func(tx *store.Tx) error {
		return tx.SetCheckpoint(store.TreeCheckpoint{Epoch: c.Epoch, Size: c.Size, SignedAt: w.server.Now(), Note: string(s.Note)})
	})
	return s.Note
}

// Central is restored from an older backup than the newest that kiosks were told of. The kiosk has forgotten what that had: it says
// that it knew more, and delivers again when an engineer lets it begin a new journal.
func TestAfterAnOlderBackupAKioskBeginsANewJournal(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"SQLite", "PostgreSQL"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			into := engine(t, name)
			a := w.appliance("k1")
			a.write(10)
			a.run("delivery", a.delivered)
			inOld := a.journal.Head().Seq
			w.signed()
			old := filepath.Join(t.TempDir(), "old")
			if _, err := office.Backup(t.Context(), w.server.Store, old, "mary", w.server.Now()); err != nil {
				t.Fatal(err)
			}
			a.write(30)
			a.run("delivery", a.delivered)
			if _, err := office.Backup(t.Context(), w.server.Store, filepath.Join(t.TempDir(), "new"), "mary", w.server.Now()); err != nil {
				t.Fatal(err)
			}
			known := w.signed()
			a.write(1)
			a.run("delivery", func() bool { return a.delivered() && a.checkpoints.Size() == known.Size })
			a.write(1) // what is backed up goes with the next entry
			a.run("delivery", a.delivered)
			if start := a.journal.Start().Seq; start < 40 {
				t.Fatalf("the kiosk keeps entries from %d", start+1)
			}

			w.restored(into, old)
			w.confirm("k1")
			restored := w.signed()
			if restored.Epoch == audit.FirstEpoch || restored.Size >= known.Size {
				t.Fatalf("after the restore: %+v", restored)
			}
			a.run("the finding", func() bool { return len(reasons(a.checkpoints)) == 1 })
			if f := a.checkpoints.Status().Findings[0]; f.Reason != checkpoint.Restored || f.Size != known.Size || a.checkpoints.Size() != restored.Size {
				t.Errorf("%+v", f)
			}
			if a.delivered() {
				t.Fatal("central has taken what does not extend what it holds")
			}
			log, held, err := office.NewLog(t.Context(), w.server.Store, "k1", "eve", w.server.Now())
			if err != nil || log != 2 || held != inOld {
				t.Fatalf("journal %d after %d entries: %v", log, held, err)
			}
			if _, _, err := office.NewLog(t.Context(), w.server.Store, "k1", "eve", w.server.Now()); err == nil {
				t.Error("it may begin a new journal twice")
			}
			a.run("delivery", a.delivered)
			a.write(2)
			a.run("delivery", a.delivered)
			if a.journal.Log() != 2 {
				t.Errorf("the kiosk writes journal %d", a.journal.Log())
			}
			after := w.signed()
			sources := map[string][]int64{}
			w.view(func(tx *store.Tx) error {
				for place := range after.Size {
					r, err := tx.TreeRecord(place)
					if err != nil {
						return err
					}
					sources[r.Source] = append(sources[r.Source], r.Number)
				}
				return nil
			})
			one, two := sources["kiosk/k1/1"], sources["kiosk/k1/2"]
			if len(one) != int(inOld) || len(two) == 0 || two[0] != a.journal.Start().Seq+1 || two[len(two)-1] != a.journal.Head().Seq || len(two) != int(two[len(two)-1]-two[0])+1 {
				t.Errorf("of journal 1 %v, of journal 2 %v", one, two)
			}
			if list := w.alarms(ledger.KioskNewLog); len(list) != 2 {
				t.Errorf("%q", list)
			}
			// All that came is in the next backup, and the kiosk may forget it.
			if _, err := office.Backup(t.Context(), w.server.Store, filepath.Join(t.TempDir(), "last"), "mary", w.server.Now()); err != nil {
				t.Fatal(err)
			}
			a.write(1)
			a.run("delivery", a.delivered)
			a.write(1)
			if start := a.journal.Start().Seq; start < two[len(two)-1] {
				t.Errorf("it keeps entries from %d", start+1)
			}
		})
	}
}

// A kiosk whose storage was lost or set back has a journal that central cannot continue. It is not taken, nor is one that somebody else
// signs, until an engineer lets it begin anew.
func TestALostJournalBeginsAnewWhenAnEngineerLetsIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.appliance("k1")
	a.write(5)
	a.run("delivery", a.delivered)
	a.openJournal("another")
	a.write(3)
	a.run("refusal", func() bool { return strings.Contains(a.log.String(), "journal not delivered") })
	if _, _, err := office.NewLog(t.Context(), w.server.Store, "k1", "eve", w.server.Now()); err != nil {
		t.Fatal(err)
	}
	stranger := w.kiosk("k2")
	forger := newJournal(stranger)
	forger.add("x")
	b := forger.batch(1, 1)
	b.Before = make([]byte, 32)
	if got := a.kiosk.send("/v1/entries", "", b); got.status != http.StatusForbidden && got.status != http.StatusBadRequest {
		t.Errorf("entries that another key has signed: %d", got.status)
	}
	a.run("delivery", a.delivered)
	w.view(func(tx *store.Tx) error {
		held, err := tx.HeldEntries("k1")
		if held != a.journal.Head().Seq || held > 8 {
			t.Errorf("%d entries are held of the new journal", held)
		}
		return err
	})
}
