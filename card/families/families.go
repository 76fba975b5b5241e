// Package families finds out what a card is: which family's application answers, and which profiles fit. It is the one
// place that knows all families.
//
// It only selects applications and reads serials, which costs no try. Cards that a profile calls retired are not spoken
// to at all.
package families

import (
	"errors"
	"fmt"
	"slices"

	"latchkey/card"
	"latchkey/card/authentic"
	"latchkey/card/gids"
	"latchkey/card/iso"
	"latchkey/card/openpgp"
	"latchkey/card/piv"
	"latchkey/card/profiles"
)

// order is the families in the order in which a card that no profile names is asked for them: the likelier first. Each
// makes a card that nothing was sent to yet.
var order = []struct {
	family string
	open   func(card.Transport, profiles.Profile) card.Card
}{
	{piv.Family, func(t card.Transport, p profiles.Profile) card.Card { return piv.New(t, p) }},
	{gids.Family, func(t card.Transport, p profiles.Profile) card.Card { return gids.New(t, p) }},
	{openpgp.Family, func(t card.Transport, p profiles.Profile) card.Card { return openpgp.New(t, p) }},
	{iso.Family, func(t card.Transport, p profiles.Profile) card.Card { return iso.New(t, p) }},
	{authentic.Family, func(t card.Transport, p profiles.Profile) card.Card { return authentic.New(t, p) }},
}

// PKCS11 is the family of cards that only their maker's PKCS#11 module can speak to. They have no transport of ours.
const PKCS11 = "pkcs11"

// Found is a card that was recognised, and identified.
type Found struct {
	Card     card.Card
	Identity card.Identity
	// Profiles are those that fit, one or more; a card does not tell which of several is its own. As is the same card,
	// spoken to as one of them has it; card.ErrNotThisFamily for any other.
	Profiles []profiles.Profile
	As       func(profile string) (card.Card, error)
	// Doubtful: they differ in the kind of PUK, so that State may speak of another than the card's own.
	Doubtful bool
	// Rules are those that a passcode must satisfy to be within all of them, Present those to be within any.
	Rules, Present card.Rules
}

// Through is a card that was reached through its maker's module.
func Through(c card.Card, id card.Identity, p profiles.Profile) Found {
	found := Found{Card: c, Identity: id, Profiles: []profiles.Profile{p}, Rules: p.Passcode.Rules, Present: p.Passcode.Rules}
	found.As = func(name string) (card.Card, error) { return as(found, name, nil) }
	return found
}

// ModuleError says that a card is one for its maker's PKCS#11 module: the session must end before the module is used.
type ModuleError struct{ Profile profiles.Profile }

func (e *ModuleError) Error() string {
	return fmt.Sprintf("%s: a card for the module %s", e.Profile.Title, e.Profile.Module)
}

// Recognise finds out what the card behind t is, given its answer to reset. It returns a *card.RetiredError, a
// *ModuleError, card.ErrNotThisFamily if no application answers, or what the first family's Identify failed with that
// did fail otherwise: cards answer strangely to applications that they do not have. An error that ends the session ends
// this.
func Recognise(t card.Transport, atr []byte, set profiles.Set) (Found, error) {
	fit := set.For(atr)
	if len(fit) == 0 {
		return Found{}, card.ErrNotThisFamily
	}
	switch first := fit[0]; {
	case first.Retired:
		return Found{}, &card.RetiredError{Title: first.Title}
	case first.Family == PKCS11:
		return Found{}, &ModuleError{first}
	}
	failed := card.ErrNotThisFamily
	for _, known := range order {
		var asked []profiles.Profile // that differ in what is sent
		for _, p := range fit {
			if p.Family != known.family || p.Retired || slices.ContainsFunc(asked, p.SameApplication) {
				continue
			}
			asked = append(asked, p)
			for _, q := range fit {
				if p.SameApplication(q) { // until it is known which it is, any of their words says blocked
					p.Blocked = append(slices.Clone(p.Blocked), q.Blocked...)
				}
			}
			c := known.open(t, p)
			id, err := c.Identify()
			switch {
			case errors.Is(err, card.ErrRemoved), errors.Is(err, card.ErrReset), errors.Is(err, card.ErrHung):
				return Found{}, err
			case errors.Is(err, card.ErrNotThisFamily):
				continue
			case err != nil:
				if failed == card.ErrNotThisFamily {
					failed = err
				}
				continue
			}
			found := Found{Card: c, Identity: id, Rules: p.Passcode.Rules, Present: p.Passcode.Rules}
			found.As = func(name string) (card.Card, error) {
				return as(found, name, func(q profiles.Profile) card.Card { return known.open(t, q) })
			}
			for _, q := range fit {
				if p.SameApplication(q) {
					found.Doubtful = found.Doubtful || q.PUK.Kind != p.PUK.Kind
					found.Profiles = append(found.Profiles, q)
					found.Rules, found.Present = found.Rules.Both(q.Passcode.Rules), found.Present.Either(q.Passcode.Rules)
				}
			}
			return found, nil
		}
	}
	return Found{}, failed
}

// as opens the card anew, unless it was opened with that profile.
func as(found Found, name string, open func(profiles.Profile) card.Card) (card.Card, error) {
	for i, p := range found.Profiles {
		switch {
		case p.Name != name:
		case i == 0:
			return found.Card, nil
		default:
			c := open(p)
			_, err := c.Identify()
			return c, err
		}
	}
	return nil, fmt.Errorf("profile %q, which is the card's on record, does not fit it or is not known here: %w", name, card.ErrNotThisFamily)
}
