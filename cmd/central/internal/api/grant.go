package api

import (
	"context"
	"crypto/ecdsa"
	"crypto/hpke"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"latchkey/card/profiles"
	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/vault"
	"latchkey/firmware/secret"
	"latchkey/firmware/wire"
)

// Release judges the second proof and answers with the grant. Its tries are booked with the answer or not at all.
func (s *routes) Release(ctx context.Context, r wire.ReleaseRequestObject) (wire.ReleaseResponseObject, error) {
	return s.once(ctx, ask{"release", r.Params.IdempotencyKey, r.Case}, http.StatusOK, func(st *step) (any, error) {
		c, rec, err := st.known()
		if err != nil {
			return nil, err
		}
		if c.State == cases.Accepted &&
			!signedByDevice(st.rq, wire.ReleaseDigest(st.rq.kiosk, c.ID, c.Nonce, r.Body.Proof, r.Body.Challenge), r.Body.Signature) {
			return nil, cases.Refuse(wire.CodeSignatureInvalid)
		}
		g, err := c.Release(st.Policy, st.now, rec, st.rq.kiosk, r.Body.Proof)
		if err != nil {
			return nil, also(err, st.tx.SetCase(c), st.event(ledger.Refused, c.Card, string(codeOf(err))))
		}
		current, err := st.puk(g.Card, g.Base, rec.Profile.PUK)
		if err != nil {
			return nil, err
		}
		defer current.Wipe()
		next, err := st.puk(g.Card, g.Base+1, rec.Profile.PUK)
		if err != nil {
			return nil, err
		}
		defer next.Wipe()
		out, err := st.seal(st.rq, c, g, wire.Candidates{Current: wire.Secret{Value: current}, Next: wire.Secret{Value: next}})
		if err != nil {
			return nil, err
		}
		note := fmt.Sprintf("base %d first %d tries %d", g.Base, g.First, g.Tries)
		return out, errors.Join(st.tx.SetCase(c), st.tx.AddGrant(g), st.event(ledger.GrantLeft, c.Card, note))
	})
}

// seal makes the grant as it travels: both PUKs, for the key of this walk alone, signed.
func (s *Server) seal(rq *request, c cases.Case, g cases.Grant, both wire.Candidates) (*wire.Grant, error) {
	plain, err := json.Marshal(both)
	if err != nil {
		return nil, fmt.Errorf("encode candidates: %w", err)
	}
	defer clear(plain)
	key, err := wire.KEM().NewPublicKey(c.HPKE)
	if err != nil {
		return nil, fmt.Errorf("grant: kiosk's key: %w", err)
	}
	out := &wire.Grant{Card: g.Card, Base: g.Base, First: g.First, Tries: g.Tries, ExpiresAt: g.ExpiresAt.UnixMilli()}
	enc, sender, err := hpke.NewSender(key, wire.KDF(), wire.AEAD(), wire.GrantInfo(c.ID, rq.certificate.Raw, out))
	if err != nil {
		return nil, fmt.Errorf("seal grant: %w", err)
	}
	if out.Sealed, err = sender.Seal(nil, plain); err != nil {
		return nil, fmt.Errorf("seal grant: %w", err)
	}
	out.Enc = enc
	d := wire.GrantDigest(c.ID, rq.certificate.Raw, out)
	if out.Signature, err = ecdsa.SignASN1(rand.Reader, s.Signing, d[:]); err != nil {
		return nil, fmt.Errorf("sign grant: %w", err)
	}
	return out, nil
}

// puk is a card's PUK of a generation: the imported one, or derived.
func (st *step) puk(card string, generation int64, form profiles.PUK) (secret.Value, error) {
	if generation > 0 {
		return st.Vault.Derive(card, generation, form)
	}
	sealed, err := st.tx.Secret(card, 0)
	if err != nil {
		return secret.Value{}, err
	}
	return st.Vault.Open(vault.Subject{Kind: vault.KindPUK, ID: card}, sealed)
}

// ReportOutcome settles a grant, also after its case was closed, and closes the case.
func (s *routes) ReportOutcome(ctx context.Context, r wire.ReportOutcomeRequestObject) (wire.ReportOutcomeResponseObject, error) {
	return s.once(ctx, ask{"outcome", r.Params.IdempotencyKey, r.Case}, http.StatusOK, func(st *step) (any, error) {
		c, rec, err := st.known()
		if err != nil {
			return nil, err
		}
		o := cases.Outcome{At: st.now, Passcode: r.Body.Passcode, Opened: r.Body.Opened, Rotated: r.Body.Rotated, Tries: r.Body.Tries}
		mine := -1
		for i, g := range rec.Grants {
			if g.Case == c.ID {
				mine = i
			}
		}
		switch {
		case mine >= 0:
			if !rec.Grants[mine].Sane(r.Body.Base, o) {
				return nil, cases.Refuse(wire.CodeMalformed)
			}
			before := slices.Clone(rec.Grants)
			cases.Settle(&rec, mine, o)
			for i, g := range rec.Grants {
				if g == before[i] {
					continue
				}
				if err := st.tx.SetGrant(g); err != nil {
					return nil, err
				}
			}
			if err := errors.Join(st.tx.SetCard(rec.Card), st.tx.SetHolderWrongCodes(rec.Holder)); err != nil {
				return nil, err
			}
			c.Finish(rec.Card, rec.Grants[mine])
		case r.Body.Base == cases.NeverArrived:
			c.Close(cases.ReasonNotUnlocked)
		default:
			return nil, cases.Refuse(wire.CodeWrongStep)
		}
		opened := "none"
		if o.Opened != nil {
			opened = fmt.Sprint(*o.Opened)
		}
		note := fmt.Sprintf("base %d opened %s passcode %s rotated %s tries %d settled %d", r.Body.Base, opened, o.Passcode, o.Rotated, o.Tries, rec.Card.Settled)
		return wire.Settled{Base: rec.Card.Settled}, errors.Join(st.tx.SetCase(c), st.event(ledger.OutcomeKnown, c.Card, note))
	})
}
