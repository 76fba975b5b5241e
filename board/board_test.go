package board_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/gpio"

	"latchkey/board"
	"latchkey/board/boardtest"
)

// Every board of this build, as its file says, passes the suite that a real one has to pass.
func TestEveryBoardPassesTheSuite(t *testing.T) {
	t.Parallel()
	if got := board.Names(); !slices.Equal(got, []string{"cm4", "cm5", "none", "pi4", "pi5"}) {
		t.Fatal(got)
	}
	for _, name := range board.Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				f := fake(t, dir, name)
				boardtest.Run(t, f.Subject())
				if name == "none" {
					return
				}
				got, err := f.Read("dev/watchdog")
				if err != nil || !strings.HasPrefix(got, "\x00\x00") || strings.Index(got, "V") != len(got)-1 {
					t.Errorf("the watchdog was given %q, %v", got, err)
				}
			})
		})
	}
}

func fake(t *testing.T, dir, name string) *boardtest.Fake {
	t.Helper()
	f, err := boardtest.New(dir, name)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// open opens a fake that is a Pi 4 but for what before does to it.
func open(t *testing.T, dir string, before func(*boardtest.Fake)) (*boardtest.Fake, *board.Board) {
	t.Helper()
	f := fake(t, dir, "pi4")
	if before != nil {
		before(f)
	}
	b, err := board.Open(f.Config())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close(true) })
	return f, b
}

func expect(t *testing.T, b *board.Board, want board.Event) {
	t.Helper()
	select {
	case got := <-b.Events():
		if got != want {
			t.Errorf("told %s, not %s", got, want)
		}
	case <-time.After(time.Minute):
		t.Errorf("did not tell: %s", want)
	}
}

func expectNothing(t *testing.T, b *board.Board) {
	t.Helper()
	select {
	case got := <-b.Events():
		t.Errorf("told %s", got)
	case <-time.After(time.Minute):
	}
}

func write(t *testing.T, f *boardtest.Fake, path, text string) {
	t.Helper()
	if err := f.Write(path, text); err != nil {
		t.Fatal(err)
	}
}

const temperature = "sys/class/thermal/thermal_zone0/temp"

func TestWhatWasSoBeforeIsTold(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		_, b := open(t, dir, func(f *boardtest.Fake) {
			write(t, f, "sys/class/net/eth0/carrier", "0\n")
		})
		expect(t, b, board.Event{Kind: board.Link})
		expectNothing(t, b)
	})
}

func TestHeatVoltageAndFan(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f, b := open(t, dir, nil)
		fan := f.Line(f.File.Fan.Line)
		runs := func() bool { time.Sleep(3 * time.Second); return bool(fan.Read()) }
		if runs() {
			t.Error("the fan does not stop when it is seen to be cool")
		}
		for _, step := range []struct {
			milli string
			runs  bool
		}{{"64000", false}, {"65000", true}, {"60000", true}, {"55000", false}, {"60000", false}} {
			write(t, f, temperature, step.milli+"\n")
			if got := runs(); got != step.runs {
				t.Errorf("at %s the fan runs: %t", step.milli, got)
			}
		}
		write(t, f, temperature, "80000\n")
		write(t, f, "sys/class/thermal/cooling_device0/cur_state", "2\n")
		expect(t, b, board.Event{Kind: board.Overheated, On: true})
		if h := b.Health(); !h.Throttled || h.Temperature != 80 || h.FanRPM != 1980 || !h.Clock || !h.Link {
			t.Errorf("%+v", h)
		}
		write(t, f, temperature, "76000\n")
		expectNothing(t, b)
		write(t, f, temperature, "75000\n")
		expect(t, b, board.Event{Kind: board.Overheated})
		write(t, f, "sys/class/hwmon/hwmon1/in0_lcrit_alarm", "1\n")
		expect(t, b, board.Event{Kind: board.Undervoltage, On: true})
		write(t, f, "sys/class/hwmon/hwmon1/in0_lcrit_alarm", "0\n")
		expect(t, b, board.Event{Kind: board.Undervoltage})
		write(t, f, temperature, "50000\n")
		if runs() {
			t.Error("the fan runs at 50 °C")
		}
		if err := os.Remove(filepath.Join(f.Root, temperature)); err != nil {
			t.Fatal(err)
		}
		if !runs() {
			t.Error("the fan stands still although nobody knows how hot it is")
		}
	})
}

// A box without some of what the file names works with what it has, and says what it lacks by name.
func TestWhatIsMissingIsNamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f, b := open(t, dir, func(f *boardtest.Fake) {
			for _, line := range []string{"GPIO27", "GPIO23", "GPIO25", "GPIO5", "GPIO6"} {
				f.Remove(line)
			}
			for _, gone := range []string{"sys", "dev"} {
				if err := os.RemoveAll(filepath.Join(f.Root, gone)); err != nil {
					t.Fatal(err)
				}
			}
		})
		var says strings.Builder
		for _, err := range b.Lacks {
			says.WriteString(err.Error() + "\n")
		}
		for _, want := range []string{
			"light green: line GPIO27: this box has no line", "buzzer: line GPIO23: ", "button: line GPIO25: ", "reader: line GPIO5: ", "fan: line GPIO6: ",
			"temperature: there is no zone cpu-thermal", "supply: there is no monitor rpi_volt", "backlight: there is no *", "watchdog: open ",
		} {
			if !strings.Contains(says.String(), want) {
				t.Errorf("it does not say %q:\n%s", want, &says)
			}
		}
		if len(b.Lacks) != 9 {
			t.Errorf("%d are missing:\n%s", len(b.Lacks), &says)
		}
		expect(t, b, board.Event{Kind: board.Link})
		b.Show(board.Fault, false)
		b.Alive()
		time.Sleep(time.Millisecond)
		if !f.Line("GPIO17").Read() {
			t.Error("the red lamp is dark")
		}
		if err := f.Do(boardtest.OpenCase); err != nil {
			t.Fatal(err)
		}
		expect(t, b, board.Event{Kind: board.Tamper, On: true})
	})
}

// So is what the board has, and what does not do all that is wanted of it.
func TestAWatchdogOfAnotherTimeoutIsNamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		_, b := open(t, dir, nil)
		if len(b.Lacks) != 1 || !strings.Contains(b.Lacks[0].Error(), "watchdog: ") || !strings.Contains(b.Lacks[0].Error(), "does not take a timeout of 15s") {
			t.Errorf("%v", b.Lacks)
		}
	})
}

// A line that has two names, such as that of a chip and a number beside its own, has one duty: the case's switch keeps it.
func TestALineThatIsNamedTwiceIsTold(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f := fake(t, dir, "pi4")
		c := f.Config()
		own := c.Line
		c.Line = func(name string) (gpio.PinIO, error) {
			if name == "GPIO25" || name == "GPIO23" {
				name = "GPIO24"
			}
			return own(name)
		}
		b, err := board.Open(c)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close(true)
		var says strings.Builder
		for _, err := range b.Lacks {
			says.WriteString(err.Error() + "\n")
		}
		for _, want := range []string{"button: line GPIO25: it is tamper's already, by another name", "buzzer: line GPIO23: it is tamper's already"} {
			if !strings.Contains(says.String(), want) {
				t.Errorf("it does not say %q:\n%s", want, &says)
			}
		}
		if err := f.Do(boardtest.OpenCase); err != nil {
			t.Fatal(err)
		}
		expect(t, b, board.Event{Kind: board.Tamper, On: true})
	})
}

// A kiosk that was given a tamper switch does not run without it.
func TestATamperSwitchThatIsMissingStopsTheKiosk(t *testing.T) {
	t.Parallel()
	f := fake(t, t.TempDir(), "pi4")
	f.Remove("GPIO24")
	_, err := board.Open(f.Config())
	if err == nil || err.Error() != "board pi4: tamper: line GPIO24: this box has no line of that name" {
		t.Error(err)
	}
	if got, err := f.Read("dev/watchdog"); err != nil || got != "" {
		t.Errorf("the watchdog was started: %q, %v", got, err)
	}
}

// What is over within a contact's bounce is nothing; of two switches the first that opens and the last that shuts count.
func TestTamper(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		own := filepath.Join(dir, "own.toml")
		if err := os.WriteFile(own, []byte("title = \"two switches\"\n[tamper]\nlines = [\"CASE\", \"DOOR\"]\nopen = \"high\"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		f := fake(t, dir, own)
		b, err := board.Open(f.Config())
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close(true)
		toCase, toDoor := f.Line("CASE").EdgesChan, f.Line("DOOR").EdgesChan
		toCase <- true
		time.Sleep(time.Millisecond)
		if err := f.Line("CASE").Out(false); err != nil {
			t.Fatal(err)
		}
		expectNothing(t, b)
		toCase <- true
		expect(t, b, board.Event{Kind: board.Tamper, On: true})
		toDoor <- true
		expectNothing(t, b)
		toCase <- false
		expectNothing(t, b)
		toDoor <- false
		expect(t, b, board.Event{Kind: board.Tamper})
	})
}

// Nobody stops the watchdog of a kiosk that ended in disorder.
func TestAWatchdogThatIsLeftRunsOut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f := fake(t, dir, "pi5")
		b, err := board.Open(f.Config())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour) // no timer kicks it
		if got, err := f.Read("dev/watchdog"); err != nil || got != "" {
			t.Errorf("it was kicked although the loop did not turn: %q, %v", got, err)
		}
		b.Alive()
		if err := b.Close(false); err != nil {
			t.Error(err)
		}
		if got, err := f.Read("dev/watchdog"); err != nil || got != "\x00" {
			t.Errorf("it was given %q, %v", got, err)
		}
	})
}

// Who watches the kiosk has the hardware's watchdog: a second one who opened it would only be refused.
func TestAKioskThatIsWatchedLeavesTheWatchdogAlone(t *testing.T) {
	t.Parallel()
	f := fake(t, t.TempDir(), "pi5")
	c := f.Config()
	c.Watched = true
	b, err := board.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Lacks) > 0 {
		t.Errorf("it lacks %v", b.Lacks)
	}
	b.Alive()
	if err := b.Close(true); err != nil {
		t.Error(err)
	}
	if got, err := f.Read("dev/watchdog"); err != nil || got != "" {
		t.Errorf("it was given %q, %v", got, err)
	}
}

// In quiet hours the backlight is dimmed where nobody is served; the buzzer does not sound again for the hour.
func TestQuietHours(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f, b := open(t, dir, nil)
		for _, step := range []struct {
			state board.State
			quiet bool
			want  int
		}{
			{board.Ready, false, 60}, {board.Ready, true, 15}, {board.Busy, true, 100}, {board.Attention, true, 100}, {board.Fault, true, 15}, {board.Fault, false, 60},
		} {
			b.Show(step.state, step.quiet)
			time.Sleep(time.Millisecond)
			if got, err := f.Read("sys/class/backlight/10-0045/brightness"); err != nil || got != fmt.Sprint(255*step.want/100) {
				t.Errorf("%s, quiet %t: brightness %s of 255, %v", step.state, step.quiet, got, err)
			}
		}
		buzzer := f.Line(f.File.Buzzer.Line)
		b.Show(board.Attention, false)
		time.Sleep(10 * time.Second)
		b.Show(board.Attention, true)
		time.Sleep(time.Millisecond)
		if buzzer.Read() {
			t.Error("the buzzer sounds because the hour has changed")
		}
	})
}
