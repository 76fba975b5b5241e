package cardsim

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"latchkey/card/apdu"
	"latchkey/card/profiles"
	"latchkey/tools/cardsim/applet"
	"latchkey/tools/cardsim/authentic"
	"latchkey/tools/cardsim/gids"
	"latchkey/tools/cardsim/iso"
	"latchkey/tools/cardsim/openpgp"
)

// familyPIV is PIV's name in card profiles.
const familyPIV = "piv"

// families are those beside PIV.
var families = map[string]*family{
	"authentic": {authentic.New, func() applet.Applet { return new(authentic.Applet) }},
	"gids":      {gids.New, func() applet.Applet { return new(gids.Applet) }},
	"iso":       {iso.New, func() applet.Applet { return new(iso.Applet) }},
	"openpgp":   {openpgp.New, func() applet.Applet { return new(openpgp.Applet) }},
}

// Families are those that there are virtual cards of.
func Families() []string { return append(slices.Sorted(maps.Keys(families)), familyPIV) }

// family makes a card's applet anew, or empty, to be filled with what is in the card's file.
type family struct {
	create func(applet.Spec, profiles.Profile) (applet.Applet, error)
	empty  func() applet.Applet
}

func newAppletState(spec Spec) (*state, error) {
	f := families[spec.Profile.Family]
	if f == nil {
		return nil, fmt.Errorf("family %q is not one of cardsim", spec.Profile.Family)
	}
	if spec.GUID == [16]byte{} {
		rand.Read(spec.GUID[:])
	}
	tries := func(n, otherwise int) int {
		if n == 0 {
			return otherwise
		}
		return n
	}
	a, err := f.create(applet.Spec{
		Serial: spec.GUID[:], Passcode: spec.Passcode, PUK: spec.PUK, Holder: spec.Holder,
		PasscodeTries: tries(spec.PasscodeTries, spec.Profile.Passcode.Tries), PUKTries: tries(spec.PUKTries, spec.Profile.PUK.Tries),
		NotBefore: spec.NotBefore, NotAfter: spec.NotAfter, Blocked: spec.Blocked, Uninitialised: spec.Uninitialised,
		Lie: spec.Quirks.Lie, Blocked63C0: spec.Quirks.Blocked63C0, Kind: spec.Profile.PUK.Kind,
	}, spec.Profile)
	if err != nil {
		return nil, err
	}
	memory, err := json.Marshal(a)
	return &state{Version: stateVersion, Family: spec.Profile.Family, Applet: memory, Quirks: spec.Quirks}, err
}

// openApplet makes the applet of the card's family from its memory.
func (c *Card) openApplet() error {
	f := families[c.state.Family]
	if f == nil {
		return nil
	}
	c.applet = f.empty()
	if err := json.Unmarshal(c.state.Applet, c.applet); err != nil {
		return fmt.Errorf("memory of the %s applet: %w", c.state.Family, err)
	}
	c.applet.Use(c.commit)
	return nil
}

// commit is the applet's way to change its memory.
func (c *Card) commit(change func()) apdu.SW {
	change()
	memory, err := json.Marshal(c.applet)
	if err == nil {
		err = c.change(func(s *state) { s.Applet = memory })
	}
	if err != nil {
		if err := json.Unmarshal(c.state.Applet, c.applet); err != nil {
			panic(err) // it was read from there before
		}
		return apdu.MemoryFailure
	}
	return apdu.OK
}

func (c *Card) selectApplet(cmd apdu.Command) ([]byte, apdu.SW) {
	if c.state.Quirks.Foreign {
		return nil, apdu.NotFound
	}
	data, sw := c.applet.Select(cmd.Data)
	if sw == apdu.OK {
		c.volatile.selected = true
	}
	return data, sw
}
