package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"latchkey/cmd/central/internal/directory"
)

func importCommand(o *options) *cobra.Command {
	var dry, reissued bool
	cmd := &cobra.Command{
		Use:   "import HOLDERS.CSV CARDS.CSV",
		Short: "Take in holders and cards: all of them, or none and a sentence for each bad line",
		Long: `Take in holders and cards: all of them, or none and a sentence for each bad line.

  holder_id,name,email,mobile,status                      status: active, left
  serial,profile,holder_id,secret,card_certificate,status status: issued, revoked

The secret is what lets another set the card's passcode: PUK, reset code, administrator's PIN, or for "gids" the
administrator's key as 48 hex digits; empty if it is not known. The card_certificate is that of the card authentication
key (PIV 9E), DER in base64; it has to chain to the authorities in [cards] of central.toml; empty leaves the one that is on
record. The files hold secrets and contacts in clear: destroy them when they are imported.

The secret of a card that was served is not changed where the kind of PUK rotates. Where it does not, another one corrects
what is on record; that the card's PUK is blocked, or how many tries it may have left, stays as it was.

--reissued says that the Registration Authority gave the cards in the file their secrets anew, each with its full count of
tries, be it another secret or the same. It is believed: on a card of which it is not true, tries will be spent that the
card does not have.`,
		Args: takes(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.withNew(cmd.Context(), func(of office) error {
				v, err := of.config.Keys.Open()
				if err != nil {
					return err
				}
				issuers, err := of.config.CardIssuers()
				if err != nil {
					return err
				}
				terms := directory.Terms{Profiles: of.config.Profiles, Issuers: issuers, Now: time.Now(), Reissued: reissued}
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
				fmt.Fprintf(cmd.OutOrStdout(), "%s: %d holders (%d new), %d cards (%d new", verb, r.Holders, r.NewHolders, r.Cards, r.NewCards)
				if reissued {
					fmt.Fprintf(cmd.OutOrStdout(), ", %d served before and given a secret anew", r.Reissued)
				}
				fmt.Fprintln(cmd.OutOrStdout(), ")")
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&reissued, "reissued", false, "the cards in the file were given their secrets anew")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "check the files and import nothing")
	return cmd
}
