package store

import (
	"fmt"

	"latchkey/cmd/central/internal/cases"
)

const cardColumns = `serial, profile, holder, certificate, revoked, settled, puk_blocked, wrong_codes,
	frozen_at, approved_until, released_epoch, EXISTS (SELECT 1 FROM secrets WHERE card = serial)`

const selectCard = `SELECT ` + cardColumns + ` FROM cards `

func scanCard(scan func(...any) error) (c cases.Card, err error) {
	var frozen, approved int64
	err = scan(&c.Serial, &c.Profile, &c.Holder, &c.Certificate, truth{&c.Revoked}, &c.Settled, truth{&c.PUKBlocked}, &c.WrongCodes,
		&frozen, &approved, &c.ReleasedEpoch, truth{&c.HasSecret})
	c.FrozenAt, c.ApprovedUntil = moment(frozen), moment(approved)
	return c, err
}

// Card finds a card.
func (t *Tx) Card(serial string) (c cases.Card, err error) {
	err = ErrNotFound
	e := t.rows(keys{cardKey(serial)}, selectCard+`WHERE serial = $1`, []any{serial}, func(scan func(...any) error) error {
		c, err = scanCard(scan)
		return err
	})
	if e != nil {
		err = e
	}
	if err != nil {
		return c, fmt.Errorf("card: %w", err)
	}
	return c, nil
}

// Cards lists all cards by serial.
func (t *Tx) Cards() (list []cases.Card, err error) {
	return t.cards(keys{everything}, `ORDER BY serial`)
}

// CardsGrantedToSuspects lists the cards of which a kiosk was given a grant that was disabled or whose case was opened, by serial.
func (t *Tx) CardsGrantedToSuspects() (list []cases.Card, err error) {
	return t.cards(keys{everything}, `WHERE serial IN (SELECT card FROM grants WHERE kiosk IN
		(SELECT name FROM kiosks WHERE state = $1 OR case_told_at > 0)) ORDER BY serial`, KioskDisabled)
}

func (t *Tx) cards(k keys, where string, args ...any) (list []cases.Card, err error) {
	err = t.rows(k, selectCard+where, args, func(scan func(...any) error) error {
		c, err := scanCard(scan)
		list = append(list, c)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cards: %w", err)
	}
	return list, nil
}

// ImportCard adds a card at generation 0 or changes what the directory says of it: certificate, profile, revocation.
func (t *Tx) ImportCard(c cases.Card) error {
	err := t.exec(keys{cardKey(c.Serial), holderKey(c.Holder)}, `INSERT INTO cards (serial, profile, holder, certificate, revoked) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (serial) DO UPDATE SET profile = excluded.profile, certificate = excluded.certificate, revoked = excluded.revoked`,
		c.Serial, c.Profile, c.Holder, c.Certificate, number(c.Revoked))
	if err != nil {
		return fmt.Errorf("import card: %w", err)
	}
	return nil
}

// SetCard stores what an unlock changes of a card: the settled generation, the count of wrong codes, whether its PUK is
// blocked. Freezes, approvals and releases are stored by themselves.
func (t *Tx) SetCard(c cases.Card) error {
	err := t.exec(keys{cardKey(c.Serial)}, `UPDATE cards SET settled = $2, wrong_codes = $3, puk_blocked = $4 WHERE serial = $1`,
		c.Serial, c.Settled, c.WrongCodes, number(c.PUKBlocked))
	if err != nil {
		return fmt.Errorf("store card: %w", err)
	}
	return nil
}

func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
