package main

import (
	"context"
	"encoding/pem"
	"fmt"
	"os"
	"strconv"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"latchkey/cmd/internal/command"
	"latchkey/firmware/wire/ra"
)

func kioskServiceCode(o *options) *cobra.Command {
	var body ra.ServiceNumber
	cmd := &cobra.Command{
		Use:   "service-code NAME NUMBER",
		Short: "Give out the one-time code of this number, which opens the kiosk's own page to an engineer",
		Long: `Give out the one-time code of this number, which opens the kiosk's own page to an engineer, with or without a network.

At the kiosk, F12 or five taps on the title bar ask for the code and show its number. Numbers fall: whoever has a code can make every
code of a higher number, so one below what central expects is given only with --skip. Who asked for which number stands in the ledger.`,
		Args: command.Takes(2),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if body.Number, err = strconv.Atoi(args[1]); err != nil {
				return fmt.Errorf("%q is no number: write the one that the kiosk's screen shows", args[1])
			}
			c, err := o.running()
			if err != nil {
				return err
			}
			r, err := c.GiveServiceCodeWithResponse(cmd.Context(), args[0], body)
			if err != nil {
				return err
			}
			defer clear(r.Body)
			code := r.JSON200.Code
			defer code.Wipe()
			fmt.Fprintf(cmd.OutOrStdout(), "%s\n", code.Reveal())
			fmt.Fprintf(cmd.ErrOrStderr(), "This is code %d of %s, good once.\n", r.JSON200.Number, args[0])
			if r.JSON200.Warning != "" {
				fmt.Fprintf(cmd.ErrOrStderr(), "Note: %s\n", r.JSON200.Warning)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&body.Skip, "skip", false, "give it although central expects a higher number, because the kiosk's screen shows this one")
	return cmd
}

func kioskServiceRenew(o *options) *cobra.Command {
	return o.act("service-renew NAME", "Make other service codes for a kiosk: those that were given out and not used are void when it next reaches central",
		"gets other service codes when it next reaches central", func(ctx context.Context, c *ra.ClientWithResponses, name string) error {
			_, err := c.RenewServiceCodesWithResponse(ctx, name)
			return err
		})
}

func serviceCardCommand(o *options) *cobra.Command {
	return command.Group("service-card", "Cards with which engineers open kiosks' own pages", serviceCardAdd(o), serviceCardList(o), serviceCardRemove(o))
}

func serviceCardAdd(o *options) *cobra.Command {
	var path string
	var body ra.NewServiceCard
	cmd := &cobra.Command{
		Use:   "add NAME --cert FILE | --sha256 HEX",
		Short: "Let a card open the own page of every kiosk",
		Long: `Let a card open the own page of every kiosk: a card of the family PIV whose card authentication key (9E) signs without a passcode.

Whoever has such a card in hand is an engineer to every kiosk. A kiosk knows the card once it has reached central, and forgets one that is
removed no earlier.`,
		Args: command.Takes(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			body.Name = args[0]
			if path != "" {
				b, err := os.ReadFile(path)
				if err != nil {
					return fmt.Errorf("read certificate: %w", err)
				}
				block, _ := pem.Decode(b)
				if block == nil || block.Type != "CERTIFICATE" {
					return fmt.Errorf("%s does not hold a certificate in PEM", path)
				}
				body.Certificate = block.Bytes
			}
			c, err := o.running()
			if err != nil {
				return err
			}
			r, err := c.AddServiceCardWithResponse(cmd.Context(), body)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s added, key SHA-256 %s\n", r.JSON201.Name, r.JSON201.KeySha256)
			return nil
		},
	}
	cmd.Flags().StringVar(&path, "cert", "", "the certificate of the card's key (PIV 9E), PEM `file`")
	cmd.Flags().StringVar(&body.KeySha256, "sha256", "", "SHA-256 of that key's SubjectPublicKeyInfo, in `hex`")
	cmd.MarkFlagsOneRequired("cert", "sha256")
	cmd.MarkFlagsMutuallyExclusive("cert", "sha256")
	return cmd
}

func serviceCardList(o *options) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the service cards",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.running()
			if err != nil {
				return err
			}
			list, err := c.ListServiceCardsWithResponse(cmd.Context())
			if err != nil {
				return err
			}
			return show(cmd, asJSON, list.JSON200, func(w *tabwriter.Writer) {
				fmt.Fprintln(w, "NAME\tADDED\tKEY SHA-256")
				for _, s := range *list.JSON200 {
					fmt.Fprintf(w, "%s\t%s\t%s\n", s.Name, clock(s.AddedAt), s.KeySha256)
				}
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func serviceCardRemove(o *options) *cobra.Command {
	return o.act("remove NAME", "Let a card open no kiosk any more, as soon as the kiosk has reached central", "removed",
		func(ctx context.Context, c *ra.ClientWithResponses, name string) error {
			_, err := c.RemoveServiceCardWithResponse(ctx, name)
			return err
		})
}
