package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/delivery"
	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/store"
	"latchkey/cmd/central/internal/vault"
	"latchkey/firmware/secret"
	"latchkey/firmware/wire"
)

// freezeWordLife is how long the word of a message freezes the card: mail is read late.
const freezeWordLife = 7 * 24 * time.Hour

// sending is a code between its booking and what became of its message.
type sending struct {
	message string // id
	at      time.Time
	mac     []byte
	policy  cases.Policy
	before  cases.Code // that was out until then
	out     cases.Case // as booked
}

// SendCode sends a code: booked together with its message, handed over, and taken back if that failed. A process that dies
// before it began to hand the message over leaves that to others; one that dies while it does leaves the booking, so that
// nothing is ever sent twice for one request.
func (s *routes) SendCode(ctx context.Context, r wire.SendCodeRequestObject) (wire.SendCodeResponseObject, error) {
	rq := requestOf(ctx)
	a := ask{"code", r.Params.IdempotencyKey, r.Case}
	way, repeated, out, err := s.promise(ctx, a, r.Body.Channel)
	if err != nil || way == nil && repeated == "" {
		return out, err
	}
	// The kiosk may hang up; what became of the message is worth knowing all the same.
	ctx = context.WithoutCancel(ctx)
	if way == nil {
		return s.kept(ctx, a, repeated)
	}
	state, err := s.Outbox.Deliver(ctx, way.message, func(tx *store.Tx, _ store.Message, asked bool) error {
		st := &step{Server: s.Server, tx: tx, rq: rq, now: s.now(), caseID: a.caseID}
		return st.unbook(way, asked)
	})
	if err != nil {
		return nil, err
	}
	return became(rq, state, way.out, way.policy)
}

// promise books a code and its message. Nothing is answered yet if way is not nil, or if repeated names the message of a
// request that was made before.
func (s *routes) promise(ctx context.Context, a ask, channel string) (way *sending, repeated string, out reply, err error) {
	rq := requestOf(ctx)
	err = s.Store.Update(ctx, func(tx *store.Tx) error {
		rq.code, rq.repeated = "", false
		way, repeated = nil, ""
		st := &step{Server: s.Server, tx: tx, rq: rq, now: s.now(), caseID: a.caseID}
		done, was, err := st.repeated(a)
		if done && was.status == 0 {
			repeated = string(was.body)
		}
		if done {
			out = was
		}
		if done || err != nil {
			return err
		}
		way, err = st.book(channel)
		if err := st.answer(&out, err); err != nil {
			return err
		}
		if way != nil {
			out = reply{body: []byte(way.message)} // what is answered to a repetition depends on it
		}
		return st.keep(a, out)
	})
	return way, repeated, out, err
}

// kept answers a repetition by what has become of the message. One that nobody has begun with is handed over now.
func (s *routes) kept(ctx context.Context, a ask, message string) (reply, error) {
	state, err := s.Outbox.Deliver(ctx, message, nil)
	if err != nil {
		return reply{}, err
	}
	var c cases.Case
	var p cases.Policy
	err = s.Store.View(ctx, func(tx *store.Tx) (err error) {
		if c, err = tx.Case(a.caseID); err != nil {
			return err
		}
		h, _, err := tx.Holder(c.Holder)
		p = s.Policies.For(h.Organisation)
		return err
	})
	if err != nil {
		return reply{}, err
	}
	return became(requestOf(ctx), state, c, p)
}

// became is the answer by how far the message has come.
func became(rq *request, state store.MessageState, c cases.Case, p cases.Policy) (reply, error) {
	switch state {
	case store.MessageSent:
		return document(http.StatusOK, c.CodeStatus(p))
	case store.MessageFailed:
		return refuse(rq, wire.CodeDeliveryFailed), nil
	}
	return refuse(rq, wire.CodeUnavailable), nil // somebody has it in hand
}

// book counts the send, makes the new code the one that counts, and puts its message into the outbox.
func (st *step) book(channel string) (*sending, error) {
	c, err := st.theCase()
	if err != nil {
		return nil, err
	}
	rec, to, err := st.record(c)
	defer to.wipe()
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(rec.Channels, func(ch cases.Channel) bool { return ch.ID == channel })
	if i < 0 {
		return nil, cases.Refuse(wire.CodeNotFound)
	}
	address := to.mac(st.Vault, channel)
	sends, err := st.tx.Sends(c, address, st.now.Add(-cases.RateWindow))
	if err != nil {
		return nil, err
	}
	code := delivery.Code{Digits: vault.NewCode(st.policy().CodeDigits), Word: vault.NewWord()}
	defer code.Digits.Wipe()
	defer code.Word.Wipe()
	way := &sending{at: st.now, mac: st.Vault.CodeMAC(c.ID, c.Card, c.Kiosk, code.Digits), policy: st.policy(), before: c.Code}
	if err := c.Send(st.policy(), st.now, rec, sends, rec.Channels[i], way.mac); err != nil {
		return nil, st.turnDown(ledger.Refused, c, err)
	}
	way.out = c
	err = errors.Join(st.tx.SetCase(c), st.tx.AddSend(c, address, st.now), st.event(ledger.CodeSent, c.Card, channel), st.tx.AddFreezeWord(store.FreezeWord{
		MAC: st.Vault.WordMAC(code.Word), Case: c.ID, Card: c.Card, ExpiresAt: st.now.Add(freezeWordLife),
	}))
	if err != nil {
		return nil, err
	}
	way.message, err = delivery.AddCode(st.Vault, st.tx, c, rec.Holder, to.by(channel), code)
	return way, err
}

// unbook takes the send back: of the case's few, since its holder has got nothing, and of those by the hour if nobody was asked to take it.
func (st *step) unbook(way *sending, asked bool) error {
	c, err := st.tx.Case(way.out.ID)
	if err != nil {
		return err
	}
	c.Unsend(st.now, way.before, way.mac)
	if !asked {
		err = st.tx.RemoveSend(c, way.at)
	}
	return errors.Join(err, st.tx.SetCase(c), st.event(ledger.CodeUnsent, c.Card, string(wire.CodeDeliveryFailed)))
}

// GetCode tells what became of the code that was sent last: a message can come back after it was taken.
func (s *routes) GetCode(ctx context.Context, r wire.GetCodeRequestObject) (wire.GetCodeResponseObject, error) {
	rq := requestOf(ctx)
	var out reply
	err := s.Store.View(ctx, func(tx *store.Tx) error {
		st := &step{Server: s.Server, tx: tx, rq: rq, now: s.now(), caseID: r.Case}
		status, err := st.codeStatus()
		if err == nil {
			out, err = document(http.StatusOK, status)
		}
		return st.answer(&out, err)
	})
	return out, err
}

func (st *step) codeStatus() (status wire.CodeStatus, err error) {
	if _, err := admitted(st.tx, st.rq); err != nil {
		return status, err
	}
	c, err := st.theCase()
	switch {
	case err != nil:
		return status, err
	case !c.Open(st.now):
		return status, c.Ended()
	case c.State != cases.CodeSent:
		return status, cases.Refuse(wire.CodeWrongStep)
	}
	h, _, err := st.tx.Holder(c.Holder)
	if err != nil {
		return status, err
	}
	return c.CodeStatus(st.Policies.For(h.Organisation)), nil
}

// addresses of a holder, in clear.
type addresses struct{ email, mobile secret.Value }

func (a addresses) wipe() {
	a.email.Wipe()
	a.mobile.Wipe()
}

// by is the address of a channel.
func (a addresses) by(channel string) secret.Value {
	if channel == cases.ChannelMobile {
		return a.mobile
	}
	return a.email
}

// mac is what sends to the address of a channel are counted under.
func (a addresses) mac(v *vault.Vault, channel string) []byte {
	if channel != cases.ChannelMobile {
		return v.AddressMAC(a.email)
	}
	number := secret.New([]byte(cases.E164(string(a.mobile.Reveal())))) // however it is written
	defer number.Wipe()
	return v.AddressMAC(number)
}

// reached finds a holder's addresses, which are the caller's to wipe, and the channels that codes can go to.
func (st *step) reached(p cases.Policy, holder string, sealed store.Contacts) (to addresses, list []cases.Channel, err error) {
	for _, c := range []struct {
		sealed []byte
		kind   vault.Kind
		into   *secret.Value
	}{{sealed.Email, vault.KindEmail, &to.email}, {sealed.Mobile, vault.KindMobile, &to.mobile}} {
		if c.sealed == nil {
			continue
		}
		if *c.into, err = st.Vault.Open(vault.Subject{Kind: c.kind, ID: holder}, c.sealed); err != nil {
			to.wipe()
			return addresses{}, nil, err
		}
	}
	list = slices.DeleteFunc(cases.Channels(p, string(to.email.Reveal()), string(to.mobile.Reveal())), func(c cases.Channel) bool {
		return !st.Outbox.Reaches(c.ID)
	})
	return to, list, nil
}
