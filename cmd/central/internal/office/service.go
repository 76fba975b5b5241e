package office

import (
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"latchkey/cmd/central/internal/engineers"
	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/store"
	"latchkey/cmd/central/internal/vault"
	"latchkey/firmware/secret"
	"latchkey/firmware/service"
	"latchkey/firmware/wire/ra"
)

// GiveServiceCode gives out the code of a number, which opens the kiosk's own page once. Whoever has it can make every code
// above it, so skip has to say that a number below the one that central expects is meant; the warning says what was given away besides. The
// code is the caller's to show once and to wipe.
func GiveServiceCode(ctx context.Context, s store.Store, v *vault.Vault, kiosk string, number int, skip bool, by string, now time.Time) (code secret.Value, warning string, err error) {
	var c store.ServiceChain
	judge := func(tx *store.Tx) (err error) {
		c, warning, err = judgeServiceCode(tx, kiosk, number, skip)
		return err
	}
	if err := s.View(ctx, judge); err != nil {
		return secret.Value{}, "", err
	}
	opened := c.ID
	if code, err = engineers.Code(v, c, number); err != nil {
		return secret.Value{}, "", err
	}
	err = s.Update(ctx, func(tx *store.Tx) error {
		if err := judge(tx); err != nil {
			return err
		}
		if c.ID != opened {
			return refuse("the kiosk %s was just given other codes: look which number it shows now, and ask again", kiosk)
		}
		note := fmt.Sprintf("number %d", number)
		if warning != "" {
			note += fmt.Sprintf(", and with it those up to %d", engineers.Expected(c))
		}
		if c.Given == 0 || number < c.Given {
			c.Given = number
		}
		return errors.Join(tx.SetServiceChain(c), tx.AppendEvent(ledger.Event{At: now, Kind: ledger.ServiceCodeGiven, Kiosk: kiosk, Note: note, By: by}))
	})
	if err != nil {
		code.Wipe()
		return secret.Value{}, "", err
	}
	return code, warning, nil
}

// judgeServiceCode finds the chain that a kiosk goes by, and says whether the number may be given.
func judgeServiceCode(tx *store.Tx, kiosk string, number int, skip bool) (c store.ServiceChain, warning string, err error) {
	chains, err := serviceChains(tx, kiosk)
	if err != nil {
		return c, "", err
	}
	if len(chains) == 0 {
		return c, "", refuse("the kiosk %s has no codes yet: it fetches them when it reaches central; use a service card that it knows, or bring it to its network", kiosk)
	}
	c = chains[0]
	if held := engineers.Held(chains); held != nil {
		c = *held
	}
	switch expected := engineers.Expected(c); {
	case number < 1 || number > service.Codes:
		return c, "", refuse("there is no code %d: the numbers are 1 to %d, and the kiosk's screen shows the one that is due", number, service.Codes)
	case number > c.Due:
		return c, "", refuse("code %d of %s was used already: at %s it said that %d is due; look at its screen again", number, kiosk,
			c.HeldAt.UTC().Format(time.RFC3339), c.Due)
	case number < expected && !skip:
		return c, "", refuse("%s is expected to show %d: whoever has code %d can make every code up to that one, too. If its screen really shows %[3]d, add --skip",
			kiosk, expected, number)
	case number < expected:
		warning = fmt.Sprintf("whoever has code %d can make codes %d to %d, too; if %s does not show %[1]d, make them void with \"central kiosk service-renew %[4]s\"",
			number, number+1, expected, kiosk)
	}
	return c, warning, nil
}

func serviceChains(tx *store.Tx, kiosk string) ([]store.ServiceChain, error) {
	switch _, err := tx.Kiosk(kiosk); {
	case errors.Is(err, store.ErrNotFound):
		return nil, refuse("there is no kiosk %s: \"central kiosk list\" names them", kiosk)
	case err != nil:
		return nil, err
	}
	return tx.ServiceChains(kiosk)
}

// RenewServiceCodes makes other codes for a kiosk, which it has as soon as it asks.
func RenewServiceCodes(ctx context.Context, s store.Store, v *vault.Vault, kiosk, by string, now time.Time) error {
	fresh, err := engineers.NewChain(v, kiosk, now)
	if err != nil {
		return err
	}
	return s.Update(ctx, func(tx *store.Tx) error {
		if _, err := serviceChains(tx, kiosk); err != nil {
			return err
		}
		return errors.Join(tx.AddServiceChain(fresh), tx.AppendEvent(ledger.Event{At: now, Kind: ledger.ServiceCodesMade, Kiosk: kiosk, By: by}))
	})
}

// serviceDue is nil if a kiosk never told of its codes.
func serviceDue(chains []store.ServiceChain) *ra.ServiceDue {
	held := engineers.Held(chains)
	if held == nil {
		return nil
	}
	return &ra.ServiceDue{Due: held.Due, ToldAt: held.HeldAt}
}

// serviceCardName can stand in a sentence and is not taken for a fingerprint.
var serviceCardName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9 .-]{0,31}$`)

// ListServiceCards lists the service cards by key.
func ListServiceCards(ctx context.Context, s store.Store) (list []ra.ServiceCard, err error) {
	err = s.View(ctx, func(tx *store.Tx) error {
		cards, _, err := tx.ServiceCards()
		list = []ra.ServiceCard{}
		for _, c := range cards {
			list = append(list, serviceCardOf(c))
		}
		return err
	})
	return list, err
}

func serviceCardOf(c store.ServiceCard) ra.ServiceCard {
	return ra.ServiceCard{Name: c.Name, KeySha256: hex.EncodeToString(c.Key[:]), AddedAt: c.AddedAt}
}

// AddServiceCard lets a card open the own page of every kiosk, by the certificate of its key or that key's fingerprint.
func AddServiceCard(ctx context.Context, s store.Store, card ra.NewServiceCard, by string, now time.Time) (ra.ServiceCard, error) {
	if !serviceCardName.MatchString(card.Name) {
		return ra.ServiceCard{}, refuse("the name %q must be 1 to 32 letters, digits, spaces, dots and hyphens", card.Name)
	}
	c := store.ServiceCard{Name: card.Name, AddedAt: now.UTC().Truncate(time.Millisecond)}
	var err error
	if c.Key, err = serviceCardKey(card); err != nil {
		return ra.ServiceCard{}, err
	}
	err = s.Update(ctx, func(tx *store.Tx) error {
		cards, _, err := tx.ServiceCards()
		if err != nil {
			return err
		}
		for _, is := range cards {
			if is.Key == c.Key || is.Name == c.Name {
				return refuse("there is a service card %s with the key %x already: remove it first", is.Name, is.Key)
			}
		}
		if len(cards) == service.MaxCards {
			return refuse("there are %d service cards already, and a kiosk knows no more: remove one first", len(cards))
		}
		_, err = tx.AddServiceCard(c)
		return errors.Join(err, tx.AppendEvent(ledger.Event{At: now, Kind: ledger.ServiceCardAdded, Note: serviceCardNote(c), By: by}))
	})
	return serviceCardOf(c), err
}

// serviceCardNote names a card as journals of kiosks do, with its name.
func serviceCardNote(c store.ServiceCard) string { return fmt.Sprintf("card %x %s", c.Key[:4], c.Name) }

func serviceCardKey(card ra.NewServiceCard) (key [32]byte, err error) {
	if (len(card.Certificate) > 0) == (card.KeySha256 != "") {
		return key, refuse("write either the certificate of the card's key (PIV 9E) or that key's fingerprint")
	}
	if card.KeySha256 != "" {
		b, err := hex.DecodeString(card.KeySha256)
		if err != nil || len(b) != len(key) {
			return key, refuse("%q is no fingerprint: it is SHA-256 of the key's SubjectPublicKeyInfo, 64 hex digits", card.KeySha256)
		}
		return [32]byte(b), nil
	}
	cert, err := x509.ParseCertificate(card.Certificate)
	if err != nil {
		return key, refuse("the certificate cannot be read: read it from the card anew (%v)", err)
	}
	switch cert.PublicKey.(type) {
	case *ecdsa.PublicKey, *rsa.PublicKey:
		return sha256.Sum256(cert.RawSubjectPublicKeyInfo), nil
	}
	return key, refuse("the certificate has a key that no kiosk can check: it must be ECDSA or RSA")
}

// RemoveServiceCard lets a card open no kiosk any more, as soon as the kiosk has heard of it.
func RemoveServiceCard(ctx context.Context, s store.Store, name, by string, now time.Time) (removed ra.ServiceCard, err error) {
	err = s.Update(ctx, func(tx *store.Tx) error {
		cards, _, err := tx.ServiceCards()
		if err != nil {
			return err
		}
		i := slices.IndexFunc(cards, func(c store.ServiceCard) bool { return c.Name == name })
		if i < 0 {
			return refuse("there is no service card %s: \"central service-card list\" names them", name)
		}
		removed = serviceCardOf(cards[i])
		_, err = tx.RemoveServiceCard(cards[i].Key, now)
		return errors.Join(err, tx.AppendEvent(ledger.Event{At: now, Kind: ledger.ServiceCardRemoved, Note: serviceCardNote(cards[i]), By: by}))
	})
	return removed, err
}
