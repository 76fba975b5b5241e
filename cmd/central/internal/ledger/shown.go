package ledger

import (
	"fmt"
	"time"

	"latchkey/firmware/audit"
)

// Shown is the highest head of its journal that a kiosk has shown when it began a case: entries that it had written, whether it
// has delivered them or not. A journal that does not lead there was set back or copied.
type Shown struct {
	audit.Point
	At time.Time // when it was shown first
}

// lateMost is how long after a head was shown a request can come that was written before it. Neither a kiosk nor central waits
// half as long for the other.
const lateMost = time.Minute

// Grow holds a head that a kiosk shows now against what it has shown before, and returns the higher one. Another hash of the same
// number, and a lower number that no late request explains, are ErrDoesNotExtend.
func (s Shown) Grow(head audit.Point, now time.Time) (Shown, error) {
	switch {
	case head.Seq > s.Seq:
		return Shown{head, now}, nil
	case head.Seq == s.Seq && head.Hash != s.Hash:
		return s, fmt.Errorf("%w: entry %d was shown with other content", ErrDoesNotExtend, s.Seq)
	}
	return s, s.Whole(head.Seq, now)
}

// Whole says whether a journal can end with entry last.
func (s Shown) Whole(last int64, now time.Time) error {
	if last < s.Seq && now.Sub(s.At).Abs() > lateMost {
		return fmt.Errorf("%w: it ends with entry %d, and entry %d was shown", ErrDoesNotExtend, last, s.Seq)
	}
	return nil
}

// Passes says whether entries lead through the head that was shown, if they lead as far.
func (s Shown) Passes(run []Linked) error {
	for _, e := range run {
		if e.Seq == s.Seq && e.Hash != s.Hash {
			return fmt.Errorf("%w: entry %d was shown with other content", ErrDoesNotExtend, s.Seq)
		}
	}
	return nil
}
