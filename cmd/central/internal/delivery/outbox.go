// Package delivery brings messages to holders: one-time codes, and notices that something happened. They wait, sealed, in an
// outbox in the database (store.Message), and go by SMTP (RFC 5321, with STARTTLS of RFC 3207 unless the host is this machine)
// or GOV.UK Notify. Messages are plain text, English or Welsh as the holder has it. A code stands in the first line; no
// passcode is in any, and no link that does anything by being opened.
//
// A code is promised once it was booked, and handed over at most once. Whoever begins to hand it over says so durably
// before; if they are never heard of again, nobody knows whether it went, and it counts as sent. What a host refuses, or has not
// taken within Timeout, failed, and nobody tries it again: the kiosk is told, and its holder asks for another. Notices, which
// may well come twice, are tried until they go or a day has passed.
//
// What was taken can come back: Returned says so to the case. Errors and logs name neither addressees nor codes.
package delivery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/config"
	"latchkey/cmd/central/internal/store"
	"latchkey/cmd/central/internal/vault"
	"latchkey/firmware/secret"
)

// Timeout is how long handing over a message takes at most. Kiosks wait a little longer for their answers.
const Timeout = 6 * time.Second

// How long whoever hands a message over has before others conclude that they are gone, by their own clocks: machines' clocks
// differ. Of a code little depends on it, since nobody else hands it over, and a kiosk waits; a notice would go twice.
const (
	lease       = Timeout + time.Second
	noticeLease = 2 * time.Minute
)

// Outbox hands over the messages that wait in a store. Any number of processes may have one on the same. It is safe for
// concurrent use.
type Outbox struct {
	store  store.Store
	vault  *vault.Vault
	log    *slog.Logger
	now    func() time.Time
	writer writer
	ways   map[string]carrier // by channel
	mail   *mailHost          // nil if there is none
}

// carrier is a way to holders: SMTP or Notify.
type carrier interface {
	// carry hands a letter over and returns the reference of whoever took it. An error is a *Failure. After one the other side
	// may still have taken the letter, if it was the answer that was lost.
	carry(ctx context.Context, l letter) (reference string, err error)
}

// Failure says why a message was not taken. It names nobody.
type Failure struct {
	Why   string
	Later bool // it may well be taken later
	// Unasked: it did not come to asking the other side. A send that failed so is not counted; one that was asked for is counted by the hour,
	// since the question may have come with the message, or its addressee, and could be put without end.
	Unasked bool
}

func (f *Failure) Error() string { return f.Why }

// NewOutbox reads the files that the configuration names; it connects to nothing yet.
func NewOutbox(c *config.Config, s store.Store, v *vault.Vault, log *slog.Logger, now func() time.Time) (*Outbox, error) {
	o := &Outbox{store: s, vault: v, log: log, now: now, writer: newWriter(c), ways: map[string]carrier{}}
	if c.Delivery.Email == config.BySMTP {
		e, err := newMailHost(c.SMTP)
		if err != nil {
			return nil, err
		}
		o.ways[cases.ChannelEmail], o.mail = e, e
	}
	if c.Delivery.Email == config.ByNotify || c.Delivery.SMS == config.ByNotify {
		n, err := newNotify(c.Notify, now)
		if err != nil {
			return nil, err
		}
		if c.Delivery.Email == config.ByNotify {
			o.ways[cases.ChannelEmail] = n.email()
		}
		if c.Delivery.SMS == config.ByNotify {
			o.ways[cases.ChannelMobile] = n.sms()
		}
	}
	return o, nil
}

// Reaches says whether messages go out on a channel at all.
func (o *Outbox) Reaches(channel string) bool { return o.ways[channel] != nil }

// Deliver hands a message over, unless somebody else has, or had, it in hand. It returns how far the message has come:
// MessageSending if somebody else has it, MessageWaiting if it is a notice that is tried again.
//
// failed, if not nil, books what follows from a code that was not taken, in the transaction that books that; else the
// case is told as by Returned. An error is the store's: what became of the message is not booked then.
func (o *Outbox) Deliver(ctx context.Context, id string, failed func(_ *store.Tx, _ store.Message, asked bool) error) (store.MessageState, error) {
	if failed == nil {
		failed = func(tx *store.Tx, m store.Message, asked bool) error { return tell(tx, m, o.time(), asked) }
	}
	m, mine, err := o.claim(ctx, id, failed)
	if err != nil || !mine {
		return m.State, err
	}
	// Who asked may hang up; whether the message went is worth knowing all the same.
	ctx = context.WithoutCancel(ctx)
	reference, failure := o.open(ctx, m)
	if failure != nil {
		o.log.Error("message not taken", "message", m.ID, "kind", string(m.Kind), "channel", m.Channel, "try", m.Tries, "err", failure)
	}
	tries := m.Tries
	err = o.store.Update(ctx, func(tx *store.Tx) (err error) {
		if m, err = tx.Message(id); err != nil {
			return err
		}
		concluded := m.State == store.MessageSent // by others, that whoever had the code was gone: who had it knows better
		if m.State != store.MessageSending && !concluded || m.Tries != tries {
			return nil // it came back already, or others have sent it
		}
		m.Reference = reference
		switch {
		case failure == nil:
			over(&m, store.MessageSent, "")
		case m.Kind == store.MessageCode || !failure.Later || !o.again(&m):
			over(&m, store.MessageFailed, failure.Why)
			return errors.Join(tx.SetMessage(m), failed(tx, m, !failure.Unasked))
		}
		return tx.SetMessage(m)
	})
	return m.State, err
}

// time in whole milliseconds, as times are stored.
func (o *Outbox) time() time.Time { return o.now().UTC().Truncate(time.Millisecond) }

// claim takes a message in hand, durably, so that nobody else hands it over.
func (o *Outbox) claim(ctx context.Context, id string, failed func(*store.Tx, store.Message, bool) error) (m store.Message, mine bool, err error) {
	err = o.store.Update(ctx, func(tx *store.Tx) (err error) {
		mine = false
		if m, err = tx.Message(id); err != nil {
			return err
		}
		now := o.time()
		switch {
		case m.State != store.MessageWaiting && m.State != store.MessageSending || m.State == store.MessageSending && now.Before(m.DueAt):
			return nil
		case m.State == store.MessageSending && m.Kind == store.MessageCode:
			over(&m, store.MessageSent, "") // whoever had it is gone
			return tx.SetMessage(m)
		case !now.Before(m.DiesAt):
			over(&m, store.MessageFailed, "not sent in time")
			return errors.Join(tx.SetMessage(m), failed(tx, m, m.Tries > 0))
		}
		mine = true
		m.State, m.DueAt = store.MessageSending, now.Add(noticeLease)
		if m.Kind == store.MessageCode {
			m.DueAt = now.Add(lease)
		}
		m.Tries++
		return tx.SetMessage(m)
	})
	return m, mine, err
}

// over ends a message and wipes what was sealed.
func over(m *store.Message, s store.MessageState, failure string) {
	m.State, m.Failure, m.Recipient, m.Content = s, failure, nil, nil
}

// again puts a notice off to be tried later; false if that is not worth it any more.
func (o *Outbox) again(m *store.Message) bool {
	now := o.time()
	pause := 30 * time.Second << min(m.Tries-1, 6) // half a minute to half an hour
	m.State, m.DueAt = store.MessageWaiting, now.Add(pause)
	return m.DueAt.Before(m.DiesAt)
}

// open opens a message and hands it over.
func (o *Outbox) open(ctx context.Context, m store.Message) (reference string, failure *Failure) {
	in, err := open(o.vault, m)
	if err != nil {
		// What the vault cannot open today it may open tomorrow, unless it was not sealed for this.
		var unknown *vault.UnknownKeyError
		return "", &Failure{Why: err.Error(), Later: !errors.Is(err, vault.ErrSealed) || errors.As(err, &unknown), Unasked: true}
	}
	defer in.wipe()
	return o.Send(ctx, m, in.to, in.code)
}

// Send puts a message into words and hands it over, whether it is in the outbox or not. It keeps nothing. The address and the
// code stay the caller's.
func (o *Outbox) Send(ctx context.Context, m store.Message, to secret.Value, code Code) (reference string, failure *Failure) {
	way := o.ways[m.Channel]
	if way == nil {
		return "", &Failure{Why: "no messages go out on this channel", Unasked: true}
	}
	l, err := o.writer.write(m, to, code)
	if err != nil {
		return "", &Failure{Why: err.Error(), Unasked: true}
	}
	defer clear(l.text)
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	reference, err = way.carry(ctx, l)
	if err != nil && !errors.As(err, &failure) {
		failure = &Failure{Why: err.Error()}
	}
	return reference, failure
}

const (
	poll     = 2 * time.Second     // how often due messages are looked for
	atOnce   = 8                   // messages in hand
	kept     = 30 * 24 * time.Hour // how long messages that are over can come back
	sweepFor = time.Hour           // how often older ones are dropped
)

// Run hands over what nobody has in hand until ctx is done: notices, and the codes of processes that died. What is in hand then is
// finished, and from then on no connection is kept open.
func (o *Outbox) Run(ctx context.Context) error {
	if o.mail != nil {
		defer o.mail.close()
	}
	tick := time.NewTicker(poll)
	defer tick.Stop()
	var swept time.Time
	for {
		if now := o.time(); now.Sub(swept) >= sweepFor {
			swept = now
			if err := o.store.Update(ctx, func(tx *store.Tx) error {
				return errors.Join(tx.DropMessages(now.Add(-kept)), tx.DropSends(now.Add(-24*cases.RateWindow)))
			}); err != nil && ctx.Err() == nil {
				o.log.Error("outbox", "err", err)
			}
		}
		more, err := o.round(ctx)
		if err != nil && ctx.Err() == nil {
			o.log.Error("outbox", "err", err)
		}
		if more && err == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// round hands over some of what is due, and says whether there may be more.
func (o *Outbox) round(ctx context.Context) (more bool, err error) {
	var due []string
	err = o.store.View(ctx, func(tx *store.Tx) (err error) {
		due, err = tx.DueMessages(o.time(), atOnce)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("look for messages: %w", err)
	}
	errs := make([]error, len(due))
	var all sync.WaitGroup
	for i, id := range due {
		all.Go(func() { _, errs[i] = o.Deliver(ctx, id, nil) })
	}
	all.Wait()
	return len(due) == atOnce, errors.Join(errs...)
}
