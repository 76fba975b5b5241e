package kiosk

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"time"

	"latchkey/firmware/unlock"
	"latchkey/firmware/wire"
)

// feedbackFor is how long somebody's feedback is offered to central. It is in memory alone, and forgotten then.
const feedbackFor = time.Hour

// sendFeedback hands over what somebody had to say, and wipes it. Its id is its own: no case, no card, no number that counts up.
func (k *Kiosk) sendFeedback(ctx context.Context, e unlock.SendFeedback) {
	defer e.Comment.Wipe()
	defer e.Contact.Wipe()
	ctx, done := context.WithTimeout(ctx, feedbackFor)
	defer done()
	id := make([]byte, 16)
	rand.Read(id)
	body := wire.Feedback{Id: hex.EncodeToString(id), Stars: e.Stars, Comment: wire.Text{Value: e.Comment}, Contact: wire.Text{Value: e.Contact}}
	for pause := retryFirst; ; pause = min(2*pause, retryMost) {
		err := k.Central.Feedback(ctx, body)
		if err == nil {
			return
		}
		if final(err) {
			k.Log.Warn("central will not take feedback", "err", err)
			return
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			k.Log.Warn("feedback was not delivered and is forgotten", "err", err)
			return
		}
	}
}
