package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"latchkey/firmware/wire/ra"
)

func cardCommand(o *options) *cobra.Command {
	return group("card", "Cards: what central has on record of them", cardList(o), cardShow(o), cardResetAttempts(o))
}

func cardList(o *options) *cobra.Command {
	var asJSON bool
	var params ra.ListCardsParams
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
			c, err := o.running()
			if err != nil {
				return err
			}
			list, err := c.ListCardsWithResponse(cmd.Context(), &params)
			if err != nil {
				return err
			}
			return show(cmd, asJSON, list.JSON200, func(w *tabwriter.Writer) {
				fmt.Fprintln(w, "CARD\tPROFILE\tSTATE\tSETTLED\tEXPOSED BY\tREMEDY")
				for _, r := range *list.JSON200 {
					fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\n", r.Serial, r.Profile, r.State, r.Settled, strings.Join(r.ExposedBy, ", "), r.Remedy)
				}
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	cmd.Flags().BoolVar(&params.Exposed, "exposed", false, "only cards that are exposed by a disabled kiosk")
	return cmd
}

func cardShow(o *options) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show SERIAL",
		Short: "Show a card's settled generation, the tries that are booked, who was granted what and who exposes it",
		Args:  takes(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.running()
			if err != nil {
				return err
			}
			card, err := c.ShowCardWithResponse(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			r := card.JSON200
			return show(cmd, asJSON, r, func(w *tabwriter.Writer) {
				fmt.Fprintf(w, "card\t%s\nprofile\t%s\nstate\t%s\nsettled\t%d\nbooked\t%d\nwrong codes\t%d\nexposed by\t%s\n",
					r.Serial, r.Profile, r.State, r.Settled, r.Booked, r.WrongCodes, strings.Join(r.ExposedBy, ", "))
				if r.FrozenAt != nil {
					fmt.Fprintf(w, "frozen\t%s\n", clock(*r.FrozenAt))
				}
				if r.ApprovedUntil != nil {
					fmt.Fprintf(w, "approved until\t%s\n", clock(*r.ApprovedUntil))
				}
				for _, g := range r.Grants {
					outcome := "no outcome"
					if x := g.Outcome; x != nil {
						outcome = fmt.Sprintf("passcode %s, rotated %s", x.Passcode, x.Rotated)
						if x.PukBlocked {
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

func cardResetAttempts(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "reset-attempts SERIAL",
		Short: "Forgive the wrong codes of a card and of its holder, who are locked out by too many",
		Args:  takes(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.running()
			if err != nil {
				return err
			}
			f, err := c.ResetAttemptsWithResponse(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: wrong codes forgiven: %d of the card, %d of its holder\n", args[0], f.JSON200.Card, f.JSON200.Holder)
			return nil
		},
	}
}
