package main

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"latchkey/card/profiles"
	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/store"
	"latchkey/firmware/wire"
)

func cardCommand(o *options) *cobra.Command {
	return group("card", "Cards: what central has on record of them", cardList(o), cardShow(o), cardResetAttempts(o))
}

// exposure of a card: which disabled kiosks were given a PUK that it may still have.
type exposure struct {
	cases.Card
	By  []string
	Way string // how it gets out of danger
}

// What puts an exposed card right.
const (
	byWalk    = "walk"    // the next walk at another kiosk replaces the PUK, or the one after
	byImport  = "import"  // the PUK does not rotate: the card needs another, and its import
	byProfile = "profile" // nobody knows what kind of card it is
)

func exposures(tx *store.Tx, set profiles.Set) (list []exposure, err error) {
	cards, err := tx.CardsGrantedTo(store.KioskDisabled)
	if err != nil {
		return nil, err
	}
	for _, c := range cards {
		grants, err := tx.Grants(c.Serial)
		if err != nil {
			return nil, err
		}
		e, err := exposureOf(tx, set, c, grants)
		if err != nil {
			return nil, err
		}
		if len(e.By) > 0 {
			list = append(list, e)
		}
	}
	return list, nil
}

func exposureOf(tx *store.Tx, set profiles.Set, c cases.Card, grants []cases.Grant) (exposure, error) {
	profile, unknown := set.Named(c.Profile) // the zero Profile counts as one whose secret leaves central and stays
	kiosks, err := tx.Kiosks()
	if err != nil {
		return exposure{}, err
	}
	disabled := map[string]bool{}
	for _, k := range kiosks {
		disabled[k.Name] = k.State == store.KioskDisabled
	}
	e := exposure{Card: c, By: cases.Exposed(c, profile, grants, func(kiosk string) bool { return disabled[kiosk] }), Way: byWalk}
	switch {
	case unknown != nil:
		e.Way = byProfile
	case !profile.PUK.Rotates:
		e.Way = byImport
	}
	return e, nil
}

// cardState is what is wrong with a card on record; "in order" if nothing is.
func cardState(c cases.Card) string {
	switch {
	case c.Revoked:
		return "revoked"
	case c.PUKBlocked:
		return string(cases.WhyPUKBlocked)
	case !c.HasSecret:
		return string(cases.WhySecretUnknown)
	}
	return "in order"
}

// listRow is a card as it is listed.
type listRow struct {
	Serial    string   `json:"serial"`
	Profile   string   `json:"profile"`
	State     string   `json:"state"`
	Settled   int64    `json:"settled"`
	ExposedBy []string `json:"exposed_by"`
	Remedy    string   `json:"remedy,omitempty"` // of an exposed card: walk, import, profile
}

func cardList(o *options) *cobra.Command {
	var asJSON, exposed bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the cards, or those that a disabled kiosk may still have a PUK of",
		Long: `List the cards, or those that a disabled kiosk may still have a PUK of.

EXPOSED BY names the disabled kiosks that were given a PUK which the card may still have. REMEDY says what ends that:
"walk" is to unlock the card at another kiosk or change its passcode there by a code, which replaces the PUK; it can take
two walks. "import" is a card whose kind of PUK does not rotate: it stays exposed until it was given another secret, and
that was imported with --reissued. "profile" is a card whose profile is not among those of this configuration: bring that
back.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			rows := []listRow{}
			err := o.with(cmd.Context(), func(of office) error {
				return of.store.View(cmd.Context(), func(tx *store.Tx) error {
					list, err := exposures(tx, of.config.Profiles)
					if err != nil {
						return err
					}
					by := map[string]exposure{}
					var cards []cases.Card
					for _, e := range list {
						by[e.Serial] = e
						cards = append(cards, e.Card)
					}
					if !exposed {
						if cards, err = tx.Cards(); err != nil {
							return err
						}
					}
					for _, c := range cards {
						row := listRow{Serial: c.Serial, Profile: c.Profile, State: cardState(c), Settled: c.Settled, ExposedBy: []string{}}
						if e, is := by[c.Serial]; is {
							row.ExposedBy, row.Remedy = e.By, e.Way
						}
						rows = append(rows, row)
					}
					return nil
				})
			})
			if err != nil {
				return err
			}
			return show(cmd, asJSON, rows, func(w *tabwriter.Writer) {
				fmt.Fprintln(w, "CARD\tPROFILE\tSTATE\tSETTLED\tEXPOSED BY\tREMEDY")
				for _, r := range rows {
					fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\n", r.Serial, r.Profile, r.State, r.Settled, strings.Join(r.ExposedBy, ", "), r.Remedy)
				}
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	cmd.Flags().BoolVar(&exposed, "exposed", false, "only cards that are exposed by a disabled kiosk")
	return cmd
}

// cardRow is a card as it is shown.
type cardRow struct {
	Serial     string     `json:"serial"`
	Profile    string     `json:"profile"`
	State      string     `json:"state"`
	Revoked    bool       `json:"revoked"`
	Settled    int64      `json:"settled"`
	Booked     int        `json:"booked"`
	WrongCodes int        `json:"wrong_codes"`
	ExposedBy  []string   `json:"exposed_by"`
	Grants     []grantRow `json:"grants"`
}

type grantRow struct {
	Case      string      `json:"case"`
	Kiosk     string      `json:"kiosk"`
	Base      int64       `json:"base"`
	First     int64       `json:"first"`
	Tries     int         `json:"tries"`
	Booked    int         `json:"booked"`
	IssuedAt  time.Time   `json:"issued_at"`
	ExpiresAt time.Time   `json:"expires_at"`
	Outcome   *outcomeRow `json:"outcome"`
}

type outcomeRow struct {
	At         time.Time `json:"at"`
	Passcode   wire.Fact `json:"passcode"`
	Opened     *int64    `json:"opened"`
	Rotated    wire.Fact `json:"rotated"`
	Tries      int       `json:"tries"`
	PUKBlocked bool      `json:"puk_blocked"`
}

func cardShow(o *options) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show SERIAL",
		Short: "Show a card's settled generation, the tries that are booked, its grants and who exposes it",
		Args:  takes(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var r cardRow
			err := o.with(cmd.Context(), func(of office) error {
				return of.store.View(cmd.Context(), func(tx *store.Tx) (err error) {
					r, err = readCard(tx, of.config.Profiles, args[0])
					return err
				})
			})
			if err != nil {
				return err
			}
			return show(cmd, asJSON, r, func(w *tabwriter.Writer) {
				fmt.Fprintf(w, "card\t%s\nprofile\t%s\nstate\t%s\nsettled\t%d\nbooked\t%d\nwrong codes\t%d\nexposed by\t%s\n",
					r.Serial, r.Profile, r.State, r.Settled, r.Booked, r.WrongCodes, strings.Join(r.ExposedBy, ", "))
				for _, g := range r.Grants {
					outcome := "no outcome"
					if x := g.Outcome; x != nil {
						outcome = fmt.Sprintf("passcode %s, rotated %s", x.Passcode, x.Rotated)
						if x.PUKBlocked {
							outcome += ", PUK blocked"
						}
					}
					fmt.Fprintf(w, "%s\tbase %d first %d tries %d booked %d at %s: %s\n", clock(g.IssuedAt), g.Base, g.First, g.Tries, g.Booked, g.Kiosk, outcome)
				}
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func readCard(tx *store.Tx, set profiles.Set, serial string) (cardRow, error) {
	c, err := cardNamed(tx, serial)
	if err != nil {
		return cardRow{}, err
	}
	r := cardRow{
		Serial: c.Serial, Profile: c.Profile, State: cardState(c), Revoked: c.Revoked, Settled: c.Settled, WrongCodes: c.WrongCodes,
		ExposedBy: []string{}, Grants: []grantRow{},
	}
	grants, err := tx.Grants(c.Serial)
	if err != nil {
		return cardRow{}, err
	}
	e, err := exposureOf(tx, set, c, grants)
	r.ExposedBy = append(r.ExposedBy, e.By...)
	for _, g := range grants {
		row := grantRow{
			Case: g.Case, Kiosk: g.Kiosk, Base: g.Base, First: g.First, Tries: g.Tries, Booked: g.Booked,
			IssuedAt: g.IssuedAt, ExpiresAt: g.ExpiresAt,
		}
		if o := g.Outcome; o != nil {
			row.Outcome = &outcomeRow{o.At, o.Passcode, o.Opened, o.Rotated, o.Tries, o.PUKBlocked}
		}
		r.Booked += g.Booked
		r.Grants = append(r.Grants, row)
	}
	return r, err
}

func cardResetAttempts(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "reset-attempts SERIAL",
		Short: "Forgive the wrong codes of a card and of its holder, who are locked out by too many",
		Args:  takes(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.with(cmd.Context(), func(of office) error {
				var card, holder int
				err := of.store.Update(cmd.Context(), func(tx *store.Tx) error {
					c, err := cardNamed(tx, args[0])
					if err != nil {
						return err
					}
					h, _, err := tx.Holder(c.Holder)
					if err != nil {
						return err
					}
					card, holder = c.WrongCodes, h.WrongCodes
					c.WrongCodes, h.WrongCodes = 0, 0
					note := fmt.Sprintf("card %d holder %d", card, holder)
					return errors.Join(tx.SetCard(c), tx.SetHolderWrongCodes(h),
						tx.AppendEvent(ledger.Event{At: time.Now(), Kind: ledger.AttemptsReset, Card: c.Serial, Note: note}))
				})
				if err == nil {
					fmt.Fprintf(cmd.OutOrStdout(), "%s: wrong codes forgiven: %d of the card, %d of its holder\n", args[0], card, holder)
				}
				return err
			})
		},
	}
}

func cardNamed(tx *store.Tx, serial string) (cases.Card, error) {
	c, err := tx.Card(serial)
	if errors.Is(err, store.ErrNotFound) {
		return c, fmt.Errorf("there is no card with the serial %s: it is written in lower-case hex", serial)
	}
	return c, err
}
