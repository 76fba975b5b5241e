// Command mkimage makes the image that engineers flash: from Debian packages that image/debian.lock pins by SHA-256, our own programs and
// what image/image.toml says, it puts together a kernel, an initial RAM disk, a root under dm-verity and a whole disk (GPT, UEFI
// specification 2.10, chapter 5), twice the same for the same commit. It needs no root, runs no maintainer script and installs nothing.
//
// It is a tool for development; image/README.md tells engineers how to use it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"latchkey/image"
	"latchkey/tools/debs"
)

func main() {
	syscall.Umask(0o022) // permissions go into the image
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin") // where the tools are, and not everybody looks
	cmd := &cobra.Command{Use: "mkimage", Short: "Make what a kiosk's medium is flashed with", SilenceUsage: true, SilenceErrors: true}
	var b build
	make := &cobra.Command{
		Use:   "build",
		Short: "Make the image of a board",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !slices.Contains(image.Boards(), b.board) {
				return fmt.Errorf("there is no board %q; there are %s: make image BOARD=%s", b.board, strings.Join(image.Boards(), ", "), image.UEFI)
			}
			b.log = cmd.OutOrStdout()
			return b.run(cmd.Context())
		},
	}
	make.Flags().StringVar(&b.board, "board", "", "`name` of the board: "+strings.Join(image.Boards(), ", "))
	make.Flags().BoolVar(&b.debug, "debug", false, "with a shell on the serial console")
	make.Flags().BoolVar(&b.wifi, "wifi", false, "with Wi-Fi and 802.1X")
	make.Flags().StringVar(&b.source, "source", "image", "`folder` with image.toml, debian.lock and root")
	make.Flags().StringVar(&b.programs, "programs", "bin/arm64/image", "`folder` with our programs for 64-bit ARM")
	make.Flags().StringVar(&b.out, "out", "bin/image", "`folder` for what is made")
	make.Flags().StringVar(&b.key, "key", os.Getenv("IMAGE_KEY"), "`file` with the key that signs the manifest; without one, a development key in the folder for what is made (default $IMAGE_KEY)")
	var source string
	lock := &cobra.Command{
		Use:   "lock",
		Short: "Pin the newest versions of the Debian packages, and tell what changed",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return renew(cmd.Context(), source, cmd.OutOrStdout()) },
	}
	lock.Flags().StringVar(&source, "source", "image", "`folder` with image.toml and debian.lock")
	cmd.AddCommand(make, lock, keyCommand())
	if err := cmd.ExecuteContext(ctx); err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("stopped; what was made before stands as it was: %w", err)
		}
		fmt.Fprintln(os.Stderr, "mkimage:", err)
		if gone := (*debs.GoneError)(nil); errors.As(err, &gone) {
			fmt.Fprintln(os.Stderr, "mkimage: run make image-lock, look at what it changes, and commit it")
		}
		stop()
		os.Exit(1)
	}
}
