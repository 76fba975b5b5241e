// Package form measures a key on the kiosk's passcode screen, and the same on the same form made with tview: each on a
// console of its own, as a process of its own, in the same run.
package form

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gdamore/tcell/v2"

	"latchkey/firmware/unlock"
	"latchkey/tools/console"
	"latchkey/ui"
	"latchkey/ui/samples"
)

// The 7-inch panel.
const columns, rows = 50, 15

const patience = 10 * time.Second

// forms by argv[0]: the benchmarks start this program anew as each of them.
var forms = map[string]func() error{"form-latchkey": latchkey, "form-tview": inTview}

func TestMain(m *testing.M) {
	form := forms[os.Args[0]]
	if form == nil {
		os.Exit(m.Run())
	}
	if err := form(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// latchkey is the kiosk's terminal as cmd/kiosk wires it, with a loop that answers each input with the same view, as the
// unlock machine does while a passcode is typed.
func latchkey() error {
	screen, err := tcell.NewScreen()
	if err != nil {
		return err
	}
	if err := screen.Init(); err != nil {
		return err
	}
	defer screen.Fini()
	if err := ui.SetPalette(os.Stdout); err != nil {
		return err
	}
	screen.EnableMouse()
	face, view := ui.New(screen, ui.Options{}), samples.Of(unlock.ScreenPasscode, "")
	face.Show(view, samples.Now)
	for {
		event := screen.PollEvent()
		if event == nil {
			return nil
		}
		if face.Handle(event, samples.Now) != nil {
			face.Show(view, samples.Now)
		}
	}
}

// started is a form on its console, with three characters typed.
func started(t testing.TB, form string) *console.Console {
	t.Helper()
	c, err := console.Open(columns, rows)
	do(t, err)
	cmd := exec.Command("/proc/self/exe")
	cmd.Args[0] = form
	do(t, c.Start(cmd))
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		c.Close()
	})
	see(t, c, "Choose a passcode")
	do(t, c.Type("123"))
	see(t, c, "3 typed")
	return c
}

func see(t testing.TB, c *console.Console, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := c.Await(ctx, text)
	do(t, err)
}

// quiet is how long nothing comes once a key's effect is drawn.
const quiet = 4 * time.Millisecond

// keys are how many make one figure.
const keys = 1000

// measured is what keys on one form took.
type measured struct {
	*console.Console
	took  []time.Duration
	bytes int
}

// press types a key and waits until its effect is drawn.
func (m *measured) press(b *testing.B, key string) {
	m.Mark()
	from := time.Now()
	do(b, m.Type(key))
	n, first, err := m.Settle(b.Context(), quiet)
	do(b, err)
	m.took = append(m.took, first.Sub(from))
	m.bytes += n
}

// at is the time that a share of all keys took at most.
func (m *measured) at(share float64) time.Duration {
	slices.Sort(m.took)
	return m.took[int(float64(len(m.took)-1)*share)]
}

// BenchmarkKey is from a key to the first byte that it changes on the screen, and how many bytes. The forms take turns,
// so that what else the machine does is shared by both.
func BenchmarkKey(b *testing.B) {
	ours, theirs := &measured{Console: started(b, "form-latchkey")}, &measured{Console: started(b, "form-tview")}
	for _, m := range []*measured{ours, theirs} {
		_, _, err := m.Settle(b.Context(), 50*time.Millisecond)
		do(b, err)
	}
	for b.Loop() {
		for range keys / 2 {
			for _, key := range []string{"5", "\x7f"} { // one more, and away with it
				ours.press(b, key)
				theirs.press(b, key)
			}
		}
	}
	b.ReportMetric(0, "ns/op") // most of it is the wait for quiet
	b.ReportMetric(float64(ours.at(0.5))/float64(time.Microsecond), "median-µs/key")
	b.ReportMetric(float64(theirs.at(0.5))/float64(time.Microsecond), "tview-median-µs/key")
	b.ReportMetric(float64(ours.at(0.99))/float64(time.Millisecond), "p99-ms/key")
	b.ReportMetric(float64(ours.bytes)/float64(len(ours.took)), "bytes/key")
	b.ReportMetric(float64(theirs.bytes)/float64(len(theirs.took)), "tview-bytes/key")
}

// The two forms say the same and take the same keys, so that the comparison is one.
func TestTheFormsAreTheSame(t *testing.T) {
	t.Parallel()
	ours, theirs := started(t, "form-latchkey"), started(t, "form-tview")
	for _, step := range []struct{ typed, see string }{{"5", "4 typed"}, {"\x7f", "3 typed"}, {"67", "5 typed"}} {
		for _, c := range []*console.Console{ours, theirs} {
			do(t, c.Type(step.typed))
			see(t, c, step.see)
		}
	}
	a, b := words(ours), words(theirs)
	if !slices.Equal(a, b) {
		t.Errorf("ours\n%s\n%q\nin tview\n%s\n%q", strings.Join(ours.Rows(), "\n"), a, strings.Join(theirs.Rows(), "\n"), b)
	}
}

// words of a screen in alphabetical order, without frames and marks.
func words(c *console.Console) []string {
	list := strings.FieldsFunc(c.Text(), func(r rune) bool {
		return r == ' ' || r == '_' || r == '•' || r >= 0x2500 && r < 0x2600
	})
	slices.Sort(list)
	return list
}

func do(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
