package console

import (
	"errors"
	"fmt"
	"image/color"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// kioskName is argument 0 of a process that starts a keeper and waits for its end.
const kioskName = "latchkey-console-test"

func TestMain(m *testing.M) {
	KeepMain()
	if os.Args[0] == kioskName {
		kioskMain(os.Args[1], os.Args[2])
	}
	goleak.VerifyTestMain(m)
}

// kioskMain has a keeper that is to put back one setting, and no console, and ends as it is told.
func kioskMain(path, how string) {
	lock, err := os.Open(os.DevNull)
	if err != nil {
		panic(err)
	}
	k, err := keep(&terminal{File: lock}, &state{Console: -1, Settings: []setting{{path, "438", "0"}}})
	if err != nil {
		panic(err)
	}
	switch how {
	case "killed":
		unix.Kill(os.Getpid(), unix.SIGKILL)
	case "panic":
		go func() { panic("in a goroutine") }()
	case "keeper killed":
		unix.Kill(k.cmd.Process.Pid, unix.SIGKILL)
		k.end()
		os.Exit(0)
	case "closed":
		k.end()
		os.Exit(0)
	}
	select {}
}

// However a kiosk ends, what it changed is put back.
func TestTheKeeperPutsBack(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"killed", "panic", "closed", "keeper killed"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			// Whoever reads a pipe waits for who writes. Open both ways, it takes what is written twice, too: there is no console to
			// put back, so Close tries again what the keeper could not.
			path := filepath.Join(t.TempDir(), "setting")
			if err := unix.Mkfifo(path, 0o600); err != nil {
				t.Fatal(err)
			}
			pipe, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer pipe.Close()
			cmd := exec.CommandContext(t.Context(), "/proc/self/exe", path, how)
			cmd.Args[0] = kioskName
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, 4)
			if _, err := io.ReadFull(pipe, got); err != nil || string(got) != "438\n" {
				t.Errorf("%q, %v", got, err)
			}
			if err := cmd.Wait(); (err == nil) != (how == "closed" || how == "keeper killed") {
				t.Error(err)
			}
		})
	}
}

func TestSettingsThatStoodAsWantedAreLeftAlone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "setting")
	for _, c := range []struct{ was, want, then string }{{"4\t4\t1\t7", "1", "1\n"}, {"1 4 1 7", "1", "as it was"}} {
		if err := os.WriteFile(path, []byte("as it was"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := (setting{path, c.was, c.want}).change(); err != nil {
			t.Fatal(err)
		}
		if got, _ := os.ReadFile(path); !strings.HasPrefix(string(got), c.then) {
			t.Errorf("%q became %q", c.was, got)
		}
	}
	if err := (setting{filepath.Join(path, "no"), "1", "0"}).change(); err == nil {
		t.Error("a setting that is not there was changed")
	}
}

func TestWhatIsNoConsoleIsLeftAlone(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if _, err := Open(w, Config{}); !errors.Is(err, ErrNoConsole) {
		t.Error(err)
	}
}

func TestWhatIsWrittenToTheConsole(t *testing.T) {
	t.Parallel()
	var palette [16]color.RGBA
	palette[10] = color.RGBA{0x12, 0xab, 0xff, 0xff}
	got := string(opening(palette))
	for _, want := range []string{"\x1b]P0000000", "\x1b]Pa12abff", "\x1b[9;0]", "\x1b[14;0]", "\x1b[?25l"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q lacks %q", got, want)
		}
	}
	// The reset comes after what it would undo, and before what it would bring back.
	if got := fmt.Sprintf("%q", closing(10)); got != `"\x1b]R\x1b[9;10]\x1b[?25h\x1bc\x1b[3J"` {
		t.Error(got)
	}
}
