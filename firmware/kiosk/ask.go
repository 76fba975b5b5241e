package kiosk

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"latchkey/card"
	"latchkey/firmware/unlock"
	"latchkey/firmware/wire"
)

// ask puts one question to central, in a goroutine of its own, and has the machine told the answer.
func (k *Kiosk) ask(effect unlock.Effect) {
	ctx := k.stopping
	switch e := effect.(type) {
	case unlock.AskBegin:
		body, err := k.beginRequest(e)
		k.beside.Go(func() {
			if err != nil {
				k.tell(k.refused(e.Ask, err))
				return
			}
			begun, err := k.Central.Begin(ctx, k.idempotencyKey(e.Ask), body)
			if err == nil && begun.Profile == "" {
				err = errors.New("central does not say which profile the card has")
			}
			if err != nil {
				k.tell(k.refused(e.Ask, err))
				return
			}
			k.tell(unlock.Begun{Ask: e.Ask, Case: begun.Case, Profile: begun.Profile, Nonce: begun.Nonce, Token: begun.Token})
		})
	case unlock.AskProof:
		k.beside.Go(func() {
			proved, err := k.Central.Prove(ctx, k.idempotencyKey(e.Ask), e.Case,
				wire.ProofRequest{Certificate: e.Certificate, Signature: e.Signature})
			if err != nil {
				k.tell(k.refused(e.Ask, err))
				return
			}
			k.tell(k.proved(e.Ask, proved))
		})
	case unlock.AskSendCode:
		k.beside.Go(func() {
			status, err := k.Central.SendCode(ctx, k.idempotencyKey(e.Ask), e.Case, wire.SendCodeRequest{Channel: e.Channel})
			if err != nil {
				k.tell(k.refused(e.Ask, err))
				return
			}
			k.tell(unlock.CodeSent{Ask: e.Ask, Code: *k.code(status)})
		})
	case unlock.AskCode:
		k.beside.Go(func() {
			status, err := k.Central.Code(ctx, e.Case)
			if err != nil {
				k.tell(unlock.CodeSeen{Look: e.Look}) // it is asked again
				return
			}
			k.tell(unlock.CodeSeen{Look: e.Look, Code: k.code(status)})
		})
	case unlock.AskCheckCode:
		body := wire.CheckCodeRequest{Code: wire.Secret{Value: e.Code.Clone()}}
		k.beside.Go(func() {
			defer body.Code.Wipe()
			accepted, err := k.Central.CheckCode(ctx, k.idempotencyKey(e.Ask), e.Case, body)
			if err != nil {
				k.tell(k.refused(e.Ask, err))
				return
			}
			k.tell(unlock.CodeAccepted{Ask: e.Ask, Nonce: accepted.Nonce})
		})
	case unlock.AskRelease:
		body, err := k.releaseRequest(e)
		open := k.keys.opener(k.Identity, e.Case)
		k.beside.Go(func() {
			if err != nil {
				k.tell(k.refused(e.Ask, err))
				return
			}
			sealed, err := k.Central.Release(ctx, k.idempotencyKey(e.Ask), e.Case, body)
			if err != nil {
				k.tell(k.refused(e.Ask, err))
				return
			}
			grant, err := open(sealed)
			if err != nil {
				k.Log.Error("grant refused", "case", e.Case, "err", err)
				k.tell(unlock.Refused{Ask: e.Ask, Refusal: unlock.Refusal{Code: unlock.ReasonGrantInvalid}})
				return
			}
			grant.ExpiresAt = k.Central.Local(sealed.ExpiresAt)
			k.tell(unlock.Granted{Ask: e.Ask, Grant: grant})
		})
	}
}

// refused tells why central did not answer as asked.
func (k *Kiosk) refused(ask uint64, err error) unlock.Refused {
	var p *wire.Problem
	if !errors.As(err, &p) {
		k.Log.Warn("central unreachable", "err", err)
		return unlock.Refused{Ask: ask, Refusal: unlock.Refusal{Code: unlock.ReasonUnreachable}}
	}
	k.Log.Info("central refused", "code", string(p.Code))
	r := unlock.Refusal{Code: unlock.Reason(p.Code)}
	if p.AttemptsLeft != nil {
		r.AttemptsLeft = *p.AttemptsLeft
	}
	if p.RetryAt != nil {
		r.RetryAt = k.Central.Local(*p.RetryAt)
	}
	return unlock.Refused{Ask: ask, Refusal: r}
}

func (k *Kiosk) proved(ask uint64, p *wire.Proved) unlock.Proved {
	out := unlock.Proved{Ask: ask, Holder: p.Holder,
		Rules: card.Rules{Min: p.Passcode.Min, Max: p.Passcode.Max, DigitsOnly: p.Passcode.DigitsOnly},
		Weak:  unlock.WeakPolicy(p.Passcode.Weak)}
	for _, c := range p.Channels {
		out.Channels = append(out.Channels, unlock.Channel{ID: c.Id, Kind: c.Kind, Masked: c.Masked})
	}
	if p.Code != nil {
		out.Code = k.code(p.Code)
	}
	return out
}

func (k *Kiosk) code(s *wire.CodeStatus) *unlock.Code {
	return &unlock.Code{
		Masked: s.Masked, Digits: s.Digits, AttemptsLeft: s.AttemptsLeft, SendsLeft: s.SendsLeft,
		SentAt: k.Central.Local(s.SentAt), ExpiresAt: k.Central.Local(s.ExpiresAt), ResendAt: k.Central.Local(s.ResendAt),
		Failed: s.Failed != nil && *s.Failed,
	}
}

// endCase tells central once; a case that it does not learn of runs out by itself.
func (k *Kiosk) endCase(ctx context.Context, e unlock.EndCase) {
	// A case can be left more than once: a card that came back and did not prove itself ends nothing.
	if err := k.Central.End(ctx, "end-"+rand.Text(), e.Case, wire.EndRequest{Reason: e.Reason}); err != nil {
		k.Log.Warn("case not ended at central", "case", e.Case, "err", err)
	}
}

// A kiosk asks so often whether central is there; sooner where nobody answered, as when its own network is not up yet.
const (
	statusEvery = 15 * time.Second
	statusSoon  = time.Second // at first, then twice as long each time
)

// watchCentral keeps the first screen honest about the service.
func (k *Kiosk) watchCentral(ctx context.Context) {
	soon := statusSoon
	for was := (unlock.CentralSeen{Up: true}); ; {
		err := k.Central.Status(ctx)
		if ctx.Err() != nil {
			return
		}
		is, wait, next := unlock.CentralSeen{Up: err == nil}, statusEvery, statusSoon
		if p := (*wire.Problem)(nil); errors.As(err, &p) {
			switch p.Code {
			case wire.CodeKioskUnknown, wire.CodeKioskUnconfirmed, wire.CodeKioskDisabled, wire.CodeKioskQuarantined:
				is.Code = p.Code
			}
		} else if err != nil {
			wait, next = soon, min(2*soon, statusEvery)
		}
		soon = next
		if is != was {
			k.Log.Info("central", "up", is.Up, "err", err)
			k.tell(is)
			was = is
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
}
