// Package form measures a key on the kiosk's passcode screen, the same on the same form made with tview, and on no form at
// all: each on a console of its own, as a process of its own, in the same run.
package form

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gdamore/tcell/v2"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"latchkey/firmware/unlock"
	"latchkey/tools/console"
	"latchkey/ui"
	"latchkey/ui/samples"
)

// The 7-inch panel.
const columns, rows = 50, 15

const patience = 10 * time.Second

// forms by argv[0]: the benchmarks start this program anew as each of them.
var forms = map[string]func() error{"form-latchkey": latchkey, "form-tview": inTview, "form-floor": floor}

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

// answered is how many bytes the floor writes for a key: as many as the kiosk does.
const answered = "LATCHKEY_ANSWERED"

// floor is a raw write: what no program on this machine's terminals can be quicker than. It draws nothing.
func floor() error {
	if _, err := term.MakeRaw(unix.Stdin); err != nil {
		return err
	}
	n, err := strconv.Atoi(os.Getenv(answered))
	if err != nil {
		return err
	}
	answer, b := []byte(strings.Repeat("x", n)), make([]byte, 1)
	if _, err := unix.Write(unix.Stdout, []byte("floor")); err != nil {
		return err
	}
	for {
		if n, err := unix.Read(unix.Stdin, b); err != nil || n == 0 {
			return err
		}
		if _, err := unix.Write(unix.Stdout, answer); err != nil {
			return err
		}
	}
}

// started is a form on its console, when text stands on it.
func started(t testing.TB, form, text string) *console.Console {
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
	see(t, c, text)
	return c
}

// typed is a form with three characters typed.
func typed(t testing.TB, form string) *console.Console {
	t.Helper()
	c := started(t, form, "Choose a passcode")
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

// start tells how many bytes a form sends until its first screen has come to rest.
func (m *measured) start(b *testing.B) int {
	n, _, err := m.Settle(b.Context(), 50*time.Millisecond)
	do(b, err)
	return n
}

// at is the time that a share of all keys took at most.
func (m *measured) at(share float64) time.Duration {
	slices.Sort(m.took)
	return m.took[int(float64(len(m.took)-1)*share)]
}

// BenchmarkKey is from a key to the first byte that it changes on the screen, and how many bytes; and how many it takes until
// the first screen stands. The forms and the floor take turns, so that what else the machine does is shared by all.
func BenchmarkKey(b *testing.B) {
	ours := &measured{Console: started(b, "form-latchkey", "Choose a passcode")}
	theirs := &measured{Console: started(b, "form-tview", "Choose a passcode")}
	first, theirFirst := ours.start(b), theirs.start(b)
	for _, key := range []string{"1", "2", "3"} {
		ours.press(b, key)
		theirs.press(b, key)
	}
	b.Setenv(answered, strconv.Itoa(ours.bytes/len(ours.took)))
	least := &measured{Console: started(b, "form-floor", "floor")}
	least.start(b)
	for b.Loop() {
		for range keys / 2 {
			for _, key := range []string{"5", "\x7f"} { // one more, and away with it
				ours.press(b, key)
				theirs.press(b, key)
				least.press(b, key)
			}
		}
	}
	b.ReportMetric(0, "ns/op") // most of it is the wait for quiet
	b.ReportMetric(microseconds(ours.at(0.5)), "median-µs/key")
	b.ReportMetric(microseconds(theirs.at(0.5)), "tview-median-µs/key")
	b.ReportMetric(microseconds(least.at(0.5)), "floor-median-µs/key")
	b.ReportMetric(microseconds(ours.at(0.99))/1000, "p99-ms/key")
	b.ReportMetric(float64(ours.bytes)/float64(len(ours.took)), "bytes/key")
	b.ReportMetric(float64(theirs.bytes)/float64(len(theirs.took)), "tview-bytes/key")
	b.ReportMetric(float64(first), "start-bytes")
	b.ReportMetric(float64(theirFirst), "tview-start-bytes")
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// The two forms say the same and take the same keys, so that the comparison is one.
func TestTheFormsAreTheSame(t *testing.T) {
	t.Parallel()
	ours, theirs := typed(t, "form-latchkey"), typed(t, "form-tview")
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
