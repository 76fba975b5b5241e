package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/store"
	"latchkey/cmd/central/internal/vault"
	"latchkey/firmware/wire"
)

// SendFeedback keeps what a holder had to say, apart from the walk: the log does not name the kiosk that brought it, and what is stored
// holds neither the kiosk nor the minute. Its id is its idempotency key, so that no stored answer tells either.
func (s *routes) SendFeedback(ctx context.Context, r wire.SendFeedbackRequestObject) (wire.SendFeedbackResponseObject, error) {
	rq := requestOf(ctx)
	defer r.Body.Comment.Wipe()
	defer r.Body.Contact.Wipe()
	bad := cases.CheckFeedback(r.Body)
	var out reply
	err := s.Store.Update(ctx, func(tx *store.Tx) error {
		rq.code, rq.apart = "", false
		st := &step{Server: s.Server, tx: tx, rq: rq, now: s.now()}
		err := st.hear(r.Body, bad)
		if err == nil {
			rq.apart = true
			out, err = document(http.StatusNoContent, nil)
		}
		return st.answer(&out, err)
	})
	return out, err
}

// hear keeps feedback whose id is new. Booked with it is the hour, so that a kiosk cannot fill the database.
func (st *step) hear(said *wire.Feedback, bad error) error {
	k, err := st.tx.Kiosk(st.rq.kiosk)
	if err := allows(st.tx, st.rq, k, err); err != nil {
		return err
	}
	if bad != nil {
		return bad
	}
	if known, err := st.tx.HasFeedback(said.Id); known || err != nil {
		return err
	}
	subject, hour := store.FeedbackSubject(k.Name), st.now.Truncate(cases.StrikeWindow)
	heard, err := st.tx.Strikes(subject, hour)
	if err != nil {
		return err
	}
	if len(heard) >= cases.FeedbackAnHour {
		return &cases.Refusal{Code: wire.CodeRateLimited, RetryAt: hour.Add(cases.StrikeWindow)}
	}
	f := store.Feedback{ID: said.Id, Day: st.now.Format(time.DateOnly), Site: k.Site, Stars: said.Stars}
	if f.Comment, err = st.sealed(vault.KindComment, f.ID, said.Comment); err != nil {
		return err
	}
	if f.Contact, err = st.sealed(vault.KindContact, f.ID, said.Contact); err != nil {
		return err
	}
	return errors.Join(st.tx.AddStrike(store.Strike{Subject: subject, At: hour}), st.tx.AddFeedback(f))
}

// sealed is nil where nothing was written.
func (st *step) sealed(kind vault.Kind, id string, text wire.Text) ([]byte, error) {
	if text.Len() == 0 {
		return nil, nil
	}
	return st.Vault.Seal(vault.Subject{Kind: kind, ID: id}, text.Value)
}
