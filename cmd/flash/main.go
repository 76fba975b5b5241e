// Command flash writes a kiosk's image to removable media, gives each its provisioning file, and reads everything back.
//
// It refuses images that no trusted key has signed, disks that are built in, and all that the system uses. It keeps nothing of what it was
// given, and prints no one-time code.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"latchkey/image/flash"
	"latchkey/image/manifest"
)

// Exit codes, as --help has them.
const (
	exitOther = 1
	exitImage = 2
	exitUnfit = 3
	exitWrite = 4
	exitSetup = 5
)

// most media at once: what a hub for copying has sockets, and few enough to keep apart by name.
const most = 20

func main() {
	debug.SetGCPercent(20) // what is held is the image: as much again need not be left lying about
	ends := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // nohup's wish
		ends = append(ends, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	defer stop()
	err := root(place{flash.This(), "/etc/latchkey/image-keys"}).ExecuteContext(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "flash:", err)
		os.Exit(code(err))
	}
}

// place is where flash finds media, and keys that it was not given.
type place struct {
	flash.Machine
	keys string
}

func code(err error) int {
	var (
		image *flash.ImageError
		unfit *flash.UnfitError
		write *flash.WriteError
		setup *flash.SetupError
	)
	switch {
	case errors.As(err, &write): // whatever the reason: a medium has been changed
		return exitWrite
	case errors.As(err, &image):
		return exitImage
	case errors.As(err, &unfit):
		return exitUnfit
	case errors.As(err, &setup):
		return exitSetup
	}
	return exitOther
}

// order is what is to be done.
type order struct {
	image    string
	media    []string
	file     string
	setups   []string
	keys     []string
	yes      []string
	noVerify bool
}

func root(p place) *cobra.Command {
	var o order
	cmd := &cobra.Command{
		Use:   "flash IMAGE MEDIUM...",
		Short: "Write a kiosk's image to a card or stick, and make it one kiosk's",
		Long: `Write a kiosk's image to SD cards and USB sticks, up to twenty at once, or into a file; and make
each one kiosk's by its provisioning file. flash list shows the media that there are.

IMAGE is the compressed image (latchkey-BOARD.img.zst) with its manifest beside it. Its signature and
checksum are checked before the first byte is written: by the keys of --key, or else by those in
/etc/latchkey/image-keys (*.vkey).

MEDIUM is a name such as sdb, or a path below /dev. All that is on it is lost; you are asked to type its
name. Disks that are built in are not written, nor what is mounted or used otherwise. Everything is read
back; the partition table is written last, so a medium whose writing failed does not boot.

Exit codes: 0 everything was written; 1 wrong usage, or it was not confirmed; 2 the image is not trusted
or damaged; 3 a medium is not there or not fit; 4 writing or reading back failed, or was stopped; 5 a
provisioning file is not good. Codes 1, 2, 3 and 5 mean that nothing was written, unless there are several
media: then the others may have been, and the code is of the first that failed, in the order given.`,
		Example: `  flash list
  flash latchkey-pi5.img.zst sdb --provision ward-7.toml
  flash latchkey-pi5.img.zst sdb sdc sdd --provision new-kiosks/
  flash latchkey-pi5.img.zst sdb --yes sdb
  flash latchkey-uefi-arm64.img.zst --to-file disk.img`,
		Args:               cobra.ArbitraryArgs,
		SilenceUsage:       true,
		SilenceErrors:      true,
		DisableSuggestions: true, // an error is one sentence
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("say which image to write, and to which medium; flash --help tells how")
			}
			o.image, o.media = args[0], args[1:]
			if (o.file == "") == (len(o.media) == 0) {
				return errors.New("say to which media to write, or give --to-file; flash list shows the media that there are")
			}
			if len(o.media) > most {
				return fmt.Errorf("%d media are too many at once; %d are the most", len(o.media), most)
			}
			return run(cmd.Context(), p, o, newTerminal(cmd))
		},
	}
	cmd.CompletionOptions.HiddenDefaultCmd = true
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return fmt.Errorf("%w; flash --help tells which there are", err)
	})
	f := cmd.Flags()
	f.StringArrayVar(&o.setups, "provision", nil, "a provisioning `file`, or a folder of them; one for each medium, in the order given, a folder's by name")
	f.StringVar(&o.file, "to-file", "", "write into this `file` instead of a medium")
	f.StringArrayVar(&o.keys, "key", nil, "a `file` with a key that images are trusted by")
	f.StringSliceVar(&o.yes, "yes", nil, "do not ask; the `names` of the media, which must be those that are to be written")
	f.BoolVar(&o.noVerify, "no-verify", false, "do not read back what was written")
	cmd.AddCommand(list(p))
	return cmd
}

func list(p place) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "Show the removable media: model, size, and what is on them",
		Long: `Show the removable media: their names, sizes and models, and what is on them. Those that cannot be
written stand there with the reason. Disks that are built in are never shown. What a partition holds is
seen by root alone.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			media, err := p.Media()
			if err != nil {
				return err
			}
			if len(media) == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "There are no removable media. Put one in.")
			}
			for _, m := range media {
				describe(cmd.OutOrStdout(), m)
			}
			return nil
		},
	}
}

// trusted reads the keys that images are checked by.
func trusted(p place, files []string) (keys []note.Verifier, err error) {
	if len(files) == 0 {
		if files, err = filepath.Glob(filepath.Join(p.keys, "*.vkey")); err != nil {
			return nil, err
		}
	}
	for _, f := range files {
		k, err := manifest.Verifier(f)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("there is no key to check the image by: give --key FILE, or put who signs your images into %s; make image leaves its own as bin/image/development.vkey", p.keys)
	}
	return keys, nil
}

func run(ctx context.Context, p place, o order, t *terminal) error {
	keys, err := trusted(p, o.keys)
	if err != nil {
		return err
	}
	media, err := find(p, o.media)
	if err != nil {
		return err
	}
	checking := t.show([]string{"image"}, false)
	im, err := flash.Open(ctx, o.image, keys, func(done, total int64) { checking.tell(0, "checking", done, total) })
	checking.end()
	if err != nil {
		return err
	}
	defer im.Close()
	for _, m := range media {
		if err := im.Fits(m); err != nil {
			return err
		}
	}
	setups := make([]*flash.Setup, max(1, len(media)))
	if len(o.setups) > 0 {
		if setups, err = flash.ReadSetups(o.setups, len(setups), im.Manifest.Board, time.Now()); err != nil {
			return err
		}
	}
	defer func() {
		for _, s := range setups {
			if s != nil {
				s.Wipe()
			}
		}
	}()
	t.introduce(im, media, setups, o)
	if o.file == "" {
		if err := confirm(ctx, t, media, o.yes); err != nil {
			return err
		}
	}
	return write(ctx, p, o, t, im, media, setups)
}

func find(p place, names []string) (media []flash.Medium, err error) {
	given := map[string]bool{}
	for _, n := range names {
		m, err := p.Medium(n)
		if err != nil {
			return nil, err
		}
		if given[m.Name] {
			return nil, fmt.Errorf("%s is given twice", m.Name)
		}
		given[m.Name] = true
		media = append(media, m)
	}
	return media, nil
}

// confirm has a person type the media's names, or compares those that a script gave.
func confirm(ctx context.Context, t *terminal, media []flash.Medium, yes []string) error {
	want := map[string]bool{}
	var names []string
	for _, m := range media {
		want[m.Name] = true
		names = append(names, m.Name)
	}
	all := strings.Join(names, " ")
	given := yes
	if len(yes) == 0 {
		it := "it"
		if len(media) > 1 {
			it = "them"
		}
		typed, err := t.ask(ctx, fmt.Sprintf("All that is on %s will be lost. Type %s to write %s: ", it, all, it))
		if err != nil {
			return err
		}
		given = strings.Fields(typed)
	}
	for _, n := range given {
		if !want[strings.TrimPrefix(n, "/dev/")] {
			return fmt.Errorf("nothing was written: %q is not among the media to be written, %s", n, all)
		}
		delete(want, strings.TrimPrefix(n, "/dev/"))
	}
	if len(want) > 0 {
		return fmt.Errorf("nothing was written: it was not confirmed by the name of every medium, %s", all)
	}
	return nil
}
