package main

import (
	"fmt"
	"os/user"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"latchkey/cmd/central/internal/config"
	"latchkey/cmd/central/internal/office"
	"latchkey/cmd/central/internal/store"
	"latchkey/cmd/internal/command"
)

func backupCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "backup FILE",
		Short: "Write the database into a new file, while central serves or not",
		Long: `Write the database into a new file, while central serves or not.

The file is good for SQLite and for PostgreSQL, whichever it was made of. Cards' secrets and contacts are sealed in it as in the
database, names of holders are not. The keys are not in it: keep them apart, without them it is worth nothing.
Kiosks forget what is in a backup, so keep the newest ones: central can be brought back only from those.`,
		Args: command.Takes(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			me, err := user.Current()
			if err != nil {
				return err
			}
			return o.with(cmd.Context(), func(of opened) error {
				b, err := office.Backup(cmd.Context(), of.store, args[0], me.Username, time.Now())
				if err != nil {
					return err
				}
				rows := int64(0)
				for _, n := range b.Rows {
					rows += n
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s: %d cards, %d holders, %d rows in all\n", args[0], b.Rows["cards"], b.Rows["holders"], rows)
				return nil
			})
		},
	}
}

func restoreCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "restore FILE",
		Short: "Load a backup into an empty database, with central stopped",
		Long: `Load a backup into an empty database, with central stopped.

This is also the way from one engine to the other: back up, name the new database in central.toml, restore.

It opens a new epoch. Codes, enrolment codes, open cases and messages that waited are void; kiosks have to be confirmed
again; frozen cards stay frozen until the RA unfreezes them. Cards are served when all kiosks have sent again what the backup
lacks, or the RA does not wait for them.

Set this machine's clock right first: epochs are numbered by it, and kiosks take none that is older than the one that they know.`,
		Args: command.Takes(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := config.Load(o.config)
			if err != nil {
				return err
			}
			return open(cmd.Context(), c, func(of opened) error {
				r, err := office.Restore(cmd.Context(), of.store, args[0], time.Now())
				if err != nil {
					return err
				}
				out := cmd.OutOrStdout()
				fmt.Fprintf(out, "Restored the backup of %s: %d cards, %d holders. Epoch %d is open.\n",
					r.Backup.MadeAt.UTC().Format(time.RFC3339), r.Backup.Rows["cards"], r.Backup.Rows["holders"], r.Epoch.Number)
				fmt.Fprintf(out, `Next, in this order:
 1. Import again what was imported since the backup, cards with new secrets above all; enrol again the kiosks that were added since.
 2. Start central: central serve
 3. Confirm each kiosk again, by the fingerprint of its key, and disable those that were disabled since: %s
 4. Wait until they have sent their journals again: central epoch show
    For one that will not come back: central epoch give-up NAME. For one card that cannot wait: central card release SERIAL
 5. Look at the cards that are frozen (%d), freeze again those that were frozen since, unfreeze those that may be used.
`, none(r.Kiosks), r.Frozen)
				return nil
			})
		},
	}
}

func none(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

func migrateCommand(o *options) *cobra.Command {
	var back bool
	cmd := &cobra.Command{
		Use:   "migrate [--back]",
		Short: "Bring the database's schema up to date, or one version back, with central stopped",
		Long: `Bring the database's schema up to date, or one version back, with central stopped.

Every command brings it up to date by itself. --back is for going back to the central before this one; it is refused if rows
would be lost that the older one does not know. Make a backup first.`,
		Args: command.Takes(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.with(cmd.Context(), func(of opened) error {
				version, err := store.Migrate(cmd.Context(), of.store, back)
				if err == nil {
					fmt.Fprintf(cmd.OutOrStdout(), "schema %d\n", version)
				}
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&back, "back", false, "one version back")
	return cmd
}
