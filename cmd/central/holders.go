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

func holderCommand(o *options) *cobra.Command {
	return command.Group("holder", "Holders of cards", holderList(o), holderShow(o), holderRelease(o))
}

func holderList(o *options) *cobra.Command {
	var asJSON bool
	var params ra.ListHoldersParams
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the holders by id, 1000 at most; contacts are masked",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.running()
			if err != nil {
				return err
			}
			list, err := c.ListHoldersWithResponse(cmd.Context(), &params)
			if err != nil {
				return err
			}
			return show(cmd, asJSON, list.JSON200, func(w *tabwriter.Writer) {
				fmt.Fprintln(w, "ID\tNAME\tSTATE\tORGANISATION\tEMAIL\tMOBILE\tCARDS")
				for _, h := range *list.JSON200 {
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", h.Id, h.Name, holderState(h), h.Organisation, h.Email, h.Mobile, strings.Join(h.Cards, " "))
				}
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	cmd.Flags().StringVar(&params.After, "after", "", "only those whose ids come after this `id`, as the last of a list")
	return cmd
}

func holderState(h ra.Holder) string {
	switch {
	case !h.Active:
		return "left"
	case h.QuarantinedAt != nil:
		return "in quarantine"
	}
	return "active"
}

func holderShow(o *options) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show a holder, with cards, positions and when contacts were changed",
		Args:  command.Takes(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.running()
			if err != nil {
				return err
			}
			r, err := c.ShowHolderWithResponse(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return show(cmd, asJSON, r.JSON200, func(w *tabwriter.Writer) {
				h := *r.JSON200
				fmt.Fprintf(w, "%s\t%s, %s\n", h.Id, h.Name, holderState(h))
				for _, line := range []struct{ what, is string }{
					{"email", h.Email}, {"mobile", h.Mobile}, {"organisation", h.Organisation}, {"language", h.Language},
					{"cards", strings.Join(h.Cards, " ")}, {"wrong codes", fmt.Sprint(h.WrongCodes)},
				} {
					if line.is != "" {
						fmt.Fprintf(w, "%s\t%s\n", line.what, line.is)
					}
				}
				if h.EmailChangedAt != nil {
					fmt.Fprintf(w, "email changed\t%s\n", clock(*h.EmailChangedAt))
				}
				if h.MobileChangedAt != nil {
					fmt.Fprintf(w, "mobile changed\t%s\n", clock(*h.MobileChangedAt))
				}
				for _, p := range h.Positions {
					fmt.Fprintf(w, "position\t%s %s %s\n", p.Organisation, p.Role, p.Workgroup)
				}
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func holderRelease(o *options) *cobra.Command {
	return o.act("release SERIAL", "Let the holder of this card out of quarantine, and forgive the wrong codes", "holder released",
		func(ctx context.Context, c *ra.ClientWithResponses, serial string) error {
			_, err := c.ReleaseHolderWithResponse(ctx, serial)
			return err
		})
}

func organisationCommand(o *options) *cobra.Command {
	var asJSON bool
	list := &cobra.Command{
		Use:   "list",
		Short: "List the organisations",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.running()
			if err != nil {
				return err
			}
			list, err := c.ListOrganisationsWithResponse(cmd.Context())
			if err != nil {
				return err
			}
			return show(cmd, asJSON, list.JSON200, func(w *tabwriter.Writer) {
				fmt.Fprintln(w, "ID\tNAME")
				for _, one := range *list.JSON200 {
					fmt.Fprintf(w, "%s\t%s\n", one.Id, one.Name)
				}
			})
		},
	}
	jsonFlag(list, &asJSON)
	return command.Group("organisation", "Organisations, whose policies hold for their holders", list)
}
