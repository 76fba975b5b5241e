package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"latchkey/cmd/central/internal/directory"
	"latchkey/cmd/central/internal/vault"
)

func importCommand(o *options) *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use:   "import HOLDERS.CSV CARDS.CSV",
		Short: "Take in holders and cards: all of them, or none and a sentence for each bad line",
		Long: `Take in holders and cards: all of them, or none and a sentence for each bad line.

  holder_id,name,email,mobile,status                      status: active, left
  serial,profile,holder_id,secret,card_certificate,status status: issued, revoked

The secret is what lets another set the card's passcode: PUK, reset code, administrator's PIN, or for "gids" the
administrator's key as 48 hex digits; empty if it is not known. The card_certificate is that of the card authentication
key (PIV 9E), DER in base64, or empty; it has to chain to the authorities in [cards] of central.toml. The files hold
secrets and contacts in clear: destroy them when they are imported.

The secret of a card that was served is not changed, except of one whose PUK was found blocked or is of a kind that
does not rotate: there it is taken for the one that the card was given anew.`,
		Args: takes(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.withNew(cmd.Context(), func(of office) error {
				k := of.config.Keys
				v, err := vault.OpenFiles(k.KEK, k.Root, k.Codes)
				if err != nil {
					return err
				}
				issuers, err := of.config.CardIssuers()
				if err != nil {
					return err
				}
				terms := directory.Terms{Profiles: of.config.Profiles, Issuers: issuers, Now: time.Now()}
				var files [2]directory.File
				for i, path := range args {
					f, err := os.Open(path)
					if err != nil {
						return fmt.Errorf("import: %w", err)
					}
					defer f.Close()
					files[i] = directory.File{Name: filepath.Base(path), Reader: f}
				}
				r, err := directory.Import(cmd.Context(), of.store, v, terms, files[0], files[1], dry)
				if err != nil {
					return err
				}
				if len(r.Flaws) > 0 {
					for _, f := range r.Flaws {
						fmt.Fprintln(cmd.ErrOrStderr(), f)
					}
					return fmt.Errorf("nothing was imported; lines to correct: %d", len(r.Flaws))
				}
				verb := "imported"
				if dry {
					verb = "nothing was imported; without --dry-run it would be"
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s: %d holders (%d new), %d cards (%d new)\n", verb, r.Holders, r.NewHolders, r.Cards, r.NewCards)
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "check the files and import nothing")
	return cmd
}
