package main

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"latchkey/cmd/internal/command"
	"latchkey/firmware/wire/ra"
)

func kioskCommand(o *options) *cobra.Command {
	return command.Group("kiosk", "Kiosks that may speak with central", kioskAdd(o), kioskEnrol(o), kioskProvision(o), kioskConfirm(o), kioskDisable(o), kioskList(o), kioskShow(o), kioskRelease(o), kioskServiceCode(o), kioskServiceRenew(o), kioskNewLog(o))
}

func kioskEnrol(o *options) *cobra.Command {
	var kind string
	var place ra.Place
	var body ra.NewEnrolment
	cmd := &cobra.Command{
		Use:   "enrol NAME",
		Short: "Make the one-time code with which a kiosk asks central for its certificate",
		Long: `Make the one-time code with which a kiosk asks central for its certificate. It is shown once, and can be used for a day.

At the kiosk, "kiosk enrol" takes the code and shows the fingerprint of the key that it made. The kiosk is served when that was
confirmed here with "central kiosk confirm NAME FINGERPRINT".

For a kiosk that is known already it makes a code for the key that the kiosk has, such as when its certificate has run out.`,
		Args: command.Takes(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			body.Name, body.Kind = args[0], ra.KioskKind(kind)
			if err := placed(cmd, &place, &body.Place); err != nil {
				return err
			}
			c, err := o.running()
			if err != nil {
				return err
			}
			r, err := c.EnrolKioskWithResponse(cmd.Context(), body)
			if err != nil {
				return err
			}
			defer clear(r.Body)
			code := r.JSON201.Code
			defer code.Wipe()
			fmt.Fprintf(cmd.OutOrStdout(), "%s\n", code.Reveal())
			fmt.Fprintf(cmd.ErrOrStderr(), "This is the code of %s, good once and until %s. Then: central kiosk confirm %[1]s FINGERPRINT\n", args[0], clock(r.JSON201.ExpiresAt))
			return nil
		},
	}
	cmd.Flags().StringVar(&kind, "kind", string(ra.KioskKindKiosk), "what it is, kiosk or desk")
	cmd.Flags().StringVar(&body.Site, "site", "", "where it stands, as people call it")
	placeFlags(cmd, &place)
	return cmd
}

func placeFlags(cmd *cobra.Command, place *ra.Place) {
	cmd.Flags().Float64Var(&place.Latitude, "latitude", 0, "where it stands, in degrees north")
	cmd.Flags().Float64Var(&place.Longitude, "longitude", 0, "where it stands, in degrees east")
}

// placed takes the place if its flags were given.
func placed(cmd *cobra.Command, place *ra.Place, to **ra.Place) error {
	at := cmd.Flags().Changed("latitude")
	if at != cmd.Flags().Changed("longitude") {
		return errors.New("--latitude and --longitude belong together: write both or neither")
	}
	if at {
		*to = place
	}
	return nil
}

func kioskConfirm(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "confirm NAME FINGERPRINT",
		Short: "Serve an enrolled kiosk whose screen shows this fingerprint of its key",
		Args:  command.Takes(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.running()
			if err != nil {
				return err
			}
			if _, err := c.ConfirmKioskWithResponse(cmd.Context(), args[0], ra.Confirmation{Fingerprint: args[1]}); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s confirmed\n", args[0])
			return nil
		},
	}
}

func kioskRelease(o *options) *cobra.Command {
	return o.act("release NAME", "Let a kiosk out of quarantine", "released", func(ctx context.Context, c *ra.ClientWithResponses, name string) error {
		_, err := c.ReleaseKioskWithResponse(ctx, name)
		return err
	})
}

func kioskAdd(o *options) *cobra.Command {
	var path, kind string
	cmd := &cobra.Command{
		Use:   "add NAME --cert FILE",
		Short: "Serve a kiosk with this certificate (PEM), whose common name is NAME",
		Long: `Serve a kiosk with this certificate (PEM), whose common name is NAME.

A desk is where staff unlock cards with "cardctl unblock". It may do what a kiosk may, and nothing else.`,
		Args: command.Takes(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := os.ReadFile(path)
			if err != nil {
				return fmt.Errorf("read certificate: %w", err)
			}
			block, _ := pem.Decode(b)
			if block == nil || block.Type != "CERTIFICATE" {
				return fmt.Errorf("%s does not hold a certificate in PEM", path)
			}
			c, err := o.running()
			if err != nil {
				return err
			}
			r, err := c.AddKioskWithResponse(cmd.Context(), ra.NewKiosk{Name: args[0], Kind: ra.KioskKind(kind), Certificate: block.Bytes})
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s added, certificate SHA-256 %s\n", r.JSON201.Name, r.JSON201.CertificateSha256)
			return nil
		},
	}
	cmd.Flags().StringVar(&path, "cert", "", "the kiosk's certificate, PEM `file`")
	cmd.MarkFlagRequired("cert")
	cmd.Flags().StringVar(&kind, "kind", string(ra.KioskKindKiosk), "what it is, kiosk or desk")
	return cmd
}

func kioskDisable(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "disable NAME",
		Short: "Serve a kiosk no longer, from this moment",
		Long: `Serve a kiosk no longer, from this moment.

Make a backup right after it ("central backup"): a disabled kiosk sends nothing again to a central that is restored from an older one, which
then does not know what the kiosk did to its last cards.

An enrolment code of its that nobody has used is void, also one in a provisioning file. For a kiosk that has not enrolled yet that is all,
and its name can be given again.

Cards that were unlocked there may still have a PUK that it was given: it is said how many, and "central card list
--exposed" lists them. Such a card is out of danger when its PUK was replaced at other kiosks, or, if its kind of PUK
does not rotate, when it was given another secret and that was imported with --reissued.

Nothing but a running central is needed for it: whatever else is wrong in central.toml by now, the kiosk is disabled. Where no
central runs, no kiosk is served.`,
		Args: command.Takes(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.running()
			if err != nil {
				return err
			}
			r, err := c.DisableKioskWithResponse(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			d := r.JSON200
			if d.Enrolled {
				fmt.Fprintf(cmd.OutOrStdout(), "%s disabled; cards exposed by it: %d\n", args[0], d.Exposed)
			}
			if d.CodeVoided {
				fmt.Fprintf(cmd.OutOrStdout(), "the enrolment code of %s, which nobody had used, is void\n", args[0])
			}
			return nil
		},
	}
}

func kioskList(o *options) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the kiosks",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.running()
			if err != nil {
				return err
			}
			list, err := c.ListKiosksWithResponse(cmd.Context())
			if err != nil {
				return err
			}
			return show(cmd, asJSON, list.JSON200, func(w *tabwriter.Writer) {
				fmt.Fprintln(w, "NAME\tKIND\tSTATE\tSITE\tENTRIES\tADDED\tCERTIFICATE SHA-256")
				for _, k := range *list.JSON200 {
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", k.Name, k.Kind, kioskState(k), k.Site, k.EntriesHeld, clock(k.AddedAt), k.CertificateSha256)
				}
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

// kioskState is all that keeps a kiosk from its work, in words.
func kioskState(k ra.Kiosk) string {
	s := string(k.State)
	if k.QuarantinedAt != nil {
		s += ", quarantined"
	}
	if k.CaseOpenedAt != nil {
		s += ", opened " + clock(*k.CaseOpenedAt)
	}
	if k.CaseClearedAt != nil {
		s += " and cleared " + clock(*k.CaseClearedAt)
	}
	return s
}

func kioskShow(o *options) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show NAME",
		Short: "Show a kiosk: whether it is served, its certificate, its journal, and whether its case was opened",
		Args:  command.Takes(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.running()
			if err != nil {
				return err
			}
			list, err := c.ListKiosksWithResponse(cmd.Context())
			if err != nil {
				return err
			}
			i := slices.IndexFunc(*list.JSON200, func(k ra.Kiosk) bool { return k.Name == args[0] })
			if i < 0 {
				return fmt.Errorf("there is no kiosk %s: \"central kiosk list\" names them", args[0])
			}
			k := (*list.JSON200)[i]
			return show(cmd, asJSON, k, func(w *tabwriter.Writer) {
				fmt.Fprintf(w, "kiosk\t%s\nkind\t%s\nstate\t%s\nsite\t%s\nadded\t%s\ncertificate SHA-256\t%s\n",
					k.Name, k.Kind, k.State, k.Site, clock(k.AddedAt), k.CertificateSha256)
				fmt.Fprintf(w, "entries held\t%d\nentries backed up\t%d\n", k.EntriesHeld, k.EntriesBackedUp)
				if k.Service != nil {
					fmt.Fprintf(w, "service code due\t%d, as it told at %s\n", k.Service.Due, clock(k.Service.ToldAt))
				}
				for _, moment := range []struct {
					what string
					at   *time.Time
				}{
					{"certificate ends", k.ExpiresAt}, {"quarantined", k.QuarantinedAt},
					{"case opened", k.CaseOpenedAt}, {"case cleared", k.CaseClearedAt}, // by its own clock
				} {
					if moment.at != nil {
						fmt.Fprintf(w, "%s\t%s\n", moment.what, clock(*moment.at))
					}
				}
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}
