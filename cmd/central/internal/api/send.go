package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/delivery"
	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/store"
	"latchkey/cmd/central/internal/vault"
	"latchkey/firmware/secret"
	"latchkey/firmware/wire"
)

// sending is a code between its booking and what became of its message.
type sending struct {
	caseID string
	at     time.Time
	code   secret.Value
	email  secret.Value
	mac    []byte
	policy cases.Policy
	before cases.Code // that was out until then
	out    cases.Case // as booked
}

func (w *sending) wipe() {
	if w != nil {
		w.code.Wipe()
		w.email.Wipe()
	}
}

// SendCode sends a code: booked, handed over, and taken back if that failed. A process that dies between leaves the
// booking, so that nothing is ever sent twice for one request.
func (s *routes) SendCode(ctx context.Context, r wire.SendCodeRequestObject) (wire.SendCodeResponseObject, error) {
	rq := requestOf(ctx)
	a := ask{"code", r.Params.IdempotencyKey, r.Case}
	var out reply
	var way *sending
	err := s.Store.Update(ctx, func(tx *store.Tx) error {
		rq.code, rq.repeated = "", false
		way.wipe() // of a run that failed
		way = nil
		st := &step{Server: s.Server, tx: tx, rq: rq, now: s.now(), caseID: a.caseID}
		done, was, err := st.repeated(a)
		if done {
			out = was
		}
		if done || err != nil {
			return err
		}
		way, err = st.book(r.Body.Channel)
		if err := st.answer(&out, err); err != nil {
			return err
		}
		return st.keep(a, out) // without a status, if a message is on its way
	})
	defer func() { way.wipe() }()
	if err != nil || way == nil {
		return out, err
	}

	// The kiosk may hang up; whether the message went is worth knowing all the same.
	ctx = context.WithoutCancel(ctx)
	failed := s.Email.Send(ctx, way.email, delivery.Code{Digits: way.code, Validity: way.policy.CodeValidity, ExpiresAt: way.out.Code.ExpiresAt})
	if failed != nil {
		s.Log.Error("delivery failed", "request", rq.id, "err", failed)
	}
	err = s.Store.Update(ctx, func(tx *store.Tx) error {
		st := &step{Server: s.Server, tx: tx, rq: rq, now: s.now(), caseID: a.caseID}
		var err error
		if failed == nil {
			out, err = document(http.StatusOK, way.out.CodeStatus(way.policy))
		} else {
			out, err = refuse(rq, wire.CodeDeliveryFailed), st.unbook(way)
		}
		if err != nil {
			return err
		}
		return st.keep(a, out)
	})
	return out, err
}

// book counts the send and makes the new code the one that counts.
func (st *step) book(channel string) (*sending, error) {
	c, err := st.theCase()
	if err != nil {
		return nil, err
	}
	rec, email, err := st.record(c.Card)
	if err != nil {
		return nil, err
	}
	var to *cases.Channel
	for i := range rec.Channels {
		if rec.Channels[i].ID == channel {
			to = &rec.Channels[i]
		}
	}
	if to == nil {
		email.Wipe()
		return nil, cases.Refuse(wire.CodeNotFound)
	}
	sends, err := st.tx.Sends(c, st.now.Add(-cases.RateWindow))
	if err != nil {
		return nil, err
	}
	way := &sending{caseID: c.ID, at: st.now, code: vault.NewCode(st.policy().CodeDigits), email: email, policy: st.policy(), before: c.Code}
	way.mac = st.Vault.CodeMAC(c.ID, c.Card, c.Kiosk, way.code)
	if err := c.Send(st.policy(), st.now, rec, sends, *to, way.mac); err != nil {
		way.code.Wipe()
		email.Wipe()
		return nil, also(err, st.tx.SetCase(c), st.refused(ledger.Refused, c.Card, err))
	}
	way.out = c
	return way, errors.Join(st.tx.SetCase(c), st.tx.AddSend(c, st.now), st.event(ledger.CodeSent, c.Card, to.ID))
}

// unbook takes the send back.
func (st *step) unbook(way *sending) error {
	c, err := st.tx.Case(way.caseID)
	if err != nil {
		return err
	}
	c.Unsend(st.now, way.before, way.mac)
	return errors.Join(st.tx.SetCase(c), st.tx.RemoveSend(c, way.at), st.event(ledger.CodeUnsent, c.Card, string(wire.CodeDeliveryFailed)))
}
