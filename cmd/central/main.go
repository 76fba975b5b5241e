// Central is the service that kiosks ask: it knows holders and cards, sends one-time codes, releases cards' secrets and
// keeps the evidence. This file is its command line; what it does stands in internal.
//
// What staff do, they have the running central do, over a unix socket by which it knows who they are (client.go). Only
// serve opens the database and the keys, beside what is done while central is stopped.
//
// No secret is ever an argument or a variable of the environment: arguments name files.
package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // messages tell times in the configured zone, also where the system knows no zones

	"github.com/spf13/cobra"

	"latchkey/cmd/central/internal/config"
	"latchkey/cmd/central/internal/store"
	"latchkey/cmd/central/internal/vault/hsm"
	"latchkey/cmd/internal/command"
	"latchkey/firmware/secret"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends it at once
	err := secret.ForbidDumps()
	if err == nil {
		err = root().ExecuteContext(ctx)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "central: %v\n", err)
		return exitStatus(err)
	}
	return 0
}

// exitStatus is 78 (EX_CONFIG of sysexits.h) where starting again by itself does harm: each try of a PIN that is wrong brings the HSM
// nearer to locking it.
func exitStatus(err error) int {
	if errors.Is(err, hsm.ErrPIN) {
		return 78
	}
	return 1
}

// opened is what a command works on that opens the database itself: serve, and what is done while central is stopped.
type opened struct {
	config *config.Config
	store  store.Store
}

// options that every command has.
type options struct{ config string }

// with opens what the configuration names. A database that is not there is an error: a mistyped path is likelier than that
// an empty one is meant. (PostgreSQL itself says so of its databases.)
func (o *options) with(ctx context.Context, f func(opened) error) error {
	c, err := config.Load(o.config)
	if err != nil {
		return err
	}
	if !made(c.Database) {
		return fmt.Errorf("there is no database %s: mend database in %s, or make one with central serve", c.Database, o.config)
	}
	return open(ctx, c, f)
}

// made says whether the database is there, as far as a file tells.
func made(database string) bool {
	_, err := os.Stat(database)
	return store.IsPostgreSQL(database) || !errors.Is(err, fs.ErrNotExist)
}

func open(ctx context.Context, c *config.Config, f func(opened) error) error {
	s, err := store.Open(ctx, c.Database)
	if err != nil {
		return err
	}
	defer s.Close()
	return f(opened{c, s})
}

func root() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:           "central",
		Short:         "The central service of Latchkey",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	cmd.PersistentFlags().StringVar(&o.config, "config", "central.toml", "configuration `file`")
	cmd.AddCommand(initCommand(), checkCommand(&o), serveCommand(&o), command.Manual(), importCommand(&o), kioskCommand(&o), serviceCardCommand(&o), caseCommand(&o), cardCommand(&o), eventsCommand(&o), keysCommand(&o), epochCommand(&o), bounceCommand(&o), holderCommand(&o), organisationCommand(&o), feedbackCommand(&o), checkpointCommand(&o), evidenceCommand(&o))
	cmd.AddCommand(backupCommand(&o), restoreCommand(&o), migrateCommand(&o))
	return cmd
}

func initCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "init FOLDER",
		Short: "Make a folder with a commented central.toml and new keys; nothing is overwritten",
		Args:  command.Takes(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := config.Init(args[0]); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), `Made %[1]s with central.toml and new keys.
Next: put central's TLS certificate and key where central.toml names them;
set ra_contact, [smtp] and the authority of cards in [cards]; keep copies of kek.key and root.key apart from each other and from this machine. Then:
  central serve --config %[1]s/central.toml
and while it runs, on the same machine:
  central import holders.csv cards.csv --config %[1]s/central.toml
  central kiosk enrol NAME --config %[1]s/central.toml
A kiosk is let in by its "kiosk enrol", with the code that "central kiosk enrol" makes, and by "central kiosk confirm". Kiosks that another
authority certified ("central kiosk add") need signing.pub.pem, as the central_key of their configuration.
`, args[0])
			return nil
		},
	}
}
