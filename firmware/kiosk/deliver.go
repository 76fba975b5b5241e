package kiosk

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"net/http"
	"time"

	"latchkey/firmware/audit"
	"latchkey/firmware/checkpoint"
	"latchkey/firmware/unlock"
	"latchkey/firmware/wire"
)

// Outcomes and entries go to central until it has them.

const (
	retryFirst = time.Second
	retryMost  = 30 * time.Second
	// deliverEvery is how often entries are offered when nothing new was written.
	deliverEvery = time.Minute
	// batchMost entries go into one request; kiosk.yaml allows 500.
	batchMost = 200
	// lookEvery is how often central is asked for its checkpoint.
	lookEvery = 10 * time.Minute
)

// final: central has answered for good, and asking again would change nothing. A kiosk that is not served now may be again.
func final(err error) bool {
	var p *wire.Problem
	if !errors.As(err, &p) {
		return false
	}
	switch p.Code {
	case wire.CodeKioskDisabled, wire.CodeKioskUnknown, wire.CodeKioskUnconfirmed, wire.CodeKioskQuarantined:
		return false
	}
	return p.Status < http.StatusInternalServerError && p.Status != http.StatusTooManyRequests
}

// reportOutcome tells one outcome until central has it. The Idempotency-Key is made of the case, so that a restart repeats
// the request; a conflict means that central has an outcome of this case already.
func (k *Kiosk) reportOutcome(ctx context.Context, o audit.Entry) {
	body := outcome(o)
	for pause := retryFirst; ; pause = min(2*pause, retryMost) {
		_, err := k.Central.Outcome(ctx, "outcome-"+o.Case, o.Case, body)
		if err == nil || final(err) {
			if err != nil {
				k.Log.Warn("central will not take the outcome", "case", o.Case, "err", err)
			}
			k.tell(unlock.Settled{Case: o.Case})
			return
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

func outcome(o audit.Entry) wire.Outcome {
	out := wire.Outcome{Base: -1, Opened: o.Opened, Passcode: wire.Fact(o.Passcode), Rotated: wire.Fact(o.Rotated), Tries: -1,
		PukBlocked: o.Reason == audit.ReasonPUKBlocked}
	if o.Base != nil {
		out.Base = *o.Base
	}
	if o.Tries != nil {
		out.Tries = *o.Tries
	}
	return out
}

// deliver hands the journal over, as it grows. Now and then it asks how far central is although nothing is new: central may
// have backed up more, or been restored and hold less.
func (k *Kiosk) deliver(ctx context.Context) {
	tick := time.NewTicker(deliverEvery)
	defer tick.Stop()
	ask := true
	var looked time.Time
	for {
		for {
			more, err := k.deliverBatch(ctx, ask)
			ask = false
			if err != nil && ctx.Err() == nil {
				k.Log.Warn("journal not delivered", "err", err)
			}
			if err != nil || !more {
				break
			}
		}
		if now := k.Now(); looked.IsZero() || now.Sub(looked).Abs() >= lookEvery {
			looked = now
			k.lookAtHistory(ctx, now)
		}
		select {
		case <-k.written:
			select {
			case <-tick.C: // both at once is one request
				ask = true
			default:
			}
		case <-tick.C:
			ask = true
			select {
			case <-k.written:
			default:
			}
		case <-ctx.Done():
			return
		}
	}
}

// deliverBatch hands over what central does not hold, if there is any or if central is to be asked.
func (k *Kiosk) deliverBatch(ctx context.Context, ask bool) (more bool, err error) {
	batch, head, err := k.Journal.Pending(batchMost)
	if err != nil || len(batch) == 0 && !ask {
		return false, err
	}
	more = k.Journal.Head().Seq > head.Seq
	receipt, err := k.offer(ctx, batch, head, more)
	var p *wire.Problem
	restored := errors.As(err, &p) && p.Code == wire.CodeEntriesDoNotExtend
	if restored { // or this journal is a fork of what central holds, which its answer to the head alone shows
		receipt, err = k.offer(ctx, nil, k.Journal.Head(), true)
	}
	if err != nil {
		return false, err
	}
	if log := max(receipt.Log, 1); log != k.Journal.Log() {
		if err := k.Journal.Anew(receipt.Epoch, log); err != nil {
			return false, err
		}
		k.Log.Warn("central takes a new journal from this kiosk", "journal", log)
		if receipt.Held == 0 {
			return k.Journal.Head().Seq > k.Journal.Start().Seq, nil // all that is kept goes there now
		}
	}
	if receipt.Log > 1 && receipt.Held == 0 {
		return false, nil // it waits for the first entry of the new journal
	}
	if err := k.Journal.Held(receipt.Epoch, receipt.Held, [32]byte(receipt.Hash)); err != nil {
		return false, err
	}
	if err := k.Journal.Forget(receipt.BackedUp); err != nil {
		k.Log.Warn("the journal's file stays larger than it need be", "err", err)
	}
	if restored && len(batch) > 0 && receipt.Held >= batch[0].Seq-1 {
		return false, p // it holds what comes before, and refuses this
	}
	return more || receipt.Held < head.Seq, nil
}

// offer gives central a batch and verifies its receipt.
func (k *Kiosk) offer(ctx context.Context, batch []audit.Stored, head audit.Head, more bool) (*wire.Receipt, error) {
	body := wire.EntryBatch{
		Entries: []wire.JournalEntry{}, Head: wire.JournalHead{Seq: head.Seq, Hash: head.Hash[:], Signature: head.Signature}, More: more,
	}
	if start := k.Journal.Start(); len(batch) > 0 && batch[0].Seq == start.Seq+1 {
		body.Before = start.Hash[:]
	}
	for _, e := range batch {
		body.Entries = append(body.Entries, wire.JournalEntry{Seq: e.Seq, Body: e.Body, Salt: e.Salt[:]})
	}
	receipt, err := k.Central.Deliver(ctx, body)
	if err != nil {
		return nil, err
	}
	digest := wire.ReceiptDigest(receipt)
	if receipt.Kiosk != k.Identity.ID || !ecdsa.VerifyASN1(k.Identity.CentralKey, digest[:], receipt.Signature) {
		return nil, errors.New("central's receipt does not verify")
	}
	if len(receipt.Hash) != len(head.Hash) {
		return nil, errors.New("central's receipt has no hash")
	}
	return receipt, nil
}

// lookAtHistory asks central for its newest checkpoint and demands that it fit to the one that is kept. What does not is written down,
// and delivered to the very central that it is about: what counts is that it stands in this kiosk's chain, and on its engineer's page.
func (k *Kiosk) lookAtHistory(ctx context.Context, now time.Time) {
	if k.Checkpoints == nil {
		return
	}
	shown, err := k.AskCheckpoint(ctx, k.Checkpoints.Size())
	var found *checkpoint.Finding
	if err == nil {
		found, err = k.Checkpoints.Take(shown, now)
	}
	var p *wire.Problem
	if err != nil && ctx.Err() == nil && !(errors.As(err, &p) && p.Code == wire.CodeNotFound) { // it may have signed none yet
		k.Log.Warn("central's checkpoint not taken", "err", err)
	}
	if found == nil {
		return
	}
	k.Log.Error("central shows another history than it did", "reason", found.Reason, "kept", found.Size, "shown", found.Now)
	if err := k.Journal.Append(audit.Entry{Kind: audit.KindCheckpoint, At: now.UnixMilli(), Reason: string(found.Reason)}); err != nil {
		k.Log.Error("that central shows another history is not in the journal", "err", err)
		return
	}
	select {
	case k.written <- struct{}{}:
	default:
	}
}
