// Command vmtest boots Debian's 64-bit ARM kernels in emulated machines (latchkey/tools/qemu) with the kiosk on its console, and checks on real
// drivers what unit tests may not open: the framebuffer console with the kiosk's font and colours, touch, the keys that must do nothing, a
// GPIO line, the watchdog. Each check is a line; the last one counts.
//
// No central can be reached there and there is no card reader, so the kiosk is out of service throughout; walks are e2e's. It is a tool for
// development.
package main

import (
	"context"
	"fmt"
	"image"
	"image/png"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"latchkey/tools/qemu"
	"latchkey/tools/qemu/letters"
	"latchkey/tools/tally"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var bin string
	cmd := &cobra.Command{
		Use:           "vmtest",
		Short:         "Check the kiosk on the drivers of an emulated board",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return run(cmd.Context(), bin, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&bin, "bin", "bin", "`folder` with arm64/kiosk and arm64/guest, and for pictures")
	if err := cmd.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "vm-test:", err)
		stop()
		os.Exit(1)
	}
}

// lab is the machine and what is known of it.
type lab struct {
	*qemu.Machine
	font     letters.Font
	pictures string // folder
	out      io.Writer

	name   string
	large  bool    // as of its machine
	double *double // of the kiosk that runs
	kiosk  int     // process
	tapped time.Time
}

// patience is how long one check may take. The machine is slow where processors are shared; what is well takes seconds.
const patience = 10 * time.Minute

// lookPatience is how long the reason why one failed is looked for.
const lookPatience = 30 * time.Second

func run(ctx context.Context, bin string, out io.Writer) error {
	dir, err := qemu.Folder()
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	pictures := filepath.Join(bin, "vm-test")
	if err := os.RemoveAll(pictures); err != nil {
		return err
	}
	if err := os.MkdirAll(pictures, 0o755); err != nil {
		return err
	}
	release, backports, fontFile, err := furnish(ctx, bin, dir, os.Stderr)
	if err != nil {
		return err
	}
	font, err := letters.ReadFont(fontFile)
	if err != nil {
		return err
	}
	machines := []machine{
		{"release", release, qemu.Panel, false, checks},
		{"backports", backports, qemu.Panel.Mul(2), true, largeChecks},
	}
	count := tally.New(out)
	for _, m := range machines {
		l := &lab{font: font, pictures: pictures, out: out, large: m.large, name: m.name}
		if err := m.run(ctx, l, filepath.Join(dir, m.name), count); err != nil {
			return err
		}
	}
	return count.Close("vm-test", pictures)
}

// machine is one of those that the checks are made on.
type machine struct {
	name   string
	boots  furniture
	screen image.Point
	large  bool // its kernel can double the console's font, and the screen has room for that
	checks []check
}

// run makes the checks until one fails.
func (m machine) run(ctx context.Context, l *lab, dir string, count *tally.Tally) (err error) {
	l.Machine, err = qemu.Start(ctx, qemu.Config{Dir: dir, Kernel: m.boots.kernel, Initrd: m.boots.initrd, Screen: m.screen,
		Append: fmt.Sprintf("console=ttyAMA0 panic=-1 consoleblank=%d", blankAfter), Lines: map[int]string{caseLine: "CASE"}})
	if err != nil {
		return err
	}
	defer l.Close()
	for n, c := range m.checks {
		began := time.Now()
		said, err := l.try(ctx, c)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			count.Failed(c.name, err, time.Since(began))
			l.explain(ctx)
			count.Left(len(m.checks) - n - 1) // they build on it
			break
		}
		count.Passed(c.name, said, time.Since(began))
	}
	return nil
}

func (l *lab) try(ctx context.Context, c check) (string, error) {
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	return c.try(ctx, l)
}

// explain shows what somebody who has to know why would look at.
func (l *lab) explain(ctx context.Context) {
	ctx, stop := context.WithTimeout(ctx, lookPatience)
	defer stop()
	if picture, err := l.Screen(ctx); err == nil {
		_ = l.keep(picture, "failed")
	}
	say := func(what, text string) {
		for line := range strings.Lines(text) {
			fmt.Fprintf(l.out, "      %s: %s\n", what, strings.TrimSpace(line))
		}
	}
	say("machine", l.LastLines(5))
	for _, name := range []string{"/tmp/stderr", "/etc/latchkey/data/kiosk.log"} {
		if text, err := l.Read(ctx, name); err == nil {
			lines := strings.Split(strings.TrimSpace(text), "\n")
			say(filepath.Base(name), strings.Join(lines[max(0, len(lines)-8):], "\n"))
		}
	}
}

// keep writes a picture for people to look at.
func (l *lab) keep(picture image.Image, name string) error {
	f, err := os.Create(filepath.Join(l.pictures, l.name+"-"+name+".png"))
	if err != nil {
		return err
	}
	if err := png.Encode(f, picture); err != nil {
		return err
	}
	return f.Close()
}
