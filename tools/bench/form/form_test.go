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

func benchmark(b *testing.B, form string) {
	c := started(b, form)
	ctx := b.Context()
	_, _, err := c.Settle(ctx, 50*time.Millisecond)
	do(b, err)
	var took []time.Duration
	total := 0
	for b.Loop() {
		for i := range keys {
			key := "5"
			if i%2 == 1 {
				key = "\x7f" // away with it
			}
			c.Mark()
			from := time.Now()
			do(b, c.Type(key))
			n, first, err := c.Settle(ctx, quiet)
			do(b, err)
			took = append(took, first.Sub(from))
			total += n
		}
	}
	slices.Sort(took)
	b.ReportMetric(0, "ns/op") // most of it is the wait for quiet
	b.ReportMetric(float64(took[len(took)/2])/float64(time.Microsecond), "median-µs/key")
	b.ReportMetric(float64(took[len(took)*99/100])/float64(time.Millisecond), "p99-ms/key")
	b.ReportMetric(float64(total)/float64(len(took)), "bytes/key")
}

// BenchmarkKey is from a key to the first byte that it changes on the screen, and how many bytes.
func BenchmarkKey(b *testing.B) {
	b.Run("latchkey", func(b *testing.B) { benchmark(b, "form-latchkey") })
	b.Run("tview", func(b *testing.B) { benchmark(b, "form-tview") })
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
