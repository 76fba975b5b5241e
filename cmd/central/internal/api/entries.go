package api

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"

	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/store"
	"latchkey/firmware/audit"
	"latchkey/firmware/wire"
)

// maxBatch is that of kiosk.yaml.
const maxBatch = 500

// DeliverEntries takes a batch of the kiosk's journal and answers how far it is held. Its sequence is its idempotency key.
func (s *routes) DeliverEntries(ctx context.Context, r wire.DeliverEntriesRequestObject) (wire.DeliverEntriesResponseObject, error) {
	rq := requestOf(ctx)
	rq.evidence = true
	var out reply
	err := s.Store.Update(ctx, func(tx *store.Tx) error {
		rq.code = ""
		st := &step{Server: s.Server, tx: tx, rq: rq, now: s.now()}
		receipt, err := st.take(r.Body)
		if err == nil {
			out, err = document(http.StatusOK, receipt)
		}
		return st.answer(&out, err)
	})
	return out, err
}

func (st *step) take(batch *wire.EntryBatch) (*wire.Receipt, error) {
	if err := allowed(st.tx, st.rq); err != nil {
		return nil, err
	}
	run, err := ledger.Stored(batch.Entries)
	head, err2 := ledger.Head(batch.Head)
	if err != nil || err2 != nil || len(run) > maxBatch {
		return nil, cases.Refuse(wire.CodeMalformed)
	}
	key := deviceKey(st.rq)
	if key == nil {
		return nil, cases.Refuse(wire.CodeSignatureInvalid)
	}
	kiosk, err := st.tx.Kiosk(st.rq.kiosk)
	if err != nil {
		return nil, err
	}
	epoch, err := st.epoch()
	if err != nil {
		return nil, err
	}
	last, err := st.tx.HeldEntries(st.rq.kiosk)
	if err != nil {
		return nil, err
	}
	begins := kiosk.LogFrom < 0
	if begins {
		if !beginsLog(&kiosk, batch, run) { // it learns from the receipt that it may
			return st.receipt(epoch.Number, kiosk, 0)
		}
		last = kiosk.LogFrom
	}
	var broken error // the database's, which Extend passes on
	held := func(seq int64) ([32]byte, error) {
		if begins && seq == kiosk.LogFrom {
			return kiosk.LogHash, nil
		}
		h, err := st.tx.HeldHash(st.rq.kiosk, seq)
		broken = errors.Join(broken, err)
		return h, err
	}
	added, err := ledger.Extend(key, st.rq.kiosk, last, held, run, head)
	if err == nil && !begins {
		if err = kiosk.Shown.Passes(added); err == nil && !batch.More {
			err = kiosk.Shown.Whole(head.Seq, st.now)
		}
	}
	switch {
	case broken != nil:
		return nil, broken
	case errors.Is(err, audit.ErrSignature):
		return nil, cases.Refuse(wire.CodeSignatureInvalid)
	case errors.Is(err, ledger.ErrDoesNotExtend):
		st.Log.Error("journal does not extend what is held", "request", st.rq.id, "kiosk", st.rq.kiosk, "held", last, "err", err)
		return nil, also(cases.Refuse(wire.CodeEntriesDoNotExtend), st.event(ledger.Refused, "", string(wire.CodeEntriesDoNotExtend)))
	case err != nil:
		st.Log.Warn("entries refused", "request", st.rq.id, "kiosk", st.rq.kiosk, "err", err)
		return nil, cases.Refuse(wire.CodeMalformed)
	}
	if begins {
		note := fmt.Sprintf("journal %d begins with entry %d, after %x", kiosk.Log, kiosk.LogFrom+1, kiosk.LogHash[:])
		if err := errors.Join(st.tx.SetKioskLog(kiosk), st.event(ledger.KioskNewLog, "", note)); err != nil {
			return nil, err
		}
	}
	if len(added) > 0 {
		if err := st.tx.AddKioskKey(st.rq.kiosk, st.rq.certificate.RawSubjectPublicKeyInfo); err != nil {
			return nil, err
		}
	}
	for _, e := range added {
		if err := errors.Join(st.tx.AppendEntry(st.rq.kiosk, e), st.watch(&kiosk, e.Body)); err != nil {
			return nil, err
		}
		last = e.Seq
		if epoch.Number == store.FirstEpoch {
			continue // nothing was ever forgotten
		}
		if err := st.collect(epoch.Number, e.Stored); err != nil {
			return nil, err
		}
	}
	if !batch.More && last == head.Seq {
		if err := st.whole(epoch, kiosk); err != nil {
			return nil, err
		}
	}
	return st.receipt(epoch.Number, kiosk, last)
}

// shows holds the head that a kiosk shows, in a request that its key has signed, against those that it has shown before. So it
// is seen that a journal was set back over entries that it had not delivered yet.
func (st *step) shows(head audit.Head) error {
	k := st.kiosk
	if k.LogFrom < 0 { // it does not know yet that it may begin a new one
		return nil
	}
	shown, err := k.Shown.Grow(audit.Point{Seq: head.Seq, Hash: head.Hash}, st.now)
	switch {
	case err != nil:
		st.Log.Error("journal does not extend what was shown", "request", st.rq.id, "kiosk", k.Name, "err", err)
		return cases.Refuse(wire.CodeEntriesDoNotExtend)
	case shown == k.Shown:
		return nil
	}
	k.Shown = shown
	return st.tx.SetKioskShown(k)
}

// beginsLog finds where the new journal begins that an engineer let the kiosk begin: where its batch does.
func beginsLog(k *store.Kiosk, batch *wire.EntryBatch, run []audit.Stored) bool {
	if len(run) == 0 || run[0].Seq < 1 || len(batch.Before) != len(k.LogHash) || run[0].Seq == 1 && [32]byte(batch.Before) != [32]byte{} {
		return false
	}
	k.LogFrom, k.LogHash = run[0].Seq-1, [32]byte(batch.Before)
	return true
}

// receipt signs how far the kiosk's journal is held, and backed up.
func (st *step) receipt(epoch int64, k store.Kiosk, last int64) (*wire.Receipt, error) {
	backedUp := min(k.BackedUp, last)
	hash, err := st.tx.HeldHash(st.rq.kiosk, last)
	if err != nil {
		return nil, err
	}
	r := &wire.Receipt{Kiosk: st.rq.kiosk, Epoch: epoch, Held: last, BackedUp: backedUp, Hash: hash[:]}
	if k.Log > 1 {
		r.Log = k.Log
	}
	d := wire.ReceiptDigest(r)
	if r.Signature, err = ecdsa.SignASN1(rand.Reader, st.Signing, d[:]); err != nil {
		return nil, fmt.Errorf("sign receipt: %w", err)
	}
	return r, nil
}
