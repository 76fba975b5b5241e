package store

import (
	"database/sql"
	"errors"
	"fmt"
)

// Enrolment is what a one-time code is for: a kiosk that is to ask for its first certificate, or for a new one for its key.
type Enrolment struct {
	CodeMAC   []byte // under the key of codes
	Kiosk     string
	Kind      KioskKind
	Site      string
	Place     *Place // nil if not known
	MadeAt    int64  // milliseconds since the Unix epoch, as ExpiresAt
	ExpiresAt int64
	// Of who used it: SHA-256 of the key's SubjectPublicKeyInfo, and the certificate (DER) that it was given; zero while
	// nobody did.
	Key         [32]byte
	Certificate []byte
}

// AddEnrolment keeps a new code. Those that were made for the same kiosk before and not used are void.
func (t *Tx) AddEnrolment(e Enrolment) error {
	latitude, longitude := e.Place.columns()
	err := errors.Join(
		t.exec(keys{kioskKey(e.Kiosk)}, `DELETE FROM enrolments WHERE kiosk = $1`, e.Kiosk),
		t.exec(keys{enrolmentKey(e.CodeMAC)}, `INSERT INTO enrolments (code_mac, kiosk, kind, site, latitude, longitude, made_at, expires_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`, e.CodeMAC, e.Kiosk, e.Kind, e.Site, latitude, longitude, e.MadeAt, e.ExpiresAt))
	if err != nil {
		return fmt.Errorf("keep enrolment: %w", err)
	}
	return nil
}

// Enrolment finds an enrolment by its code's MAC, also one that has run out.
func (t *Tx) Enrolment(mac []byte) (Enrolment, error) {
	e := Enrolment{CodeMAC: mac}
	var latitude, longitude sql.NullInt64
	var key []byte
	err := t.row(keys{enrolmentKey(mac)}, `SELECT kiosk, kind, site, latitude, longitude, made_at, expires_at, key_sha256, certificate FROM enrolments
		WHERE code_mac = $1`, []any{mac}, &e.Kiosk, &e.Kind, &e.Site, &latitude, &longitude, &e.MadeAt, &e.ExpiresAt, &key, &e.Certificate)
	if err != nil {
		return e, fmt.Errorf("enrolment: %w", err)
	}
	copy(e.Key[:], key)
	e.Place = place(latitude, longitude)
	return e, nil
}

// UseEnrolment stores who used a code: Key and Certificate.
func (t *Tx) UseEnrolment(e Enrolment) error {
	err := t.exec(keys{kioskKey(e.Kiosk), enrolmentKey(e.CodeMAC)}, `UPDATE enrolments SET key_sha256 = $2, certificate = $3 WHERE code_mac = $1`,
		e.CodeMAC, digest(e.Key), e.Certificate)
	if err != nil {
		return fmt.Errorf("store who used an enrolment: %w", err)
	}
	return nil
}

// VoidEnrolmentsOf makes every code of a kiosk's worthless, and tells whether there was one that nobody had used. Each is taken by its own key,
// too: a kiosk that is just using it has done so before, or is refused.
func (t *Tx) VoidEnrolmentsOf(kiosk string) (unused bool, err error) {
	var macs [][]byte
	err = t.rows(keys{kioskKey(kiosk)}, `SELECT code_mac FROM enrolments WHERE kiosk = $1`, []any{kiosk}, func(scan func(...any) error) error {
		var mac []byte
		err := scan(&mac)
		macs = append(macs, mac)
		return err
	})
	for _, mac := range macs {
		if err != nil {
			break
		}
		var key []byte
		switch err = t.row(keys{kioskKey(kiosk), enrolmentKey(mac)}, `DELETE FROM enrolments WHERE code_mac = $1 RETURNING key_sha256`, []any{mac}, &key); {
		case errors.Is(err, ErrNotFound):
			err = nil // another was made in its place
		case err == nil:
			unused = unused || key == nil
		}
	}
	if err != nil {
		return false, fmt.Errorf("void enrolments of %s: %w", kiosk, err)
	}
	return unused, nil
}

// VoidEnrolments makes every code worthless.
func (t *Tx) VoidEnrolments() error {
	if err := t.exec(keys{everything}, `DELETE FROM enrolments`); err != nil {
		return fmt.Errorf("void enrolments: %w", err)
	}
	return nil
}
