//go:build realboard

package realboard

import (
	"bufio"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"latchkey/board"
)

// The machine's touch panels, as a finger meets them: each corner of the screen is where it is, and a press has its release.
func TestTouch(t *testing.T) {
	fmt.Print("Has this machine a touch panel, and is it not turned? [y/n] ")
	typed := bufio.NewScanner(os.Stdin)
	if typed.Scan(); typed.Text() != "y" {
		return
	}
	in, err := board.OpenInputs(board.InputConfig{
		Panels: []string{"*"}, Calibration: filepath.Join(t.TempDir(), "touch.toml"), Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	const corner = 0.25
	for _, c := range []struct {
		name string
		x, y float64
	}{{"top left", 0, 0}, {"top right", 1, 0}, {"bottom right", 1, 1}, {"bottom left", 0, 1}} {
		fmt.Printf("Touch the %s corner of the screen.\n", c.name)
		for _, down := range []bool{true, false} {
			select {
			case tap := <-in.Taps():
				if tap.Down != down || tap.Void || max(tap.X-c.x, c.x-tap.X) > corner || max(tap.Y-c.y, c.y-tap.Y) > corner {
					t.Errorf("%s: %+v", c.name, tap)
				}
			case <-time.After(time.Minute):
				t.Fatalf("no tap; used are %q", in.Used())
			}
		}
	}
}
