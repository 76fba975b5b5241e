package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"latchkey/cmd/internal/command"
	"latchkey/firmware/wire/ra"
)

func cardCommand(o *options) *cobra.Command {
	return command.Group("card", "Cards: what central has on record of them", cardList(o), cardShow(o), cardResetAttempts(o), cardApprove(o), cardFreeze(o), cardUnfreeze(o),
		cardRelease(o), cardEscrow(o))
}

func cardApprove(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "approve SERIAL",
		Short: "Let a card pass what is unusual about its visit, until its next unlock and for no longer than policy says",
		Long: `Let a card pass what is unusual about its visit, until its next unlock and for no longer than policy says.

Whoever approves has seen the holder and the card.`,
		Args: command.Takes(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.running()
			if err != nil {
				return err
			}
			a, err := c.ApproveCardWithResponse(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s approved until %s\n", args[0], clock(a.JSON200.Until))
			return nil
		},
	}
}

func cardFreeze(o *options) *cobra.Command {
	return o.act("freeze SERIAL", "Release nothing more for a card; its open visits end and its holder is told", "frozen",
		func(ctx context.Context, c *ra.ClientWithResponses, serial string) error {
			_, err := c.FreezeCardWithResponse(ctx, serial)
			return err
		})
}

func cardUnfreeze(o *options) *cobra.Command {
	return o.act("unfreeze SERIAL", "End a card's freeze, after speaking with its holder", "unfrozen",
		func(ctx context.Context, c *ra.ClientWithResponses, serial string) error {
			_, err := c.UnfreezeCardWithResponse(ctx, serial)
			return err
		})
}

func cardRelease(o *options) *cobra.Command {
	return o.act("release SERIAL", "After a restore, serve a card whose holder was at none of the missing kiosks since the backup", "released",
		func(ctx context.Context, c *ra.ClientWithResponses, serial string) error {
			_, err := c.ReleaseCardWithResponse(ctx, serial)
			return err
		})
}

func cardEscrow(o *options) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "escrow",
		Short: "List the cards in service that have no usable secret, and what puts each right",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.running()
			if err != nil {
				return err
			}
			list, err := c.CheckEscrowWithResponse(cmd.Context())
			if err != nil {
				return err
			}
			return show(cmd, asJSON, list.JSON200, func(w *tabwriter.Writer) {
				if n := len(list.JSON200.Unusable); n > 0 {
					fmt.Fprintln(w, "CARD\tPROFILE\tWHY\tCURE")
				}
				for _, u := range list.JSON200.Unusable {
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", u.Card, u.Profile, u.Why, u.Cure)
				}
				fmt.Fprintf(w, "%d cards in service, %d without a usable secret\n", list.JSON200.Checked, len(list.JSON200.Unusable))
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func cardList(o *options) *cobra.Command {
	var asJSON bool
	var params ra.ListCardsParams
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the cards, or those of which a kiosk that is not trusted may still have a PUK",
		Long: `List the cards, or those of which a kiosk that is not trusted may still have a PUK.

EXPOSED BY names the kiosks that were given a PUK which the card may still have, and that were disabled since, or whose case was
opened. REMEDY says what ends that:
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
	cmd.Flags().BoolVar(&params.Exposed, "exposed", false, "only cards that are exposed by a kiosk")
	return cmd
}

func cardShow(o *options) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show SERIAL",
		Short: "Show a card's settled generation, the tries that are booked, who was granted what and who exposes it",
		Args:  command.Takes(1),
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
				for _, g := range r.Generations {
					of := "derived"
					if g.Imported {
						of = "imported"
					}
					if g.Settled {
						of += ", settled"
					}
					for _, to := range g.Given {
						what := "given to"
						if to.Answered {
							what = "answered for"
						}
						of += fmt.Sprintf("; %s %s %s", what, to.Kiosk, clock(to.At))
					}
					fmt.Fprintf(w, "generation %d\t%s\n", g.Number, of)
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
		Args:  command.Takes(1),
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
