package cases

import "time"

// Undelivered marks the code that was sent at that time as one that did not reach the holder, and says whether that changed
// anything: a code that was replaced, accepted or closed with its case stays as it is. The send does not count against the
// case. The code stays good until another replaces it: a host that gives up can have delivered before.
func (c *Case) Undelivered(sentAt time.Time) bool {
	if c.State.Over() || c.Code.Failed || len(c.Code.MAC) == 0 || !c.Code.SentAt.Equal(sentAt) {
		return false
	}
	c.Code.Failed = true
	c.Sends--
	return true
}
