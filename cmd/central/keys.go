package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"latchkey/cmd/central/internal/config"
	"latchkey/cmd/central/internal/office"
	"latchkey/cmd/central/internal/vault/hsm"
	"latchkey/cmd/internal/command"
	"latchkey/firmware/wire/ra"
)

func keysCommand(o *options) *cobra.Command {
	return command.Group("keys", "Key-encryption keys: make one, put everything under it", keysMake(), keysCheckpoint(o), keysHSMInit(o), keysRewrap(o))
}

func keysMake() *cobra.Command {
	return &cobra.Command{
		Use:   "make FILE",
		Short: "Make a file with a new key-encryption key, for its owner alone",
		Args:  command.Takes(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := office.MakeKey(args[0])
			if err == nil {
				fmt.Fprintf(cmd.OutOrStdout(), "%s holds the key %s\n", args[0], id)
			}
			return err
		},
	}
}

func keysHSMInit(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "hsm-init",
		Short: "Make the keys that [keys.hsm] of central.toml names, in its token",
		Long: `Make the keys that [keys.hsm] of central.toml names, in its token; none of them ever leaves it.

The root comes from the file that keys.root names, if there is one: the PUKs of cards that were unlocked before depend on it. It is done
before central is started with [keys.hsm], by whoever may read pin_file.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := config.Load(o.config)
			if err != nil {
				return err
			}
			if c.Keys.HSM.Module == "" {
				return fmt.Errorf("%s names no HSM: write [keys.hsm] there", o.config)
			}
			says, err := hsm.Init(c.Keys.HSM.Place(), c.Keys.HSM.KEKLabel, c.Keys.HSM.RootLabel, c.Keys.Root)
			for _, line := range says {
				fmt.Fprintln(cmd.OutOrStdout(), line)
			}
			return err
		},
	}
}

func keysRewrap(o *options) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "rewrap",
		Short: "Put all that is sealed under the key that kek names now, while kiosks are served",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.running()
			if err != nil {
				return err
			}
			done, err := c.RewrapKeysWithResponse(cmd.Context())
			if err != nil {
				return err
			}
			r := done.JSON200
			return show(cmd, asJSON, r, func(w *tabwriter.Writer) {
				for _, kind := range slices.Sorted(maps.Keys(r.Done)) {
					fmt.Fprintf(w, "%s\t%d wrapped anew\n", kind, r.Done[kind])
				}
				for _, one := range r.Stuck {
					fmt.Fprintf(w, "%s\t%s, generation %d: %s\n", one.Kind, one.Id, one.Generation, one.Why)
				}
				fmt.Fprintln(w, r.Says)
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func epochCommand(o *options) *cobra.Command {
	return command.Group("epoch", "After a restore: what central waits for", epochShow(o),
		o.act("give-up NAME", "Wait no longer for a kiosk that will not send its journal", "given up", func(ctx context.Context, c *ra.ClientWithResponses, name string) error {
			_, err := c.GiveUpKioskWithResponse(ctx, name)
			return err
		}))
}

func epochShow(o *options) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Say whether central was restored, and which kiosks have not sent their journals since",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.running()
			if err != nil {
				return err
			}
			e, err := c.ShowEpochWithResponse(cmd.Context())
			if err != nil {
				return err
			}
			r := e.JSON200
			return show(cmd, asJSON, r, func(w *tabwriter.Writer) {
				fmt.Fprintf(w, "epoch\t%d\n", r.Number)
				if r.OpenedAt != nil {
					fmt.Fprintf(w, "opened\t%s\n", clock(*r.OpenedAt))
				}
				if r.BackupAt != nil {
					fmt.Fprintf(w, "of the backup\t%s\n", clock(*r.BackupAt))
				}
				for _, name := range r.Missing {
					fmt.Fprintf(w, "missing\t%s\n", name)
				}
				if !r.Recovering {
					fmt.Fprintln(w, "Nothing is waited for.")
				}
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func bounceCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "bounce",
		Short: "Take a message that came back, from standard input, as a mail host pipes it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.running()
			if err != nil {
				return err
			}
			b, err := c.BounceMessageWithBodyWithResponse(cmd.Context(), "message/rfc822", io.LimitReader(cmd.InOrStdin(), ra.MaxBody))
			if err != nil {
				return err
			}
			if b.JSON200.News {
				fmt.Fprintln(cmd.OutOrStdout(), "the message counts as not delivered")
			} else {
				fmt.Fprintln(cmd.OutOrStdout(), "nothing new")
			}
			return nil
		},
	}
}
