// Central is the service that kiosks ask: it knows holders and cards, sends one-time codes, releases cards' secrets and
// keeps the evidence. This file is its command line; what it does stands in internal.
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
	"latchkey/firmware/secret"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	err := secret.ForbidDumps()
	if err == nil {
		err = root().ExecuteContext(ctx)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "central: %v\n", err)
		return 1
	}
	return 0
}

// office is what a command works on.
type office struct {
	config *config.Config
	store  store.Store
}

// options that every command has.
type options struct{ config string }

// with opens what the configuration names, for one command. A database that is not there is an error: central would
// know no card, and a mistyped path is likelier than that. (PostgreSQL itself says so of its databases.)
func (o *options) with(ctx context.Context, f func(office) error) error {
	c, err := config.Load(o.config)
	if err != nil {
		return err
	}
	if err := o.made(c.Database); err != nil {
		return err
	}
	return o.open(ctx, c, f)
}

// database opens the database alone, whatever else is wrong with the configuration.
func (o *options) database(ctx context.Context) (store.Store, error) {
	database, err := config.Database(o.config)
	if err == nil {
		err = o.made(database)
	}
	if err != nil {
		return nil, err
	}
	return store.Open(ctx, database)
}

// made says so if the database is not there.
func (o *options) made(database string) error {
	if _, err := os.Stat(database); !store.IsPostgreSQL(database) && errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no database %s: mend database in %s, or make one with central import or central kiosk add", database, o.config)
	}
	return nil
}

// withNew is with for the commands that a new central begins with: they make the database if it is not there.
func (o *options) withNew(ctx context.Context, f func(office) error) error {
	c, err := config.Load(o.config)
	if err != nil {
		return err
	}
	return o.open(ctx, c, f)
}

func (o *options) open(ctx context.Context, c *config.Config, f func(office) error) error {
	s, err := store.Open(ctx, c.Database)
	if err != nil {
		return err
	}
	defer s.Close()
	return f(office{c, s})
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
	cmd.AddCommand(initCommand(), serveCommand(&o), importCommand(&o), kioskCommand(&o), caseCommand(&o), cardCommand(&o))
	return cmd
}

// takes refuses any other number of arguments with the command's usage.
func takes(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return fmt.Errorf("usage: %s", cmd.UseLine())
		}
		return nil
	}
}

// group is a command that only holds others; a misspelt one among them is an error.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(commands...)
	return cmd
}

func initCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "init FOLDER",
		Short: "Make a folder with a commented central.toml and new keys; nothing is overwritten",
		Args:  takes(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := config.Init(args[0]); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), `Made %[1]s with central.toml and new keys.
Next: put central's TLS certificate and key, and the certificate of the kiosks' authority, where central.toml names them;
set ra_contact, [smtp] and the authority of cards in [cards]; keep copies of kek.key and root.key apart from each other and from this machine. Then:
  central import holders.csv cards.csv --config %[1]s/central.toml
  central kiosk add NAME --cert FILE --config %[1]s/central.toml
  central serve --config %[1]s/central.toml
Each kiosk needs signing.pub.pem, as the central_key of its configuration.
`, args[0])
			return nil
		},
	}
}
