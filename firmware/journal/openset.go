package journal

import (
	"encoding/binary"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"

	"latchkey/firmware/audit"
)

// openSet is what a power cut must not make us forget, oldest first: intents without an outcome and outcomes that central
// has not acknowledged. It stands in a bucket of its own, so that no start reads the whole file.
type openSet []openEntry

type openEntry struct {
	seq   int64
	entry audit.Entry
}

// with is the set after one more entry. A case can have several grants, of one generation or of two, so an outcome
// closes the oldest intent that it fits, and a settlement the oldest outcome.
func (o openSet) with(seq int64, e audit.Entry) openSet {
	switch e.Kind {
	case audit.KindIntent:
		return append(o, openEntry{seq, e})
	case audit.KindOutcome:
		return append(o.without(audit.KindIntent, e), openEntry{seq, e})
	case audit.KindSettled:
		return o.without(audit.KindOutcome, e)
	}
	return o
}

func (o openSet) without(k audit.Kind, by audit.Entry) openSet {
	i := slices.IndexFunc(o, func(x openEntry) bool {
		return x.entry.Kind == k && x.entry.Case == by.Case &&
			(x.entry.Base == nil || by.Base == nil || *x.entry.Base == *by.Base)
	})
	if i < 0 {
		return o
	}
	return slices.Delete(o, i, i+1)
}

// reserved is how many entries must still find room: outcome and settlement of an intent, settlement of an outcome.
func (o openSet) reserved() (n int64) {
	for _, x := range o {
		n++
		if x.entry.Kind == audit.KindIntent {
			n++
		}
	}
	return n
}

// write brings the bucket from before to o.
func (o openSet) write(b *bbolt.Bucket, before openSet) error {
	for _, x := range before {
		if !o.has(x.seq) {
			if err := b.Delete(number(x.seq)); err != nil {
				return err
			}
		}
	}
	for _, x := range o {
		if before.has(x.seq) {
			continue
		}
		body, err := audit.Encode(x.entry)
		if err != nil {
			return err
		}
		if err := b.Put(number(x.seq), sum(body)); err != nil {
			return err
		}
	}
	return nil
}

func (o openSet) has(seq int64) bool {
	return slices.ContainsFunc(o, func(x openEntry) bool { return x.seq == seq })
}

func readOpen(tx *bbolt.Tx, s *state) (o openSet, err error) {
	err = tx.Bucket(bucketOpen).ForEach(func(k, v []byte) error {
		if len(k) != 8 {
			return fmt.Errorf("open entry with a key of %d bytes", len(k))
		}
		seq := int64(binary.BigEndian.Uint64(k))
		body, err := unsum(v)
		if err != nil {
			return fmt.Errorf("open entry %d: %w", seq, err)
		}
		e, err := audit.Decode(body)
		if err != nil {
			return fmt.Errorf("open entry %d: %w", seq, err)
		}
		o = append(o, openEntry{seq, e})
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(o) != s.Open {
		return nil, fmt.Errorf("%d open entries, the state knows %d", len(o), s.Open)
	}
	return o, nil
}
