package main

import (
	"path/filepath"

	"github.com/spf13/cobra"

	"latchkey/image/manifest"
)

// keyCommand makes the key that released images are signed with.
func keyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "key NAME FILE",
		Short: "Make a key to sign images with: FILE.key, to be kept, and FILE.vkey, for those who flash",
		Long: `Make a key to sign images with. FILE.key signs (make image IMAGE_KEY=FILE.key): keep it where few can
read it. FILE.vkey checks: it goes to everybody who flashes, into /etc/latchkey/image-keys. NAME is what
flash shows, such as ra.example.nhs.uk/image.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := manifest.NewKey(args[0], filepath.Dir(args[1]), filepath.Base(args[1])); err != nil {
				return err
			}
			cmd.Printf("%s.key signs, %s.vkey checks\n", args[1], args[1])
			return nil
		},
	}
}
