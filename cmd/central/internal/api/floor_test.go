package api

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"net/http"
	"sync"
	"time"

	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/delivery"
	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/store"
	"latchkey/cmd/central/internal/vault"
	"latchkey/firmware/secret"
	"latchkey/firmware/wire"
)

// floor is central without a store, to measure what the store costs: the server's own handler in front (TLS, sizes, body
// MAC, log, documents), its rules, signatures, envelopes, sealing and mail, but what a transaction reads and writes lies in
// Go maps. There is no SQL, no transaction and no disk in it: a request locks its kiosk's records, which only that kiosk
// asks for, so that nobody ever waits. It serves unlocks that go well, and nothing else: whatever would be refused fails
// loudly. Left out besides the store is only what refusals and returns need.
type floor struct {
	*Server
	wire.StrictServerInterface // nil: routes that no unlock asks for
	kiosks                     map[string]*floorKiosk
	cards                      map[string]*floorCard
}

type floorKiosk struct {
	mu          sync.Mutex
	certificate [32]byte
	cases       map[string]cases.Case
	answers     map[string]store.Answer
	events      []ledger.Event
	sends       []time.Time
}

// floorCard is on record with its holder; one kiosk alone asks for it.
type floorCard struct {
	cases.Record
	email, puk []byte // sealed
	sends      []time.Time
}

// newFloor reads what a store has on record, once.
func newFloor(ctx context.Context, s *Server, serials []string) (*floor, error) {
	f := &floor{Server: s, kiosks: map[string]*floorKiosk{}, cards: map[string]*floorCard{}}
	err := s.Store.View(ctx, func(tx *store.Tx) error {
		kiosks, err := tx.Kiosks()
		if err != nil {
			return err
		}
		for _, k := range kiosks {
			f.kiosks[k.Name] = &floorKiosk{certificate: k.Certificate, cases: map[string]cases.Case{}, answers: map[string]store.Answer{}}
		}
		for _, serial := range serials {
			c := &floorCard{}
			if c.Card, err = tx.Card(serial); err != nil {
				return err
			}
			var sealed store.Contacts
			if c.Holder, sealed, err = tx.Holder(c.Card.Holder); err != nil {
				return err
			}
			c.email = sealed.Email
			if c.puk, err = tx.Secret(serial, 0); err != nil {
				return err
			}
			f.cards[serial] = c
		}
		return nil
	})
	return f, err
}

// floorStep is one request at work.
type floorStep struct {
	rq    *request
	kiosk *floorKiosk
	now   time.Time
	c     cases.Case
}

func (st *floorStep) event(kind ledger.Kind, note string) {
	st.kiosk.events = append(st.kiosk.events, ledger.Event{At: st.now, Kind: kind, Kiosk: st.rq.kiosk, Case: st.c.ID, Card: st.c.Card, Note: note})
}

func (f *floor) once(ctx context.Context, a ask, status int, effect func(*floorStep) (any, error)) (out reply, err error) {
	rq := requestOf(ctx)
	k := f.kiosks[rq.kiosk]
	if k == nil || k.certificate != sha256.Sum256(rq.certificate.Raw) || len(a.key) < 16 {
		return out, fmt.Errorf("floor: kiosk %q or its key is not known", rq.kiosk)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	name := a.route + "\x00" + a.key
	if was, ok := k.answers[name]; ok {
		return out, fmt.Errorf("floor: repeated, same body %t", hmac.Equal(was.BodyMAC, rq.bodyMAC))
	}
	st := &floorStep{rq: rq, kiosk: k, now: f.now(), c: k.cases[a.caseID]}
	v, err := effect(st)
	if err == nil {
		out, err = document(status, v)
	}
	if err != nil {
		return out, err
	}
	k.cases[st.c.ID] = st.c
	k.answers[name] = store.Answer{
		Kiosk: rq.kiosk, Route: a.route, Key: a.key, BodyMAC: rq.bodyMAC, Case: st.c.ID, At: st.now, Status: out.status, Body: out.body,
		DiesAt: st.now.Add(f.Policies.For("").CaseValidity + f.Policies.For("").CodeValidity),
	}
	return out, nil
}

// record is what step.record finds.
func (f *floor) record(serial string) (*floorCard, secret.Value, error) {
	c := f.cards[serial]
	if c == nil {
		return nil, secret.Value{}, fmt.Errorf("floor: card %q is not known", serial)
	}
	var err error
	if c.Profile, err = f.Profiles.Named(c.Card.Profile); err != nil {
		return nil, secret.Value{}, err
	}
	email, err := f.Vault.Open(vault.Subject{Kind: vault.KindEmail, ID: c.Holder.ID}, c.email)
	if err != nil {
		return nil, secret.Value{}, err
	}
	c.Channels = cases.Channels(f.Policies.For(""), string(email.Reveal()), "")
	return c, email, nil
}

func (f *floor) BeginCase(ctx context.Context, r wire.BeginCaseRequestObject) (wire.BeginCaseResponseObject, error) {
	return f.once(ctx, ask{"begin", r.Params.IdempotencyKey, ""}, http.StatusCreated, func(st *floorStep) (any, error) {
		if !signedByDevice(st.rq, wire.BeginDigest(st.rq.kiosk, r.Body), r.Body.Signature) {
			return nil, cases.Refuse(wire.CodeSignatureInvalid)
		}
		if _, err := wire.KEM().NewPublicKey(r.Body.HpkePublicKey); err != nil || !serialForm.MatchString(r.Body.Serial) {
			return nil, cases.Refuse(wire.CodeMalformed)
		}
		card := f.cards[r.Body.Serial]
		if card == nil {
			return nil, cases.Refuse(wire.CodeCardUnknown)
		}
		profile, err := f.Profiles.Named(card.Card.Profile)
		if err != nil {
			return nil, err
		}
		if err := cases.MayBegin(f.Policies.For(""), card.Card, card.Holder, profile, r.Body.Family, r.Body.PukTriesLeft); err != nil {
			return nil, err
		}
		st.c = cases.Case{ID: random(16), Card: card.Card.Serial, Holder: card.Holder.ID, Kiosk: st.rq.kiosk}
		st.c.Begin(f.Policies.For(""), st.now, fresh(32), r.Body.HpkePublicKey, r.Body.PukTriesLeft)
		st.event(ledger.CaseBegun, "")
		return wire.Begun{Case: st.c.ID, Profile: "piv", Nonce: st.c.Nonce}, nil
	})
}

func (f *floor) ProveCard(ctx context.Context, r wire.ProveCardRequestObject) (wire.ProveCardResponseObject, error) {
	return f.once(ctx, ask{"proof", r.Params.IdempotencyKey, r.Case}, http.StatusOK, func(st *floorStep) (any, error) {
		card, email, err := f.record(st.c.Card)
		defer email.Wipe()
		if err != nil {
			return nil, err
		}
		if err := st.c.Prove(f.Policies.For(""), st.now, card.Record, st.rq.kiosk, r.Body.Certificate, r.Body.Signature); err != nil {
			return nil, err
		}
		st.event(ledger.CardProved, "")
		return proved(f.Policies.For(""), st.now, st.c, card.Record), nil
	})
}

// SendCode books, hands over and keeps, as the real one does in two transactions.
func (f *floor) SendCode(ctx context.Context, r wire.SendCodeRequestObject) (wire.SendCodeResponseObject, error) {
	return f.once(ctx, ask{"code", r.Params.IdempotencyKey, r.Case}, http.StatusOK, func(st *floorStep) (any, error) {
		card, email, err := f.record(st.c.Card)
		defer email.Wipe()
		if err != nil {
			return nil, err
		}
		code := vault.NewCode(f.Policies.For("").CodeDigits)
		defer code.Wipe()
		mac := f.Vault.CodeMAC(st.c.ID, st.c.Card, st.c.Kiosk, code)
		sends := cases.Sends{Card: card.sends, Holder: card.sends, Kiosk: st.kiosk.sends}
		if err := st.c.Send(f.Policies.For(""), st.now, card.Record, sends, card.Channels[0], mac); err != nil {
			return nil, err
		}
		card.sends, st.kiosk.sends = append(card.sends, st.now), append(st.kiosk.sends, st.now)
		st.event(ledger.CodeSent, r.Body.Channel)
		word := vault.NewWord()
		defer word.Wipe()
		f.Vault.WordMAC(word)
		m := store.Message{ID: random(16), Kind: store.MessageCode, Channel: card.Channels[0].ID, MadeAt: st.now, DiesAt: st.c.Code.ExpiresAt}
		if _, err := f.Outbox.Send(context.WithoutCancel(ctx), m, email, delivery.Code{Digits: code, Word: word}); err != nil {
			return nil, err
		}
		return st.c.CodeStatus(f.Policies.For("")), nil
	})
}

func (f *floor) CheckCode(ctx context.Context, r wire.CheckCodeRequestObject) (wire.CheckCodeResponseObject, error) {
	defer r.Body.Code.Wipe()
	return f.once(ctx, ask{"check", r.Params.IdempotencyKey, r.Case}, http.StatusOK, func(st *floorStep) (any, error) {
		card, email, err := f.record(st.c.Card)
		email.Wipe()
		if err != nil {
			return nil, err
		}
		mac := f.Vault.CodeMAC(st.c.ID, st.c.Card, st.c.Kiosk, r.Body.Code.Value)
		if err := st.c.Check(f.Policies.For(""), st.now, &card.Record, mac); err != nil {
			return nil, err
		}
		st.c.Nonce = fresh(32)
		st.event(ledger.CodeAccepted, "")
		return wire.CodeAccepted{Nonce: st.c.Nonce}, nil
	})
}

func (f *floor) Release(ctx context.Context, r wire.ReleaseRequestObject) (wire.ReleaseResponseObject, error) {
	return f.once(ctx, ask{"release", r.Params.IdempotencyKey, r.Case}, http.StatusOK, func(st *floorStep) (any, error) {
		card, email, err := f.record(st.c.Card)
		email.Wipe()
		if err != nil {
			return nil, err
		}
		if !signedByDevice(st.rq, wire.ReleaseDigest(st.rq.kiosk, st.c.ID, st.c.Nonce, r.Body.Proof, r.Body.Challenge), r.Body.Signature) {
			return nil, cases.Refuse(wire.CodeSignatureInvalid)
		}
		g, err := st.c.Release(f.Policies.For(""), st.now, card.Record, st.rq.kiosk, r.Body.Proof, r.Body.Challenge)
		if err != nil {
			return nil, err
		}
		current, err := f.puk(card, g.Base)
		if err != nil {
			return nil, err
		}
		defer current.Wipe()
		next, err := f.puk(card, g.Base+1)
		if err != nil {
			return nil, err
		}
		defer next.Wipe()
		out, err := f.seal(st.rq, st.c, g, wire.Candidates{Current: wire.Secret{Value: current}, Next: wire.Secret{Value: next}})
		card.Grants = append(card.Grants, g)
		st.event(ledger.GrantLeft, fmt.Sprintf("base %d first %d tries %d", g.Base, g.First, g.Tries))
		return out, err
	})
}

func (f *floor) puk(c *floorCard, generation int64) (secret.Value, error) {
	if generation > 0 {
		return f.Vault.Derive(c.Card.Serial, generation, c.Profile.PUK)
	}
	return f.Vault.Open(vault.Subject{Kind: vault.KindPUK, ID: c.Card.Serial}, c.puk)
}

func (f *floor) ReportOutcome(ctx context.Context, r wire.ReportOutcomeRequestObject) (wire.ReportOutcomeResponseObject, error) {
	return f.once(ctx, ask{"outcome", r.Params.IdempotencyKey, r.Case}, http.StatusOK, func(st *floorStep) (any, error) {
		card, email, err := f.record(st.c.Card)
		email.Wipe()
		if err != nil {
			return nil, err
		}
		o := cases.Outcome{At: st.now, Passcode: r.Body.Passcode, Opened: r.Body.Opened, Rotated: r.Body.Rotated, Tries: r.Body.Tries}
		mine := len(card.Grants) - 1
		if g := card.Grants[mine]; g.Case != st.c.ID || !g.Sane(card.Profile, r.Body.Base, o) {
			return nil, cases.Refuse(wire.CodeMalformed)
		}
		cases.Settle(&card.Record, mine, o)
		st.c.Finish(card.Record, mine)
		st.event(ledger.OutcomeKnown, fmt.Sprintf("base %d opened %d passcode %s rotated %s tries %d settled %d",
			r.Body.Base, *o.Opened, o.Passcode, o.Rotated, o.Tries, card.Card.Settled))
		return wire.Settled{Base: card.Card.Settled}, nil
	})
}
