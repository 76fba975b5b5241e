package api

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"testing"
	"time"

	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/config"
	"latchkey/cmd/central/internal/delivery"
	"latchkey/cmd/central/internal/office"
	"latchkey/cmd/central/internal/store"
	"latchkey/firmware/audit"
	"latchkey/firmware/wire"
	"latchkey/tools/postgres"
)

// standing is a kiosk with its journal, which writes cards.
type standing struct {
	*journal
	held  int // as the last receipt said
	epoch int64
}

func (w *world) standing(name string) *standing { return &standing{journal: newJournal(w.kiosk(name))} }

func (s *standing) note(e audit.Entry) {
	s.t.Helper()
	body, err := audit.Encode(e)
	if err != nil {
		s.t.Fatal(err)
	}
	seq := int64(len(s.entries) + 1)
	salt := sha256.Sum256(fmt.Append(nil, s.name, seq))
	s.entries = append(s.entries, wire.JournalEntry{Seq: seq, Body: body, Salt: salt[:]})
	s.hashes = append(s.hashes, audit.Chain(s.hashes[seq-1], seq, audit.Leaf(salt, body)))
}

// how a walk ends.
type ending int

const (
	reported   ending = iota
	unreported        // the outcome is in the journal, and central never hears of it
	cutAfter          // power goes after the card was written
	cutBefore         // and before
	lost              // the grant is fetched, and the kiosk does nothing with it
)

// visit begins a case and keeps the token for the intent.
func (s *standing) visit(card *plastic) (*visit, string) {
	s.t.Helper()
	r, private := s.beginRequest(card)
	b := post[wire.Begun](s.kiosk, "/v1/cases", r)
	v := &visit{s.kiosk, card, private, b.Case, b.Nonce}
	v.prove()
	v.sendCode()
	v.check()
	return v, b.Token
}

// walk unlocks a card as a kiosk does, and fails the test if neither candidate is the card's PUK.
func (s *standing) walk(card *plastic, how ending) {
	s.t.Helper()
	v, token := s.visit(card)
	g := post[wire.Grant](s.kiosk, v.path("release"), v.releaseRequest())
	current, next := v.open(g)
	if how == lost {
		return
	}
	s.note(audit.Entry{Kind: audit.KindIntent, Case: v.id, Base: &g.Base, First: &g.First, Token: token})
	if how == cutBefore {
		return
	}
	try, puk := g.First, map[int64]string{g.Base: current, g.Base + 1: next}
	tries := 0
	if puk[try] != card.puk {
		tries, try = 1, 2*g.Base+1-try
	}
	if puk[try] != card.puk || tries >= g.Tries {
		s.t.Fatalf("card %s: a grant of base %d, first %d, tries %d does not open it", card.serial, g.Base, g.First, g.Tries)
	}
	rotated := wire.No
	if try == g.Base {
		card.puk, rotated = next, wire.Yes
	}
	if how == cutAfter {
		return
	}
	s.note(audit.Entry{Kind: audit.KindOutcome, Case: v.id, Base: &g.Base, First: &g.First, Opened: &try, Passcode: audit.Yes, Rotated: audit.Fact(rotated), Tries: &tries})
	if how == reported {
		post[wire.Settled](s.kiosk, v.path("outcome"), wire.Outcome{Base: g.Base, Passcode: wire.Yes, Opened: &try, Rotated: rotated, Tries: tries})
	}
}

// send hands the journal over up to an entry, as firmware/kiosk does.
func (s *standing) send(last int) {
	s.t.Helper()
	b := s.batch(s.held+1, max(last, s.held))
	b.More = last < len(s.entries)
	r := post[wire.Receipt](s.kiosk, "/v1/entries", b)
	d := wire.ReceiptDigest(&r)
	if !ecdsa.VerifyASN1(&s.server.Signing.PublicKey, d[:], r.Signature) || [32]byte(r.Hash) != s.hashes[r.Held] || r.BackedUp > r.Held {
		s.t.Fatalf("receipt %+v", r)
	}
	if r.Epoch < s.epoch || r.Epoch == s.epoch && int(r.Held) < s.held {
		s.t.Fatalf("central holds %d in epoch %d, and held %d in %d", r.Held, r.Epoch, s.held, s.epoch)
	}
	s.held, s.epoch = int(r.Held), r.Epoch
}

// ask learns how far central is.
func (s *standing) ask() {
	s.t.Helper()
	b := s.batch(len(s.entries)+1, len(s.entries))
	b.More = true
	r := post[wire.Receipt](s.kiosk, "/v1/entries", b)
	if r.Epoch <= s.epoch {
		s.t.Fatalf("epoch %d after %d", r.Epoch, s.epoch)
	}
	s.held, s.epoch = int(r.Held), r.Epoch
}

// restored puts a central in the place of the world's, with the same keys, on a database that the backup was restored into.
func (w *world) restored(into store.Store, file string) office.Restored {
	w.t.Helper()
	r, err := office.Restore(context.Background(), into, file, w.server.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	c, err := config.Load(filepath.Join(w.dir, "central", "central.toml"))
	if err != nil {
		w.t.Fatal(err)
	}
	old := w.server
	outbox, err := delivery.NewOutbox(c, into, old.Vault, old.Log, old.Now)
	if err != nil {
		w.t.Fatal(err)
	}
	grower := *old.Tree
	grower.Store = into
	w.server = &Server{
		Tree:  &grower,
		Store: into, Vault: old.Vault, Outbox: outbox, Signing: old.Signing, Profiles: old.Profiles, Policies: old.Policies, Log: old.Log,
		Now: old.Now, Monitor: old.Monitor,
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	w.url = "https://" + l.Addr().String()
	pool := x509.NewCertPool()
	pool.AddCert(w.ca.cert)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	own := w.ca.issue(w.t, "central", x509.ExtKeyUsageServerAuth)
	server := w.server
	go func() { done <- server.Serve(ctx, l, TLSConfig(own, pool), 5*time.Second) }()
	w.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
	})
	return r
}

func (w *world) confirm(name string) {
	w.t.Helper()
	w.update(func(tx *store.Tx) error {
		k, err := tx.Kiosk(name)
		k.State = store.KioskActive
		return errors.Join(err, tx.SetKioskTrust(k))
	})
}

// proves begins a case and wants its proof to be refused, or not.
func (s *standing) proves(card *plastic, code wire.Code) {
	s.t.Helper()
	v := s.begin(card)
	if code == "" {
		v.prove()
		return
	}
	s.refused(v.path("proof"), v.proof(), code)
}

func generous(p *cases.Policy) {
	p.CardSends, p.HolderSends, p.AddressSends, p.KioskSends, p.KioskCards, p.TravelKMH = 1000, 1000, 1000, 1000, 0, 0
}

// engine opens an empty database.
func engine(t *testing.T, name string) store.Store {
	t.Helper()
	database := filepath.Join(t.TempDir(), "central.sqlite")
	if name == "PostgreSQL" {
		var err error
		if database, err = postgres.Shared(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	s, err := store.Open(context.Background(), database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// cards are n more, each of a holder of its own.
func (w *world) cards(n int) (list []*plastic) {
	w.t.Helper()
	var holders, cards string
	for i := range n {
		card := newPlastic(w.t, fmt.Sprintf("0d%02x", i), fmt.Sprint(40718530+i))
		list = append(list, card)
		holder := fmt.Sprintf("r%d", i)
		holders += fmt.Sprintf("%s,Dr No %d,no.%d@nhs.net,,active\n", holder, i, i)
		cards += card.row(holder, "issued")
	}
	w.load(holders, cards)
	return list
}

// A backup that is ten walks old is restored, from SQLite into PostgreSQL and, ten walks on, back again: no card is lost, and
// nothing that was on its way before counts.
func TestARestoreLosesNoCard(t *testing.T) {
	t.Parallel()
	w := newWorld(t, generous)
	k1, k2 := w.standing("k1"), w.standing("k2")
	cards := w.cards(5)
	for i, into := range []string{"PostgreSQL", "SQLite"} {
		for n, c := range cards {
			[]*standing{k1, k2}[n%2].walk(c, reported)
		}
		k1.send(len(k1.entries))
		k2.send(len(k2.entries) - 1)

		// On its way: a code, and a grant.
		coded := k2.begin(w.card)
		coded.prove()
		coded.sendCode()
		granted, _ := k1.visit(cards[4])
		request, key := granted.releaseRequest(), newKeyName()
		grant := k1.kiosk.send(granted.path("release"), key, request)
		decoded[wire.Grant](t, grant)

		file := filepath.Join(t.TempDir(), "backup")
		made, err := office.Backup(t.Context(), w.server.Store, file, "engineer", w.server.Now())
		if err != nil {
			t.Fatal(err)
		}
		if made.Held["k1"] != int64(k1.held) || made.Held["k2"] != int64(k2.held) {
			t.Errorf("backed up %v, held %d and %d", made.Held, k1.held, k2.held)
		}
		if r := post[wire.Receipt](k1.kiosk, "/v1/entries", k1.batch(len(k1.entries)+1, len(k1.entries))); r.BackedUp != int64(k1.held) {
			t.Errorf("the receipt says %d are backed up, want %d", r.BackedUp, k1.held)
		}

		// Ten walks that the backup does not have.
		k1.walk(cards[0], reported)
		k2.walk(cards[0], reported)
		k1.walk(cards[0], reported)
		k1.walk(cards[1], reported)
		k2.walk(cards[1], cutAfter) // an intent without outcome
		k1.walk(cards[2], reported)
		k2.walk(cards[2], unreported) // an outcome that central never hears of
		k1.walk(cards[3], reported)
		k1.walk(cards[3], cutBefore)
		w.pass(2 * time.Minute) // what k1 was given has run out
		k2.walk(cards[4], reported)
		k1.send(len(k1.entries) - 3)
		unknown := k1.begin(w.card)

		r := w.restored(engine(t, into), file)
		if fmt.Sprint(r.Kiosks) != "[k1 k2]" || r.Epoch.Number <= store.FirstEpoch {
			t.Fatalf("restored: %+v", r)
		}
		for _, k := range []*standing{k1, k2} {
			if a := k.kiosk.send("/v1/cases", newKeyName(), func() any { r, _ := k.beginRequest(w.card); return r }()); a.problem.Code != wire.CodeKioskUnconfirmed {
				t.Errorf("a kiosk that nobody confirmed again: %d %s", a.status, a.body)
			}
			w.confirm(k.name)
		}
		codes := w.mail.codes()
		k2.refused(coded.path("code/check"), typed(codes[len(codes)-1]), wire.CodeCaseClosed)
		k1.refused(unknown.path("proof"), unknown.proof(), wire.CodeNotFound)
		if a := k1.kiosk.send(granted.path("release"), key, request); a.problem.Code != wire.CodeCaseClosed || bytes.Equal(a.body, grant.body) {
			t.Errorf("a grant from before: %d %s", a.status, a.body)
		}

		all := append([]*plastic{w.card}, cards...)
		for _, c := range all {
			k1.proves(c, wire.CodeCardRecovering)
		}
		k1.ask()
		k2.ask()
		k1.send(len(k1.entries)) // too early: a grant from before could still be used
		k2.send(len(k2.entries))
		k1.proves(cards[0], wire.CodeCardRecovering)
		w.pass(3 * time.Minute)
		k1.send(len(k1.entries))
		k1.proves(cards[0], wire.CodeCardRecovering) // k2 is missing
		state, err := office.ShowEpoch(t.Context(), w.server.Store)
		if err != nil || fmt.Sprint(state.Missing) != "[k2]" {
			t.Errorf("waits for %v: %v", state.Missing, err)
		}
		k2.send(len(k2.entries))
		for n, c := range all {
			k2.walk(c, reported)
			k1.walk(c, reported)
			if t.Failed() {
				t.Fatalf("restore %d, card %d", i+1, n)
			}
		}
		if state, err = office.ShowEpoch(t.Context(), w.server.Store); err != nil || state.Recovering() {
			t.Errorf("still waits: %+v, %v", state, err)
		}
	}
}

// A central that nobody had stopped, and whose database was made anew beneath it and restored, does not serve cards as if it
// had forgotten nothing.
func TestARestoreBeneathARunningCentralIsNoticed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, generous)
	k1 := w.standing("k1")
	k1.walk(w.card, reported)
	file := filepath.Join(t.TempDir(), "backup")
	if _, err := office.Backup(t.Context(), w.server.Store, file, "engineer", w.server.Now()); err != nil {
		t.Fatal(err)
	}
	k1.walk(w.card, reported)
	if err := w.server.Store.View(t.Context(), func(tx *store.Tx) error {
		_, err := (&step{Server: w.server, tx: tx, now: w.server.now()}).epoch()
		return err
	}); err != nil {
		t.Fatal(err)
	}
	known := w.server.settledEpoch.Load()
	w.restored(engine(t, "SQLite"), file)
	w.server.settledEpoch.Store(known)
	w.pass(2 * time.Second)
	w.confirm("k1")
	k1.proves(w.card, wire.CodeCardRecovering)
}

// A kiosk that will not be back is given up, or one card is released; what it sends in the end is taken all the same.
func TestWhatAKioskSendsLateIsTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, generous)
	k1, k2 := w.standing("k1"), w.standing("k2")
	cards := w.cards(2)
	file := filepath.Join(t.TempDir(), "backup")
	if _, err := office.Backup(t.Context(), w.server.Store, file, "engineer", w.server.Now()); err != nil {
		t.Fatal(err)
	}
	k1.walk(cards[0], reported)
	k2.walk(cards[1], reported) // 0 → 1
	k2.walk(cards[1], reported) // 1 → 2: central knows neither
	w.restored(engine(t, "SQLite"), file)
	w.confirm("k1")
	w.confirm("k2")
	w.pass(3 * time.Minute)
	k1.ask()
	k1.send(len(k1.entries))
	k1.proves(cards[0], wire.CodeCardRecovering)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	s, now := w.server.Store, w.server.Now()
	must(office.ReleaseCard(t.Context(), s, cards[0].serial, "ra", now))
	k1.walk(cards[0], reported)
	k1.proves(cards[1], wire.CodeCardRecovering)
	must(office.GiveUpKiosk(t.Context(), s, "k2", "ra", now))
	k1.proves(cards[1], "") // which is the risk: central does not know its PUK
	var refused *office.Refused
	if err := office.GiveUpKiosk(t.Context(), s, "k2", "ra", now); !errors.As(err, &refused) {
		t.Errorf("given up twice: %v", err)
	}
	k2.ask()
	k2.send(len(k2.entries))
	k1.walk(cards[1], reported)
	k2.walk(cards[1], reported)
}
