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
	profile string // that the card is spoken to as; empty before central has told it
	*Session
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

// read opens the session and reads what state the card is in, and whether it is an engineer's.
func (k *Kiosk) read(c *served, e unlock.ReadCard) unlock.CardRead {
	c.close()
	out := unlock.CardRead{Session: e.Session}
	session, err := k.Open(k.stopping)
	if err != nil {
		out.Failure = failure(err)
		var retired *card.RetiredError
		if errors.As(err, &retired) {
			out.Title = retired.Title
		}
		return out
	}
	c.number, c.Session = e.Session, session
	if e.ServiceOnly {
		out.Service = k.serviceCard(c.Card)
		return out
	}
	out.Identity, out.Rules, out.Present = session.Identity, session.Rules, session.Present
	if out.State, err = c.Card.State(); err == nil {
		if session.Doubtful {
			out.State.PUKTriesLeft = -1
		}
		out.Certificates, err = c.Card.Certificates()
	}
	if err == nil {
		out.Service = k.serviceCard(seen{c.Card, out.Certificates})
	}
	out.Failure = failure(err)
	return out
}

// seen is a card whose certificates were read a moment ago.
type seen struct {
	card.Card
	certificates card.Certificates
}

func (s seen) Certificates() (card.Certificates, error) { return s.certificates, nil }

// prove signs, if the card can, and asks for a challenge, if it is wanted and the family has one.
func (k *Kiosk) prove(c *served, e unlock.ProveCard, digest [32]byte) unlock.CardProved {
	out := unlock.CardProved{Session: e.Session, PUKTriesLeft: -1}
	if c.number != e.Session {
		out.Failure = unlock.Failure{Kind: unlock.FailRemoved}
		return out
	}
	err := c.speakAs(e.Profile, &out)
	if err == nil {
		if out.Signature, err = c.Card.Prove(digest); errors.Is(err, card.ErrNoKey) {
			err = nil // central decides whether such a card is served
		}
	}
	if err == nil && e.Challenge {
		out.Challenge, err = c.Card.Challenge()
	}
	if err != nil {
		k.Log.Warn("card not proved", "case", e.Case, "profile", e.Profile, "err", err)
	}
	out.Failure = failure(err)
	return out
}

// speakAs takes the card for what it is on record.
func (c *served) speakAs(profile string, out *unlock.CardProved) (err error) {
	if profile == c.profile {
		return nil
	}
	if c.Card, err = c.As(profile); err != nil {
		return err
	}
	c.profile = profile
	if !c.Doubtful {
		return nil
	}
	state, err := c.Card.State()
	out.PUKTriesLeft = state.PUKTriesLeft
	return err
}

func (c *served) step(number uint64, do func(card.Card) error) unlock.CardStepped {
	if c.number != number {
		return unlock.CardStepped{Session: number, Failure: unlock.Failure{Kind: unlock.FailRemoved}}
	}
	return unlock.CardStepped{Session: number, Failure: failure(do(c.Card))}
}

func (c *served) leave(number uint64) {
	if c.number == number {
		c.close()
	}
}

func (c *served) close() {
	if c.Session != nil {
		c.Session.Close() // the card may be gone; nothing is left to do about it
	}
	*c = served{}
}

// failure turns an error of package card into what the machine branches on.
func failure(err error) unlock.Failure {
	var wrong *card.WrongSecretError
	var retired *card.RetiredError
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
	case errors.As(err, &retired):
		return unlock.Failure{Kind: unlock.FailRetired}
	case errors.Is(err, card.ErrNoPUK), errors.Is(err, card.ErrNotSent):
		return unlock.Failure{Kind: unlock.FailNoPUK}
	case errors.Is(err, card.ErrNoKey):
		return unlock.Failure{Kind: unlock.FailNoKey}
	}
	return unlock.Failure{Kind: unlock.FailStatus}
}
