// Package kiosk is the loop around firmware/unlock: it feeds the machine events and performs its effects, in the order
// that the machine gives them. It decides nothing.
//
// Three things run beside it: the card's goroutine, since a card can hang; one goroutine for each question to central;
// and the delivery of outcomes and journal entries, which goes on until central has them. The loop never waits for any
// of them, but when it ends. It waits for the journal alone: an entry is durable before the effect that it announces.
package kiosk

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"latchkey/card"
	"latchkey/firmware/audit"
	"latchkey/firmware/checkpoint"
	"latchkey/firmware/journal"
	"latchkey/firmware/service"
	"latchkey/firmware/unlock"
	"latchkey/firmware/wire"
)

// Identity is who this kiosk is, and whom it believes.
type Identity struct {
	ID  string // the certificate's common name
	Key crypto.Signer
	// Certificates (DER) under which central may have answered, the newest first: one can be renewed while a request is on its way.
	Certificates func() [][]byte
	// CentralKey signs grants and receipts; the kiosk learns it when it is enrolled.
	CentralKey *ecdsa.PublicKey
}

// Central is what the loop asks; firmware/link is the real one. A problem that central answers with is a *wire.Problem;
// any other error means that nobody answered.
type Central interface {
	Status(ctx context.Context) error
	Begin(ctx context.Context, key string, body wire.BeginRequest) (*wire.Begun, error)
	Prove(ctx context.Context, key, caseID string, body wire.ProofRequest) (*wire.Proved, error)
	SendCode(ctx context.Context, key, caseID string, body wire.SendCodeRequest) (*wire.CodeStatus, error)
	Code(ctx context.Context, caseID string) (*wire.CodeStatus, error)
	CheckCode(ctx context.Context, key, caseID string, body wire.CheckCodeRequest) (*wire.CodeAccepted, error)
	Release(ctx context.Context, key, caseID string, body wire.ReleaseRequest) (*wire.Grant, error)
	Outcome(ctx context.Context, key, caseID string, body wire.Outcome) (*wire.Settled, error)
	End(ctx context.Context, key, caseID string, body wire.EndRequest) error
	Deliver(ctx context.Context, body wire.EntryBatch) (*wire.Receipt, error)
	// Feedback leaves body's texts to the caller; the same id again has its effect once.
	Feedback(ctx context.Context, body wire.Feedback) error
	// Local is a time of central's in the kiosk's clock.
	Local(ms int64) time.Time
}

// Session is one exclusive session with the card that is in, which was recognised. Close resets the card.
type Session struct {
	Card     card.Card // identified
	Identity card.Identity
	// As is the same card, spoken to as a profile that fits it has it. Until then the card's PUK is not known to be the
	// kind that State speaks of where Doubtful.
	As       func(profile string) (card.Card, error)
	Doubtful bool
	// Rules that a new passcode must satisfy, and those that the present one was chosen by, as far as the card's kind tells.
	Rules, Present card.Rules
	io.Closer
}

// Config wires a kiosk.
type Config struct {
	Identity Identity
	Machine  unlock.Config
	Central  Central
	Journal  *journal.Journal

	// Reader tells what the readers hold: ReaderGone, CardIn (the loop numbers the sessions), CardMute,
	// TwoCards, CardOut. Open opens a session with the one card that is in; its errors are those of package card.
	Reader <-chan unlock.Input
	Open   func(context.Context) (*Session, error)

	// Holder is what is typed and tapped. Show is called after every event and once a second, by one goroutine.
	Holder <-chan unlock.Input
	Show   func(unlock.View, time.Time)

	// Box is what the kiosk's box tells: CaseOpened, CaseCleared, and Touched for its button; nil without one. CaseOpened says that it
	// had been before.
	Box        <-chan unlock.Input
	CaseOpened bool

	// Service knows engineers' one-time codes and service cards; nil if nobody may open the engineer's page.
	Service *service.Store

	// Checkpoints keeps the newest checkpoint of central's tree; nil if none is kept. AskCheckpoint asks central for it, with the proof
	// from one of the size.
	Checkpoints   *checkpoint.Store
	AskCheckpoint func(ctx context.Context, from int64) (*wire.Checkpoint, error)

	// Now is the kiosk's clock, which may be wrong and be set at any time; nil is time.Now.
	Now func() time.Time

	Log *slog.Logger
}

// Kiosk is a running kiosk.
type Kiosk struct {
	Config
	machine  *unlock.Machine
	results  chan unlock.Input // from the card and from central
	session  uint64
	cards    cardJobs
	keys     walkKey
	boot     string        // makes Idempotency-Keys of this run unlike those of others
	written  chan struct{} // the journal has something to deliver
	stopping context.Context
	beside   sync.WaitGroup // what runs beside the loop

	nearlyFull bool // as it was said last
	wrote      bool // the journal has more than written was told
}

// New makes a kiosk; Run starts it.
func New(c Config) *Kiosk {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Kiosk{
		Config: c, machine: unlock.New(c.Machine), results: make(chan unlock.Input, 16), cards: cardJobs{more: make(chan struct{}, 1)},
		boot: rand.Text(), written: make(chan struct{}, 1),
	}
}

// tickEvery is how often time is told to the machine and the countdown is drawn.
const tickEvery = time.Second

// goodbye is how long Run waits for what runs beside it: a card that hangs is left behind.
const goodbye = 2 * time.Second

// Run serves until ctx ends. A card that is being written is finished first.
func (k *Kiosk) Run(ctx context.Context) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	k.stopping = background
	defer func() {
		stop()
		gone := make(chan struct{})
		go func() { k.beside.Wait(); close(gone) }()
		select {
		case <-gone:
		case <-time.After(goodbye):
		}
	}()
	k.Show(k.machine.View(), k.Now()) // that it starts: the first entry waits for the disk
	k.beside.Go(func() { k.serveCards(background) })
	k.beside.Go(func() { k.watchCentral(background) })

	k.step(unlock.Started{Intents: k.Journal.Intents(), Unsettled: k.Journal.Unsettled(), CaseOpened: k.CaseOpened})
	k.beside.Go(func() { k.deliver(background) }) // from here on, so that what it has first is always the same
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	done := ctx.Done()
	for {
		select {
		case <-done:
			if k.machine.View().Screen != unlock.ScreenWriting {
				return nil
			}
			done = nil
		case in := <-k.results:
			k.step(in)
			if done == nil && k.machine.View().Screen != unlock.ScreenWriting {
				return nil
			}
		case in, open := <-k.Reader:
			if !open {
				return errors.New("the watch over the card readers ended")
			}
			if _, is := in.(unlock.CardIn); is {
				k.heedRoom()
				k.session++
				in = unlock.CardIn{Session: k.session}
			}
			k.step(in)
		case in := <-k.Holder:
			k.step(in)
		case in := <-k.Box:
			k.step(in)
		case <-tick.C:
			k.heedRoom()
			k.step(unlock.Tick{})
		}
	}
}

// heedRoom takes no card that the journal has no room for, and takes cards again when it has.
func (k *Kiosk) heedRoom() {
	if nearly := k.Journal.Nearly(); nearly != k.nearlyFull {
		k.nearlyFull = nearly
		k.Log.Warn("journal", "three quarters full", nearly)
	}
	full, v := k.Journal.Full(), k.machine.View()
	switch {
	case full && v.Screen == unlock.ScreenAttract:
		k.step(unlock.JournalFailed{Reason: unlock.ReasonJournalFull})
	case !full && v.Reason == unlock.ReasonJournalFull:
		k.step(unlock.JournalReady{})
	}
}

// step gives the machine one event and performs what it wants.
func (k *Kiosk) step(in unlock.Input) {
	now := k.Now()
	defer k.delivers()
	for _, effect := range k.machine.Step(unlock.Event{At: now, Input: in}) {
		if r, is := effect.(unlock.Record); is {
			if err := k.record(r.Entries); err != nil {
				reason := unlock.ReasonJournalFailed
				if errors.Is(err, journal.ErrFull) {
					reason = unlock.ReasonJournalFull
				}
				for _, e := range r.Entries {
					k.Log.Error("not in the journal", "kind", string(e.Kind), "case", e.Case, "reason", e.Reason, "err", err)
				}
				k.step(unlock.JournalFailed{Reason: reason})
				return
			}
			continue
		}
		k.perform(effect)
	}
	k.Show(k.machine.View(), now)
}

func (k *Kiosk) record(entries []audit.Entry) error {
	if err := k.Journal.Append(entries...); err != nil {
		return err
	}
	for _, e := range entries {
		k.Log.Info("walk", "kind", string(e.Kind), "case", e.Case, "reason", e.Reason)
	}
	k.wrote = true
	return nil
}

// delivers has what was written delivered, once the walk has gone on: nobody waits for that.
func (k *Kiosk) delivers() {
	if !k.wrote {
		return
	}
	k.wrote = false
	select {
	case k.written <- struct{}{}:
	default:
	}
}

func (k *Kiosk) perform(effect unlock.Effect) {
	switch e := effect.(type) {
	case unlock.ReadCard:
		k.onCard(func(c *served) { k.tell(k.read(c, e)) })
	case unlock.ProveCard:
		digest := wire.ProofDigest(e.Nonce, e.Case, k.Identity.ID, k.keys.public())
		k.onCard(func(c *served) { k.tell(k.prove(c, e, digest)) })
	case unlock.ResetPasscode:
		k.onCard(func(c *served) {
			k.tell(c.step(e.Session, func(card card.Card) error { return card.Reset(e.PUK, e.Passcode) }))
		})
	case unlock.ConfirmPasscode:
		k.onCard(func(c *served) {
			k.tell(c.step(e.Session, func(card card.Card) error { return card.Confirm(e.Passcode) }))
		})
	case unlock.ChangePasscode:
		k.onCard(func(c *served) {
			k.tell(c.step(e.Session, func(card card.Card) error { return card.Change(e.Present, e.Passcode) }))
		})
	case unlock.RotatePUK:
		k.onCard(func(c *served) {
			k.tell(c.step(e.Session, func(card card.Card) error { return card.Rotate(e.PUK, e.Next) }))
		})
	case unlock.LeaveCard:
		k.keys.forget()
		k.onCard(func(c *served) { c.leave(e.Session) })
	case unlock.AskOutcome:
		k.beside.Go(func() { k.reportOutcome(k.stopping, e.Outcome) })
	case unlock.EndCase:
		k.beside.Go(func() { k.endCase(k.stopping, e) })
	case unlock.SendFeedback:
		k.beside.Go(func() { k.sendFeedback(k.stopping, e) })
	case unlock.OfferService:
		k.beside.Go(func() { k.tell(k.offerService(k.Now())) })
	case unlock.CheckService:
		code := e.Code.Clone() // the machine may wipe its own meanwhile
		k.beside.Go(func() {
			defer code.Wipe()
			k.tell(k.checkService(k.Now(), code))
		})
	default:
		k.ask(effect)
	}
}

// tell gives the machine an answer.
func (k *Kiosk) tell(in unlock.Input) {
	select {
	case k.results <- in:
	case <-k.stopping.Done():
	}
}

func (k *Kiosk) idempotencyKey(ask uint64) string { return fmt.Sprintf("%s-%d", k.boot, ask) }
