package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"latchkey/firmware/wire/ra"
)

func reportUnlocks(o *options) *cobra.Command {
	var p ra.ReportUnlocksParams
	var by string
	var asCSV, asJSON bool
	cmd := &cobra.Command{
		Use:   "unlocks --by site|hour|outcome|reason --from DAY --to DAY",
		Short: "Count visits and unlocks, and the minutes that they saved",
		Long: `Count the visits that began on some days, and those that unlocked a card, by site, hour of the day, outcome or reason. Nobody is named.

MINUTES is what the visits that unlocked took, from the card to the outcome. SAVED is 20 minutes for each of them, less that: it assumes that
without a kiosk each would have been a visit to the Registration Authority of 20 minutes, way and wait included. Visits that did not unlock are
not counted against it.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if by == "" || p.From == "" || p.Until == "" {
				return errors.New("say by what, from which day and to which: --by site --from 2026-11-01 --to 2026-11-30")
			}
			p.By = ra.ReportUnlocksParamsBy(by)
			c, err := o.central()
			if err != nil {
				return err
			}
			r, err := c.ReportUnlocksWithResponse(cmd.Context(), &p)
			if err != nil {
				return err
			}
			switch {
			case asJSON:
				return printJSON(cmd, r.JSON200)
			case asCSV:
				return unlocksCSV(cmd, by, r.JSON200)
			}
			return unlocksTable(cmd, by, r.JSON200)
		},
	}
	cmd.Flags().StringVar(&by, "by", "", "by `what`: site, hour, outcome or reason")
	cmd.Flags().StringVar(&p.From, "from", "", "from this `day` on, in central's time zone")
	cmd.Flags().StringVar(&p.Until, "to", "", "until this `day`, which counts")
	cmd.Flags().BoolVar(&asCSV, "csv", false, "print CSV (RFC 4180)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func unlocksTable(cmd *cobra.Command, by string, r *ra.UnlockReport) error {
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.ToUpper(by)+"\tVISITS\tUNLOCKED\tMINUTES\tSAVED")
	sum := ra.UnlockRow{Key: "all"}
	line := func(u ra.UnlockRow) {
		key := u.Key
		if key == "" {
			key = "(none)"
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\n", key, u.Visits, u.Unlocked, u.Minutes, u.Saved)
	}
	for _, u := range r.Rows {
		line(u)
		sum.Visits, sum.Unlocked, sum.Minutes, sum.Saved = sum.Visits+u.Visits, sum.Unlocked+u.Unlocked, sum.Minutes+u.Minutes, sum.Saved+u.Saved
	}
	line(sum)
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "SAVED assumes that without a kiosk each unlock would have taken its holder %d minutes at the Registration Authority, way and wait\nincluded; MINUTES, what the unlocks took at kiosks, is taken off. Visits that did not unlock are not counted against it.\n", r.MinutesEach)
	return err
}

func unlocksCSV(cmd *cobra.Command, by string, r *ra.UnlockReport) error {
	w := csv.NewWriter(cmd.OutOrStdout())
	w.UseCRLF = true
	w.Write([]string{by, "visits", "unlocked", "minutes", "saved", "assumed_minutes_each"}) // Error tells of it below
	for _, u := range r.Rows {
		key := u.Key
		if key != "" && strings.IndexByte("=+-@", key[0]) >= 0 {
			key = "'" + key // no spreadsheet takes it for a formula
		}
		w.Write([]string{key, strconv.FormatInt(u.Visits, 10), strconv.FormatInt(u.Unlocked, 10), strconv.FormatInt(u.Minutes, 10), strconv.FormatInt(u.Saved, 10), strconv.Itoa(r.MinutesEach)})
	}
	w.Flush()
	return w.Error()
}
