package store

import (
	"fmt"

	"latchkey/cmd/central/internal/cases"
)

// Secret is what was imported for a card, sealed.
type Secret struct {
	Generation int64
	Sealed     []byte
}

// Secret finds what was imported for a generation.
func (t *Tx) Secret(card string, generation int64) (sealed []byte, err error) {
	err = t.row(keys{cardKey(card)}, `SELECT sealed FROM secrets WHERE card = $1 AND generation = $2`, []any{card, generation}, &sealed)
	if err != nil {
		return nil, fmt.Errorf("secret of generation %d: %w", generation, err)
	}
	return sealed, nil
}

// Secrets lists all that was imported for a card, newest first.
func (t *Tx) Secrets(card string) (list []Secret, err error) {
	err = t.rows(keys{cardKey(card)}, `SELECT generation, sealed FROM secrets WHERE card = $1 ORDER BY generation DESC`, []any{card},
		func(scan func(...any) error) error {
			var s Secret
			err := scan(&s.Generation, &s.Sealed)
			list = append(list, s)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("secrets: %w", err)
	}
	return list, nil
}

// SetSecret keeps what was imported for a card.
func (t *Tx) SetSecret(card string, generation int64, sealed []byte) error {
	err := t.exec(keys{cardKey(card)}, `INSERT INTO secrets (card, generation, sealed) VALUES ($1, $2, $3)
		ON CONFLICT (card, generation) DO UPDATE SET sealed = excluded.sealed`, card, generation, sealed)
	if err != nil {
		return fmt.Errorf("keep secret of generation %d: %w", generation, err)
	}
	return nil
}

// SealedKind is a place where sealed secrets are kept.
type SealedKind string

// The places.
const (
	SealedSecret         SealedKind = "secrets"          // of cards
	SealedEmail          SealedKind = "emails"           // of holders
	SealedMobile         SealedKind = "mobiles"          // of holders
	SealedMessageTo      SealedKind = "message-to"       // of messages in the outbox: where they go
	SealedMessageContent SealedKind = "message-contents" // of messages in the outbox: what they say
	SealedComment        SealedKind = "comments"         // of feedback
	SealedContact        SealedKind = "contacts"         // of feedback
	SealedServiceSeed    SealedKind = "service-seeds"    // of chains of service codes
)

// SealedKinds are all places, in the order in which they are listed.
var SealedKinds = []SealedKind{SealedSecret, SealedEmail, SealedMobile, SealedMessageTo, SealedMessageContent, SealedComment, SealedContact, SealedServiceSeed}

// Sealed is one sealed secret.
type Sealed struct {
	Kind       SealedKind
	ID         string // serial of the card, id of the holder, of the message, of the feedback or of the chain
	Generation int64  // of a card's secret
	Sealed     []byte
}

// sealedAt says where a kind stands: table, columns of the id and of the secret. Those of cards have a generation besides.
var sealedAt = map[SealedKind]struct {
	table, id, column string
	key               func(id string) string
}{
	SealedSecret:         {"secrets", "card", "sealed", cardKey},
	SealedEmail:          {"holders", "id", "email", holderKey},
	SealedMobile:         {"holders", "id", "mobile", holderKey},
	SealedMessageTo:      {"messages", "id", "recipient", messageKey},
	SealedMessageContent: {"messages", "id", "content", messageKey},
	SealedComment:        {"feedback", "id", "comment", feedbackKey},
	SealedContact:        {"feedback", "id", "contact", feedbackKey},
	SealedServiceSeed:    {"service_chains", "id", "seed", serviceChainKey},
}

// An envelope tells the id of its key in its bytes 2 to 9 (package vault).
func sealedUnder(column string) string { return `substr(` + column + `, 2, 8)` }

// SealedNotUnder lists, after the last of the page before, the secrets of a kind that are sealed under another key than this, at
// most limit. The first page comes after the zero Sealed of its kind.
func (t *Tx) SealedNotUnder(key [8]byte, after Sealed, limit int) (list []Sealed, err error) {
	at := sealedAt[after.Kind]
	column, order := `0`, at.id
	page := fmt.Sprintf(`%s > $1`, at.id)
	args := []any{after.ID, key[:], limit}
	if after.Kind == SealedSecret {
		column, order = `generation`, `card, generation`
		page = `(card > $1 OR card = $1 AND generation > $4)`
		args = append(args, after.Generation)
	}
	query := fmt.Sprintf(`SELECT %s, %s, %s FROM %s WHERE %s AND %[3]s IS NOT NULL AND `+sealedUnder(at.column)+` <> $2 ORDER BY %[6]s LIMIT $3`,
		at.id, column, at.column, at.table, page, order)
	err = t.rows(keys{everything}, query, args, func(scan func(...any) error) error {
		s := Sealed{Kind: after.Kind}
		err := scan(&s.ID, &s.Generation, &s.Sealed)
		list = append(list, s)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("sealed %s: %w", after.Kind, err)
	}
	return list, nil
}

// ReplaceSealed puts one envelope in the place of another, unless that is no longer there.
func (t *Tx) ReplaceSealed(before Sealed, sealed []byte) (replaced bool, err error) {
	at := sealedAt[before.Kind]
	query := fmt.Sprintf(`UPDATE %s SET %[3]s = $1 WHERE %[2]s = $2 AND %[3]s = $3`, at.table, at.id, at.column)
	args := []any{sealed, before.ID, before.Sealed}
	if before.Kind == SealedSecret {
		query += ` AND generation = $4`
		args = append(args, before.Generation)
	}
	err = t.rows(keys{at.key(before.ID)}, query+` RETURNING 1`, args, func(scan func(...any) error) error {
		replaced = true
		var one int64
		return scan(&one)
	})
	if err != nil {
		return false, fmt.Errorf("wrap %s anew: %w", before.Kind, err)
	}
	return replaced, nil
}

// SealedUnder counts what is sealed under each key.
func (t *Tx) SealedUnder() (map[[8]byte]int, error) {
	count := map[[8]byte]int{}
	for _, kind := range SealedKinds {
		at := sealedAt[kind]
		under := sealedUnder(at.column)
		query := fmt.Sprintf(`SELECT %s, COUNT(*) FROM %s WHERE %s IS NOT NULL GROUP BY %[1]s`, under, at.table, at.column)
		err := t.rows(keys{everything}, query, nil, func(scan func(...any) error) error {
			var id []byte
			var n int
			err := scan(&id, &n)
			var key [8]byte
			copy(key[:], id)
			count[key] += n
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("count sealed %s: %w", kind, err)
		}
	}
	return count, nil
}

// CardsAfter lists cards by serial, from the first after this one, at most limit.
func (t *Tx) CardsAfter(serial string, limit int) ([]cases.Card, error) {
	return t.cards(keys{everything}, `WHERE serial > $1 ORDER BY serial LIMIT $2`, serial, limit)
}

// SecretsBetween lists all that was imported for the cards from one serial to another, both included.
func (t *Tx) SecretsBetween(first, last string) (list []Sealed, err error) {
	err = t.rows(keys{everything}, `SELECT card, generation, sealed FROM secrets WHERE card >= $1 AND card <= $2 ORDER BY card, generation`, []any{first, last},
		func(scan func(...any) error) error {
			s := Sealed{Kind: SealedSecret}
			err := scan(&s.ID, &s.Generation, &s.Sealed)
			list = append(list, s)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("secrets: %w", err)
	}
	return list, nil
}

// GrantsBetween lists the grants of the cards from one serial to another, both included, each card's oldest first.
func (t *Tx) GrantsBetween(first, last string) ([]cases.Grant, error) {
	return t.grants(keys{everything}, `WHERE card >= $1 AND card <= $2 ORDER BY card, number`, first, last)
}
