package main

import (
	"context"
	"log/slog"
	"os/exec"
	"strings"
	"sync"
	"time"

	"latchkey/ui"
)

// speaker reads texts aloud, one after the other, through a program that takes espeak-ng's arguments. A text goes to its standard
// input, never into its arguments, which everybody on the machine can read, and never into the log.
type speaker struct {
	program string
	log     *slog.Logger
	wake    chan struct{}

	mu   sync.Mutex
	next *utterance         // a queue of one: what comes last is what counts
	cut  context.CancelFunc // ends the one that is running; nil: none is
}

type utterance struct{ text, voice string }

// voices of espeak-ng by the face's languages.
var voices = map[string]string{ui.English: "en-gb", ui.Welsh: "cy"}

// openSpeech finds the program; nil where there is none, which is said.
func openSpeech(program string, log *slog.Logger) *speaker {
	path, err := exec.LookPath(program)
	if err != nil {
		log.Info("speech: screens are not read aloud", "err", err)
		return nil
	}
	return &speaker{program: path, log: log, wake: make(chan struct{}, 1)}
}

// say speaks after what is being said, or with interrupt at once. No text cuts off alone. It never waits.
func (s *speaker) say(text, language string, interrupt bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if interrupt && s.cut != nil {
		s.cut()
	}
	switch {
	case text != "":
		s.next = &utterance{text, voices[language]}
	case interrupt:
		s.next = nil
	}
	select {
	case s.wake <- struct{}{}:
	default: // it is to wake already
	}
}

// run speaks until ctx ends, which cuts off what is being said.
func (s *speaker) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		}
		for s.speak(ctx) {
		}
	}
}

// reaped is how long a program that was cut off may hold its pipes.
const reaped = time.Second

// speak says what is next, to its end; false if there is nothing.
func (s *speaker) speak(ctx context.Context) bool {
	s.mu.Lock()
	u := s.next
	s.next = nil
	if u == nil || ctx.Err() != nil {
		s.mu.Unlock()
		return false
	}
	one, cut := context.WithCancel(ctx)
	defer cut()
	s.cut = cut
	s.mu.Unlock()

	cmd := exec.CommandContext(one, s.program, "-v", u.voice, "--stdin")
	cmd.Stdin = strings.NewReader(u.text)
	cmd.WaitDelay = reaped
	err := cmd.Run()
	s.mu.Lock()
	s.cut = nil
	s.mu.Unlock()
	if err != nil && one.Err() == nil {
		s.log.Error("speech: nothing was said", "program", s.program, "err", err)
	}
	return true
}
