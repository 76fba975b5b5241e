package main

import (
	"context"
	"fmt"
	"io"
	"mime/multipart"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"latchkey/cmd/internal/command"
	"latchkey/firmware/wire/ra"
)

func importCommand(o *options) *cobra.Command {
	var asJSON bool
	var params ra.ImportFilesParams
	cmd := &cobra.Command{
		Use:   "import FILE...",
		Short: "Take in holders and cards: all of them, or none and a sentence for each bad line",
		Long: `Take in holders and cards: all of them, or none and a sentence for each bad line.

  holder_id,name,email,mobile,status                      status: active, left
      may go on with organisation,language,user_name      language: en, cy
  serial,profile,holder_id,secret,card_certificate,status status: issued, revoked
  id,name                                                 organisations
  holder_id,organisation,role,workgroup                   positions

Each file is told by its first line; any of them, in any order.

The secret is what lets another set the card's passcode: PUK, reset code, administrator's PIN, or for "gids" the
administrator's key as 48 hex digits; empty if it is not known. The card_certificate is that of the card authentication
key (PIV 9E), DER in base64; it has to chain to the authorities in [cards] of central.toml; empty leaves the one that is on
record. The files hold secrets and contacts in clear: destroy them when they are imported. All of them together may have
64 MiB.

The secret of a card that was served is not changed where the kind of PUK rotates. Where it does not, another one corrects
what is on record; that the card's PUK is blocked, or how many tries it may have left, stays as it was.

--reissued says that the Registration Authority gave the cards in the file their secrets anew, each with its full count of
tries, be it another secret or the same. It is believed: on a card of which it is not true, tries will be spent that the
card does not have.`,
		Args: command.TakesSome,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.running()
			if err != nil {
				return err
			}
			r, err := send(cmd.Context(), c, params, args)
			if err != nil {
				return err
			}
			if asJSON {
				err = showJSON(cmd, r)
			} else {
				for _, f := range r.Warnings {
					fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s line %d: %s\n", f.File, f.Line, f.Says)
				}
				for _, f := range r.Flaws {
					fmt.Fprintf(cmd.ErrOrStderr(), "%s line %d: %s\n", f.File, f.Line, f.Says)
				}
			}
			if len(r.Flaws) > 0 {
				return fmt.Errorf("nothing was imported; lines to correct: %d", len(r.Flaws))
			}
			if asJSON || err != nil {
				return err
			}
			verb := "imported"
			if !r.Imported {
				verb = "nothing was imported; without --dry-run it would be"
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %d holders (%d new), %d cards (%d new", verb, r.Holders, r.NewHolders, r.Cards, r.NewCards)
			if params.Reissued {
				fmt.Fprintf(cmd.OutOrStdout(), ", %d served before and given a secret anew", r.Reissued)
			}
			fmt.Fprint(cmd.OutOrStdout(), ")")
			if r.Organisations > 0 {
				fmt.Fprintf(cmd.OutOrStdout(), ", %d organisations", r.Organisations)
			}
			if r.Positions > 0 {
				fmt.Fprintf(cmd.OutOrStdout(), ", %d positions", r.Positions)
			}
			fmt.Fprintln(cmd.OutOrStdout())
			return nil
		},
	}
	cmd.Flags().BoolVar(&params.Reissued, "reissued", false, "the cards in the file were given their secrets anew")
	cmd.Flags().BoolVar(&params.DryRun, "dry-run", false, "check the files and import nothing")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// send has the running central import the files. They are read by the right of whoever runs this, and are never held here.
func send(ctx context.Context, c *ra.ClientWithResponses, params ra.ImportFilesParams, paths []string) (*ra.Import, error) {
	var files []*os.File
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	var size int64
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("import: %w", err)
		}
		files = append(files, f)
		info, err := f.Stat()
		if err != nil {
			return nil, fmt.Errorf("import: %w", err)
		}
		if size += info.Size(); size > ra.MaxImport {
			return nil, fmt.Errorf("the files have more than %d MiB together: import them in several parts, holders first", ra.MaxImport>>20)
		}
	}
	body, w := io.Pipe()
	parts := multipart.NewWriter(w)
	written := make(chan struct{})
	go func() {
		defer close(written)
		w.CloseWithError(write(parts, files))
	}()
	r, err := c.ImportFilesWithBodyWithResponse(ctx, &params, parts.FormDataContentType(), body)
	body.Close() // if central answered before it had read all
	<-written
	if err != nil {
		return nil, err
	}
	return r.JSON200, nil
}

func write(parts *multipart.Writer, files []*os.File) error {
	for _, f := range files {
		part, err := parts.CreateFormFile("file", filepath.Base(f.Name()))
		if err == nil {
			_, err = io.Copy(part, f)
		}
		if err != nil {
			return fmt.Errorf("import: %w", err)
		}
	}
	return parts.Close()
}
