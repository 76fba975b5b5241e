package api

import (
	"context"
	"crypto/ecdsa"
	"net"
	"net/http/httptest"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/monitor"
	"latchkey/cmd/central/internal/office"
	"latchkey/cmd/central/internal/siem"
	"latchkey/cmd/central/internal/store"
	"latchkey/firmware/audit"
	journals "latchkey/firmware/journal"
	"latchkey/firmware/wire"
	"latchkey/firmware/wire/ra"
)

// diary writes a kiosk's journal, a real one, and delivers it.
type diary struct {
	*kiosk
	journal *journals.Journal
}

func (k *kiosk) diary() *diary {
	k.t.Helper()
	j, _, err := journals.Open(filepath.Join(k.t.TempDir(), "journal"), k.name, k.cert.PrivateKey.(*ecdsa.PrivateKey), journals.Config{Now: k.server.Now})
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() { j.Close() })
	return &diary{k, j}
}

// says writes one entry and delivers it, twice: the first answer is lost.
func (d *diary) says(kind audit.Kind, at time.Time, reason string) {
	d.t.Helper()
	if err := d.journal.Append(audit.Entry{Kind: kind, At: at.UnixMilli(), Reason: reason}); err != nil {
		d.t.Fatal(err)
	}
	run, head, err := d.journal.Pending(maxBatch)
	if err != nil {
		d.t.Fatal(err)
	}
	b := wire.EntryBatch{Entries: []wire.JournalEntry{}, Head: wire.JournalHead{Seq: head.Seq, Hash: head.Hash[:], Signature: head.Signature}}
	for _, s := range run {
		b.Entries = append(b.Entries, wire.JournalEntry{Seq: s.Seq, Body: s.Body, Salt: s.Salt[:]})
	}
	post[wire.Receipt](d.kiosk, "/v1/entries", b)
	r := post[wire.Receipt](d.kiosk, "/v1/entries", b)
	if err := d.journal.Held(r.Epoch, r.Held, [32]byte(r.Hash)); err != nil {
		d.t.Fatal(err)
	}
}

// alarms are the events of some kinds, oldest first, as kind and note.
func (w *world) alarms(kinds ...ledger.Kind) (list []string) {
	w.t.Helper()
	w.update(func(tx *store.Tx) error {
		list = nil
		for _, kind := range kinds {
			events, err := tx.NewestEvents(store.EventFilter{Kind: kind}, 100)
			if err != nil {
				return err
			}
			for _, e := range events {
				list = append(list, e.Kiosk+" "+string(e.Kind)+" "+e.Note)
			}
		}
		return nil
	})
	return list
}

// exposed are the cards of which somebody else may have the PUK, and by which kiosks.
func (w *world) exposed() map[string][]string {
	w.t.Helper()
	rows, err := office.ListCards(context.Background(), w.server.Store, w.server.Profiles, true)
	if err != nil {
		w.t.Fatal(err)
	}
	by := map[string][]string{}
	for _, r := range rows {
		by[r.Serial] = r.ExposedBy
	}
	return by
}

func (w *world) row(name string) ra.Kiosk {
	w.t.Helper()
	rows, err := office.ListKiosks(context.Background(), w.server.Store)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, r := range rows {
		if r.Name == name {
			return r
		}
	}
	w.t.Fatalf("there is no kiosk %s", name)
	return ra.Kiosk{}
}

// metric is a line of /metrics.
func (w *world) metric(name string) string {
	w.t.Helper()
	r := httptest.NewRecorder()
	monitor.New(w.server.Store, w.server.Now).Handler().ServeHTTP(r, httptest.NewRequest("GET", "/metrics", nil))
	for line := range strings.Lines(r.Body.String()) {
		if strings.HasPrefix(line, name+" ") {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

func TestALostJournalIsAnAlarm(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.kiosk("k1").diary()
	at := w.server.Now().UTC().Truncate(time.Second)
	d.says(audit.KindQuarantined, at, "data-lost")
	if got, want := w.alarms(ledger.JournalLost), []string{"k1 journal-lost data-lost, at " + at.Format(time.RFC3339) + " by its clock"}; !reflect.DeepEqual(got, want) {
		t.Errorf("alarms %q, want %q", got, want)
	}
}

func TestAnOpenedCaseIsAnAlarm(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.kiosk("k1")
	elsewhere := w.kiosk("k2")
	k.unlock(w.card)
	d := k.diary()
	d.says(audit.KindStarted, w.server.Now(), "")
	if got := w.metric("latchkey_kiosks_opened"); got != "latchkey_kiosks_opened 0" {
		t.Errorf("before: %q", got)
	}

	opened := w.server.Now().UTC().Truncate(time.Second)
	w.pass(time.Hour) // the kiosk had no network
	d.says(audit.KindCaseOpened, opened, "")
	clock := opened.Format(time.RFC3339)
	if got, want := w.alarms(ledger.KioskOpened), []string{"k1 kiosk-opened at " + clock + " by its clock"}; !reflect.DeepEqual(got, want) {
		t.Errorf("alarms %q, want %q", got, want)
	}
	if got := w.metric("latchkey_kiosks_opened"); got != "latchkey_kiosks_opened 1" {
		t.Errorf("metric: %q", got)
	}
	if r := w.row("k1"); r.CaseOpenedAt == nil || !r.CaseOpenedAt.Equal(opened) || r.CaseClearedAt != nil {
		t.Errorf("its row: %v, cleared %v", r.CaseOpenedAt, r.CaseClearedAt)
	}
	if got := w.exposed(); !reflect.DeepEqual(got, map[string][]string{w.card.serial: {"k1"}}) {
		t.Errorf("exposed: %v", got)
	}
	if log := w.log.String(); !strings.Contains(log, `level=ERROR msg="kiosk's case was opened"`) {
		t.Error("the log does not say it")
	}

	// Started again it says so again. That is another alarm, but it was opened when it was.
	d.says(audit.KindCaseOpened, opened.Add(time.Minute), "")
	if r := w.row("k1"); !r.CaseOpenedAt.Equal(opened) || len(w.alarms(ledger.KioskOpened)) != 2 {
		t.Errorf("its row: %v", r.CaseOpenedAt)
	}

	// That an engineer cleared it makes no card's PUK a secret again; a walk elsewhere does.
	w.pass(time.Minute)
	cleared := w.server.Now().UTC().Truncate(time.Second)
	d.says(audit.KindCaseCleared, cleared, "")
	if r := w.row("k1"); r.CaseClearedAt == nil || !r.CaseClearedAt.Equal(cleared) || w.metric("latchkey_kiosks_opened") != "latchkey_kiosks_opened 0" {
		t.Errorf("cleared at %v", r.CaseClearedAt)
	}
	if got := w.exposed(); len(got) != 1 {
		t.Errorf("exposed after it was cleared: %v", got)
	}
	w.pass(2 * time.Hour)
	elsewhere.unlock(w.card)
	if got := w.exposed(); len(got) != 0 {
		t.Errorf("exposed after a walk elsewhere: %v", got)
	}
	// What it was given since is its own.
	w.pass(2 * time.Hour)
	k.unlock(w.card)
	if got := w.exposed(); len(got) != 0 {
		t.Errorf("exposed by a kiosk that was cleared: %v", got)
	}
	w.pass(time.Minute)
	again := w.server.Now().UTC().Truncate(time.Second)
	d.says(audit.KindCaseOpened, again, "")
	if r := w.row("k1"); !r.CaseOpenedAt.Equal(again) || r.CaseClearedAt != nil || len(w.exposed()) != 1 {
		t.Errorf("opened again: %v, cleared %v, exposed %v", r.CaseOpenedAt, r.CaseClearedAt, w.exposed())
	}
}

// A kiosk's clock can show anything. Staff still see the kiosks.
func TestAnAlarmOfAKioskWhoseClockIsWrong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	early, late := w.kiosk("k1"), w.kiosk("k2")
	early.diary().says(audit.KindCaseOpened, time.UnixMilli(0), "")
	late.diary().says(audit.KindCaseOpened, time.UnixMilli(1<<53-1), "")
	if at := w.row("k1").CaseOpenedAt; at == nil || at.Year() != 1970 {
		t.Errorf("opened %v", at)
	}
	if at := w.row("k2").CaseOpenedAt; at == nil || at.After(w.server.Now()) {
		t.Errorf("opened %v", at)
	}
}

// What is done at a kiosk's service page reaches the trust's monitoring, with the alarm.
func TestTheServicePageIsWatched(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.kiosk("k1").diary()
	at := w.server.Now().UTC().Truncate(time.Second)
	d.says(audit.KindServiceRefused, at, "service-wrong")
	d.says(audit.KindServiceOpened, at, "code 4")
	d.says(audit.KindServiceClosed, at, "")
	d.says(audit.KindCaseOpened, at, "")
	d.says(audit.KindImpossible, at, "") // is none of its business
	clock := " at " + at.Format(time.RFC3339) + " by its clock"
	want := []string{"k1 service-opened code 4," + clock, "k1 service-refused service-wrong," + clock, "k1 service-closed" + clock}
	if got := w.alarms(ledger.ServiceOpened, ledger.ServiceRefused, ledger.ServiceClosed); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}

	path := filepath.Join(t.TempDir(), "log")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f := &siem.Forwarder{Store: w.server.Store, Address: "unix://" + path, Format: siem.FormatCEF, Host: "central", Process: "p", Log: w.server.Log, Now: w.server.Now}
	n, err := f.Forward(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for range n {
		b := make([]byte, 4096)
		n, err := l.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(b[:n]))
	}
	for _, want := range []string{"|service-refused|service refused|7|", "|service-opened|service opened|5|", "|service-closed|service closed|5|", "|kiosk-opened|kiosk opened|10|"} {
		if !strings.Contains(strings.Join(got, "\n"), want) {
			t.Errorf("%q did not reach the monitoring:\n%s", want, strings.Join(got, "\n"))
		}
	}
}
