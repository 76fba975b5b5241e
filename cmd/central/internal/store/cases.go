package store

import (
	"database/sql"
	"fmt"
	"slices"
	"time"

	"latchkey/cmd/central/internal/cases"
	"latchkey/firmware/wire"
)

const caseColumns = `id, card, holder, kiosk, state, reason, begun_at, expires_at, nonce, hpke,
	code_mac, code_channel, code_masked, code_sent_at, code_expires_at, attempts, sends,
	puk_tries_left, puk_read_at, code_failed, proved_at`

func scanCase(scan func(...any) error) (c cases.Case, err error) {
	var begun, expires, sent, codeExpires, read, proved int64
	err = scan(&c.ID, &c.Card, &c.Holder, &c.Kiosk, &c.State, &c.Reason, &begun, &expires, &c.Nonce, &c.HPKE,
		&c.Code.MAC, &c.Code.Channel, &c.Code.Masked, &sent, &codeExpires, &c.Attempts, &c.Sends, &c.PUKTriesLeft, &read, truth{&c.Code.Failed}, &proved)
	c.BegunAt, c.ExpiresAt, c.Code.SentAt, c.Code.ExpiresAt = moment(begun), moment(expires), moment(sent), moment(codeExpires)
	c.PUKReadAt, c.ProvedAt = moment(read), moment(proved)
	return c, err
}

// moment and millis keep the zero Time as 0.
func moment(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// Case finds a case.
func (t *Tx) Case(id string) (c cases.Case, err error) {
	err = ErrNotFound
	e := t.rows(keys{caseKey(id)}, `SELECT `+caseColumns+` FROM cases WHERE id = $1`, []any{id}, func(scan func(...any) error) error {
		c, err = scanCase(scan)
		return err
	})
	if e != nil {
		err = e
	}
	if err != nil {
		return c, fmt.Errorf("case: %w", err)
	}
	return c, nil
}

// OpenCases lists a card's cases that are not over, at any kiosk; some may have run out.
func (t *Tx) OpenCases(card string) (list []cases.Case, err error) {
	return t.cases(keys{cardKey(card)}, `WHERE card = $1 AND state NOT IN ('settled', 'closed') ORDER BY begun_at, id`, card)
}

// Cases lists the newest cases, oldest of them first.
func (t *Tx) Cases(limit int) (list []cases.Case, err error) {
	list, err = t.cases(keys{everything}, `ORDER BY begun_at DESC, id LIMIT $1`, limit)
	slices.Reverse(list)
	return list, err
}

func (t *Tx) cases(k keys, where string, args ...any) (list []cases.Case, err error) {
	err = t.rows(k, `SELECT `+caseColumns+` FROM cases `+where, args, func(scan func(...any) error) error {
		c, err := scanCase(scan)
		list = append(list, c)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cases: %w", err)
	}
	return list, nil
}

// SetCase stores a case, new or not. The bodies of the answers that were stored for a case die when it closes.
func (t *Tx) SetCase(c cases.Case) error {
	err := t.exec(keys{caseKey(c.ID), cardKey(c.Card)}, `INSERT INTO cases (`+caseColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)
		ON CONFLICT (id) DO UPDATE SET state = excluded.state, reason = excluded.reason, expires_at = excluded.expires_at,
			nonce = excluded.nonce, hpke = excluded.hpke, code_mac = excluded.code_mac, code_channel = excluded.code_channel,
			code_masked = excluded.code_masked, code_sent_at = excluded.code_sent_at, code_expires_at = excluded.code_expires_at,
			attempts = excluded.attempts, sends = excluded.sends,
			puk_tries_left = excluded.puk_tries_left, puk_read_at = excluded.puk_read_at, code_failed = excluded.code_failed, proved_at = excluded.proved_at`,
		c.ID, c.Card, c.Holder, c.Kiosk, c.State, c.Reason, millis(c.BegunAt), millis(c.ExpiresAt), c.Nonce, c.HPKE,
		c.Code.MAC, c.Code.Channel, c.Code.Masked, millis(c.Code.SentAt), millis(c.Code.ExpiresAt), c.Attempts, c.Sends,
		c.PUKTriesLeft, millis(c.PUKReadAt), number(c.Code.Failed), millis(c.ProvedAt))
	if err == nil && c.State.Over() {
		err = t.exec(keys{kioskKey(c.Kiosk)}, `UPDATE answers SET body = NULL WHERE case_id = $1`, c.ID)
	}
	if err != nil {
		return fmt.Errorf("store case: %w", err)
	}
	return nil
}

func sendKeys(c cases.Case, address []byte) keys {
	return keys{cardKey(c.Card), holderKey(c.Holder), kioskKey(c.Kiosk), addressKey(address)}
}

// Sends lists the codes sent since a time to this card, to this holder, from this kiosk and to this address (its MAC), oldest
// first.
func (t *Tx) Sends(c cases.Case, address []byte, since time.Time) (s cases.Sends, err error) {
	err = t.rows(sendKeys(c, address), `SELECT 1, sent_at FROM sends WHERE card = $1 AND sent_at > $4
		UNION ALL SELECT 2, sent_at FROM sends WHERE holder = $2 AND sent_at > $4
		UNION ALL SELECT 3, sent_at FROM sends WHERE kiosk = $3 AND sent_at > $4
		UNION ALL SELECT 4, sent_at FROM sends WHERE address = $5 AND sent_at > $4 ORDER BY 2`,
		[]any{c.Card, c.Holder, c.Kiosk, since.UnixMilli(), address}, func(scan func(...any) error) error {
			var of, at int64
			err := scan(&of, &at)
			switch of {
			case 1:
				s.Card = append(s.Card, moment(at))
			case 2:
				s.Holder = append(s.Holder, moment(at))
			case 3:
				s.Kiosk = append(s.Kiosk, moment(at))
			case 4:
				s.Address = append(s.Address, moment(at))
			}
			return err
		})
	if err != nil {
		return s, fmt.Errorf("sends: %w", err)
	}
	return s, nil
}

// AddSend counts a code that is about to be sent.
func (t *Tx) AddSend(c cases.Case, address []byte, at time.Time) error {
	err := t.exec(sendKeys(c, address), `INSERT INTO sends (case_id, sent_at, card, holder, kiosk, address) VALUES ($1, $2, $3, $4, $5, $6)`,
		c.ID, at.UnixMilli(), c.Card, c.Holder, c.Kiosk, address)
	if err != nil {
		return fmt.Errorf("count send: %w", err)
	}
	return nil
}

// RemoveSend takes back a send whose message nobody was asked to take.
func (t *Tx) RemoveSend(c cases.Case, at time.Time) error {
	if err := t.exec(keys{cardKey(c.Card), holderKey(c.Holder), kioskKey(c.Kiosk)}, `DELETE FROM sends WHERE case_id = $1 AND sent_at = $2`, c.ID, at.UnixMilli()); err != nil {
		return fmt.Errorf("take back send: %w", err)
	}
	return nil
}

// DropSends removes the sends from before a time that no limit looks back to.
func (t *Tx) DropSends(then time.Time) error {
	// Without their keys: nobody looks at them again.
	if err := t.exec(nil, `DELETE FROM sends WHERE sent_at < $1`, then.UnixMilli()); err != nil {
		return fmt.Errorf("drop old sends: %w", err)
	}
	return nil
}

// Grants lists all grants of a card, oldest first.
func (t *Tx) Grants(card string) (list []cases.Grant, err error) {
	return t.grants(keys{cardKey(card)}, `WHERE card = $1 ORDER BY number`, card)
}

func (t *Tx) grants(k keys, where string, args ...any) (list []cases.Grant, err error) {
	err = t.rows(k, `SELECT case_id, card, number, kiosk, base, first, tries, booked, issued_at, expires_at,
			outcome_at, passcode, opened, rotated, spent, puk_blocked, epoch, recovered FROM grants `+where, args,
		func(scan func(...any) error) error {
			var g cases.Grant
			var issued, expires int64
			var at, opened, spent, blocked sql.NullInt64
			var passcode, rotated sql.NullString
			err := scan(&g.Case, &g.Card, &g.Number, &g.Kiosk, &g.Base, &g.First, &g.Tries, &g.Booked, &issued, &expires,
				&at, &passcode, &opened, &rotated, &spent, &blocked, &g.Epoch, truth{&g.Recovered})
			if err != nil {
				return err
			}
			g.IssuedAt, g.ExpiresAt = moment(issued), moment(expires)
			if at.Valid {
				g.Outcome = &cases.Outcome{
					At: moment(at.Int64), Passcode: wire.Fact(passcode.String), Rotated: wire.Fact(rotated.String), Tries: int(spent.Int64),
					PUKBlocked: blocked.Int64 != 0,
				}
				if opened.Valid {
					g.Outcome.Opened = &opened.Int64
				}
			}
			list = append(list, g)
			return nil
		})
	if err != nil {
		return nil, fmt.Errorf("grants: %w", err)
	}
	return list, nil
}

// AddGrant records a grant before it leaves.
func (t *Tx) AddGrant(g cases.Grant) error {
	err := t.exec(keys{cardKey(g.Card)}, `INSERT INTO grants (case_id, card, number, kiosk, base, first, tries, booked, issued_at, expires_at, epoch, recovered)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
		g.Case, g.Card, g.Number, g.Kiosk, g.Base, g.First, g.Tries, g.Booked, millis(g.IssuedAt), millis(g.ExpiresAt), g.Epoch, number(g.Recovered))
	if err != nil {
		return fmt.Errorf("record grant: %w", err)
	}
	return nil
}

// SetGrant stores what an outcome changes of a grant: its booking and the outcome.
func (t *Tx) SetGrant(g cases.Grant) error {
	var err error
	if o := g.Outcome; o == nil {
		err = t.exec(keys{cardKey(g.Card)}, `UPDATE grants SET booked = $2 WHERE case_id = $1`, g.Case, g.Booked)
	} else {
		err = t.exec(keys{cardKey(g.Card)}, `UPDATE grants SET booked = $2, outcome_at = $3, passcode = $4, opened = $5, rotated = $6, spent = $7, puk_blocked = $8
			WHERE case_id = $1`, g.Case, g.Booked, millis(o.At), o.Passcode, o.Opened, o.Rotated, o.Tries, number(o.PUKBlocked))
	}
	if err != nil {
		return fmt.Errorf("store grant: %w", err)
	}
	return nil
}
