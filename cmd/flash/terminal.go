package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cheggaaa/pb/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"latchkey/image/flash"
	"latchkey/image/manifest"
)

// terminal is whom we speak with. Results go to out; all else to the side, so that a script can keep them apart.
type terminal struct {
	in        io.Reader
	out, side io.Writer
	size      func() (columns, rows int) // of the side; 0 if it is no terminal
}

func newTerminal(cmd *cobra.Command) *terminal {
	t := &terminal{cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr(), func() (int, int) { return 0, 0 }}
	if f, is := t.side.(*os.File); is && term.IsTerminal(int(f.Fd())) {
		t.size = func() (int, int) {
			if w, h, err := term.GetSize(int(f.Fd())); err == nil && w > 0 && h > 0 {
				return w, h
			}
			return 80, 24
		}
	}
	return t
}

// describe says what a medium is, for a person who is about to lose what is on it.
func describe(w io.Writer, m flash.Medium) {
	line := strings.Join(slices.DeleteFunc([]string{m.Name, flash.Size(m.Size), m.Model}, func(s string) bool { return s == "" }), "  ")
	if m.Unfit != "" {
		line += "  NOT OFFERED: " + m.Unfit
	}
	fmt.Fprintln(w, line)
	for _, p := range m.Parts {
		fmt.Fprintln(w, strings.TrimRight(fmt.Sprintf("    %-12s %-8s %s", p.Name, flash.Size(p.Size), p.Holds), " "))
	}
}

// introduce says what will be written, and to what.
func (t *terminal) introduce(im *flash.Image, media []flash.Medium, setups []*flash.Setup, o order) {
	m := im.Manifest
	fmt.Fprintf(t.side, "Image for %s, version %s, built %s, signed by %s\n", m.Board, m.Version, m.Built.Format("2 January 2006 at 15:04 UTC"), strings.Join(im.Signers, ", "))
	if m.Debug {
		fmt.Fprintln(t.side, "It is a DEBUG image, with a way in for everybody: not for holders' use.")
	}
	if slices.ContainsFunc(im.Signers, func(s string) bool { return strings.Contains(s, manifest.Development) }) {
		fmt.Fprintln(t.side, "Its key is one for development: it says that the image is undamaged, not that anybody released it.")
	}
	for _, medium := range media {
		describe(t.side, medium)
	}
	for i, s := range setups {
		if s == nil {
			continue
		}
		target := o.file
		if len(media) > 0 {
			target = media[i].Name
		}
		site := ""
		if s.Site != "" {
			site = ", " + s.Site
		}
		fmt.Fprintf(t.side, "%s becomes kiosk %s%s, of %s\n    central's key: %s\n", target, s.Kiosk, site, s.Central, s.Fingerprint)
	}
}

// ask waits for a line.
func (t *terminal) ask(ctx context.Context, question string) (string, error) {
	fmt.Fprint(t.side, question)
	type answer struct {
		line string
		err  error
	}
	answered := make(chan answer, 1)
	go func() { // it may outlive us where nobody answers, and then the program ends
		line, err := bufio.NewReader(t.in).ReadString('\n')
		answered <- answer{line, err}
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(t.side)
		return "", errors.New("nothing was written: stopped")
	case a := <-answered:
		if a.err != nil && a.line == "" {
			fmt.Fprintln(t.side)
			return "", errors.New("nothing was written: nobody confirmed it; a script gives --yes NAME")
		}
		return a.line, nil
	}
}

// bars show how far several things have come: a line each that is drawn again and again on a terminal; elsewhere a line for every
// quarter of a phase.
type bars struct {
	t     *terminal
	names []string
	quiet bool // elsewhere than on a terminal

	mu     sync.Mutex
	of     []bar
	drawn  int // lines
	ticker *time.Ticker
	stop   chan struct{}
	over   sync.WaitGroup
}

type bar struct {
	*pb.ProgressBar
	phase string
	told  int64 // quarters of the phase
	ended bool
}

// look of a bar.
const look pb.ProgressBarTemplate = `{{string . "name"}} {{bar . "[" "=" ">" " " "]"}} {{percent . "%3.f%%"}} {{speed . "%s/s" ""}} {{rtime . "%s left" "" ""}}`

// show begins to. On what is no terminal, it shows something only if aloud.
func (t *terminal) show(names []string, aloud bool) *bars {
	b := &bars{t: t, names: names, quiet: !aloud, of: make([]bar, len(names)), stop: make(chan struct{})}
	if columns, _ := t.size(); columns > 0 {
		b.ticker = time.NewTicker(200 * time.Millisecond)
		b.over.Go(func() {
			for {
				select {
				case <-b.ticker.C:
					b.mu.Lock()
					b.draw()
					b.mu.Unlock()
				case <-b.stop:
					return
				}
			}
		})
	}
	return b
}

// tell says how many bytes of a phase are done.
func (b *bars) tell(i int, phase string, done, total int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	one := &b.of[i]
	if one.phase != phase {
		*one = bar{ProgressBar: pb.New64(total).SetTemplate(look).Set(pb.Bytes, true).Set("name", fmt.Sprintf("%s %-9s", b.names[i], phase)), phase: phase}
	}
	one.SetCurrent(done)
	if quarter := done * 4 / max(total, 1); b.ticker == nil && !b.quiet && quarter > one.told {
		one.told = quarter
		fmt.Fprintf(b.t.side, "%s: %s %d %%\n", b.names[i], phase, quarter*25)
	}
}

// done says what became of one.
func (b *bars) done(i int, result string, good bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.of[i].ended = true
	b.erase()
	if good {
		fmt.Fprintln(b.t.out, result)
	} else if len(b.names) > 1 { // a single one's error is the command's
		fmt.Fprintln(b.t.side, result)
	}
	if b.ticker != nil {
		b.draw()
	}
}

func (b *bars) erase() {
	if b.drawn > 0 {
		fmt.Fprintf(b.t.side, "\x1b[%dA\x1b[J", b.drawn) // ECMA-48, CUU and ED
		b.drawn = 0
	}
}

func (b *bars) draw() {
	b.erase()
	columns, rows := b.t.size()
	for i := range b.of {
		// What has scrolled away could not be drawn again.
		if one := &b.of[i]; one.ProgressBar != nil && !one.ended && b.drawn < rows-1 {
			fmt.Fprintln(b.t.side, one.SetWidth(columns-1).String())
			b.drawn++
		}
	}
}

func (b *bars) end() {
	if b.ticker != nil {
		b.ticker.Stop()
		close(b.stop)
		b.over.Wait()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.erase()
}
