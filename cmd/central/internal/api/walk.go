package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/ledger"
	"latchkey/firmware/wire"
)

// routes implements the generated server's interface.
type routes struct{ *Server }

var _ wire.StrictServerInterface = (*routes)(nil)

var serialForm = regexp.MustCompile(`^[0-9a-f]{2,64}$`)

// maxTriesLeft is more than any card counts (ISO/IEC 7816-4 §7.5.1: 63CX).
const maxTriesLeft = 255

// countable says whether a card can have told this many tries, or nothing.
func countable(triesLeft int) bool { return triesLeft >= -1 && triesLeft <= maxTriesLeft }

// forgotten is for the ledger: of a card that is not locked, the holder has forgotten the passcode.
func forgotten(triesLeft int) string {
	switch {
	case triesLeft == 0:
		return ""
	case triesLeft < 0:
		return "forgotten or locked, tries not told"
	}
	return fmt.Sprintf("forgotten, %d tries left", triesLeft)
}

// BeginCase opens a case for a card whose holder cannot use it, or returns to its open one.
func (s *routes) BeginCase(ctx context.Context, r wire.BeginCaseRequestObject) (wire.BeginCaseResponseObject, error) {
	// What needs no record is judged before the transaction, in which writers wait for one another.
	rq := requestOf(ctx)
	signed := signedByDevice(rq, wire.BeginDigest(rq.kiosk, r.Body), r.Body.Signature)
	_, badKey := wire.KEM().NewPublicKey(r.Body.HpkePublicKey)
	head, badHead := ledger.Head(r.Body.Journal)
	return s.once(ctx, ask{"begin", r.Params.IdempotencyKey, ""}, http.StatusCreated, func(st *step) (any, error) {
		if !signed {
			return nil, cases.Refuse(wire.CodeSignatureInvalid)
		}
		if badKey != nil || badHead != nil || head.Seq < 0 || !serialForm.MatchString(r.Body.Serial) || !countable(r.Body.TriesLeft) || !countable(r.Body.PukTriesLeft) {
			return nil, cases.Refuse(wire.CodeMalformed)
		}
		st.card = r.Body.Serial
		if err := st.shows(head); err != nil {
			return nil, also(err, st.refused(ledger.Refused, "", err))
		}
		begun, err := st.begin(r.Body)
		if err != nil {
			return nil, also(err, st.refused(ledger.Refused, r.Body.Serial, err))
		}
		return begun, nil
	})
}

func (st *step) begin(body *wire.BeginRequest) (any, error) {
	card, err := st.claimed(body.Serial)
	if err != nil {
		return nil, err
	}
	holder, _, err := st.tx.Holder(card.Holder)
	if err != nil {
		return nil, err
	}
	st.organisation = holder.Organisation
	profile, err := st.Profiles.Named(card.Profile)
	if err != nil {
		return nil, err
	}
	if err := cases.MayBegin(st.policy(), card, holder, profile, body.Family, body.PukTriesLeft); err != nil {
		return nil, err
	}
	kind := ledger.CaseBegun
	c := cases.Case{ID: random(16), Card: card.Serial, Holder: holder.ID, Kiosk: st.rq.kiosk}
	// Cases at other kiosks stay until the card has proved itself: a counterfeit must not end its original's visit.
	open, err := st.tx.OpenCases(card.Serial)
	if err != nil {
		return nil, err
	}
	for _, o := range open {
		if o.Kiosk != st.rq.kiosk {
			continue
		}
		if o.ReturnsTo(st.now) {
			c, kind = o, ledger.CaseReturned
			continue
		}
		if err := st.close(o); err != nil {
			return nil, err
		}
	}
	c.Begin(st.policy(), st.now, fresh(32), body.HpkePublicKey, body.PukTriesLeft)
	st.caseID = c.ID
	if err := errors.Join(st.tx.SetCase(c), st.event(kind, card.Serial, forgotten(body.TriesLeft))); err != nil {
		return nil, err
	}
	e, err := st.epoch()
	if err != nil {
		return nil, err
	}
	token, err := st.Vault.CardToken(c.ID, st.rq.kiosk, e.Number, card.Serial)
	if err != nil {
		return nil, err
	}
	return wire.Begun{Case: c.ID, Profile: card.Profile, Nonce: c.Nonce, Token: token}, nil
}

// close ends a case that the card left behind.
func (st *step) close(o cases.Case) error {
	o.Supersede(st.now)
	return errors.Join(st.tx.SetCase(o), st.visited(o), st.tx.AppendEvent(ledger.Event{
		At: st.now, Kind: ledger.CaseEnded, Kiosk: o.Kiosk, Case: o.ID, Card: o.Card, Note: string(o.Reason),
	}))
}

// closeOthers ends those of a card's open cases that it left behind at any kiosk when it came to this one.
func (st *step) closeOthers(c cases.Case, open []cases.Case) error {
	for _, o := range open {
		if o.ID == c.ID {
			continue
		}
		if err := st.close(o); err != nil {
			return err
		}
	}
	return nil
}

// ProveCard judges the card's first proof and, if it is genuine, names the holder.
func (s *routes) ProveCard(ctx context.Context, r wire.ProveCardRequestObject) (wire.ProveCardResponseObject, error) {
	return s.once(ctx, ask{"proof", r.Params.IdempotencyKey, r.Case}, http.StatusOK, func(st *step) (any, error) {
		c, rec, err := st.known()
		if err != nil {
			return nil, err
		}
		if err := st.recover(&rec); err != nil {
			return nil, err
		}
		var open []cases.Case
		if open, rec.Around, err = st.tx.Visits(c.Card, st.rq.kiosk, st.now); err != nil {
			return nil, err
		}
		if err := c.Prove(st.policy(), st.now, rec, st.rq.kiosk, r.Body.Certificate, r.Body.Signature); err != nil {
			return nil, st.turnDown(ledger.Refused, c, err)
		}
		if !rec.Card.Proves() {
			// It may be a copy, whose original is at another kiosk: only the right code says who has the card.
			return proved(st.policy(), st.now, c, rec), errors.Join(st.tx.SetCase(c), st.event(ledger.CardProved, c.Card, "without proof, as policy has it"))
		}
		return proved(st.policy(), st.now, c, rec), errors.Join(st.tx.SetCase(c), st.event(ledger.CardProved, c.Card, ""), st.closeOthers(c, open))
	})
}

// proved is what a kiosk learns of a genuine card's holder.
func proved(p cases.Policy, now time.Time, c cases.Case, rec cases.Record) wire.Proved {
	out := wire.Proved{
		Holder:   cases.ShownName(p, rec.Holder.Name),
		Channels: []wire.Channel{},
		Passcode: wire.PasscodeRules{
			Min: rec.Profile.Passcode.Min, Max: rec.Profile.Passcode.Max, DigitsOnly: rec.Profile.Passcode.DigitsOnly,
			Weak: p.Weak,
		},
	}
	for _, ch := range rec.Offered(p, now) {
		out.Channels = append(out.Channels, wire.Channel{Id: ch.ID, Kind: ch.Kind, Masked: ch.Masked})
	}
	if c.State == cases.CodeSent {
		status := c.CodeStatus(p)
		out.Code = &status
	}
	return out
}

// CheckCode judges a code; the attempt is booked with the answer or not at all.
func (s *routes) CheckCode(ctx context.Context, r wire.CheckCodeRequestObject) (wire.CheckCodeResponseObject, error) {
	defer r.Body.Code.Wipe()
	return s.once(ctx, ask{"check", r.Params.IdempotencyKey, r.Case}, http.StatusOK, func(st *step) (any, error) {
		c, rec, err := st.known()
		if err != nil {
			return nil, err
		}
		if n := r.Body.Code.Len(); n < 1 || n > 64 {
			return nil, cases.Refuse(wire.CodeMalformed)
		}
		before := rec
		refused := c.Check(st.policy(), st.now, &rec, st.Vault.CodeMAC(c.ID, c.Card, c.Kiosk, r.Body.Code.Value))
		if refused == nil {
			c.Nonce = fresh(32)
		}
		if err := errors.Join(st.tx.SetCase(c), st.counted(before, rec)); err != nil {
			return nil, err
		}
		if refused != nil {
			return nil, also(refused, st.refused(ledger.CodeRefused, c.Card, refused), st.visited(c), st.lockout(rec, refused))
		}
		if !rec.Card.Proves() {
			open, err := st.tx.OpenCases(c.Card)
			if err != nil {
				return nil, err
			}
			if err := st.closeOthers(c, open); err != nil {
				return nil, err
			}
		}
		return wire.CodeAccepted{Nonce: c.Nonce}, st.event(ledger.CodeAccepted, c.Card, "")
	})
}

// EndCase closes a case that the holder leaves. Ending a closed case is harmless; a card that came back and was pulled
// before it proved itself ends nothing.
func (s *routes) EndCase(ctx context.Context, r wire.EndCaseRequestObject) (wire.EndCaseResponseObject, error) {
	return s.once(ctx, ask{"end", r.Params.IdempotencyKey, r.Case}, http.StatusNoContent, func(st *step) (any, error) {
		c, err := st.theCase()
		if err == nil && !r.Body.Reason.Valid() {
			err = cases.Refuse(wire.CodeMalformed)
		}
		if err != nil || c.State.Over() || c.Unproved() {
			return nil, err
		}
		c.Close(cases.Reason(r.Body.Reason))
		return nil, errors.Join(st.tx.SetCase(c), st.event(ledger.CaseEnded, c.Card, string(r.Body.Reason)), st.visited(c))
	})
}
