// Package command is what the command lines of central and of the RA's team have in common.
package command

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// Takes refuses any other number of arguments with the command's usage.
func Takes(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return fmt.Errorf("usage: %s", cmd.UseLine())
		}
		return nil
	}
}

// TakesSome refuses none with the command's usage.
func TakesSome(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return Takes(1)(cmd, args)
	}
	return nil
}

// Group is a command that only holds others; a misspelt one among them is an error.
func Group(use, short string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(commands...)
	return cmd
}

// Manual is for whoever makes a package.
func Manual() *cobra.Command {
	return &cobra.Command{
		Use:    "man FOLDER",
		Short:  "Write the manual's pages into a folder",
		Hidden: true,
		Args:   Takes(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return err
			}
			header := doc.GenManHeader{Section: "1", Source: "Latchkey", Manual: "Latchkey", Date: &time.Time{}}
			cmd.Root().DisableAutoGenTag = true
			if err := doc.GenManTree(cmd.Root(), &header, args[0]); err != nil {
				return fmt.Errorf("write the manual: %w", err)
			}
			return nil
		},
	}
}
