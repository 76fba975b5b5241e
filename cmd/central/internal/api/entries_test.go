package api

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/office"
	"latchkey/firmware/audit"
	"latchkey/firmware/wire"
)

// journal is a kiosk's, in memory.
type journal struct {
	*kiosk
	entries []wire.JournalEntry
	hashes  [][32]byte
}

func newJournal(k *kiosk) *journal { return &journal{kiosk: k, hashes: [][32]byte{{}}} }

func (j *journal) add(reason string) {
	j.t.Helper()
	body, err := audit.Encode(audit.Entry{Kind: audit.KindRefused, At: int64(len(j.entries)), Reason: reason})
	if err != nil {
		j.t.Fatal(err)
	}
	seq := int64(len(j.entries) + 1)
	salt := sha256.Sum256(fmt.Append(nil, reason, seq))
	j.entries = append(j.entries, wire.JournalEntry{Seq: seq, Body: body, Salt: salt[:]})
	j.hashes = append(j.hashes, audit.Chain(j.hashes[seq-1], seq, audit.Leaf(salt, body)))
}

// batch is the entries from first to last with the head at last.
func (j *journal) batch(first, last int) wire.EntryBatch {
	j.t.Helper()
	h, err := audit.SignHead(j.cert.PrivateKey.(*ecdsa.PrivateKey), j.name, int64(last), j.hashes[last])
	if err != nil {
		j.t.Fatal(err)
	}
	return wire.EntryBatch{
		Entries: append([]wire.JournalEntry{}, j.entries[first-1:last]...),
		Head:    wire.JournalHead{Seq: h.Seq, Hash: h.Hash[:], Signature: h.Signature},
	}
}

func (j *journal) deliver(b wire.EntryBatch, held int64) {
	j.t.Helper()
	r := post[wire.Receipt](j.kiosk, "/v1/entries", b)
	d := wire.ReceiptDigest(&r)
	if r.Held != held || r.BackedUp != 0 || r.Kiosk != j.name || !ecdsa.VerifyASN1(&j.server.Signing.PublicKey, d[:], r.Signature) ||
		[32]byte(r.Hash) != j.hashes[held] {
		j.t.Fatalf("receipt %+v, want %d held", r, held)
	}
}

func TestEntriesAreHeldOnceAndInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	j := newJournal(w.kiosk("k1"))
	for range 6 {
		j.add("cancelled")
	}
	j.deliver(wire.EntryBatch{Entries: []wire.JournalEntry{}, Head: j.batch(1, 6).Head}, 0)
	j.deliver(j.batch(1, 3), 3)
	j.deliver(j.batch(1, 3), 3) // again
	j.deliver(j.batch(1, 2), 3) // a part of it again
	j.deliver(j.batch(2, 5), 5) // overlapping
	j.refused("/v1/entries", func() wire.EntryBatch { b := j.batch(4, 6); b.Entries = b.Entries[2:]; b.Entries[0].Seq = 7; return b }(), wire.CodeEntriesDoNotExtend)
	j.deliver(j.batch(6, 6), 6)

	two := newJournal(w.kiosk("k2"))
	two.add("idle")
	two.deliver(two.batch(1, 1), 1)
}

func TestEntriesThatDoNotExtend(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.kiosk("k1")
	j := newJournal(k)
	for range 4 {
		j.add("cancelled")
	}
	j.deliver(j.batch(1, 2), 2)

	gap := j.batch(4, 4)
	j.refused("/v1/entries", gap, wire.CodeEntriesDoNotExtend)

	fork := newJournal(k)
	fork.add("cancelled")
	fork.add("idle")
	fork.add("idle")
	j.refused("/v1/entries", fork.batch(1, 2), wire.CodeEntriesDoNotExtend) // other content at 2
	j.refused("/v1/entries", fork.batch(3, 3), wire.CodeEntriesDoNotExtend) // goes on from another 2
	j.refused("/v1/entries", wire.EntryBatch{Entries: []wire.JournalEntry{}, Head: fork.batch(1, 2).Head}, wire.CodeEntriesDoNotExtend)

	altered := j.batch(3, 4)
	altered.Entries[0].Salt = make([]byte, 32)
	j.refused("/v1/entries", altered, wire.CodeEntriesDoNotExtend)

	forged := j.batch(3, 4)
	forged.Head.Signature = w.kiosk("k2").sign([32]byte{})
	j.refused("/v1/entries", forged, wire.CodeSignatureInvalid)

	loose := j.batch(3, 4)
	loose.Entries[1].Body = append([]byte(" "), loose.Entries[1].Body...)
	j.refused("/v1/entries", loose, wire.CodeMalformed)
	short := j.batch(3, 4)
	short.Entries[1].Salt = short.Entries[1].Salt[1:]
	j.refused("/v1/entries", short, wire.CodeMalformed)

	j.deliver(j.batch(3, 4), 4)
}

// beginning is a Begin that shows the journal as it was after entry n.
func (j *journal) beginning(n int) wire.BeginRequest {
	j.t.Helper()
	r, _ := j.beginRequest(j.card)
	r.Journal = wire.JournalHead{Hash: make([]byte, 32)}
	if n > 0 {
		r.Journal = j.batch(1, n).Head
	}
	r.Signature = j.sign(wire.BeginDigest(j.name, &r))
	return r
}

func (j *journal) begins(n int) { j.t.Helper(); post[wire.Begun](j.kiosk, "/v1/cases", j.beginning(n)) }

// A disk that is set back over entries that were not delivered yet: the kiosk has shown where its journal stood.
func TestAJournalThatWasShownIsNotSetBack(t *testing.T) {
	t.Parallel()
	const refused = wire.CodeEntriesDoNotExtend
	w := newWorld(t)
	k := w.kiosk("k1")
	good, bad := newJournal(k), newJournal(k)
	for range 8 {
		good.add("cancelled")
	}
	for i := range 9 {
		bad.add([]string{"cancelled", "idle"}[min(i/3, 1)]) // the same up to entry 3
	}
	alarms := func(want int) {
		t.Helper()
		if list := w.alarms(ledger.Refused); len(list) != want || want > 0 && list[0] != "k1 refused "+string(refused) {
			t.Errorf("%d alarms, want %d: %q", len(list), want, list)
		}
	}
	good.deliver(good.batch(1, 2), 2)
	good.begins(4)
	good.begins(6)
	good.begins(5) // a request that came late
	alarms(0)

	bad.refused("/v1/cases", bad.beginning(6), refused) // other content
	alarms(1)
	bad.deliver(bad.batch(3, 4), 4) // nothing is known of 4 yet
	w.pass(lateEnough)
	for i, n := range []int{0, 3, 5} {
		bad.refused("/v1/cases", bad.beginning(n), refused)
		alarms(2 + i)
	}
	bad.refused("/v1/entries", bad.batch(5, 5), refused) // that is all that it has
	part := bad.batch(5, 5)
	part.More = true
	bad.deliver(part, 5)
	bad.refused("/v1/entries", bad.batch(6, 7), refused) // does not lead through what was shown
	alarms(6)

	// With an engineer's leave it begins anew, and what it has shown then counts again.
	if _, _, err := office.NewLog(t.Context(), w.server.Store, "k1", "eve", w.server.Now()); err != nil {
		t.Fatal(err)
	}
	bad.begins(3)
	anew := bad.batch(1, 7)
	anew.Before = make([]byte, 32)
	post[wire.Receipt](k, "/v1/entries", anew)
	bad.begins(9)
	w.pass(lateEnough)
	bad.refused("/v1/cases", bad.beginning(8), refused)
}

// What was shown is honest: the journal goes on through it, whichever request comes first.
func TestAJournalGoesOnThroughWhatWasShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	j := newJournal(w.kiosk("k1"))
	for range 6 {
		j.add("cancelled")
	}
	j.begins(4)
	j.deliver(j.batch(1, 3), 3) // was on its way
	w.pass(lateEnough)
	j.begins(4)
	j.deliver(j.batch(4, 6), 6)
	j.begins(6)
	j.deliver(wire.EntryBatch{Entries: []wire.JournalEntry{}, Head: j.batch(1, 6).Head}, 6)
	if list := w.alarms(ledger.Refused); len(list) > 0 {
		t.Errorf("%q", list)
	}
	j.refused("/v1/cases", func() wire.BeginRequest {
		r := j.beginning(6)
		r.Journal.Hash = r.Journal.Hash[1:]
		r.Signature = j.sign(wire.BeginDigest(j.name, &r))
		return r
	}(), wire.CodeMalformed)
}

// lateEnough is when a request can no more be one that was written before another.
const lateEnough = 2 * time.Minute
