package journal

import (
	"fmt"

	"latchkey/firmware/audit"
)

// Log is which of this kiosk's journals central takes, from 1, as it said last.
func (j *Journal) Log() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return max(j.state.Log, 1)
}

// Start is the point of the chain before the oldest entry that is kept.
func (j *Journal) Start() audit.Point {
	j.mu.Lock()
	defer j.mu.Unlock()
	return audit.Point{Seq: j.state.First - 1, Hash: [32]byte(j.state.Base)}
}

// Anew takes note that an engineer has let this kiosk begin a new journal at central, the receipt of which was verified by the caller: all
// that is kept is pending again. A central that was restored from a backup, and is in a higher epoch, may know of fewer journals.
// The mark becomes durable with the next Append; should it be lost, central's next receipt says it again.
func (j *Journal) Anew(epoch, log int64) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.usable(); err != nil {
		return fmt.Errorf("journal %d: %w", log, err)
	}
	now := max(j.state.Log, 1)
	if epoch < j.state.Epoch || epoch == j.state.Epoch && log < now {
		return fmt.Errorf("journal %d in epoch %d, after journal %d in %d: %w", log, epoch, now, j.state.Epoch, ErrEpoch)
	}
	if log == now {
		return nil
	}
	j.state.Log, j.state.Epoch, j.state.Held = log, epoch, j.state.First-1
	j.forget = min(j.forget, j.state.Held)
	return nil
}
