package cases

import (
	"slices"

	"latchkey/card/profiles"
)

// Exposed lists the kiosks that were given a PUK which the card may still have, in a grant that is suspect, by name: they were disabled
// since, or their case was opened. Every grant of a base
// carries the same two, so a card is safe again when its PUK was replaced past both, at other kiosks: after one walk or two.
// A PUK that does not rotate stays exposed until the card is imported as reissued. That a grant never arrived is what such a kiosk says,
// and not believed. An answer to a challenge is worth nothing afterwards.
func Exposed(card Card, profile profiles.Profile, grants []Grant, suspect func(Grant) bool) (by []string) {
	if Challenges(profile) {
		return nil
	}
	for _, g := range grants {
		if g.Base+1 >= card.Settled && suspect(g) && !slices.Contains(by, g.Kiosk) {
			by = append(by, g.Kiosk)
		}
	}
	slices.Sort(by)
	return by
}
