package office

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"latchkey/card/profiles"
	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/store"
	"latchkey/cmd/central/internal/vault"
)

// Unusable is a card that could not be unlocked if it were presented now, because of its secret.
type Unusable struct {
	Card, Profile string
	Why           Why
	Cure          string
}

// Why a card has no usable secret. The rules have more: puk-blocked, secret-unknown, generation, tries-used-up (cases.Why).
type Why string

// Reasons of the vault's.
const (
	WhyProfile    Why = "profile-unknown" // nobody knows what kind of card it is
	WhyUnknownKey Why = "unknown-key"     // sealed under a key-encryption key that this central does not have
	WhySealed     Why = "does-not-open"   // damaged, or another card's
	WhyForm       Why = "wrong-form"      // not what such a card takes
)

// cure says what puts a card right.
func (w Why) cure() string {
	switch cases.Why(w) {
	case cases.WhySecretUnknown:
		return "import the card with its secret"
	case cases.WhyPUKBlocked:
		return "the card's PUK is blocked: give it another by its maker's tool, or replace the card, and import it with --reissued"
	case cases.WhyGeneration:
		return "what happened to it since the backup is not known: give it another secret, and import it with --reissued"
	case cases.WhyTriesUsedUp:
		return "the card may have too few PUK tries left: one that tells its count is served all the same; else give it another secret, and import it with --reissued"
	}
	switch w {
	case WhyProfile:
		return "bring its card profile back into the folder that cards.profiles names"
	case WhyUnknownKey:
		return "name the file of its key in old_keks, and run \"central keys rewrap\""
	}
	return "bring the database back from a backup, or give the card another secret, and import it with --reissued"
}

// escrowPage is how many cards are read at once.
const escrowPage = 500

// Escrow looks for the cards in service that have no usable secret and gives each to found, by serial; what that returns ends
// it. It opens the secret that each card would be unlocked with, reads the cards in pages and holds nobody up. It says how many
// cards it looked at; revoked ones are none.
func Escrow(ctx context.Context, s store.Store, v *vault.Vault, set profiles.Set, found func(Unusable) error) (checked int, err error) {
	for after := ""; ; {
		var page []cases.Card
		secrets, grants := map[string]map[int64][]byte{}, map[string][]cases.Grant{}
		err := s.View(ctx, func(tx *store.Tx) (err error) {
			if page, err = tx.CardsAfter(after, escrowPage); err != nil || len(page) == 0 {
				return err
			}
			first, last := page[0].Serial, page[len(page)-1].Serial
			list, err := tx.SecretsBetween(first, last)
			for _, one := range list {
				if secrets[one.ID] == nil {
					secrets[one.ID] = map[int64][]byte{}
				}
				secrets[one.ID][one.Generation] = one.Sealed
			}
			given, err2 := tx.GrantsBetween(first, last)
			for _, g := range given {
				grants[g.Card] = append(grants[g.Card], g)
			}
			return errors.Join(err, err2)
		})
		if err != nil || len(page) == 0 {
			return checked, err
		}
		after = page[len(page)-1].Serial
		for _, c := range page {
			if c.Revoked {
				continue
			}
			checked++
			why, err := unusable(v, set, c, secrets[c.Serial][c.Settled], grants[c.Serial])
			if err == nil && why != "" {
				err = found(Unusable{c.Serial, c.Profile, why, why.cure()})
			}
			if err != nil {
				return checked, fmt.Errorf("card %s: %w", c.Serial, err)
			}
		}
	}
}

// unusable says why a card's secret cannot be used; empty if it can. sealed is what was imported for its settled generation, nil if
// nothing was: then it is derived, where the kind of PUK rotates.
func unusable(v *vault.Vault, set profiles.Set, c cases.Card, sealed []byte, grants []cases.Grant) (Why, error) {
	profile, err := set.Named(c.Profile)
	if err != nil || profile.Retired {
		return WhyProfile, nil
	}
	if why := cases.Referral(cases.Record{Card: c, Profile: profile, Grants: grants}); why != "" {
		return Why(why), nil
	}
	if sealed == nil {
		if c.Settled > 0 && profile.PUK.Rotates {
			return "", nil
		}
		return Why(cases.WhySecretUnknown), nil
	}
	err = v.Check(vault.CardSecret(c.Serial, cases.Challenges(profile), c.Settled), sealed, profile.PUK)
	var unknown *vault.UnknownKeyError
	switch {
	case errors.As(err, &unknown):
		return WhyUnknownKey, nil
	case errors.Is(err, vault.ErrSealed):
		return WhySealed, nil
	case errors.Is(err, vault.ErrForm):
		return WhyForm, nil
	}
	return "", err
}

// Generation is one of a card's secrets, and who received it.
type Generation struct {
	Number   int64
	Imported bool    // else it was derived
	Settled  bool    // it is the one that the card is known to have, or to have left for the next
	Given    []Given // oldest first
}

// Given is a kiosk that a secret was given to.
type Given struct {
	Kiosk, Case string
	At          time.Time
	// Answered: it was given an answer to one challenge of the card's, which tells nothing of the secret.
	Answered bool
}

// Generations lists the secrets that a card had or may have, oldest first, and which kiosks received each and when. Where the kind of
// PUK rotates, a kiosk is given the present one and the next.
func Generations(ctx context.Context, s store.Store, set profiles.Set, serial string) (list []Generation, err error) {
	err = s.View(ctx, func(tx *store.Tx) error {
		c, err := cardNamed(tx, serial)
		if err != nil {
			return err
		}
		imported, err := tx.Secrets(serial)
		if err != nil {
			return err
		}
		grants, err := tx.Grants(serial)
		list = generations(set, c, imported, grants)
		return err
	})
	return list, err
}

func generations(set profiles.Set, c cases.Card, imported []store.Secret, grants []cases.Grant) []Generation {
	profile, unknown := set.Named(c.Profile)
	challenges := unknown == nil && cases.Challenges(profile)
	all := map[int64]*Generation{}
	at := func(n int64) *Generation {
		if all[n] == nil {
			all[n] = &Generation{Number: n, Settled: n == c.Settled, Given: []Given{}}
		}
		return all[n]
	}
	for _, i := range imported {
		at(i.Generation).Imported = true
	}
	if len(imported) > 0 {
		at(c.Settled)
	}
	for _, g := range grants {
		given := Given{g.Kiosk, g.Case, g.IssuedAt, challenges}
		numbers := []int64{g.Base}
		if unknown != nil || profile.PUK.Rotates {
			numbers = append(numbers, g.Base+1)
		}
		for _, n := range numbers {
			one := at(n)
			one.Given = append(one.Given, given)
		}
	}
	list := make([]Generation, 0, len(all))
	for _, g := range all {
		list = append(list, *g)
	}
	slices.SortFunc(list, func(a, b Generation) int { return int(a.Number - b.Number) })
	return list
}
