// Ractl is the command line of the Registration Authority's team and of auditors: evidence is exported, searched, proved and
// verified with it, and unlocks are reported.
//
// What it asks central for, it asks the one that runs on this machine, over its socket, by which central knows who asks; that name
// and what was asked for stand in the ledger. "ractl audit verify" needs no central, and believes none: it holds a file against keys and
// checkpoints that the auditor has.
//
// It opens no database, changes nothing at central, and no output of it names a holder.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"latchkey/cmd/internal/command"

	"github.com/spf13/cobra"
)

func main() { os.Exit(run()) }

// Exit statuses.
const (
	exitWrong  = 1 // what was verified is not as it should be
	exitFailed = 2 // it could not be told, or not be done
)

// errWrong: the evidence is not as it should be, which was told already.
var errWrong = errors.New("not verified")

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends it at once
	switch err := root().ExecuteContext(ctx); {
	case errors.Is(err, errWrong):
		return exitWrong
	case err != nil:
		fmt.Fprintf(os.Stderr, "ractl: %v\n", err)
		return exitFailed
	}
	return 0
}

// options that every command has.
type options struct{ socket string }

func root() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:           "ractl",
		Short:         "Evidence and reports of Latchkey, for the RA's team and auditors",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	cmd.PersistentFlags().StringVar(&o.socket, "socket", "/run/latchkey/central.sock", "`path` of the socket of the central on this machine: [office] socket in its central.toml")
	cmd.AddCommand(
		command.Group("audit", "The evidence: export, search, prove, verify, cosign", auditExport(&o), auditProve(&o), auditSearch(&o), auditVerify(), auditWitnessKey(), auditCosign()),
		command.Group("report", "What was done, in numbers", reportUnlocks(&o)),
		command.Manual())
	return cmd
}
