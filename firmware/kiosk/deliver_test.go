package kiosk

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"log/slog"
	"path/filepath"
	"testing"

	"latchkey/firmware/audit"
	"latchkey/firmware/journal"
	"latchkey/firmware/wire"
)

// shelf is a central that holds one kiosk's journal, and can be put back to an older day.
type shelf struct {
	Central
	key            *ecdsa.PrivateKey
	hashes         [][32]byte // after each entry that is held
	epoch          int64
	backedUp       int64
	whole, refused bool // of the last batch
}

func (s *shelf) Deliver(_ context.Context, b wire.EntryBatch) (*wire.Receipt, error) {
	s.whole, s.refused = false, false
	for _, e := range b.Entries {
		if e.Seq > int64(len(s.hashes)) {
			s.refused = true
			p := wire.NewProblem(wire.CodeEntriesDoNotExtend)
			return nil, &p
		}
		if e.Seq == int64(len(s.hashes)) {
			s.hashes = append(s.hashes, audit.Chain(s.hashes[e.Seq-1], e.Seq, audit.Leaf([32]byte(e.Salt), e.Body)))
		}
	}
	held := int64(len(s.hashes) - 1)
	s.whole = !b.More && held == b.Head.Seq
	r := &wire.Receipt{Kiosk: "kiosk-1", Epoch: s.epoch, Held: held, BackedUp: s.backedUp, Hash: s.hashes[held][:]}
	d := wire.ReceiptDigest(r)
	var err error
	r.Signature, err = s.key.Sign(rand.Reader, d[:], crypto.SHA256)
	return r, err
}

func TestWhatARestoredCentralLacksIsSentAgain(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	j, _, err := journal.Open(filepath.Join(t.TempDir(), "journal"), "kiosk-1", key, journal.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	s := &shelf{key: key, hashes: [][32]byte{{}}, epoch: 1}
	k := New(Config{Identity: Identity{ID: "kiosk-1", CentralKey: &key.PublicKey}, Central: s, Journal: j, Log: slog.New(slog.DiscardHandler)})
	write := func(n int) {
		t.Helper()
		for range n {
			if err := j.Append(audit.Entry{Kind: audit.KindStarted, At: 1}); err != nil {
				t.Fatal(err)
			}
		}
	}
	deliver := func() {
		t.Helper()
		for more, ask := true, true; more; ask = false {
			var err error
			if more, err = k.deliverBatch(t.Context(), ask); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(3)
	s.backedUp = 2
	deliver()
	write(2*batchMost + 2)
	deliver()
	if len(s.hashes) != 2*batchMost+6 || !s.whole {
		t.Fatalf("central holds %d entries, whole: %v", len(s.hashes)-1, s.whole)
	}

	// It is put back to entry 3. The kiosk has nothing new to say, and sends all that was lost.
	s.hashes, s.epoch = s.hashes[:4], 2
	deliver()
	if len(s.hashes) != 2*batchMost+6 || !s.whole {
		t.Errorf("central holds %d entries after the restore, whole: %v", len(s.hashes)-1, s.whole)
	}
	// The same once more, and the kiosk has something new, which central cannot take yet.
	s.hashes, s.epoch = s.hashes[:4], 3
	write(1)
	deliver()
	if len(s.hashes) != 2*batchMost+7 || !s.whole {
		t.Errorf("central holds %d entries after the second restore, whole: %v", len(s.hashes)-1, s.whole)
	}
	// A central that has lost entries and was not restored is not believed: nothing is sent over what it should have.
	s.hashes = s.hashes[:4]
	write(1)
	if _, err := k.deliverBatch(t.Context(), true); err == nil {
		t.Error("central held less than before in one epoch, and the kiosk made nothing of it")
	}
}
