// Command imagetest boots the image for UEFI in emulated machines (latchkey/tools/qemu), from its disk and through UEFI's firmware, against
// a central on this machine, and checks what an engineer and a holder would see: it is set up by its provisioning file, a locked card is
// unlocked by injected touches and an independent client says so, and what breaks comes back. Each check is a line; the last one counts.
//
// What is looked at from outside (screen, touch, card, network, central, the bytes on the disk) is the production image, in which nothing can be
// asked. What can be seen from inside alone is asked of the debug image's serial shell: the two differ in that shell and what it
// needs. It is a tool for development.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"latchkey/tools/debs"
	"latchkey/tools/qemu"
	"latchkey/tools/qemu/letters"
	"latchkey/tools/reader"
	"latchkey/tools/tally"
)

func main() {
	reader.Main()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var o options
	cmd := &cobra.Command{
		Use:           "imagetest",
		Short:         "Boot the image and unlock a card on it",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return run(cmd.Context(), o, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&o.bin, "bin", "bin", "`folder` with the programs and image/, and for pictures")
	cmd.Flags().BoolVar(&o.long, "long", false, "make the checks that take long, too")
	cmd.Flags().StringVar(&o.only, "only", "", "make the checks of one `machine` alone")
	if err := cmd.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "image-test:", err)
		stop()
		os.Exit(1)
	}
}

type options struct {
	bin, only string
	long      bool
}

// Where Debian's packages have what the machines need beside the image.
const (
	firmwarePackage = "qemu-efi-aarch64"
	firmwareFolder  = "usr/share/AAVMF"
	fontPackage     = "console-setup-linux"
	fontFile        = "usr/share/consolefonts/Lat38-TerminusBold32x16.psf.gz"
)

// check is one thing that must be so. What it adds to its line is a figure.
type check struct {
	name string
	long bool // it is left out of the short form
	try  func(context.Context, *lab) (said string, err error)
}

// stand is a machine and its checks, each on what those before it left.
type stand struct {
	name   string
	image  string // file below bin/image
	flash  bool   // with a provisioning file
	tpm    bool
	pi     bool
	long   bool // it is left out of the short form
	checks []check
}

func run(ctx context.Context, o options, out io.Writer) error {
	dir, err := qemu.Folder()
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	packages, err := debs.Arm64(ctx, os.Stderr, firmwarePackage, fontPackage)
	if err != nil {
		return err
	}
	font, err := letters.ReadFont(packages.Path(fontFile))
	if err != nil {
		return err
	}
	pictures := filepath.Join(o.bin, "image-test")
	if err := errors.Join(os.RemoveAll(pictures), os.MkdirAll(pictures, 0o755)); err != nil {
		return err
	}
	sheet := &album{dir: pictures}
	stands := []stand{
		{name: "production", image: "latchkey-uefi-arm64.img", checks: production},
		{name: "debug", image: "latchkey-uefi-arm64-debug.img", flash: true, tpm: true, checks: inner},
		{name: "raspi3b", image: "latchkey-pi4.img", pi: true, checks: onPi},
		{name: "clock", image: "latchkey-uefi-arm64-debug.img", long: true, checks: onTime},
		{name: "wifi", image: "latchkey-uefi-arm64-wifi.img", long: true, checks: withWiFi},
	}
	count := tally.New(out)
	for _, s := range stands {
		if o.only != "" && o.only != s.name || s.long && !o.long {
			continue
		}
		l := &lab{name: s.name, dir: filepath.Join(dir, s.name), bin: o.bin, firmware: packages.Path(firmwareFolder), letters: letters.NewReader(font),
			album: sheet, out: out}
		if err := s.run(ctx, l, o, count); err != nil {
			return err
		}
	}
	return errors.Join(sheet.bind(), count.Close("image", pictures))
}

// run makes the checks until one fails.
func (s stand) run(ctx context.Context, l *lab, o options, count *tally.Tally) error {
	defer l.close()
	if err := l.furnish(ctx, filepath.Join(o.bin, "image", s.image), s.flash, s.tpm, s.pi); err != nil {
		return err
	}
	failed := false
	for _, c := range s.checks {
		if c.long && !o.long {
			continue
		}
		if failed {
			count.Left(1) // it builds on the one that failed
			continue
		}
		began, name := time.Now(), s.name+": "+c.name
		said, err := l.try(ctx, c)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if failed = err != nil; failed {
			count.Failed(name, err, time.Since(began))
			l.explain(ctx)
			continue
		}
		count.Passed(name, said, time.Since(began))
	}
	return nil
}

// patience is how long one check may take. A start through UEFI takes 15 s of an emulator that has two processors to itself, and minutes where
// others build (224 s with ten programs on each processor); one check makes four.
const patience = 30 * time.Minute

// lookPatience is how long the reason why one failed is looked for.
const lookPatience = 30 * time.Second

func (l *lab) try(ctx context.Context, c check) (string, error) {
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	return c.try(ctx, l)
}

// explain shows what somebody who has to know why would look at.
func (l *lab) explain(ctx context.Context) {
	if l.Machine == nil {
		return
	}
	ctx, stop := context.WithTimeout(ctx, lookPatience)
	defer stop()
	page, err := l.page(ctx)
	if err == nil {
		err = l.keep("failed")
	}
	say := func(what, text string) {
		for line := range strings.Lines(text) {
			if line = strings.TrimRight(line, " \r\n"); line != "" {
				fmt.Fprintf(l.out, "      %s: %s\n", what, line)
			}
		}
	}
	if err != nil {
		say("screen", err.Error())
	}
	say("screen", page.String())
	say("machine", fmt.Sprintf("it has restarted %d times, and its watchdog has fired %d times", l.Seen("RESET"), l.Seen("WATCHDOG")))
	say("serial", l.LastLines(15))
}
