package office

import (
	"context"
	"crypto"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"latchkey/cmd/central/internal/store"
	"latchkey/cmd/central/internal/vault"
	"latchkey/firmware/secret"
	"latchkey/image/provision"
)

// Provisioning is a file that makes a freshly flashed kiosk that kiosk.
type Provisioning struct {
	File        secret.Value // in base64; the caller's to hand over once and to wipe
	Until       time.Time    // its code is good
	Fingerprint string       // of central's key
	Served      bool         // the kiosk is served already, and the file gives it other settings
}

// ProvisionKiosk makes an enrolment code as EnrolKiosk does, and signs with central's key the file that carries it. settings are what else
// the file says, in TOML and base64. Nothing is made if they are no good.
func ProvisionKiosk(ctx context.Context, s store.Store, v *vault.Vault, key crypto.Signer, e Enrolment, settings secret.Value, by string, now time.Time) (p Provisioning, err error) {
	f, err := readSettings(settings)
	if err != nil {
		return p, err
	}
	defer f.Wipe()
	if p.Served, err = servedAlready(ctx, s, &e); err != nil {
		return p, err
	}
	f.Kiosk, f.Site = e.Name, e.Site
	if err := tried(f, key, now); err != nil {
		return p, err
	}
	if f.Code, p.Until, err = EnrolKiosk(ctx, s, v, e, by, now); err != nil {
		return p, err
	}
	f.Expires = p.Until
	text, err := f.Sign(key)
	if err != nil {
		return p, err
	}
	defer clear(text)
	file := make([]byte, base64.StdEncoding.EncodedLen(len(text)))
	base64.StdEncoding.Encode(file, text)
	p.File, p.Fingerprint = secret.New(file), f.Fingerprint()
	return p, nil
}

// servedAlready tells whether a kiosk of this name is served already: then the file is for the machine that it is, and its code for the key that
// that machine has. What is not said of where it stands stays as it was.
func servedAlready(ctx context.Context, s store.Store, e *Enrolment) (served bool, err error) {
	err = s.View(ctx, func(tx *store.Tx) error {
		k, err := tx.Kiosk(e.Name)
		switch {
		case errors.Is(err, store.ErrNotFound):
			return nil
		case err != nil:
			return err
		case k.Kind != e.Kind:
			return refuse("%s is a %s, which has no provisioning file", e.Name, k.Kind)
		}
		if e.Site == "" {
			e.Site = k.Site
		}
		if e.Place == nil {
			e.Place = k.Place
		}
		served = k.State == store.KioskActive
		return nil
	})
	return served, err
}

func readSettings(settings secret.Value) (*provision.File, error) {
	text := make([]byte, base64.StdEncoding.DecodedLen(settings.Len()))
	defer clear(text)
	n, err := base64.StdEncoding.Decode(text, settings.Reveal())
	if err != nil {
		return nil, refuse("the settings are not in base64: is this command as new as the central that runs?")
	}
	f, err := provision.Template(text[:n])
	if err != nil {
		return nil, refuse("%v", err)
	}
	if f.TimeZone == "" {
		f.TimeZone = "Europe/London"
	}
	if f.Language == "" {
		f.Language = "en"
	}
	if f.Network.Mode == "" {
		f.Network.Mode = provision.DHCP
	}
	if _, err := time.LoadLocation(f.TimeZone); err != nil {
		f.Wipe()
		return nil, refuse("time_zone %q is not known; write one like Europe/London", f.TimeZone)
	}
	return f, nil
}

// tried signs with a code that is none: who made a mistake in the settings has used up nothing.
func tried(f *provision.File, key crypto.Signer, now time.Time) error {
	f.Code.Wipe() // of the settings: central alone makes codes
	f.Code, f.Expires = secret.New([]byte("0000-0000-0000-0000-0000")), now.Add(EnrolmentValidity)
	text, err := f.Sign(key)
	clear(text)
	var bad *provision.Error
	if errors.As(err, &bad) {
		return refuse("%v", err)
	}
	if err != nil {
		return fmt.Errorf("provision a kiosk: %w", err)
	}
	return nil
}
