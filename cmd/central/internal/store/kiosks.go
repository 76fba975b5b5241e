package store

import (
	"database/sql"
	"errors"
	"fmt"

	"latchkey/cmd/central/internal/ledger"
)

// KioskState is whether a kiosk is served.
type KioskState string

// States of a kiosk.
const (
	KioskEnrolled KioskState = "enrolled" // has a certificate, but nobody has confirmed its key: it is not served yet
	KioskActive   KioskState = "active"
	KioskDisabled KioskState = "disabled" // for good
)

// KioskKind is what a kiosk is to people; central serves all kinds alike.
type KioskKind string

// Kinds of kiosk.
const (
	KindKiosk KioskKind = "kiosk" // stands by itself
	KindDesk  KioskKind = "desk"  // attended
)

// Place is where a kiosk stands, in millionths of a degree, WGS 84.
type Place struct {
	Latitude, Longitude int64
}

// Kiosk is one that may speak with central.
type Kiosk struct {
	Name          string
	Kind          KioskKind
	Site          string   // as people call it; empty if not known
	Place         *Place   // nil if not known
	Certificate   [32]byte // SHA-256 of the DER
	Next          [32]byte // the same of a renewed certificate that was not used yet; zero if there is none
	Key           [32]byte // SHA-256 of the SubjectPublicKeyInfo; zero if not known
	ExpiresAt     int64    // of the newest certificate, milliseconds since the Unix epoch; 0 if not known
	State         KioskState
	AddedAt       int64 // milliseconds since the Unix epoch
	QuarantinedAt int64 // 0 if it is not
	SentEpoch     int64 // in which its journal was last whole at central; 0 if it never was
	BackedUp      int64 // its last journal entry that a backup has

	// Which of its journals central takes.
	Log     int64    // from 1
	LogFrom int64    // the entry before its first; -1 if the kiosk has not told yet
	LogHash [32]byte // of the chain there
	Shown   ledger.Shown

	// Whether its case was opened, milliseconds since the Unix epoch; 0 if not.
	CaseOpenedAt  int64 // first, by the kiosk's clock
	CaseClearedAt int64 // by the kiosk's clock; 0 since it was opened again
	CaseToldAt    int64 // when central learnt last that it was
}

const kioskColumns = `name, kind, site, latitude, longitude, certificate, next_certificate, key_sha256, expires_at, state, added_at,
	quarantined_at, sent_epoch, backed_up, case_opened_at, case_cleared_at, case_told_at, log, log_from, log_hash,
	shown_seq, shown_hash, shown_at`

const selectKiosk = `SELECT ` + kioskColumns + ` FROM kiosks `

func scanKiosk(scan func(...any) error) (k Kiosk, err error) {
	var latitude, longitude sql.NullInt64
	var certificate, next, key, log, shown []byte
	var shownAt int64
	err = scan(&k.Name, &k.Kind, &k.Site, &latitude, &longitude, &certificate, &next, &key, &k.ExpiresAt, &k.State, &k.AddedAt,
		&k.QuarantinedAt, &k.SentEpoch, &k.BackedUp, &k.CaseOpenedAt, &k.CaseClearedAt, &k.CaseToldAt, &k.Log, &k.LogFrom, &log,
		&k.Shown.Seq, &shown, &shownAt)
	copy(k.Certificate[:], certificate)
	copy(k.Next[:], next)
	copy(k.Key[:], key)
	copy(k.LogHash[:], log)
	copy(k.Shown.Hash[:], shown)
	k.Shown.At = moment(shownAt)
	k.Place = place(latitude, longitude)
	return k, err
}

func place(latitude, longitude sql.NullInt64) *Place {
	if !latitude.Valid || !longitude.Valid {
		return nil
	}
	return &Place{latitude.Int64, longitude.Int64}
}

// columns of a place; NULL if it is not known.
func (p *Place) columns() (latitude, longitude any) {
	if p == nil {
		return nil, nil
	}
	return p.Latitude, p.Longitude
}

// digest is a column; NULL if it is zero.
func digest(d [32]byte) []byte {
	if d == ([32]byte{}) {
		return nil
	}
	return d[:]
}

// Kiosk finds a kiosk by name.
func (t *Tx) Kiosk(name string) (k Kiosk, err error) {
	err = ErrNotFound
	e := t.rows(keys{kioskKey(name)}, selectKiosk+`WHERE name = $1`, []any{name}, func(scan func(...any) error) error {
		k, err = scanKiosk(scan)
		return err
	})
	if e != nil {
		err = e
	}
	if err != nil {
		return k, fmt.Errorf("kiosk: %w", err)
	}
	return k, nil
}

// Kiosks lists all kiosks by name.
func (t *Tx) Kiosks() (list []Kiosk, err error) {
	err = t.rows(keys{everything}, selectKiosk+`ORDER BY name`, nil, func(scan func(...any) error) error {
		k, err := scanKiosk(scan)
		list = append(list, k)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("kiosks: %w", err)
	}
	return list, nil
}

// AddKiosk adds a kiosk; added is false if the name is taken.
func (t *Tx) AddKiosk(k Kiosk) (added bool, err error) {
	latitude, longitude := k.Place.columns()
	var name string
	err = t.row(keys{kioskKey(k.Name)}, `INSERT INTO kiosks (name, kind, site, latitude, longitude, certificate, next_certificate, key_sha256,
		expires_at, state, added_at, quarantined_at, sent_epoch, backed_up) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
		ON CONFLICT (name) DO NOTHING RETURNING name`,
		[]any{k.Name, k.Kind, k.Site, latitude, longitude, k.Certificate[:], digest(k.Next), digest(k.Key), k.ExpiresAt, k.State, k.AddedAt,
			k.QuarantinedAt, k.SentEpoch, k.BackedUp}, &name)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return false, fmt.Errorf("add kiosk: %w", err)
	}
	return err == nil, nil
}

// SetKioskTrust stores which certificates and which key a kiosk has, and whether it is served: Certificate, Next, Key,
// ExpiresAt and State.
func (t *Tx) SetKioskTrust(k Kiosk) error {
	err := t.exec(keys{kioskKey(k.Name)}, `UPDATE kiosks SET certificate = $2, next_certificate = $3, key_sha256 = $4, expires_at = $5, state = $6
		WHERE name = $1`, k.Name, k.Certificate[:], digest(k.Next), digest(k.Key), k.ExpiresAt, k.State)
	if err != nil {
		return fmt.Errorf("store kiosk: %w", err)
	}
	return nil
}

// QuarantineKiosk sets since when a kiosk is in quarantine, milliseconds since the Unix epoch; 0 ends it.
func (t *Tx) QuarantineKiosk(name string, at int64) error {
	if err := t.exec(keys{kioskKey(name)}, `UPDATE kiosks SET quarantined_at = $2 WHERE name = $1`, name, at); err != nil {
		return fmt.Errorf("quarantine kiosk: %w", err)
	}
	return nil
}

// SetKioskSent stores what of a kiosk's journal is at central: SentEpoch and BackedUp.
func (t *Tx) SetKioskSent(k Kiosk) error {
	err := t.exec(keys{kioskKey(k.Name)}, `UPDATE kiosks SET sent_epoch = $2, backed_up = $3 WHERE name = $1`, k.Name, k.SentEpoch, k.BackedUp)
	if err != nil {
		return fmt.Errorf("store kiosk: %w", err)
	}
	return nil
}

// SetKioskShown stores which head of its journal a kiosk has shown: Shown.
func (t *Tx) SetKioskShown(k Kiosk) error {
	err := t.exec(keys{kioskKey(k.Name)}, `UPDATE kiosks SET shown_seq = $2, shown_hash = $3, shown_at = $4 WHERE name = $1`,
		k.Name, k.Shown.Seq, digest(k.Shown.Hash), millis(k.Shown.At))
	if err != nil {
		return fmt.Errorf("store kiosk: %w", err)
	}
	return nil
}

// SetKioskCase stores whether a kiosk's case was opened: CaseOpenedAt, CaseClearedAt and CaseToldAt.
func (t *Tx) SetKioskCase(k Kiosk) error {
	err := t.exec(keys{kioskKey(k.Name)}, `UPDATE kiosks SET case_opened_at = $2, case_cleared_at = $3, case_told_at = $4 WHERE name = $1`,
		k.Name, k.CaseOpenedAt, k.CaseClearedAt, k.CaseToldAt)
	if err != nil {
		return fmt.Errorf("store kiosk: %w", err)
	}
	return nil
}

// DisableKiosk stops serving a kiosk.
func (t *Tx) DisableKiosk(name string) error {
	var changed string
	err := t.row(keys{kioskKey(name)}, `UPDATE kiosks SET state = $2 WHERE name = $1 RETURNING name`, []any{name, KioskDisabled}, &changed)
	if err != nil {
		return fmt.Errorf("disable kiosk: %w", err)
	}
	return nil
}
