package kiosk

import (
	"context"
	"errors"
	"sync"

	"latchkey/card"
	"latchkey/firmware/unlock"
)

// served is the card of the present session. It belongs to the card goroutine.
type served struct {
	number  uint64
	session Session
	card    card.Card
}

// serveCards runs what is to be done with cards, one after the other.
func (k *Kiosk) serveCards(ctx context.Context) {
	var c served
	defer func() { c.close() }()
	for {
		select {
		case <-k.cards.more:
		case <-ctx.Done():
			return
		}
		for job := k.cards.next(); job != nil && ctx.Err() == nil; job = k.cards.next() {
			job(&c)
		}
	}
}

func (k *Kiosk) onCard(job func(*served)) { k.cards.add(job) }

// cardJobs is what is still to be done with cards, in order. It has no bound, since the loop must not wait for a card that
// hangs; people put cards in more slowly than hung cards are given up.
type cardJobs struct {
	mu      sync.Mutex
	waiting []func(*served)
	more    chan struct{} // there may be something waiting
}

func (j *cardJobs) add(job func(*served)) {
	j.mu.Lock()
	j.waiting = append(j.waiting, job)
	j.mu.Unlock()
	select {
	case j.more <- struct{}{}:
	default:
	}
}

func (j *cardJobs) next() (job func(*served)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.waiting) > 0 {
		job, j.waiting = j.waiting[0], j.waiting[1:]
	}
	return job
}

// read opens the session and reads who the card is.
func (c *served) read(ctx context.Context, open func(context.Context) (Session, error), family func(card.Transport) card.Card, number uint64) unlock.CardRead {
	c.close()
	out := unlock.CardRead{Session: number}
	session, err := open(ctx)
	if err != nil {
		out.Failure = failure(err)
		return out
	}
	c.number, c.session, c.card = number, session, family(session)
	if out.Identity, err = c.card.Identify(); err == nil {
		out.State, err = c.card.State()
	}
	if err == nil && out.State.Locked {
		out.Certificates, err = c.card.Certificates()
	}
	out.Failure = failure(err)
	return out
}

func (c *served) prove(number uint64, digest [32]byte) unlock.CardProved {
	if c.number != number {
		return unlock.CardProved{Session: number, Failure: unlock.Failure{Kind: unlock.FailRemoved}}
	}
	signature, err := c.card.Prove(digest)
	return unlock.CardProved{Session: number, Failure: failure(err), Signature: signature}
}

func (c *served) step(number uint64, do func(card.Card) error) unlock.CardStepped {
	if c.number != number {
		return unlock.CardStepped{Session: number, Failure: unlock.Failure{Kind: unlock.FailRemoved}}
	}
	return unlock.CardStepped{Session: number, Failure: failure(do(c.card))}
}

func (c *served) leave(number uint64) {
	if c.number == number {
		c.close()
	}
}

func (c *served) close() {
	if c.session != nil {
		c.session.Close() // the card may be gone; nothing is left to do about it
	}
	*c = served{}
}

// failure turns an error of package card into what the machine branches on.
func failure(err error) unlock.Failure {
	var wrong *card.WrongSecretError
	switch {
	case err == nil:
		return unlock.Failure{}
	case errors.Is(err, card.ErrRemoved):
		return unlock.Failure{Kind: unlock.FailRemoved}
	case errors.Is(err, card.ErrReset):
		return unlock.Failure{Kind: unlock.FailReset}
	case errors.Is(err, card.ErrHung):
		return unlock.Failure{Kind: unlock.FailHung}
	case errors.Is(err, card.ErrNotThisFamily):
		return unlock.Failure{Kind: unlock.FailNotOurs}
	case errors.As(err, &wrong):
		return unlock.Failure{Kind: unlock.FailWrong, TriesLeft: wrong.TriesLeft}
	case errors.Is(err, card.ErrBlocked):
		return unlock.Failure{Kind: unlock.FailBlocked}
	case errors.Is(err, card.ErrRefusedPasscode):
		return unlock.Failure{Kind: unlock.FailPasscode}
	case errors.Is(err, card.ErrUnknown):
		return unlock.Failure{Kind: unlock.FailUnknown}
	case errors.Is(err, card.ErrNoKey):
		return unlock.Failure{Kind: unlock.FailNoKey}
	}
	return unlock.Failure{Kind: unlock.FailStatus}
}
