package api

import (
	"context"
	"crypto/hmac"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"time"
	"unicode/utf8"

	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/store"
	"latchkey/firmware/wire"
)

// step is one request at work inside its transaction.
type step struct {
	*Server
	tx     *store.Tx
	rq     *request
	now    time.Time
	caseID string      // empty as long as there is none
	kiosk  store.Kiosk // as it was when the request came; of once

	organisation string // of the holder, once the holder is known
	card         string // serial of the one that the request is about, known or not; for what counts by cards
	over         bool   // the case was, before this request
}

// policy is what holds for the holder; the default's as long as there is none.
func (st *step) policy() cases.Policy { return st.Policies.For(st.organisation) }

// release is the route whose answer is a grant: it is not given again after that has expired.
const release = "release"

// ask names a request among its kiosk's.
type ask struct {
	route, key string
	caseID     string
}

// once gives a request its effect once: effect and stored answer are one transaction, and a repetition gets the stored
// answer. That the kiosk is still served is checked before. A refusal is an answer, and what the effect stored with it stays.
func (s *Server) once(ctx context.Context, a ask, status int, effect func(*step) (any, error)) (out reply, err error) {
	rq := requestOf(ctx)
	err = s.Store.Update(ctx, func(tx *store.Tx) error {
		rq.code, rq.repeated = "", false
		st := &step{Server: s, tx: tx, rq: rq, now: s.now(), caseID: a.caseID}
		done, was, err := st.repeated(a)
		if done {
			out = was
		}
		if done || err != nil {
			return err
		}
		v, err := effect(st)
		if err == nil {
			out, err = document(status, v)
		}
		if err := st.answer(&out, err); err != nil {
			return err
		}
		return st.keep(a, out)
	})
	return out, err
}

// now in whole milliseconds, as times are stored and travel.
func (s *Server) now() time.Time { return s.Now().UTC().Truncate(time.Millisecond) }

// answer turns a refusal into a reply, and books what counts against the kiosk; any other error stays one.
func (st *step) answer(out *reply, err error) error {
	var r *cases.Refusal
	if errors.As(err, &r) {
		*out = refusal(st.rq, r)
		return st.strike(r)
	}
	return err
}

// repeated refuses kiosks that are not served and keys that are not keys, and finds the answer of a request that had its
// effect already.
func (st *step) repeated(a ask) (done bool, out reply, err error) {
	if len(a.key) < 16 || len(a.key) > 64 || !utf8.ValidString(a.key) {
		err := st.answer(&out, allowed(st.tx, st.rq))
		if err == nil && out.status == 0 {
			out = refuse(st.rq, wire.CodeMalformed)
		}
		return err == nil, out, err
	}
	k, was, err := st.tx.KioskAnswer(st.rq.kiosk, a.route, a.key)
	if err := allows(st.tx, st.rq, k, err); err != nil {
		err = st.answer(&out, err)
		return err == nil, out, err
	}
	st.kiosk = k
	switch {
	case was == nil:
		return false, out, st.tx.DropAnswers(st.now, cases.FeedbackSince(st.Policies.Default, st.now))
	case !hmac.Equal(was.BodyMAC, st.rq.bodyMAC):
		err := st.answer(&out, cases.Refuse(wire.CodeIdempotencyConflict))
		return err == nil, out, err
	}
	st.rq.repeated = true
	switch {
	case was.Status != 204 && was.Body == nil:
		c, err := st.tx.Case(was.Case)
		if err != nil {
			return false, out, err
		}
		return true, refusal(st.rq, c.Ended()), nil
	case was.Case != "":
		// A case that has run out answers nothing any more, nor does what was stored for it.
		c, err := st.tx.Case(was.Case)
		if err != nil {
			return false, out, err
		}
		if !c.State.Over() && !c.Open(st.now) {
			return true, refuse(st.rq, wire.CodeCaseClosed), nil
		}
		if served, err := st.stillServed(c); err != nil || !served {
			return err == nil, refuse(st.rq, wire.CodeCaseClosed), err
		}
		if a.route == release && was.Status == http.StatusOK {
			var g wire.Grant
			if err := json.Unmarshal(was.Body, &g); err != nil {
				return false, out, err
			}
			if st.now.UnixMilli() >= g.ExpiresAt {
				return true, refuse(st.rq, wire.CodeCaseClosed), nil
			}
		}
	}
	if was.Status >= 400 {
		var p wire.Problem
		if err := json.Unmarshal(was.Body, &p); err != nil {
			return false, out, err
		}
		st.rq.code = p.Code
	}
	return true, reply{was.Status, was.Body}, nil
}

// stillServed says whether an answer that was stored for a case may be given again: it names a holder, or is a grant, and the
// card may have been revoked since, or the holder have left. Of a card that has not proved itself nothing is said by it.
func (st *step) stillServed(c cases.Case) (bool, error) {
	if c.State.Over() || c.State == cases.Begun {
		return true, nil
	}
	card, err := st.tx.Card(c.Card)
	if err != nil {
		return false, err
	}
	h, _, err := st.tx.Holder(c.Holder)
	return !card.Revoked && card.FrozenAt.IsZero() && h.Active && h.QuarantinedAt.IsZero(), err
}

// counted stores what a step has changed of the card and of the holder's wrong codes.
func (st *step) counted(before, after cases.Record) (err error) {
	b, a := before.Card, after.Card
	if a.Settled != b.Settled || a.WrongCodes != b.WrongCodes || a.PUKBlocked != b.PUKBlocked {
		err = st.tx.SetCard(a)
	}
	if after.Holder.WrongCodes != before.Holder.WrongCodes {
		err = errors.Join(err, st.tx.SetHolderWrongCodes(after.Holder))
	}
	return err
}

// keep stores the answer for repetitions.
func (st *step) keep(a ask, out reply) error {
	return st.tx.SetAnswer(store.Answer{
		Kiosk: st.rq.kiosk, Route: a.route, Key: a.key, BodyMAC: st.rq.bodyMAC, Case: st.caseID, At: st.now,
		Status: out.status, Body: out.body, DiesAt: st.now.Add(st.Policies.Longest()),
	})
}

// refused appends a refusal to the ledger, with the reason that the kiosk does not learn. Other errors are none of its.
func (st *step) refused(kind ledger.Kind, card string, err error) error {
	var r *cases.Refusal
	if !errors.As(err, &r) {
		return nil
	}
	return st.event(kind, card, r.Note())
}

// event appends to the ledger. Every case event carries the card, so that the ledger can be read without the cases.
func (st *step) event(kind ledger.Kind, card, note string) error {
	return st.tx.AppendEvent(ledger.Event{At: st.now, Kind: kind, Kiosk: st.rq.kiosk, Case: st.caseID, Card: card, Note: note})
}

// also is a refusal whose own effects were stored, or the error of storing them: an effect is never half.
func also(refusal error, effects ...error) error {
	if err := errors.Join(effects...); err != nil {
		return err
	}
	return refusal
}

var caseForm = regexp.MustCompile(`^[0-9a-f]{32}$`)

// theCase finds the request's case, if it is one of this kiosk's.
func (st *step) theCase() (cases.Case, error) {
	if !caseForm.MatchString(st.caseID) { // there are databases that take offence at what is no text
		st.caseID = ""
		return cases.Case{}, cases.Refuse(wire.CodeNotFound)
	}
	c, err := st.tx.Case(st.caseID)
	if errors.Is(err, store.ErrNotFound) || err == nil && c.Kiosk != st.rq.kiosk {
		st.caseID = "" // nothing that is stored from here on belongs to another kiosk's case
		return c, cases.Refuse(wire.CodeNotFound)
	}
	st.over, st.card = c.State.Over(), c.Card
	return c, err
}

// known finds the request's case, and all that the rules ask of its card.
func (st *step) known() (cases.Case, cases.Record, error) {
	c, err := st.theCase()
	if err != nil {
		return c, cases.Record{}, err
	}
	rec, to, err := st.record(c)
	to.wipe()
	return c, rec, err
}

// record finds all that the rules ask of a case's card, and the holder's addresses, which are the caller's to wipe.
func (st *step) record(c cases.Case) (r cases.Record, to addresses, err error) {
	var sealed store.Contacts
	if r.Card, r.Holder, sealed, err = st.tx.CardHolder(c.Card, c.Holder); err != nil {
		return r, to, err
	}
	if r.Profile, err = st.Profiles.Named(r.Card.Profile); err != nil {
		return r, to, err
	}
	st.organisation = r.Holder.Organisation
	e, err := st.epoch()
	if err != nil {
		return r, to, err
	}
	r.Epoch = e.Number
	if r.Grants, err = st.tx.Grants(c.Card); err != nil {
		return r, to, err
	}
	to, r.Channels, err = st.reached(st.policy(), r.Holder.ID, sealed)
	return r, to, err
}
