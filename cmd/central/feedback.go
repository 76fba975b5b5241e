package main

import (
	"encoding/csv"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"latchkey/cmd/internal/command"
	"latchkey/firmware/wire/ra"
)

func feedbackCommand(o *options) *cobra.Command {
	return command.Group("feedback", "What holders had to say after a visit; whose it is, central does not know", feedbackList(o), feedbackExport(o), feedbackSummary(o))
}

// asked are the flags that say which feedback is meant.
func asked(cmd *cobra.Command, p *ra.ListFeedbackParams) {
	cmd.Flags().StringVar(&p.From, "from", "", "from this `day` (UTC) on, such as 2026-11-01")
	cmd.Flags().StringVar(&p.Until, "until", "", "until this `day`, which counts")
	cmd.Flags().StringVar(&p.Site, "site", "", "only of kiosks at this `site`, as it was when they were enrolled")
}

// readFeedback passes on what central answers, and wipes it.
func (o *options) readFeedback(cmd *cobra.Command, p *ra.ListFeedbackParams, pass func([]ra.Feedback) error) error {
	c, err := o.running()
	if err != nil {
		return err
	}
	r, err := c.ListFeedbackWithResponse(cmd.Context(), p)
	if err != nil {
		return err
	}
	defer clear(r.Body)
	for _, f := range *r.JSON200 {
		defer f.Comment.Wipe()
		defer f.Contact.Wipe()
	}
	return pass(*r.JSON200)
}

func feedbackList(o *options) *cobra.Command {
	var asJSON bool
	var params ra.ListFeedbackParams
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List what holders had to say, by day and site",
		Long: `List what holders had to say, by day and site. CONTACT is given where somebody wants an answer.

What people write can name somebody: who reads it stands in the ledger (central events --kind feedback-read).`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.readFeedback(cmd, &params, func(list []ra.Feedback) error {
				return show(cmd, asJSON, list, func(w *tabwriter.Writer) {
					fmt.Fprintln(w, "DAY\tSITE\tSTARS\tCONTACT\tCOMMENT")
					for _, f := range list {
						fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\n", f.Day, f.Site, f.Stars, f.Contact.Reveal(), commentOf(f))
					}
				})
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	asked(cmd, &params)
	return cmd
}

func commentOf(f ra.Feedback) []byte {
	if f.Unreadable {
		return []byte("(cannot be opened: name the key that sealed it in old_keks)")
	}
	return f.Comment.Reveal()
}

func feedbackExport(o *options) *cobra.Command {
	var params ra.ListFeedbackParams
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write what holders had to say as CSV",
		Long: `Write what holders had to say as CSV (RFC 4180), UTF-8: day,site,stars,comment,contact.

Where a field would be a formula to a spreadsheet, an apostrophe stands before it. Who exports stands in the ledger.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.readFeedback(cmd, &params, func(list []ra.Feedback) error {
				w := csv.NewWriter(cmd.OutOrStdout())
				w.UseCRLF = true
				w.Write([]string{"day", "site", "stars", "comment", "contact"}) // Error tells of it below
				for _, f := range list {
					w.Write([]string{f.Day, cell([]byte(f.Site)), strconv.Itoa(f.Stars), cell(commentOf(f)), cell(f.Contact.Reveal())})
				}
				w.Flush()
				return w.Error()
			})
		},
	}
	asked(cmd, &params)
	return cmd
}

// cell is a field that no spreadsheet takes for a formula.
func cell(b []byte) string {
	if len(b) > 0 && strings.IndexByte("=+-@", b[0]) >= 0 {
		return "'" + string(b)
	}
	return string(b)
}

func feedbackSummary(o *options) *cobra.Command {
	var asJSON bool
	var params ra.ListFeedbackParams
	cmd := &cobra.Command{
		Use:   "summary",
		Short: "Count what holders had to say, and the mean of their stars, by month and site",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.running()
			if err != nil {
				return err
			}
			r, err := c.SumFeedbackWithResponse(cmd.Context(), &ra.SumFeedbackParams{From: params.From, Until: params.Until, Site: params.Site})
			if err != nil {
				return err
			}
			return show(cmd, asJSON, r.JSON200, func(w *tabwriter.Writer) {
				fmt.Fprintln(w, "MONTH\tSITE\tCOUNT\tMEAN")
				for _, f := range *r.JSON200 {
					fmt.Fprintf(w, "%s\t%s\t%d\t%.1f\n", f.Month, f.Site, f.Count, f.Mean)
				}
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	asked(cmd, &params)
	return cmd
}
