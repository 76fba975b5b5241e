package office

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/store"
	"latchkey/cmd/central/internal/vault"
	"latchkey/firmware/secret"
	"latchkey/firmware/wire"
)

// EnrolmentValidity is how long an enrolment code can be used.
const EnrolmentValidity = 24 * time.Hour

// Enrolment is a kiosk that is to be let in.
type Enrolment struct {
	Name  string
	Kind  store.KioskKind
	Site  string       // as people call it; may be empty
	Place *store.Place // nil if not known
}

// EnrolKiosk makes the one-time code with which a new kiosk asks for its certificate, or one that is known already asks anew,
// with the key that it has. The code is the caller's to show once and to wipe; a code that was made for the same name before
// is void. What site and place are given is kept with a new kiosk.
func EnrolKiosk(ctx context.Context, s store.Store, v *vault.Vault, e Enrolment, by string, now time.Time) (code secret.Value, until time.Time, err error) {
	if !kioskName.MatchString(e.Name) {
		return code, until, refuse("the name %q must be 1 to 63 letters, digits, dots and hyphens", e.Name)
	}
	if e.Kind != store.KindKiosk && e.Kind != store.KindDesk {
		return code, until, refuse("the kind %q is neither kiosk nor desk", e.Kind)
	}
	if p := e.Place; p != nil && (p.Latitude < -90e6 || p.Latitude > 90e6 || p.Longitude < -180e6 || p.Longitude > 180e6) {
		return code, until, refuse("the place is none on Earth: write the latitude from -90 to 90 and the longitude from -180 to 180 degrees")
	}
	code = newEnrolmentCode()
	until = now.Add(EnrolmentValidity).UTC()
	kept := store.Enrolment{
		CodeMAC: v.EnrolmentMAC(code), Kiosk: e.Name, Kind: e.Kind, Site: e.Site, Place: e.Place, MadeAt: now.UnixMilli(), ExpiresAt: until.UnixMilli(),
	}
	err = s.Update(ctx, func(tx *store.Tx) error {
		k, err := tx.Kiosk(e.Name)
		switch {
		case errors.Is(err, store.ErrNotFound):
		case err != nil:
			return err
		case k.State == store.KioskDisabled:
			return refuse("the kiosk %s was disabled, for good: choose another name, a name is never given twice", e.Name)
		case k.Key == [32]byte{}:
			return refuse("there is a kiosk %s already, and central does not know its key: choose another name", e.Name)
		}
		return errors.Join(tx.AddEnrolment(kept),
			tx.AppendEvent(ledger.Event{At: now, Kind: ledger.KioskEnrolling, Kiosk: e.Name, Note: string(e.Kind), By: by}))
	})
	if err != nil {
		code.Wipe()
		return secret.Value{}, until, err
	}
	return code, until, nil
}

// crockford is Base32 without I, L, O and U (D. Crockford).
const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// enrolmentLen symbols. Central takes 2, 5 and 8 for Z, S and B, so each of them tells apart 29: log2(29²⁰) is 97 bits.
const enrolmentLen = 20

// newEnrolmentCode is such as "7K3Q-M9XD-0RTB-VWPA-4HCN".
func newEnrolmentCode() secret.Value {
	drawn := make([]byte, enrolmentLen)
	defer clear(drawn)
	rand.Read(drawn)
	code := make([]byte, 0, enrolmentLen+enrolmentLen/4)
	for i, b := range drawn {
		if i > 0 && i%4 == 0 {
			code = append(code, '-')
		}
		code = append(code, crockford[b%32])
	}
	return secret.New(code)
}

// ConfirmKiosk serves an enrolled kiosk from now on, if the fingerprint that was typed from its screen is that of the key that
// central gave the certificate to. Doing it twice is harmless.
func ConfirmKiosk(ctx context.Context, s store.Store, name, typed, by string, now time.Time) error {
	fingerprint, err := wire.ParseFingerprint(typed)
	if err != nil {
		return refuse("%v", err)
	}
	var wrong error // is written down, so that it does not undo the Update
	err = s.Update(ctx, func(tx *store.Tx) error {
		wrong = nil
		k, err := tx.Kiosk(name)
		switch {
		case errors.Is(err, store.ErrNotFound):
			return refuse("there is no kiosk %s: \"central kiosk list\" names them; if it is new, it has not used its code yet", name)
		case err != nil:
			return err
		case k.State == store.KioskDisabled:
			return refuse("the kiosk %s was disabled, for good: enrol it under another name", name)
		case k.Key != fingerprint:
			wrong = refuse("that is not the fingerprint of the key that was enrolled as %s: compare it with the kiosk's own screen; "+
				"if it is typed right, somebody else used the code: disable %s and enrol the kiosk under another name", name, name)
			return tx.AppendEvent(ledger.Event{At: now, Kind: ledger.KioskNotConfirmed, Kiosk: name, Note: "another fingerprint was typed", By: by})
		case k.State == store.KioskActive:
			return nil
		}
		k.State = store.KioskActive
		return errors.Join(tx.SetKioskTrust(k),
			tx.AppendEvent(ledger.Event{At: now, Kind: ledger.KioskConfirmed, Kiosk: name, Note: fmt.Sprintf("key %s", wire.ShowFingerprint(k.Key)), By: by}))
	})
	return cmp.Or(err, wrong)
}
