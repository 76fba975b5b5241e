package console

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/gdamore/tcell/v2"

	"latchkey/ui"
	"latchkey/ui/samples"
)

// drawer draws all samples, one for each key, so that each is drawn over another.
const drawer = "latchkey-drawer"

func TestMain(m *testing.M) {
	if os.Args[0] == drawer {
		draw()
		return
	}
	os.Exit(m.Run())
}

func draw() {
	screen, err := tcell.NewScreen()
	if err == nil {
		err = screen.Init()
	}
	if err != nil {
		panic(err)
	}
	defer screen.Fini()
	if err := ui.SetPalette(os.Stdout); err != nil {
		panic(err)
	}
	face := ui.New(screen, ui.Options{})
	for _, s := range samples.All() {
		for event := screen.PollEvent(); ; event = screen.PollEvent() {
			if _, is := event.(*tcell.EventKey); is {
				break
			}
		}
		face.Show(s.View, samples.Now)
	}
	for screen.PollEvent() != nil {
	}
}

// What stands on a console is what was drawn, whatever stood there before.
func TestAConsoleShowsWhatIsDrawn(t *testing.T) {
	t.Parallel()
	const columns, rows = 50, 15
	sim := tcell.NewSimulationScreen("UTF-8")
	if err := sim.Init(); err != nil {
		t.Fatal(err)
	}
	defer sim.Fini()

	c, err := Open(columns, rows)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Args[0] = drawer
	if err := c.Start(cmd); err != nil {
		t.Fatal(err)
	}
	defer func() {
		c.Close()
		cmd.Process.Kill()
		cmd.Wait()
	}()
	for _, s := range samples.All() {
		sim.SetSize(columns, rows)
		ui.New(sim, ui.Options{}).Show(s.View, samples.Now)
		want := text(sim)
		if err := c.Type("x"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		_, err := c.Await(ctx, strings.Join(strings.Fields(want), " "))
		cancel()
		if got := strings.Join(c.Rows(), "\n"); err != nil || got != want {
			t.Fatalf("%s: %v: on the console\n%s\nand drawn was\n%s", s.Name, err, got, want)
		}
	}
}

func text(sim tcell.SimulationScreen) string {
	cells, w, h := sim.GetContents()
	var rows []string
	for y := range h {
		var row strings.Builder
		for x := range w {
			row.WriteString(string(cells[y*w+x].Runes))
		}
		rows = append(rows, strings.TrimRight(row.String(), " "))
	}
	return strings.Join(rows, "\n")
}

// However the bytes are cut, the same stands on the screen.
func FuzzScreen(f *testing.F) {
	f.Add([]byte("\x1b[2;3Hab\x1b[1;4H·\x1b[@é\x1b]P0112233x\x1b(B\x1b[?25l\r\n\bz\x1b[m\x0f"), 3)
	f.Add([]byte("\x1b[99;99Hxy\x1b[0;0Hz\x1b[J"), 1)
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		whole, parts := newScreen(10, 3), newScreen(10, 3)
		whole.write(b)
		for len(b) > 0 {
			n := min(max(cut, 1), len(b))
			parts.write(b[:n])
			b = b[n:]
		}
		if w, p := strings.Join(whole.rows(), "\n"), strings.Join(parts.rows(), "\n"); w != p {
			t.Errorf("at once %q, in parts %q", w, p)
		}
	})
}
