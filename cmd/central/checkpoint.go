package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"latchkey/cmd/central/internal/config"
	"latchkey/cmd/central/internal/vault"
	"latchkey/cmd/internal/command"
	"latchkey/firmware/wire/ra"
)

func checkpointCommand(o *options) *cobra.Command {
	return command.Group("checkpoint", "Signed checkpoints of the tree over all evidence", checkpointShow(o), checkpointCosign(o))
}

func checkpointShow(o *options) *cobra.Command {
	var p ra.ShowCheckpointParams
	var key bool
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Print the newest checkpoint, as witnesses and auditors take it",
		Long: `Print the newest checkpoint, as witnesses and auditors take it: a signed note (C2SP tlog-checkpoint). Keep it, away from central: who
keeps checkpoints can tell whether the evidence was changed since. With --key, print what verifies it. With --from, print it for a witness
who has no way to central's pages: with the proof that the tree goes on from the checkpoint of that size, which they cosigned last.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.running()
			if err != nil {
				return err
			}
			r, err := c.ShowCheckpointWithResponse(cmd.Context(), &p)
			if err != nil {
				return err
			}
			if key {
				_, err = fmt.Fprintln(cmd.OutOrStdout(), r.JSON200.Key)
				return err
			}
			text := r.JSON200.Note
			if p.From > 0 {
				text = r.JSON200.Shown
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), text)
			return err
		},
	}
	cmd.Flags().BoolVar(&p.Fresh, "fresh", false, "take in what was written since, and sign now")
	cmd.Flags().BoolVar(&p.Witnessed, "witnessed", false, "the newest that a witness has cosigned")
	cmd.Flags().Int64Var(&p.From, "from", 0, "with the proof from a checkpoint of so many `records`, as \"ractl audit cosign\" takes it")
	cmd.Flags().BoolVar(&key, "key", false, "print the verifier key instead")
	return cmd
}

func checkpointCosign(o *options) *cobra.Command {
	var witness string
	cmd := &cobra.Command{
		Use:   "cosign --witness NAME FILE",
		Short: "Publish a checkpoint's cosignature by a witness that central.toml names",
		Args:  command.Takes(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := os.ReadFile(args[0])
			if err != nil {
				return fmt.Errorf("read cosigned checkpoint: %w", err)
			}
			c, err := o.running()
			if err != nil {
				return err
			}
			r, err := c.AddCosignatureWithResponse(cmd.Context(), ra.Cosigned{Witness: witness, Note: string(b)})
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "published: %s has cosigned %d records of %s\n", witness, r.JSON201.Size, r.JSON201.Origin)
			return nil
		},
	}
	cmd.Flags().StringVar(&witness, "witness", "", "whose cosignature it is, as its verifier key `names` them")
	_ = cmd.MarkFlagRequired("witness")
	return cmd
}

func kioskNewLog(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "new-log NAME",
		Short: "Let a kiosk whose journal does not extend what central holds begin a new one",
		Long: `Let a kiosk whose journal does not extend what central holds begin a new one, with all entries that it keeps.

It is an engineer's to do who knows why: the kiosk's storage was set back or copied, or central was restored from an older backup than the
newest that kiosks were told of. What central holds stays, and that a new journal began stands in the evidence. Ask first why: a
copied kiosk has two.`,
		Args: command.Takes(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.running()
			if err != nil {
				return err
			}
			r, err := c.BeginNewLogWithResponse(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s may begin journal %d; %d entries are held of the one before\n", args[0], r.JSON200.Log, r.JSON200.Held)
			return nil
		},
	}
}

func keysCheckpoint(o *options) *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:   "checkpoint",
		Short: "Make the key that signs checkpoints of the evidence, where keys.checkpoint names its file",
		Long: `Make the key that signs checkpoints of the evidence, where keys.checkpoint names its file; "central init" does it for a new central. Start
central again afterwards. It prints what verifies the checkpoints: auditors and witnesses need it.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := config.Load(o.config)
			if err != nil {
				return err
			}
			if name == "" {
				name = config.TreeName()
			}
			key, err := vault.MakeCheckpointKey(c.Keys.Checkpoint, name)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), key)
			return err
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "the tree's `name`, such as unlock.example.nhs.uk/evidence; none: a random one")
	return cmd
}
