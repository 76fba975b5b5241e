package api

import (
	"context"
	"errors"
	"net/http"

	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/engineers"
	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/store"
	"latchkey/firmware/service"
	"latchkey/firmware/wire"
)

// GetService gives a kiosk its document, unless it has it. Mostly nothing is written and nothing signed: a chain is made when
// the kiosk asks first, and a document is signed when it is sent.
func (s *routes) GetService(ctx context.Context, r wire.GetServiceRequestObject) (wire.GetServiceResponseObject, error) {
	rq := requestOf(ctx)
	told := engineers.Told{Chain: r.Params.Chain, Due: r.Params.Due}
	if told.Due < 0 || told.Due > service.Codes {
		return refuse(rq, wire.CodeMalformed), nil
	}
	var out reply
	var d service.Document
	var writes, needs bool
	err := s.Store.View(ctx, func(tx *store.Tx) error {
		st := &step{Server: s.Server, tx: tx, rq: rq, now: s.now()}
		k, err := admitted(tx, rq)
		var chains []store.ServiceChain
		if err == nil {
			chains, err = tx.ServiceChains(rq.kiosk)
		}
		if err == nil {
			needs = engineers.Needs(chains, told)
			writes = needs || renewedIn(k, rq) || engineers.News(chains, told, st.now) != nil
		}
		if err == nil && !writes {
			d, err = engineers.Document(tx, chains)
		}
		return st.answer(&out, err)
	})
	if err == nil && out.status == 0 && writes {
		var fresh *store.ServiceChain
		if needs {
			made, err := engineers.NewChain(s.Vault, rq.kiosk, s.now())
			if err != nil {
				return nil, err
			}
			fresh = &made
		}
		err = s.Store.Update(ctx, func(tx *store.Tx) (err error) {
			rq.code = ""
			st := &step{Server: s.Server, tx: tx, rq: rq, now: s.now()}
			d, err = st.toldService(told, fresh)
			return st.answer(&out, err)
		})
	}
	if err != nil || out.status != 0 {
		return out, err
	}
	etag := service.ETag(d.Text())
	if r.Params.IfNoneMatch == etag {
		return wire.GetService304Response{}, nil
	}
	signed, err := d.Sign(s.Signing)
	if err != nil {
		return nil, err
	}
	return wire.GetService200JSONResponse{
		Body:    wire.ServiceDocument{Document: signed.Document, Signature: signed.Signature},
		Headers: wire.GetService200ResponseHeaders{ETag: &etag},
	}, nil
}

// toldService books what a kiosk told of its chain, and gives it the fresh one if it still needs one.
func (st *step) toldService(told engineers.Told, fresh *store.ServiceChain) (d service.Document, err error) {
	if err := allowed(st.tx, st.rq); err != nil {
		return d, err
	}
	chains, err := st.tx.ServiceChains(st.rq.kiosk)
	if err != nil {
		return d, err
	}
	if c := engineers.News(chains, told, st.now); c != nil {
		// To those before it the kiosk does not go back.
		err = errors.Join(st.tx.SetServiceChain(*c), st.tx.DropServiceChains(c.Kiosk, c.Serial))
	}
	if err == nil && fresh != nil && engineers.Needs(chains, told) {
		err = st.giveChain(*fresh)
	}
	if err != nil {
		return d, err
	}
	if chains, err = st.tx.ServiceChains(st.rq.kiosk); err != nil {
		return d, err
	}
	return engineers.Document(st.tx, chains)
}

// chainsADay is how many chains a kiosk is given: one loses its file once, and what is made stays in the ledger.
const chainsADay = 4

func (st *step) giveChain(fresh store.ServiceChain) error {
	subject := store.ServiceSubject(fresh.Kiosk)
	given, err := st.tx.Strikes(subject, st.now.Add(-cases.VisitWindow))
	if err != nil {
		return err
	}
	if n := len(given); n >= chainsADay {
		return &cases.Refusal{Code: wire.CodeRateLimited, RetryAt: given[n-chainsADay].Add(cases.VisitWindow)}
	}
	return errors.Join(st.tx.AddStrike(store.Strike{Subject: subject, At: st.now}), st.tx.AddServiceChain(fresh), st.event(ledger.ServiceCodesMade, "", ""))
}

func (r reply) VisitGetServiceResponse(w http.ResponseWriter) error { return r.write(w) }
