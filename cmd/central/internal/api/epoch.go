package api

import (
	"errors"
	"fmt"
	"time"

	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/store"
	"latchkey/cmd/central/internal/vault"
	"latchkey/firmware/audit"
	"latchkey/firmware/wire"
)

// After a restore central has forgotten what happened since the backup, and the kiosks' journals have not: they send it again.
// Their intents say which cards were about to be written, by tokens that only central can read. Until all kiosks that may have served
// cards are back, or the RA takes the risk, no card is served: whoever tried a PUK that is not the card's any more would use
// up its tries. Evidence is collected as it arrives, and taken into a card's record when the card comes.

// settledEpoch is one in which nothing is waited for.
type settledEpoch struct {
	store.Epoch
	readAt time.Time
}

// epochStays is how long such an epoch is not asked for again. A restore should find no central that serves; where a server of
// PostgreSQL was made anew beneath one, nobody has confirmed a kiosk again so soon.
const epochStays = time.Second

// epoch is the present one.
func (st *step) epoch() (store.Epoch, error) {
	if e := st.settledEpoch.Load(); e != nil {
		if age := st.now.Sub(e.readAt); age >= 0 && age < epochStays {
			return e.Epoch, nil
		}
	}
	e, err := st.tx.Epoch()
	if err == nil && !e.Recovering() {
		st.settledEpoch.Store(&settledEpoch{e, st.now})
	}
	return e, err
}

// whole notes that central holds all of the kiosk's journal. Grants that left before the restore have run out by then: an intent
// that is durable later is none of theirs.
func (st *step) whole(e store.Epoch, k store.Kiosk) error {
	if !e.Recovering() || k.SentEpoch >= e.Number || st.now.Before(e.OpenedAt.Add(2*st.Policies.LongestGrant())) {
		return nil
	}
	k.SentEpoch = e.Number
	return st.tx.SetKioskSent(k)
}

// collect keeps what an entry of the journal says of a grant that a restore has made central forget.
func (st *step) collect(epoch int64, s audit.Stored) error {
	entry, err := audit.Decode(s.Body)
	if err != nil {
		return err
	}
	switch {
	case entry.Kind == audit.KindIntent && entry.Base != nil && entry.First != nil:
		return st.collectIntent(epoch, entry)
	case entry.Kind == audit.KindOutcome && entry.Base != nil:
		return st.collectOutcome(epoch, entry)
	}
	return nil
}

func (st *step) collectIntent(epoch int64, entry audit.Entry) error {
	var card string
	if entry.Token != "" {
		of, serial, err := st.Vault.OpenCardToken(entry.Case, st.rq.kiosk, entry.Token)
		switch {
		case errors.Is(err, vault.ErrSealed):
			st.Log.Warn("an intent has a token that is not ours", "request", st.rq.id, "kiosk", st.rq.kiosk, "case", entry.Case)
			return nil
		case err != nil || of >= epoch:
			return err
		}
		card = serial
	} else { // of a kiosk that was not given one
		c, err := st.tx.Case(entry.Case)
		switch {
		case errors.Is(err, store.ErrNotFound) || err == nil && (c.Kiosk != st.rq.kiosk || c.Reason != cases.ReasonEpoch):
			return nil
		case err != nil:
			return err
		}
		card = c.Card
	}
	if _, _, err := st.tx.Evidence(entry.Case); !errors.Is(err, store.ErrNotFound) {
		return err // the first is believed
	}
	return st.tx.SetEvidence(card, cases.Evidence{Case: entry.Case, Kiosk: st.rq.kiosk, At: time.UnixMilli(entry.At).UTC(), Base: *entry.Base, First: *entry.First})
}

func (st *step) collectOutcome(epoch int64, entry audit.Entry) error {
	card, e, err := st.tx.Evidence(entry.Case)
	switch {
	case errors.Is(err, store.ErrNotFound): // its intent was in the backup, if it is of an earlier epoch
		c, err := st.tx.Case(entry.Case)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		grants, err := st.tx.Grants(c.Card)
		if err != nil {
			return err
		}
		known := false
		for _, g := range grants {
			if g.Case == c.ID && g.Kiosk == st.rq.kiosk && g.Epoch < epoch && g.Outcome == nil {
				known = true
				card, e = c.Card, cases.Evidence{Case: c.ID, Kiosk: g.Kiosk, At: g.IssuedAt, Base: g.Base, First: g.First}
			}
		}
		if !known {
			return nil
		}
	case err != nil:
		return err
	}
	if e.Kiosk != st.rq.kiosk || e.Outcome != nil || *entry.Base != e.Base {
		return nil
	}
	e.Outcome = &cases.Outcome{
		At: st.now, Passcode: wire.Fact(entry.Passcode), Opened: entry.Opened, Rotated: wire.Fact(entry.Rotated), Tries: -1,
		PUKBlocked: entry.Reason == audit.ReasonPUKBlocked,
	}
	if entry.Tries != nil {
		e.Outcome.Tries = *entry.Tries
	}
	return st.tx.SetEvidence(card, e)
}

// recover takes into the record what kiosks' journals have of the card, if it may be served.
func (st *step) recover(rec *cases.Record) error {
	e, err := st.epoch()
	if err != nil {
		return err
	}
	if e.Recovering() {
		missing, err := st.tx.Missing(e.Number)
		if err != nil {
			return err
		}
		if len(missing) == 0 {
			e.RecoveredAt = st.now
			if err := st.tx.SetRecovered(e.Number, st.now); err != nil {
				return err
			}
		}
	}
	rec.Recovering = e.Recovering() && rec.Card.ReleasedEpoch < e.Number
	if e.Number == store.FirstEpoch || rec.Recovering {
		return nil
	}
	evidence, err := st.tx.NewEvidence(rec.Card.Serial)
	if err != nil || len(evidence) == 0 {
		return err
	}
	for i, v := range evidence {
		g := cases.Grant{Base: v.Base, First: v.First, Tries: 2}
		if v.Outcome != nil && !g.Sane(rec.Profile, v.Base, *v.Outcome) {
			evidence[i].Outcome = nil
		}
	}
	before := rec.Card.Settled
	why := cases.Recover(rec, evidence)
	note := fmt.Sprintf("%d grants from journals, settled %d, was %d %s", len(evidence), rec.Card.Settled, before, why)
	return errors.Join(st.tx.SetRecord(*rec), st.event(ledger.CardRecovered, rec.Card.Serial, note))
}
