package api

import (
	"context"
	"net/http"
	"time"

	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/store"
	"latchkey/cmd/central/internal/vault"
	"latchkey/firmware/secret"
	"latchkey/firmware/wire"
)

// SendFeedback keeps what a holder had to say, apart from the walk: the log does not name the kiosk that brought it, and what is stored
// holds neither the kiosk nor the minute. Its id is its idempotency key, so that no stored answer tells either.
func (s *routes) SendFeedback(ctx context.Context, r wire.SendFeedbackRequestObject) (wire.SendFeedbackResponseObject, error) {
	rq := requestOf(ctx)
	defer r.Body.Comment.Wipe()
	defer r.Body.Contact.Wipe()
	bad := cases.CheckFeedback(r.Body)
	f := store.Feedback{ID: r.Body.Id, Stars: r.Body.Stars, Day: s.now().Format(time.DateOnly)}
	if bad == nil {
		// Before the transaction: the vault's key may be in an HSM.
		var err error
		if f.Comment, err = s.sealed(vault.KindComment, f.ID, r.Body.Comment.Value); err != nil {
			return nil, err
		}
		if f.Contact, err = s.sealed(vault.KindContact, f.ID, r.Body.Contact.Value); err != nil {
			return nil, err
		}
	}
	var out reply
	err := s.Store.Update(ctx, func(tx *store.Tx) error {
		rq.code, rq.apart = "", false
		st := &step{Server: s.Server, tx: tx, rq: rq, now: s.now()}
		err := st.hear(f, bad)
		if err == nil {
			rq.apart = true
			out, err = document(http.StatusNoContent, nil)
		}
		return st.answer(&out, err)
	})
	return out, err
}

// sealed is nil where nothing was written.
func (s *routes) sealed(kind vault.Kind, id string, text secret.Value) ([]byte, error) {
	if text.Len() == 0 {
		return nil, nil
	}
	return s.Vault.Seal(vault.Subject{Kind: kind, ID: id}, text)
}

// hear keeps feedback whose id is new. Booked with it is the hour, so that a kiosk cannot fill the database.
func (st *step) hear(f store.Feedback, bad error) error {
	k, err := st.tx.Kiosk(st.rq.kiosk)
	if err := allows(st.tx, st.rq, k, err); err != nil {
		return err
	}
	if bad != nil {
		return bad
	}
	if known, err := st.tx.HasFeedback(f.ID); known || err != nil {
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
	f.Site = k.Site
	if err := st.tx.AddStrike(store.Strike{Subject: subject, At: hour}); err != nil {
		return err
	}
	return st.tx.AddFeedback(f)
}
