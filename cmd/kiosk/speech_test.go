package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"latchkey/ui"
)

// standIn is a program that tells a pipe how it was called and what it was given, and then says it until the mouth is shut: a
// line from the pipe end. The pipes are real, and so is the process.
type standIn struct {
	program string
	heard   *os.File // one line a call
	end     *os.File // a line ends a call
}

func newStandIn(t *testing.T) *standIn {
	t.Helper()
	dir := t.TempDir()
	pipe := func(name string) *os.File {
		path := filepath.Join(dir, name)
		if err := unix.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	s := &standIn{program: filepath.Join(dir, "speak"), heard: pipe("heard"), end: pipe("end")}
	script := "#!/bin/sh\nprintf '%s: %s\\n' \"$*\" \"$(cat)\" >" + s.heard.Name() + "\nread -r line <" + s.end.Name() + "\n"
	if err := os.WriteFile(s.program, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *standIn) wants(t *testing.T, want string) {
	t.Helper()
	got := make([]byte, len(want)+1)
	if _, err := io.ReadFull(s.heard, got); err != nil || string(got) != want+"\n" {
		t.Fatalf("heard %q, %v, want %q", got, err, want)
	}
}

func (s *standIn) ends(t *testing.T) {
	t.Helper()
	if _, err := s.end.WriteString("\n"); err != nil {
		t.Fatal(err)
	}
}

func speaking(t *testing.T, program string) (*speaker, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	s := openSpeech(program, slog.New(slog.NewTextHandler(&log, nil)))
	if s == nil {
		t.Fatal("no speech with", program)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		s.run(ctx)
		close(done)
	}()
	t.Cleanup(func() { stop(); <-done })
	return s, &log
}

func TestSpeechIsSaidInTurnAndCutOff(t *testing.T) {
	t.Parallel()
	mouth := newStandIn(t)
	s, _ := speaking(t, mouth.program)

	s.say("Take your card.", ui.English, false)
	mouth.wants(t, "-v en-gb --stdin: Take your card.")
	// While that is said, what comes last is what counts.
	s.say("One", ui.English, false)
	s.say("Cymerwch eich cerdyn.", ui.Welsh, false)
	mouth.ends(t)
	mouth.wants(t, "-v cy --stdin: Cymerwch eich cerdyn.")
	// An interruption does not wait for the end.
	s.say("Four", ui.English, true)
	mouth.wants(t, "-v en-gb --stdin: Four")
	// No text cuts off alone: what is said next comes without the mouth having ended.
	s.say("never said", ui.English, false)
	s.say("", ui.English, true)
	s.say("-v evil $(reboot)", ui.English, false)
	mouth.wants(t, "-v en-gb --stdin: -v evil $(reboot)")
}

// A program that fails is told of in the log, without what it was to say.
func TestNothingSpokenIsLogged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ended := filepath.Join(dir, "ended")
	if err := unix.Mkfifo(ended, 0o600); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "speak")
	if err := os.WriteFile(program, []byte("#!/bin/sh\ncat >"+ended+"\nexit 3\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var log bytes.Buffer
	s := openSpeech(program, slog.New(slog.NewTextHandler(&log, nil)))
	s.say("Dr Secret", ui.English, true)
	go io.Copy(io.Discard, mustOpen(t, ended))
	if !s.speak(ctx) {
		t.Fatal("nothing was to be said")
	}
	if got := log.String(); !strings.Contains(got, "exit status 3") || strings.Contains(got, "Secret") {
		t.Error(got)
	}
}

func mustOpen(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestWithoutAProgramThereIsNoSpeech(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	if openSpeech(filepath.Join(t.TempDir(), "espeak-ng"), slog.New(slog.NewTextHandler(&log, nil))) != nil {
		t.Error("a program that is not there speaks")
	}
	if strings.Count(log.String(), "\n") != 1 {
		t.Error(log.String())
	}
}

// The real program has both voices, and takes a text as speaker gives it; make installs it (tools/deps).
func TestEspeakSpeaksBothLanguages(t *testing.T) {
	t.Parallel()
	for language, voice := range voices {
		cmd := exec.CommandContext(t.Context(), "espeak-ng", "-v", voice, "--stdin", "--stdout")
		cmd.Stdin = strings.NewReader("Cymerwch eich cerdyn. Take your card.")
		wav, err := cmd.Output()
		if err != nil || !bytes.HasPrefix(wav, []byte("RIFF")) || len(wav) < 20_000 {
			t.Errorf("%s: %d bytes, %v; apt-get install espeak-ng", language, len(wav), err)
		}
	}
}
