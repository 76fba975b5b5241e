package store

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/ledger"
	"latchkey/firmware/audit"
)

// walked stores what a walk of a case leaves: two events, and two entries that the kiosk signed.
type walked struct {
	key   *ecdsa.PrivateKey
	chain map[string]audit.Point
}

func newWalked(t *testing.T, s Store) *walked {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	update(t, s, func(tx *Tx) error { return errors.Join(tx.AddKioskKey("k1", spki), tx.AddKioskKey("k1", spki)) })
	return &walked{key, map[string]audit.Point{}}
}

// walk appends; the transaction may be run again.
func (w *walked) walk(t *testing.T, s Store, id string, at time.Time) {
	t.Helper()
	var end audit.Point
	update(t, s, func(tx *Tx) error {
		end = w.chain["k1"]
		c := cases.Case{ID: id, Card: "0a0b", Holder: "h1", Kiosk: "k1", State: cases.Settled, Reason: cases.ReasonUnlocked, BegunAt: at, ExpiresAt: at.Add(time.Hour)}
		if err := tx.SetCase(c); err != nil {
			return err
		}
		for i, kind := range []audit.Kind{audit.KindBegun, audit.KindRefused} {
			body, err := audit.Encode(audit.Entry{Kind: kind, At: at.UnixMilli(), Case: id, Reason: []string{"", "code-wrong"}[i]})
			if err != nil {
				return err
			}
			e := ledger.Linked{Stored: audit.Stored{Seq: end.Seq + 1, Salt: [32]byte{1, byte(end.Seq)}, Body: body}}
			e.Hash = audit.Chain(end.Hash, e.Seq, audit.Leaf(e.Salt, e.Body))
			end = audit.Point{Seq: e.Seq, Hash: e.Hash}
			if i == 1 {
				h, err := audit.SignHead(w.key, "k1", e.Seq, e.Hash)
				if err != nil {
					return err
				}
				e.Signature = h.Signature
			}
			ev := ledger.Event{At: at, Kind: []ledger.Kind{ledger.CaseBegun, ledger.Refused}[i], Kiosk: "k1", Case: id, Card: "0a0b", Note: []string{"", "code-wrong 2"}[i]}
			if err := errors.Join(tx.AppendEvent(ev), tx.AppendEntry("k1", e)); err != nil {
				return err
			}
		}
		return nil
	})
	w.chain["k1"] = end
}

const (
	firstCase  = "00000000000000000000000000000001"
	secondCase = "00000000000000000000000000000002"
)

func find(t *testing.T, s Store, f EvidenceFilter, after int64, limit int) (list []string) {
	t.Helper()
	view(t, s, func(tx *Tx) error {
		places, err := tx.FindEvidence(f, after, limit)
		if err != nil {
			return err
		}
		for i, p := range places {
			if i > 0 && p <= places[i-1] {
				t.Errorf("places %v", places)
			}
			r, err := tx.RecordAt(p)
			if err != nil {
				return err
			}
			kind := "erased"
			if r.Body != nil && strings.HasPrefix(r.Source, "central/") {
				e, err := audit.DecodeEvent(r.Body)
				if err != nil {
					return err
				}
				kind = e.Kind + " " + e.Case[31:]
			} else if r.Body != nil {
				e, err := audit.Decode(r.Body)
				if err != nil {
					return err
				}
				kind = string(e.Kind) + " " + e.Case[31:]
			}
			list = append(list, kind)
		}
		return nil
	})
	slices.Sort(list)
	return list
}

// exported is the tree as an auditor gets it, and what he makes of it.
func exported(t *testing.T, s Store, from int64) audit.Verified {
	t.Helper()
	secret, key, err := audit.NewTreeKey(rand.Reader, "central.example")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := audit.ParseTreeSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	view(t, s, func(tx *Tx) error {
		b.Reset()
		c, err := tx.Tree()
		if err != nil {
			return err
		}
		signed, err := signer.Sign(audit.FirstEpoch, c)
		if err != nil {
			return err
		}
		left, err := tx.LeftOfTree(from)
		if err != nil {
			return err
		}
		e := audit.NewExporter(&b)
		if err := e.Run(from, left, signed); err != nil {
			return err
		}
		if err := tx.KioskKeys("", e.Key); err != nil {
			return err
		}
		list, err := tx.Records(from, c.Size)
		if err != nil {
			return err
		}
		seen := map[string]bool{}
		for _, r := range list {
			if strings.HasPrefix(r.Source, "kiosk/") && !seen[r.Source] && r.Number > 1 {
				if r.Chain, err = tx.ChainBefore(r.Source, r.Number); err != nil {
					return err
				}
			}
			seen[r.Source] = true
			e.Record(r)
		}
		return e.End()
	})
	v, err := (&audit.Auditor{Keys: []audit.TreeKey{key}}).Verify(&b)
	if err != nil || v.Wrong > 0 {
		t.Fatalf("%v, %v", err, v.Findings)
	}
	return v
}

func TestEvidenceIsFoundAndErased(t *testing.T) { conforms(t, testEvidenceIsFoundAndErased) }

func testEvidenceIsFoundAndErased(t *testing.T, another func() Store) {
	s := another()
	seed(t, s)
	w := newWalked(t, s)
	w.walk(t, s, firstCase, now.Add(-48*time.Hour))
	grow(t, s, 3)
	update(t, s, func(tx *Tx) error { return tx.NoteDay(now) })
	w.walk(t, s, secondCase, now)
	// As entries were before central kept what they say beside them.
	update(t, s, func(tx *Tx) error {
		return tx.exec(nil, `UPDATE entries SET kind = '', at = 0, case_id = '', reason = '' WHERE seq > 2`)
	})
	if got := find(t, s, EvidenceFilter{Case: secondCase}, -1, 10); len(got) > 0 {
		t.Errorf("found before it is in the tree: %v", got)
	}
	for more := true; more; {
		update(t, s, func(tx *Tx) (err error) {
			more, err = tx.ReadEntries(1)
			return err
		})
	}
	grow(t, s, 3)
	for _, c := range []struct {
		name string
		f    EvidenceFilter
		want []string
	}{
		{"case", EvidenceFilter{Case: secondCase}, []string{"begun 2", "case-begun 2", "refused 2", "refused 2"}},
		{"card", EvidenceFilter{Card: "0a0b", Kind: "refused"}, []string{"refused 1", "refused 1", "refused 2", "refused 2"}},
		{"another card", EvidenceFilter{Card: "0a0c"}, nil},
		{"day", EvidenceFilter{From: now.Add(-49 * time.Hour), Until: now.Add(-47 * time.Hour)}, []string{"begun 1", "case-begun 1", "refused 1", "refused 1"}},
		{"code", EvidenceFilter{Kiosk: "k1", Code: "code-wrong", From: now}, []string{"refused 2", "refused 2"}},
		{"a code's beginning", EvidenceFilter{Kiosk: "k1", Code: "code"}, nil},
		{"another kiosk", EvidenceFilter{Kiosk: "k2"}, nil},
	} {
		if got := find(t, s, c.f, -1, 10); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	var pages []string
	for after := int64(-1); ; {
		view(t, s, func(tx *Tx) error {
			places, err := tx.FindEvidence(EvidenceFilter{Kiosk: "k1"}, after, 3)
			for _, p := range places {
				pages = append(pages, "")
				after = p
			}
			if len(places) < 3 {
				after = -2
			}
			return err
		})
		if after == -2 {
			break
		}
	}
	if len(pages) != 8 {
		t.Errorf("%d in pages, want 8", len(pages))
	}
	for from := range int64(9) {
		if v := exported(t, s, from); v.Records != 8-from || v.Erased != 0 {
			t.Errorf("from %d: %+v", from, v)
		}
	}

	// A case is erased, and later all that was there when the day began.
	update(t, s, func(tx *Tx) error {
		n, left, err := tx.EraseCase(secondCase)
		if n != 4 || left != 0 {
			t.Errorf("%d erased, %d left", n, left)
		}
		return err
	})
	if v := exported(t, s, 0); v.Erased != 4 || v.Heads != 2 {
		t.Errorf("%+v", v)
	}
	before := func(day time.Time) (size int64) {
		view(t, s, func(tx *Tx) (err error) {
			size, err = tx.TreeBefore(day)
			return err
		})
		return size
	}
	if a, b := before(now), before(now.Add(24*time.Hour)); a != 0 || b != 4 {
		t.Fatalf("the tree had %d and %d", a, b)
	}
	erased := int64(0)
	for more := true; more; {
		update(t, s, func(tx *Tx) error {
			n, m, err := tx.Erase(4, 3)
			erased, more = erased+n, m
			return err
		})
	}
	if v := exported(t, s, 0); erased != 4 || v.Erased != 8 || v.Wrong != 0 {
		t.Errorf("%d erased: %+v", erased, v)
	}
	if got := find(t, s, EvidenceFilter{Card: "0a0b"}, -1, 10); len(got) > 0 {
		t.Errorf("found: %v", got)
	}
	if got := find(t, s, EvidenceFilter{Kiosk: "k1"}, -1, 10); len(got) != 8 {
		t.Errorf("found: %v", got)
	}
	view(t, s, func(tx *Tx) error {
		list, err := tx.NewestEvents(EventFilter{}, 10)
		if len(list) > 0 {
			t.Errorf("events: %v", list)
		}
		return err
	})
}

// What belongs to a visit that is not over is not erased: it may be needed to know which PUK a card has.
func TestAnOpenCaseIsNotErased(t *testing.T) { conforms(t, testAnOpenCaseIsNotErased) }

func testAnOpenCaseIsNotErased(t *testing.T, another func() Store) {
	s := another()
	seed(t, s)
	w := newWalked(t, s)
	w.walk(t, s, firstCase, now)
	update(t, s, func(tx *Tx) error {
		c, err := tx.Case(firstCase)
		c.State = cases.Granted
		return errors.Join(err, tx.SetCase(c))
	})
	grow(t, s, 10)
	update(t, s, func(tx *Tx) error {
		n, more, err := tx.Erase(4, 10)
		if n != 0 || more {
			t.Errorf("%d erased, %v", n, more)
		}
		return err
	})
	if v := exported(t, s, 0); v.Erased != 0 {
		t.Errorf("%+v", v)
	}
}

func TestUnlocksAreCounted(t *testing.T) { conforms(t, testUnlocksAreCounted) }

func testUnlocksAreCounted(t *testing.T, another func() Store) {
	s := another()
	seed(t, s)
	update(t, s, func(tx *Tx) error {
		if _, err := tx.AddKiosk(Kiosk{Name: "k2", Kind: KindDesk, State: KioskActive, Site: "Ward 4", AddedAt: 1}); err != nil {
			return err
		}
		for i, c := range []cases.Case{
			{Kiosk: "k1", State: cases.Settled, Reason: cases.ReasonUnlocked, BegunAt: now},
			{Kiosk: "k2", State: cases.Settled, Reason: cases.ReasonUnlocked, BegunAt: now.Add(time.Hour)},
			{Kiosk: "k2", State: cases.Closed, Reason: "code-wrong", BegunAt: now},
			{Kiosk: "k2", State: cases.Settled, Reason: cases.ReasonUnknown, BegunAt: now},
			{Kiosk: "k1", State: cases.Begun, BegunAt: now},
			{Kiosk: "k1", State: cases.Settled, Reason: cases.ReasonUnlocked, BegunAt: now.Add(-time.Hour)},
		} {
			c.ID, c.Card, c.Holder, c.ExpiresAt = string(rune('a'+i)), "0a0b", "h1", now
			g := cases.Grant{Case: c.ID, Card: "0a0b", Number: i + 1, Kiosk: c.Kiosk, IssuedAt: c.BegunAt, ExpiresAt: c.BegunAt}
			if err := errors.Join(tx.SetCase(c), tx.AddGrant(g)); err != nil {
				return err
			}
			g.Outcome = &cases.Outcome{At: c.BegunAt.Add(2 * time.Minute), Passcode: "yes", Rotated: "yes"}
			if err := tx.SetGrant(g); err != nil {
				return err
			}
		}
		return nil
	})
	for by, want := range map[UnlocksBy][]Unlocks{
		BySite:    {{"", 2, 1, 2 * time.Minute}, {"Ward 4", 3, 1, 2 * time.Minute}},
		ByHour:    {{"498696", 4, 1, 2 * time.Minute}, {"498697", 1, 1, 2 * time.Minute}},
		ByOutcome: {{"ended before", 1, 0, 0}, {"open", 1, 0, 0}, {"unknown", 1, 0, 0}, {"unlocked", 2, 2, 4 * time.Minute}},
		ByReason:  {{"", 1, 0, 0}, {"code-wrong", 1, 0, 0}, {"unknown", 1, 0, 0}, {"unlocked", 2, 2, 4 * time.Minute}},
	} {
		err := s.View(context.Background(), func(tx *Tx) error {
			got, err := tx.Unlocks(by, now, now.Add(2*time.Hour))
			if !reflect.DeepEqual(got, want) {
				t.Errorf("by %s: %v, want %v", by, got, want)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}
