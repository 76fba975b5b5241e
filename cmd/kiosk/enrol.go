package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"latchkey/cmd/internal/device"
	"latchkey/firmware/secret"
)

// enrolCommand lets a new device in.
func enrolCommand() *cobra.Command {
	var central, ca, codeFile, data, tpm string
	cmd := &cobra.Command{
		Use:   "enrol --central URL --central-ca FILE --code-file FILE --data FOLDER",
		Short: "Make this device's key and ask central for its certificate, with a one-time code of the RA's",
		Long: `Make this device's key and ask central for its certificate, with a one-time code of the RA's ("central kiosk enrol" makes one).

The key and what belongs to it are put into the folder identity in the data folder, which the configuration names as identity. The
device is served once the RA has confirmed the fingerprint that is printed here. After a cut, run the same again. A device
whose certificate has run out is enrolled anew in the same way, with a new code.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			code, err := readCode(codeFile, cmd.InOrStdin())
			if err != nil {
				return err
			}
			defer code.Wipe()
			dir := filepath.Join(data, "identity")
			e, err := device.Enrol(cmd.Context(), central, ca, dir, tpm, code, nil)
			if err != nil {
				return err
			}
			what := "enrolled as"
			if e.Before {
				what = "enrolled before, as"
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s %s; in the configuration: identity = %q\nFor the RA to confirm, the fingerprint of its key:\n%s\n%s\n", what, e.Name, dir,
				e.Fingerprint[:len(e.Fingerprint)/2], e.Fingerprint[len(e.Fingerprint)/2+1:])
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&central, "central", "", "`URL` of central's public listener, such as https://unlock.example.nhs.uk")
	f.StringVar(&ca, "central-ca", "", "`file` of who vouches for central's certificate, PEM")
	f.StringVar(&codeFile, "code-file", "", "`file` that holds the one-time code; - for standard input")
	f.StringVar(&data, "data", "", "the device's data `folder`")
	f.StringVar(&tpm, "tpm", "", "make the key in this TPM, such as "+device.DefaultTPM)
	for _, name := range []string{"central", "central-ca", "code-file", "data"} {
		_ = cmd.MarkFlagRequired(name)
	}
	return cmd
}

// longestCode is more than any code has, with its hyphens.
const longestCode = 64

func readCode(path string, in io.Reader) (secret.Value, error) {
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return secret.Value{}, fmt.Errorf("code-file: %w", err)
		}
		defer f.Close()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, longestCode+2))
	defer clear(b)
	if err != nil {
		return secret.Value{}, fmt.Errorf("code-file: %w", err)
	}
	code := bytes.TrimSpace(b)
	if len(code) == 0 || len(code) > longestCode {
		return secret.Value{}, fmt.Errorf("code-file: it does not hold an enrolment code: write the code alone, such as 7K3Q-M9XD-0RTB-VWPA-4HCN")
	}
	return secret.New(bytes.Clone(code)), nil
}
