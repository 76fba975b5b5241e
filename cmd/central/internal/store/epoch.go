package store

import (
	"database/sql"
	"errors"
	"fmt"
	"time"

	"latchkey/cmd/central/internal/cases"
	"latchkey/firmware/wire"
)

// Epoch is the time from one restore to the next. What was said in an earlier one can be forgotten.
type Epoch struct {
	Number      int64
	OpenedAt    time.Time // zero of the first
	BackupAt    time.Time // when the backup was made from which it was restored; zero of the first
	RecoveredAt time.Time // when all kiosks had sent again what the backup lacks
}

// FirstEpoch is that of a central that was never restored.
const FirstEpoch = 1

// Recovering says whether central waits for what kiosks have to send again.
func (e Epoch) Recovering() bool { return e.Number > FirstEpoch && e.RecoveredAt.IsZero() }

// Epoch finds the present epoch. It locks nothing: all that changes of it while central serves is that recovering ends.
func (t *Tx) Epoch() (Epoch, error) {
	e := Epoch{Number: FirstEpoch}
	var opened, backup, recovered int64
	err := t.row(nil, `SELECT number, opened_at, backup_at, recovered_at FROM epochs ORDER BY number DESC LIMIT 1`, nil,
		&e.Number, &opened, &backup, &recovered)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return e, fmt.Errorf("epoch: %w", err)
	}
	e.OpenedAt, e.BackupAt, e.RecoveredAt = moment(opened), moment(backup), moment(recovered)
	return e, nil
}

// Missing lists the kiosks that may have served cards and have not sent their journal whole in this epoch, by name. It locks
// nothing: that one more is back is seen a moment later.
func (t *Tx) Missing(epoch int64) (list []string, err error) {
	err = t.rows(nil, `SELECT name FROM kiosks WHERE state <> $1 AND sent_epoch < $2 ORDER BY name`, []any{KioskDisabled, epoch},
		func(scan func(...any) error) error {
			var name string
			err := scan(&name)
			list = append(list, name)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("missing kiosks: %w", err)
	}
	return list, nil
}

// SetRecovered stores that nothing is waited for any more.
func (t *Tx) SetRecovered(epoch int64, at time.Time) error {
	if err := t.exec(keys{epochKey}, `UPDATE epochs SET recovered_at = $2 WHERE number = $1`, epoch, millis(at)); err != nil {
		return fmt.Errorf("recovered: %w", err)
	}
	return nil
}

// ReleaseCard lets a card be served in this epoch before all kiosks are back.
func (t *Tx) ReleaseCard(serial string, epoch int64) error {
	err := t.exec(keys{cardKey(serial)}, `UPDATE cards SET released_epoch = $2 WHERE serial = $1`, serial, epoch)
	if err != nil {
		return fmt.Errorf("release card: %w", err)
	}
	return nil
}

const evidenceColumns = `case_id, card, kiosk, at, base, first, outcome_at, passcode, opened, rotated, spent, puk_blocked`

func scanEvidence(scan func(...any) error) (card string, e cases.Evidence, err error) {
	var at int64
	var outcome, opened, spent, blocked sql.NullInt64
	var passcode, rotated sql.NullString
	err = scan(&e.Case, &card, &e.Kiosk, &at, &e.Base, &e.First, &outcome, &passcode, &opened, &rotated, &spent, &blocked)
	e.At = moment(at)
	if outcome.Valid {
		e.Outcome = &cases.Outcome{
			At: moment(outcome.Int64), Passcode: wire.Fact(passcode.String), Rotated: wire.Fact(rotated.String), Tries: int(spent.Int64),
			PUKBlocked: blocked.Int64 != 0,
		}
		if opened.Valid {
			e.Outcome.Opened = &opened.Int64
		}
	}
	return card, e, err
}

// Evidence finds what a kiosk's journal said of a case, and of which card.
func (t *Tx) Evidence(caseID string) (card string, e cases.Evidence, err error) {
	err = ErrNotFound
	failed := t.rows(keys{caseKey(caseID)}, `SELECT `+evidenceColumns+` FROM evidence WHERE case_id = $1`, []any{caseID},
		func(scan func(...any) error) error {
			card, e, err = scanEvidence(scan)
			return err
		})
	if failed != nil {
		err = failed
	}
	if err != nil {
		return card, e, fmt.Errorf("evidence: %w", err)
	}
	return card, e, nil
}

// SetEvidence keeps what a kiosk's journal says of a case, to be taken into the card's record.
func (t *Tx) SetEvidence(card string, e cases.Evidence) error {
	var at, passcode, opened, rotated, spent, blocked any
	if o := e.Outcome; o != nil {
		at, passcode, rotated, spent, blocked = millis(o.At), o.Passcode, o.Rotated, o.Tries, number(o.PUKBlocked)
		if o.Opened != nil {
			opened = *o.Opened
		}
	}
	err := t.exec(keys{caseKey(e.Case), cardKey(card)}, `INSERT INTO evidence (`+evidenceColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
		ON CONFLICT (case_id) DO UPDATE SET outcome_at = excluded.outcome_at, passcode = excluded.passcode, opened = excluded.opened,
			rotated = excluded.rotated, spent = excluded.spent, puk_blocked = excluded.puk_blocked, taken = 0`,
		e.Case, card, e.Kiosk, millis(e.At), e.Base, e.First, at, passcode, opened, rotated, spent, blocked)
	if err != nil {
		return fmt.Errorf("keep evidence: %w", err)
	}
	return nil
}

// NewEvidence lists what is not in the card's record yet.
func (t *Tx) NewEvidence(card string) (list []cases.Evidence, err error) {
	err = t.rows(keys{cardKey(card)}, `SELECT `+evidenceColumns+` FROM evidence WHERE card = $1 AND taken = 0 ORDER BY case_id`, []any{card},
		func(scan func(...any) error) error {
			_, e, err := scanEvidence(scan)
			list = append(list, e)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("evidence: %w", err)
	}
	return list, nil
}

// SetRecord stores what cases.Recover made of a card: generation, blocked PUK, and all its grants. Cases that central had
// forgotten are kept as closed ones.
func (t *Tx) SetRecord(r cases.Record) error {
	if err := t.SetCard(r.Card); err != nil {
		return err
	}
	card := cardKey(r.Card.Serial)
	if err := t.exec(keys{card}, `DELETE FROM grants WHERE card = $1`, r.Card.Serial); err != nil {
		return fmt.Errorf("store record: %w", err)
	}
	for _, g := range r.Grants {
		if g.Recovered && g.Epoch == r.Epoch {
			_, err := t.Case(g.Case)
			if errors.Is(err, ErrNotFound) {
				err = t.SetCase(cases.Case{
					ID: g.Case, Card: r.Card.Serial, Holder: r.Card.Holder, Kiosk: g.Kiosk, State: cases.Closed, Reason: cases.ReasonEpoch,
					BegunAt: g.IssuedAt, ExpiresAt: g.IssuedAt,
				})
			}
			if err != nil {
				return fmt.Errorf("store record: %w", err)
			}
		}
		if err := t.AddGrant(g); err != nil {
			return err
		}
		if g.Outcome != nil {
			if err := t.SetGrant(g); err != nil {
				return err
			}
		}
	}
	if err := t.exec(keys{card}, `UPDATE evidence SET taken = 1 WHERE card = $1`, r.Card.Serial); err != nil {
		return fmt.Errorf("store record: %w", err)
	}
	return nil
}
