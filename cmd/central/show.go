package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/store"
)

// view reads one consistent state of the database.
func (o *options) view(cmd *cobra.Command, f func(*store.Tx) error) error {
	return o.with(cmd.Context(), func(of office) error { return of.store.View(cmd.Context(), f) })
}

func jsonFlag(cmd *cobra.Command, b *bool) {
	cmd.Flags().BoolVar(b, "json", false, "print JSON")
}

// show prints rows as JSON or as a table.
func show(cmd *cobra.Command, asJSON bool, v any, table func(*tabwriter.Writer)) error {
	if asJSON {
		e := json.NewEncoder(cmd.OutOrStdout())
		e.SetIndent("", "  ")
		return e.Encode(v)
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	table(w)
	return w.Flush()
}

func clock(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// caseRow is a case as it is shown: who its holder is stands nowhere.
type caseRow struct {
	ID        string       `json:"id"`
	State     cases.State  `json:"state"`
	Reason    cases.Reason `json:"reason,omitempty"`
	Kiosk     string       `json:"kiosk"`
	Attempts  int          `json:"attempts"`
	Sends     int          `json:"sends"`
	BegunAt   time.Time    `json:"begun_at"`
	ExpiresAt time.Time    `json:"expires_at"`
	Expired   bool         `json:"expired"` // of a case that is not over: its time is
	Events    []eventRow   `json:"events,omitempty"`
}

type eventRow struct {
	At   time.Time   `json:"at"`
	Kind ledger.Kind `json:"kind"`
	Note string      `json:"note,omitempty"`
}

func rowOf(c cases.Case) caseRow {
	return caseRow{
		ID: c.ID, State: c.State, Reason: c.Reason, Kiosk: c.Kiosk, Attempts: c.Attempts, Sends: c.Sends,
		BegunAt: c.BegunAt, ExpiresAt: c.ExpiresAt, Expired: !c.State.Over() && !c.Open(time.Now()),
	}
}

func (r caseRow) state() string {
	if r.Expired {
		return string(r.State) + ", expired"
	}
	return string(r.State)
}

func caseCommand(o *options) *cobra.Command {
	return group("case", "Cases: one walk of one card at one kiosk", caseList(o), caseShow(o))
}

// listed is how many cases are listed.
const listed = 1000

func caseList(o *options) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: fmt.Sprintf("List the newest cases, at most %d, oldest of them first", listed),
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			rows := []caseRow{}
			err := o.view(cmd, func(tx *store.Tx) error {
				list, err := tx.Cases(listed)
				for _, c := range list {
					rows = append(rows, rowOf(c))
				}
				return err
			})
			if err != nil {
				return err
			}
			return show(cmd, asJSON, rows, func(w *tabwriter.Writer) {
				fmt.Fprintln(w, "CASE\tSTATE\tREASON\tATTEMPTS\tSENDS\tKIOSK\tBEGUN")
				for _, r := range rows {
					fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%s\t%s\n", r.ID, r.state(), r.Reason, r.Attempts, r.Sends, r.Kiosk, clock(r.BegunAt))
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
		Args:  takes(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var r caseRow
			err := o.view(cmd, func(tx *store.Tx) error {
				c, err := tx.Case(args[0])
				if errors.Is(err, store.ErrNotFound) {
					return fmt.Errorf("there is no case %s: \"central case list\" names the newest", args[0])
				}
				if err != nil {
					return err
				}
				r = rowOf(c)
				events, err := tx.Events(c.ID)
				for _, e := range events {
					r.Events = append(r.Events, eventRow{e.At, e.Kind, e.Note})
				}
				return err
			})
			if err != nil {
				return err
			}
			return show(cmd, asJSON, r, func(w *tabwriter.Writer) {
				fmt.Fprintf(w, "case\t%s\nstate\t%s\nreason\t%s\nkiosk\t%s\nattempts\t%d\nsends\t%d\nexpires\t%s\n",
					r.ID, r.state(), r.Reason, r.Kiosk, r.Attempts, r.Sends, clock(r.ExpiresAt))
				for _, e := range r.Events {
					fmt.Fprintf(w, "%s\t%s %s\n", clock(e.At), e.Kind, e.Note)
				}
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}
