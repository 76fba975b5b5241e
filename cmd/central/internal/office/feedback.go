package office

import (
	"context"
	"errors"
	"fmt"
	"time"

	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/store"
	"latchkey/cmd/central/internal/vault"
	"latchkey/firmware/secret"
	"latchkey/firmware/wire"
	"latchkey/firmware/wire/ra"
)

// ListedFeedback is how much is read at once.
const ListedFeedback = 10000

// days checks which days are asked for; what was kept long enough is not shown, gone or not.
func days(p cases.Policies, f store.FeedbackFilter, now time.Time) (store.FeedbackFilter, error) {
	for _, day := range []string{f.From, f.Until} {
		if _, err := time.Parse(time.DateOnly, day); day != "" && err != nil {
			return f, refuse("%q is no day: write one such as 2026-11-22", day)
		}
	}
	if f.Until == "" {
		f.Until = now.UTC().Format(time.DateOnly)
	}
	f.From = max(f.From, cases.FeedbackSince(p.Default, now).UTC().Format(time.DateOnly))
	return f, nil
}

// ListFeedback lists what holders had to say. That it was read, and by whom, stands in the ledger before anybody reads it.
func ListFeedback(ctx context.Context, s store.Store, v *vault.Vault, p cases.Policies, f store.FeedbackFilter, by string, now time.Time) ([]ra.Feedback, error) {
	f, err := days(p, f, now)
	if err != nil {
		return nil, err
	}
	var list []store.Feedback
	err = s.View(ctx, func(tx *store.Tx) (err error) {
		list, err = tx.Feedback(f, ListedFeedback+1)
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(list) > ListedFeedback {
		return nil, refuse("there are more than %d: ask for fewer days with --from and --until, or for one site", ListedFeedback)
	}
	note := fmt.Sprintf("%d of %s to %s", len(list), f.From, f.Until)
	if f.Site != "" {
		note += ", site " + f.Site
	}
	err = s.Update(ctx, func(tx *store.Tx) error {
		return tx.AppendEvent(ledger.Event{At: now, Kind: ledger.FeedbackRead, Note: note, By: by})
	})
	if err != nil {
		return nil, err
	}
	rows := []ra.Feedback{}
	for _, one := range list {
		row := ra.Feedback{Day: one.Day, Site: one.Site, Stars: one.Stars}
		comment, err := written(v, vault.KindComment, one.ID, one.Comment)
		contact, err2 := written(v, vault.KindContact, one.ID, one.Contact)
		switch err := errors.Join(err, err2); {
		case errors.Is(err, vault.ErrSealed):
			row.Unreadable = true
		case err != nil: // an HSM that does not answer
			return nil, fmt.Errorf("open feedback: %w", err)
		}
		row.Comment, row.Contact = wire.Text{Value: comment}, wire.Text{Value: contact}
		rows = append(rows, row)
	}
	return rows, nil
}

func written(v *vault.Vault, kind vault.Kind, id string, sealed []byte) (secret.Value, error) {
	if sealed == nil {
		return secret.Value{}, nil
	}
	return v.Open(vault.Subject{Kind: kind, ID: id}, sealed)
}

// SumFeedback sums up by month and site.
func SumFeedback(ctx context.Context, s store.Store, p cases.Policies, f store.FeedbackFilter, now time.Time) (rows []ra.FeedbackSum, err error) {
	if f, err = days(p, f, now); err != nil {
		return nil, err
	}
	err = s.View(ctx, func(tx *store.Tx) error {
		rows = []ra.FeedbackSum{}
		list, err := tx.FeedbackSums(f)
		for _, one := range list {
			rows = append(rows, ra.FeedbackSum{Month: one.Month, Site: one.Site, Count: one.Count, Mean: float64(one.Stars) / float64(one.Count)})
		}
		return err
	})
	return rows, err
}
