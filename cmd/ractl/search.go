package main

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"latchkey/firmware/wire/ra"
)

func auditSearch(o *options) *cobra.Command {
	var p ra.SearchEvidenceParams
	var asJSON bool
	after, limit := int64(-1), 100
	cmd := &cobra.Command{
		Use:   "search",
		Short: "Find records of the evidence by what they are about",
		Long: `Find records of the evidence by case, card, kiosk or day, in the order of the tree. Holders are not found: nothing in the evidence names them.
What was erased is found by its kiosk alone. Who searches, and for what, stands in the ledger.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.central()
			if err != nil {
				return err
			}
			p.After, p.Limit = &after, &limit
			r, err := c.SearchEvidenceWithResponse(cmd.Context(), &p)
			if err != nil {
				return err
			}
			page := r.JSON200
			if asJSON {
				return printJSON(cmd, page)
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "PLACE\tSOURCE\tNUMBER\tAT\tWHAT\tBY\tCASE\tCARD\tNOTE")
			for _, e := range page.Records {
				at, kind := "", e.Kind
				if e.At != nil {
					at = e.At.UTC().Format(time.RFC3339)
				}
				if e.Erased {
					kind = "(erased)"
				}
				fmt.Fprintf(w, "%d\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\n", e.Place, e.Source, e.Number, at, kind, e.By, e.Case, e.Card, e.Note)
			}
			if err := w.Flush(); err != nil || !page.More {
				return err
			}
			_, err = fmt.Fprintf(cmd.ErrOrStderr(), "there are more: add --after %d\n", page.Records[len(page.Records)-1].Place)
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&p.Case, "case", "", "of this `case`")
	f.StringVar(&p.Card, "card", "", "about the card with this `serial`, and what kiosks wrote in its cases")
	f.StringVar(&p.Kiosk, "kiosk", "", "of and about this `kiosk`")
	f.StringVar(&p.From, "from", "", "from this `day` (UTC) on, by the clock of whoever wrote it")
	f.StringVar(&p.Until, "to", "", "until this `day`, which counts")
	f.StringVar(&p.Kind, "kind", "", "of this `kind`, such as outcome or card-frozen")
	f.StringVar(&p.Code, "code", "", "with this reason `code`, such as code-wrong")
	f.Int64Var(&after, "after", -1, "only behind this `place` in the tree")
	f.IntVar(&limit, "limit", 100, "at most so many, up to 1000")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printJSON(cmd *cobra.Command, v any) error {
	e := json.NewEncoder(cmd.OutOrStdout())
	e.SetIndent("", "  ")
	return e.Encode(v)
}
