package main

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"

	"latchkey/board/console"
	"latchkey/ui"
)

// openConsole takes the Linux console that this is run on, and puts what it can do into the face's options. Elsewhere, such as
// in tmux, it says so and changes nothing; so it does where it may not. close gives the console back.
func openConsole(font string, log *slog.Logger, options *ui.Options) (close func()) {
	nothing := func() {}
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0) // the one that tcell draws on
	if err != nil {
		return nothing // and tcell will say why
	}
	defer tty.Close()
	c, err := console.Open(tty, console.Config{Font: font, Palette: ui.Palette})
	switch {
	case errors.Is(err, console.ErrNoConsole):
		log.Info("console: it is left as it is", "err", err)
		return nothing
	case err != nil:
		log.Error("console: it is left as it is", "err", err)
		return nothing
	}
	for _, lack := range c.Lacks {
		if errors.Is(lack, fs.ErrNotExist) {
			log.Warn("console: this is missing, and the rest works without", "err", lack)
			continue
		}
		log.Error("console: this could not be done, and the rest works without", "err", lack)
	}
	options.HalfBlocks = c.HalfBlocks()
	if c.CanLargePrint() {
		options.LargePrint = c.LargePrint
	}
	return func() {
		if err := c.Close(); err != nil {
			log.Error("console: it was not given back as it was", "err", err)
		}
	}
}
