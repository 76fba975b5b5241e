package cases

import (
	"crypto/hmac"
	"time"

	"latchkey/firmware/wire"
)

// RateWindow is over which sends are counted.
const RateWindow = time.Hour

// Sends are the times of the codes sent within the last RateWindow, oldest first.
type Sends struct {
	Card, Holder, Kiosk []time.Time
	Address             []time.Time // to the same address, whoever's it is
}

// Send books a code that is about to be sent and makes it the only one that counts. The booking must be durable before
// the message leaves, so that a code is never sent twice for one request.
func (c *Case) Send(p Policy, now time.Time, r Record, sends Sends, channel Channel, mac []byte) error {
	if err := c.at(now, Proved, CodeSent); err != nil {
		return err
	}
	if err := c.stillEligible(p, now, r); err != nil {
		return err
	}
	if lockedOut(p, r.Card, r.Holder) {
		return c.end(wire.CodeHolderLockedOut)
	}
	if !r.offers(p, now, channel) { // it was changed since the card was proved
		return &Refusal{Code: wire.CodeApprovalNeeded, Why: WhyChannelChanged}
	}
	if c.Sends >= p.Sends {
		return Refuse(wire.CodeSendsExhausted)
	}
	if c.Sends > 0 && !c.Code.Failed {
		if again := c.Code.SentAt.Add(p.ResendAfter); now.Before(again) {
			return &Refusal{Code: wire.CodeResendTooSoon, RetryAt: again}
		}
	}
	var free time.Time
	for _, w := range []struct {
		sent  []time.Time
		limit int
	}{{sends.Card, p.CardSends}, {sends.Holder, p.HolderSends}, {sends.Address, p.AddressSends}, {sends.Kiosk, p.KioskSends}} {
		if n := len(w.sent); n >= w.limit {
			if at := w.sent[n-w.limit].Add(RateWindow); at.After(free) {
				free = at
			}
		}
	}
	if !free.IsZero() {
		return &Refusal{Code: wire.CodeRateLimited, RetryAt: free}
	}
	c.Sends++
	c.Code = Code{MAC: mac, Channel: channel.ID, Masked: channel.Masked, SentAt: now, ExpiresAt: now.Add(p.CodeValidity)}
	c.State = CodeSent
	c.live(c.Code.ExpiresAt)
	return nil
}

// Unsend takes back a booking whose message could not be handed over: before is the code that was out until then.
func (c *Case) Unsend(now time.Time, before Code, mac []byte) {
	if !hmac.Equal(c.Code.MAC, mac) {
		return // closed, accepted, or sent again meanwhile
	}
	c.Sends--
	c.Code = before
	if c.State == CodeSent && !c.Code.Out(now) {
		c.State = Proved
	}
}

// Check judges a code. An attempt is booked whatever the result, on the case and, if it was wrong, on card and holder; the
// caller stores all three before it answers. Of a card that does not prove itself the wrong ones are no fault of the
// holder's, whose other cards they should not lock out: they count on the card alone.
func (c *Case) Check(p Policy, now time.Time, r *Record, mac []byte) error {
	if err := c.at(now, CodeSent); err != nil {
		return err
	}
	if err := c.stillEligible(p, now, *r); err != nil {
		return err
	}
	if lockedOut(p, r.Card, r.Holder) {
		return c.end(wire.CodeHolderLockedOut)
	}
	if !c.Code.Out(now) {
		return Refuse(wire.CodeCodeExpired)
	}
	c.Attempts++
	if hmac.Equal(c.Code.MAC, mac) {
		c.State, c.Code.MAC = Accepted, nil
		c.live(now.Add(p.CodeValidity))
		return nil
	}
	r.Card.WrongCodes++
	if r.Card.Proves() {
		r.Holder.WrongCodes++
	}
	switch {
	case lockedOut(p, r.Card, r.Holder):
		return c.endFor(wire.CodeHolderLockedOut, WhyLockout)
	case c.Attempts >= p.Attempts:
		return c.end(wire.CodeAttemptsExhausted)
	}
	left := p.Attempts - c.Attempts
	return &Refusal{Code: wire.CodeCodeWrong, AttemptsLeft: &left}
}

// live makes the case last at least until then: a case does not run out before its code does.
func (c *Case) live(until time.Time) {
	if until.After(c.ExpiresAt) {
		c.ExpiresAt = until
	}
}
