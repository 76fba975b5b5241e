package journal

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"

	"latchkey/firmware/audit"
)

// ErrAhead: central holds entries that this journal does not have. The file was rolled back, or it is a copy.
var ErrAhead = errors.New("central holds more than this journal has")

// ErrFork: central holds another chain than this one, so what it holds is not what stands here.
var ErrFork = errors.New("central holds another journal of this kiosk")

// ErrForgotten: central lacks entries that it said were backed up, and they are gone from here.
var ErrForgotten = errors.New("central lacks entries that this journal has forgotten")

// ErrEpoch: the receipt is of an epoch of central's that is over, or takes back what central said in this one.
var ErrEpoch = errors.New("the receipt is not of central's present epoch")

// Pending is up to max entries after what central holds, and the signed head that they lead to: the journal's own, or
// one made for this batch if more entries follow.
func (j *Journal) Pending(max int) (batch []audit.Stored, head audit.Head, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.usable(); err != nil {
		return nil, audit.Head{}, fmt.Errorf("read pending entries: %w", err)
	}
	head = j.state.head()
	err = j.db.View(func(tx *bbolt.Tx) error {
		entries := tx.Bucket(bucketEntries)
		at, err := j.pointAt(entries, j.state.Held)
		if err != nil {
			return err
		}
		c := entries.Cursor()
		for k, v := c.Seek(number(at.Seq + 1)); k != nil && len(batch) < max; k, v = c.Next() {
			r, err := decodeRecord(v)
			if err != nil {
				return err
			}
			at.Seq++
			at.Hash = audit.Chain(at.Hash, at.Seq, audit.Leaf(r.salt, r.body))
			if !bytes.Equal(k, number(at.Seq)) || at.Hash != r.hash {
				return fmt.Errorf("entry %d: chain is broken", at.Seq)
			}
			batch = append(batch, audit.Stored{Seq: at.Seq, Salt: r.salt, Body: r.body})
			head.Seq, head.Hash = at.Seq, at.Hash
		}
		return nil
	})
	if err != nil {
		// The file went bad while it lay here. Failed, it gets no mark from Close, so the next start reads it through.
		j.failed = err
		return nil, audit.Head{}, fmt.Errorf("read pending entries: %w: %w", ErrFailed, err)
	}
	if len(batch) > 0 && head.Seq != j.state.Seq {
		if head, err = audit.SignHead(j.key, j.kiosk, head.Seq, head.Hash); err != nil {
			return nil, audit.Head{}, fmt.Errorf("read pending entries: %w", err)
		}
	}
	return batch, head, nil
}

// pointAt is the chain after an entry that is kept, or after the last one that was forgotten.
func (j *Journal) pointAt(entries *bbolt.Bucket, seq int64) (audit.Point, error) {
	if seq == j.state.First-1 {
		return audit.Point{Seq: seq, Hash: [32]byte(j.state.Base)}, nil
	}
	r, err := decodeRecord(entries.Get(number(seq)))
	if err != nil {
		return audit.Point{}, fmt.Errorf("entry %d: %w", seq, err)
	}
	return audit.Point{Seq: seq, Hash: r.hash}, nil
}

// Held takes note that central holds every entry up to seq, of the chain with this hash; its receipt was verified by the
// caller. A central that was restored from a backup is in a higher epoch and may hold less than before: the rest is then
// pending again. In the same epoch it never holds less, and no epoch comes back. The mark becomes durable with the next Append.
func (j *Journal) Held(epoch, seq int64, hash [32]byte) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.usable(); err != nil {
		return fmt.Errorf("held to %d: %w", seq, err)
	}
	switch {
	case epoch < j.state.Epoch:
		return fmt.Errorf("held to %d in epoch %d, which is over since %d: %w", seq, epoch, j.state.Epoch, ErrEpoch)
	case epoch == j.state.Epoch && seq < j.state.Held:
		return fmt.Errorf("held to %d, and to %d before in the same epoch: %w", seq, j.state.Held, ErrEpoch)
	case seq > j.state.Seq:
		return fmt.Errorf("held to %d, journal ends at %d: %w", seq, j.state.Seq, ErrAhead)
	case seq < j.state.First-1:
		return fmt.Errorf("held to %d, journal begins at %d: %w", seq, j.state.First, ErrForgotten)
	}
	var at audit.Point
	err := j.db.View(func(tx *bbolt.Tx) (err error) {
		at, err = j.pointAt(tx.Bucket(bucketEntries), seq)
		return err
	})
	switch {
	case err != nil:
		return fmt.Errorf("held to %d: %w", seq, err)
	case at.Hash != hash:
		return fmt.Errorf("held to %d: %w", seq, ErrFork)
	}
	j.state.Held, j.state.Epoch = seq, epoch
	j.forget = min(j.forget, seq)
	return nil
}

// Forget lets go of the entries that central holds and has backed up: those up to backedUp, and never one beyond the
// held mark. They are deleted with the next commits. Where what was deleted has left more than half of the file free, and no
// card is being written, the file is compacted; an error is of that alone, and unless it is ErrFailed the journal goes on as
// it was.
func (j *Journal) Forget(backedUp int64) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.forget = max(j.forget, min(backedUp, j.state.Held))
	writing := slices.ContainsFunc(j.open, func(o openEntry) bool { return o.entry.Kind == audit.KindIntent && o.seq > j.found })
	if j.usable() != nil || writing {
		return nil
	}
	wasteful, err := j.wasteful()
	if err == nil && wasteful {
		err = j.compact()
	}
	if err != nil {
		return fmt.Errorf("compact journal: %w", err)
	}
	return nil
}
