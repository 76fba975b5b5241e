package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"latchkey/cmd/internal/command"
	"latchkey/firmware/wire/ra"
)

func jsonFlag(cmd *cobra.Command, b *bool) {
	cmd.Flags().BoolVar(b, "json", false, "print JSON")
}

// show prints what central answered as JSON or as a table.
func show(cmd *cobra.Command, asJSON bool, v any, table func(*tabwriter.Writer)) error {
	if asJSON {
		return showJSON(cmd, v)
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	table(w)
	return w.Flush()
}

func showJSON(cmd *cobra.Command, v any) error {
	e := json.NewEncoder(cmd.OutOrStdout())
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func clock(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// did is the end of a line of the ledger: who did it, of the staff.
func did(e ra.Event) string {
	if e.By == "" {
		return e.Note
	}
	return strings.TrimSpace(e.Note + " by " + e.By)
}

func caseCommand(o *options) *cobra.Command {
	return command.Group("case", "Cases: one walk of one card at one kiosk", caseList(o), caseShow(o))
}

func state(r ra.Case) string {
	if r.Expired {
		return r.State + ", expired"
	}
	return r.State
}

func caseList(o *options) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the newest cases, at most 1000, oldest of them first",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.running()
			if err != nil {
				return err
			}
			list, err := c.ListCasesWithResponse(cmd.Context())
			if err != nil {
				return err
			}
			return show(cmd, asJSON, list.JSON200, func(w *tabwriter.Writer) {
				fmt.Fprintln(w, "CASE\tSTATE\tREASON\tATTEMPTS\tSENDS\tKIOSK\tBEGUN")
				for _, r := range *list.JSON200 {
					fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%s\t%s\n", r.Id, state(r), r.Reason, r.Attempts, r.Sends, r.Kiosk, clock(r.BegunAt))
				}
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func caseShow(o *options) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show CASE",
		Short: "Show a case and what happened in it",
		Args:  command.Takes(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.running()
			if err != nil {
				return err
			}
			one, err := c.ShowCaseWithResponse(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			r := one.JSON200
			return show(cmd, asJSON, r, func(w *tabwriter.Writer) {
				fmt.Fprintf(w, "case\t%s\nstate\t%s\nreason\t%s\nkiosk\t%s\nattempts\t%d\nsends\t%d\nexpires\t%s\n",
					r.Id, state(*r), r.Reason, r.Kiosk, r.Attempts, r.Sends, clock(r.ExpiresAt))
				for _, e := range r.Events {
					fmt.Fprintf(w, "%s\t%s %s\n", clock(e.At), e.Kind, did(e))
				}
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func eventsCommand(o *options) *cobra.Command {
	var asJSON bool
	var since string
	var params ra.ListEventsParams
	cmd := &cobra.Command{
		Use:   "events",
		Short: "List what happened at central and who did it, the newest 10000 at most, oldest of them first",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if since != "" {
				t, err := moment(since, time.Now())
				if err != nil {
					return err
				}
				params.Since = &t
			}
			c, err := o.running()
			if err != nil {
				return err
			}
			list, err := c.ListEventsWithResponse(cmd.Context(), &params)
			if err != nil {
				return err
			}
			return show(cmd, asJSON, list.JSON200, func(w *tabwriter.Writer) {
				fmt.Fprintln(w, "AT\tWHAT\tBY\tKIOSK\tCASE\tCARD\tNOTE")
				for _, e := range *list.JSON200 {
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", clock(e.At), e.Kind, e.By, e.Kiosk, e.Case, e.Card, e.Note)
				}
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	cmd.Flags().StringVar(&since, "since", "", "only those after this: `when` such as 24h, 2026-11-22 or 2026-11-22T08:00:00Z")
	cmd.Flags().StringVar(&params.Kind, "kind", "", "only of this kind, such as kiosk-disabled")
	cmd.Flags().StringVar(&params.Card, "card", "", "only about the card with this `serial`")
	cmd.Flags().StringVar(&params.By, "by", "", "only what this member of staff did, by the `name` that the machine knows them by")
	return cmd
}

// moment reads a point in time: how long ago, a day (UTC) or RFC 3339.
func moment(s string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	for _, form := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(form, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("--since %q is no time: write how long ago, such as 24h, or a day such as 2026-11-22, or 2026-11-22T08:00:00Z", s)
}
