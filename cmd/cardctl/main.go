// Command cardctl tells engineers and RA staff what a smartcard is (status), what is wrong with a reader or a card
// (doctor), what was said between program and card (trace), and whether a profile fits a card (profile), through pcscd.
// At an attended desk it unlocks cards as a kiosk does (unblock).
//
// All but unblock read only. They present no secret, so nothing they do costs a try; they have the card to themselves while
// they read and reset it at the end. A holder's name is shown only where it was asked for.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"latchkey/card/profiles"
	"latchkey/firmware/journal"
)

func main() {
	journal.CheckMain()
	if err := root().Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "cardctl:", err)
		os.Exit(1)
	}
}

func root() *cobra.Command {
	var reader string
	cmd := &cobra.Command{
		Use:                "cardctl",
		Short:              "What is this smartcard, and what is wrong with this reader",
		SilenceUsage:       true,
		SilenceErrors:      true,
		DisableSuggestions: true, // an error is one sentence
	}
	cmd.PersistentFlags().StringVar(&reader, "reader", "", "the reader's `name`, or a part of it that no other reader has")
	cmd.AddCommand(statusCommand(&reader), doctorCommand(&reader), traceCommand(&reader), profileCommand(&reader), unblockCommand(&reader))
	return cmd
}

// profilesFlag is the folder with profiles beside the embedded ones.
func profilesFlag(cmd *cobra.Command) *string {
	return cmd.Flags().String("profiles", "", "a `folder` with card profiles of your own, as the kiosk's configuration names it")
}

func statusCommand(reader *string) *cobra.Command {
	var names, asJSON bool
	var folder *string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Tell what the card in the reader is: family, serial, state, certificates, proof",
		Long: `Tell what the card in the reader is: its family, kind and serial, the profiles that fit it, whether
it is locked, its certificates, and whether its card authentication key proves itself.
"PUK" stands for whatever resets the passcode: PUK, reset code, administrator's key or PIN.

Nothing is written to the card and no passcode or PUK is presented: reading costs no try.
The exit code is 0 if the card could be read, also if it is locked.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := (&cards{*reader, *folder, direct}).read(cmd.Context())
			if err != nil {
				return err
			}
			if !names {
				s.forgetNames()
			}
			if asJSON {
				return printJSON(cmd, s)
			}
			return s.print(cmd.OutOrStdout(), time.Now())
		},
	}
	folder = profilesFlag(cmd)
	cmd.Flags().BoolVar(&names, "names", false, "show whom the certificates name")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func doctorCommand(reader *string) *cobra.Command {
	var asJSON bool
	var folder *string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look for what is wrong: pcscd, permissions, driver, reader, card; with cause and who fixes it",
		Long: `Look for what is wrong with pcscd, permissions, driver, reader and card. Each finding comes with
its cause and who fixes it: the holder of the card, an engineer, or the Registration Authority (RA).
It also says what the error codes ERR1002, ERR1009 and PR20002 mean on this machine.

The exit code is 1 if something is wrong; a warning is not.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			known, err := profiles.Load(*folder)
			if err != nil {
				return err
			}
			d := examine(cmd.Context(), *reader, known, thisMachine(), time.Now())
			print := func() error { return d.print(cmd.OutOrStdout()) }
			if asJSON {
				print = func() error { return printJSON(cmd, d) }
			}
			if err := print(); err != nil {
				return err
			}
			return d.verdict()
		},
	}
	folder = profilesFlag(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func traceCommand(reader *string) *cobra.Command {
	var folder *string
	cmd := &cobra.Command{
		Use:   "trace",
		Short: "Do what status does and print each command and answer, without secrets",
		Long: `Do what status does and print each command APDU and its answer (ISO/IEC 7816-4), with the time that it took.

What could be a secret is not shown, neither in hex nor by its length; certificates are cut short.
The log holds the card's serial, which is personal data where a directory ties it to a holder.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := (&cards{*reader, *folder, tracedTo(cmd.OutOrStdout())}).read(cmd.Context())
			return err
		},
	}
	folder = profilesFlag(cmd)
	return cmd
}

func printJSON(cmd *cobra.Command, v any) error {
	e := json.NewEncoder(cmd.OutOrStdout())
	e.SetIndent("", "  ")
	return e.Encode(v)
}
