package office

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"latchkey/card/profiles"
	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/store"
	"latchkey/firmware/wire/ra"
)

var kioskName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.-]{0,62}$`)

// AddKiosk serves a kiosk whose certificate, DER, another authority gave: who adds it vouches for it.
func AddKiosk(ctx context.Context, s store.Store, name string, kind store.KioskKind, der []byte, by string, now time.Time) (ra.Kiosk, error) {
	if !kioskName.MatchString(name) {
		return ra.Kiosk{}, refuse("the name %q must be 1 to 63 letters, digits, dots and hyphens", name)
	}
	if kind != store.KindKiosk && kind != store.KindDesk {
		return ra.Kiosk{}, refuse("the kind %q is neither kiosk nor desk", kind)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return ra.Kiosk{}, refuse("the certificate cannot be read: have its authority make it anew (%v)", err)
	}
	if cn := cert.Subject.CommonName; cn != name {
		return ra.Kiosk{}, refuse("the certificate is that of %q, not of %q: a kiosk is who its certificate says", cn, name)
	}
	if key, ok := cert.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
		return ra.Kiosk{}, refuse("the certificate has no P-256 key: make the kiosk's device key anew, ECDSA on P-256")
	}
	k := store.Kiosk{
		Name: name, Kind: kind, Certificate: sha256.Sum256(cert.Raw), Key: sha256.Sum256(cert.RawSubjectPublicKeyInfo),
		ExpiresAt: cert.NotAfter.UnixMilli(), State: store.KioskActive, AddedAt: now.UnixMilli(),
	}
	err = s.Update(ctx, func(tx *store.Tx) error {
		added, err := tx.AddKiosk(k)
		if err != nil {
			return err
		}
		if !added {
			return refuse("there is a kiosk %s already: choose another name, a name is never given twice", name)
		}
		return tx.AppendEvent(ledger.Event{At: now, Kind: ledger.KioskAdded, Kiosk: name, Note: fmt.Sprintf("%s %x", k.Kind, k.Certificate), By: by})
	})
	return kioskOf(k, 0), err
}

// DisableKiosk serves a kiosk no longer, makes its enrolment code worthless, and counts the cards that it exposes. Of one that has not
// enrolled yet the code is all there is.
func DisableKiosk(ctx context.Context, s store.Store, set profiles.Set, name, by string, now time.Time) (d ra.Disabled, err error) {
	err = s.Update(ctx, func(tx *store.Tx) error {
		d = ra.Disabled{}
		var err error
		if d.CodeVoided, err = tx.VoidEnrolmentsOf(name); err != nil {
			return err
		}
		if d.CodeVoided {
			if err := tx.AppendEvent(ledger.Event{At: now, Kind: ledger.KioskCodeVoid, Kiosk: name, By: by}); err != nil {
				return err
			}
		}
		switch err := tx.DisableKiosk(name); {
		case errors.Is(err, store.ErrNotFound) && d.CodeVoided:
			return nil
		case errors.Is(err, store.ErrNotFound):
			return refuse("there is no kiosk %s: \"central kiosk list\" names them", name)
		case err != nil:
			return err
		}
		d.Enrolled = true
		return tx.AppendEvent(ledger.Event{At: now, Kind: ledger.KioskDisabled, Kiosk: name, By: by})
	})
	if err != nil || !d.Enrolled {
		return d, err
	}
	err = s.View(ctx, func(tx *store.Tx) error {
		list, err := exposures(tx, set)
		d.Exposed = 0
		for _, e := range list {
			if slices.Contains(e.by, name) {
				d.Exposed++
			}
		}
		return err
	})
	if err != nil {
		return d, fmt.Errorf("%s is disabled, but the cards that it exposes were not counted: %w", name, err)
	}
	return d, nil
}

// ListKiosks lists all kiosks by name.
func ListKiosks(ctx context.Context, s store.Store) (rows []ra.Kiosk, err error) {
	err = s.View(ctx, func(tx *store.Tx) error {
		rows = []ra.Kiosk{}
		kiosks, err := tx.Kiosks()
		if err != nil {
			return err
		}
		for _, k := range kiosks {
			held, err := tx.HeldEntries(k.Name)
			if err != nil {
				return err
			}
			chains, err := tx.ServiceChains(k.Name)
			if err != nil {
				return err
			}
			row := kioskOf(k, held)
			row.Service = serviceDue(chains)
			rows = append(rows, row)
		}
		return nil
	})
	return rows, err
}

func kioskOf(k store.Kiosk, held int64) ra.Kiosk {
	return ra.Kiosk{
		Name: k.Name, Kind: ra.KioskKind(k.Kind), State: ra.KioskState(k.State), Site: k.Site, CertificateSha256: hex.EncodeToString(k.Certificate[:]),
		ExpiresAt: ofMillis(k.ExpiresAt), AddedAt: time.UnixMilli(k.AddedAt).UTC(), QuarantinedAt: ofMillis(k.QuarantinedAt),
		CaseOpenedAt: ofMillis(k.CaseOpenedAt), CaseClearedAt: ofMillis(k.CaseClearedAt),
		EntriesHeld: held, EntriesBackedUp: k.BackedUp,
	}
}

// ofMillis is nil of 0.
func ofMillis(ms int64) *time.Time {
	if ms == 0 {
		return nil
	}
	t := time.UnixMilli(ms).UTC()
	return &t
}
