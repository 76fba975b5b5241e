package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"latchkey/cmd/internal/command"
	"latchkey/firmware/wire/ra"
)

func evidenceCommand(o *options) *cobra.Command {
	return command.Group("evidence", "What entries and events say; auditors read and verify it with ractl", evidenceErase(o))
}

func evidenceErase(o *options) *cobra.Command {
	var what ra.Erasure
	cmd := &cobra.Command{
		Use:   "erase (--case CASE | --before DAY) --why REASON",
		Short: "Erase what the evidence says; its leaves stay, and so every proof and checkpoint",
		Long: `Erase what the evidence says of a case, or all of it that was in the tree before a day, which is 30 days ago or more. Body and salt of the
records go; their leaves stay, so that the tree, its checkpoints and exports still verify, and show them as erased.

It cannot be undone. Backups and exports from before still have what is erased here. The record of the visit itself (central case show) stays.
Who erased what, and why, stands in the ledger: name nobody in REASON.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if what.Why == "" {
				return errors.New("say why with --why: it stands in the ledger")
			}
			c, err := o.running()
			if err != nil {
				return err
			}
			r, err := c.EraseEvidenceWithResponse(cmd.Context(), what)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "erased %d records\n", r.JSON200.Records)
			return err
		},
	}
	cmd.Flags().StringVar(&what.Case, "case", "", "all of this `case`, which must be over")
	cmd.Flags().StringVar(&what.Before, "before", "", "all that was in the tree before this `day` (UTC), such as 2026-11-01")
	cmd.Flags().StringVar(&what.Why, "why", "", "the `reason`, in one line")
	return cmd
}
