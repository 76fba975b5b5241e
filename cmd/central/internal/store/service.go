package store

import (
	"errors"
	"fmt"
	"time"
)

// ServiceChain is one chain of one-time codes, with which engineers open a kiosk's own page.
type ServiceChain struct {
	ID     string
	Kiosk  string
	Serial int64  // of the first document that had it
	Seed   []byte // sealed
	End    string
	MadeAt time.Time
	HeldAt time.Time // when the kiosk told last that it has it; zero: never
	Due    int       // number that is due, as the kiosk told last
	Given  int       // lowest number that was given out; 0: none was
}

// ServiceCard is an engineer's card that opens every kiosk's own page.
type ServiceCard struct {
	Key     [32]byte // SHA-256 of the SubjectPublicKeyInfo
	Name    string   // as staff call it
	AddedAt time.Time
}

// serviceKey is that of service cards and of the numbers of documents.
const serviceKey = "service"

func serviceChainKey(id string) string { return "service/" + id }

// ServiceChains lists a kiosk's chains, the newest first.
func (t *Tx) ServiceChains(kiosk string) (list []ServiceChain, err error) {
	err = t.rows(keys{kioskKey(kiosk)}, `SELECT id, kiosk, serial, seed, top, made_at, held_at, due, given FROM service_chains
		WHERE kiosk = $1 ORDER BY serial DESC`, []any{kiosk}, func(scan func(...any) error) error {
		var c ServiceChain
		var made, held int64
		err := scan(&c.ID, &c.Kiosk, &c.Serial, &c.Seed, &c.End, &made, &held, &c.Due, &c.Given)
		c.MadeAt, c.HeldAt = moment(made), moment(held)
		list = append(list, c)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("service chains: %w", err)
	}
	return list, nil
}

// AddServiceChain keeps a new chain, under the next serial. Those of the kiosk that were made before and that it never told to have
// are forgotten.
func (t *Tx) AddServiceChain(c ServiceChain) error {
	var err error
	if c.Serial, err = t.nextServiceSerial(c.MadeAt); err != nil {
		return err
	}
	err = errors.Join(
		t.exec(keys{kioskKey(c.Kiosk)}, `DELETE FROM service_chains WHERE kiosk = $1 AND held_at = 0`, c.Kiosk),
		t.exec(keys{kioskKey(c.Kiosk), serviceChainKey(c.ID)}, `INSERT INTO service_chains (id, kiosk, serial, seed, top, made_at, due) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			c.ID, c.Kiosk, c.Serial, c.Seed, c.End, millis(c.MadeAt), c.Due))
	if err != nil {
		return fmt.Errorf("keep service chain: %w", err)
	}
	return nil
}

// SetServiceChain stores what a kiosk told of a chain and what was given out: HeldAt, Due and Given.
func (t *Tx) SetServiceChain(c ServiceChain) error {
	err := t.exec(keys{kioskKey(c.Kiosk), serviceChainKey(c.ID)}, `UPDATE service_chains SET held_at = $2, due = $3, given = $4 WHERE id = $1`,
		c.ID, millis(c.HeldAt), c.Due, c.Given)
	if err != nil {
		return fmt.Errorf("store service chain: %w", err)
	}
	return nil
}

// DropServiceChains forgets a kiosk's chains of a serial below this one.
func (t *Tx) DropServiceChains(kiosk string, serial int64) error {
	if err := t.exec(keys{kioskKey(kiosk)}, `DELETE FROM service_chains WHERE kiosk = $1 AND serial < $2`, kiosk, serial); err != nil {
		return fmt.Errorf("drop service chains: %w", err)
	}
	return nil
}

// nextServiceSerial gives a number out. By the clock, so that a database that was made anew does not begin where kiosks have been.
func (t *Tx) nextServiceSerial(now time.Time) (serial int64, err error) {
	err = t.row(keys{serviceKey}, `INSERT INTO service_serials (name, number) VALUES ('last', $1)
		ON CONFLICT (name) DO UPDATE SET number = CASE WHEN service_serials.number < excluded.number THEN excluded.number ELSE service_serials.number + 1 END
		RETURNING number`, []any{millis(now)}, &serial)
	if err != nil {
		return 0, fmt.Errorf("number service document: %w", err)
	}
	return serial, nil
}

// ServiceCards lists the service cards by key, and the serial of the last change among them, 0 if there was none.
func (t *Tx) ServiceCards() (list []ServiceCard, serial int64, err error) {
	err = t.rows(keys{serviceKey}, `SELECT key_sha256, name, added_at FROM service_cards ORDER BY key_sha256`, nil, func(scan func(...any) error) error {
		var c ServiceCard
		var key []byte
		var added int64
		err := scan(&key, &c.Name, &added)
		copy(c.Key[:], key)
		c.AddedAt = moment(added)
		list = append(list, c)
		return err
	})
	if err == nil {
		if err = t.row(keys{serviceKey}, `SELECT number FROM service_serials WHERE name = 'cards'`, nil, &serial); errors.Is(err, ErrNotFound) {
			err = nil
		}
	}
	if err != nil {
		return nil, 0, fmt.Errorf("service cards: %w", err)
	}
	return list, serial, nil
}

// AddServiceCard adds a card; added is false if its key is there already.
func (t *Tx) AddServiceCard(c ServiceCard) (added bool, err error) {
	return t.changeServiceCards(c.AddedAt, `INSERT INTO service_cards (key_sha256, name, added_at) VALUES ($1, $2, $3)
		ON CONFLICT (key_sha256) DO NOTHING RETURNING 1`, c.Key[:], c.Name, millis(c.AddedAt))
}

// RemoveServiceCard removes a card; removed is false if it is not there.
func (t *Tx) RemoveServiceCard(key [32]byte, now time.Time) (removed bool, err error) {
	return t.changeServiceCards(now, `DELETE FROM service_cards WHERE key_sha256 = $1 RETURNING 1`, key[:])
}

func (t *Tx) changeServiceCards(now time.Time, query string, args ...any) (changed bool, err error) {
	var one int64
	if err = t.row(keys{serviceKey}, query, args, &one); errors.Is(err, ErrNotFound) {
		return false, nil
	}
	var serial int64
	if err == nil {
		serial, err = t.nextServiceSerial(now)
	}
	if err == nil {
		err = t.exec(keys{serviceKey}, `INSERT INTO service_serials (name, number) VALUES ('cards', $1)
			ON CONFLICT (name) DO UPDATE SET number = excluded.number`, serial)
	}
	if err != nil {
		return false, fmt.Errorf("change service cards: %w", err)
	}
	return true, nil
}
