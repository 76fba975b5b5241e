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
	"time"

	"latchkey/card/profiles"
	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/store"
	"latchkey/cmd/central/internal/vault"
	"latchkey/firmware/secret"
	"latchkey/firmware/wire"
)

// Release judges the second proof and answers with the grant. Its tries are booked with the answer or not at all.
func (s *routes) Release(ctx context.Context, r wire.ReleaseRequestObject) (wire.ReleaseResponseObject, error) {
	return s.once(ctx, ask{release, r.Params.IdempotencyKey, r.Case}, http.StatusOK, func(st *step) (any, error) {
		c, rec, err := st.known()
		if err != nil {
			return nil, err
		}
		if c.State == cases.Accepted &&
			!signedByDevice(st.rq, wire.ReleaseDigest(st.rq.kiosk, c.ID, c.Nonce, r.Body.Proof, r.Body.Challenge), r.Body.Signature) {
			return nil, cases.Refuse(wire.CodeSignatureInvalid)
		}
		if err := st.recover(&rec); err != nil {
			return nil, err
		}
		g, err := c.Release(st.policy(), st.now, rec, st.rq.kiosk, r.Body.Proof, r.Body.Challenge)
		if err != nil {
			return nil, st.turnDown(ledger.Refused, c, err)
		}
		both, err := st.candidates(rec, g, r.Body.Challenge)
		if err != nil {
			return nil, err
		}
		defer both.Current.Wipe()
		defer both.Next.Wipe()
		out, err := st.seal(st.rq, c, g, both)
		if err != nil {
			return nil, err
		}
		note := fmt.Sprintf("base %d first %d tries %d", g.Base, g.First, g.Tries)
		return out, errors.Join(st.tx.SetCase(c), st.tx.AddGrant(g), st.event(ledger.GrantLeft, c.Card, note))
	})
}

// candidates are what a grant seals: the PUK and the next one, the one PUK of a card whose PUK does not rotate, or the
// answer to the card's challenge. They are the caller's to wipe.
func (st *step) candidates(rec cases.Record, g cases.Grant, challenge []byte) (both wire.Candidates, err error) {
	if cases.Challenges(rec.Profile) {
		sealed, err := st.tx.Secret(g.Card, g.Base)
		if err != nil {
			return both, err
		}
		both.Current.Value, err = st.Vault.Answer(vault.CardSecret(g.Card, true, g.Base), sealed, challenge)
		return both, err
	}
	if both.Current.Value, err = st.puk(g.Card, g.Base, rec.Profile.PUK); err != nil || !rec.Profile.PUK.Rotates {
		return both, err
	}
	if both.Next.Value, err = st.Vault.Derive(g.Card, g.Base+1, rec.Profile.PUK); err != nil {
		both.Current.Wipe()
	}
	return both, err
}

// seal makes the grant as it travels: its candidates, for the key of this walk alone, signed.
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

// puk is a card's PUK of a settled generation: imported, or derived.
func (st *step) puk(card string, generation int64, form profiles.PUK) (secret.Value, error) {
	sealed, err := st.tx.Secret(card, generation)
	switch {
	case errors.Is(err, store.ErrNotFound) && generation > 0:
		return st.Vault.Derive(card, generation, form)
	case err != nil:
		return secret.Value{}, err
	}
	return st.Vault.Open(vault.CardSecret(card, false, generation), sealed)
}

// ReportOutcome settles a grant, also after its case was closed, and closes the case.
func (s *routes) ReportOutcome(ctx context.Context, r wire.ReportOutcomeRequestObject) (wire.ReportOutcomeResponseObject, error) {
	requestOf(ctx).evidence = true
	return s.once(ctx, ask{"outcome", r.Params.IdempotencyKey, r.Case}, http.StatusOK, func(st *step) (any, error) {
		c, rec, err := st.known()
		if err != nil {
			return nil, err
		}
		o := cases.Outcome{
			At: st.now, Passcode: r.Body.Passcode, Opened: r.Body.Opened, Rotated: r.Body.Rotated, Tries: r.Body.Tries, PUKBlocked: r.Body.PukBlocked,
		}
		mine := -1
		for i, g := range rec.Grants {
			if g.Case == c.ID {
				mine = i
			}
		}
		switch {
		case mine >= 0:
			if !rec.Grants[mine].Sane(rec.Profile, r.Body.Base, o) {
				return nil, cases.Refuse(wire.CodeMalformed)
			}
			before, grants, used := rec, slices.Clone(rec.Grants), !rec.Card.ApprovedUntil.IsZero()
			cases.Settle(&rec, mine, o)
			for i, g := range rec.Grants {
				if g == grants[i] {
					continue
				}
				if err := st.tx.SetGrant(g); err != nil {
					return nil, err
				}
			}
			if err := st.counted(before, rec); err != nil {
				return nil, err
			}
			if used && rec.Card.ApprovedUntil.IsZero() {
				if err := st.tx.ApproveCard(c.Card, time.Time{}); err != nil {
					return nil, err
				}
			}
			c.Finish(rec, mine)
		case r.Body.Base != cases.NeverArrived:
			return nil, cases.Refuse(wire.CodeWrongStep)
		case !(cases.Grant{}).Sane(rec.Profile, r.Body.Base, o):
			return nil, cases.Refuse(wire.CodeMalformed)
		default:
			c.Close(cases.ReasonNotUnlocked)
		}
		st.rq.outcome = o.Passcode
		opened := "none"
		if o.Opened != nil {
			opened = fmt.Sprint(*o.Opened)
		}
		note := fmt.Sprintf("base %d opened %s passcode %s rotated %s tries %d settled %d", r.Body.Base, opened, o.Passcode, o.Rotated, o.Tries, rec.Card.Settled)
		if o.PUKBlocked {
			note += " puk-blocked"
		}
		return wire.Settled{Base: rec.Card.Settled}, errors.Join(st.tx.SetCase(c), st.event(ledger.OutcomeKnown, c.Card, note), st.visited(c))
	})
}
