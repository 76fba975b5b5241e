package reader

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"latchkey/tools/cardsim"
)

// step is one command of an independent client; a line of scdaemon's protocol, and after | what it gets when it asks for
// PINs; or "pull", which has the card come again.
type step struct {
	command string
	accepts bool
	says    string // in what it prints, blanks folded
}

// walk is a card in a reader, to which clients speak.
type walk struct {
	*Reader
	slot int
	path string
	card *cardsim.Card // as it was made
}

func inserted(t *testing.T, slot int, spec cardsim.Spec) *walk {
	t.Helper()
	w := &walk{Reader: newStack(t), slot: slot, path: filepath.Join(t.TempDir(), "card")}
	var err error
	if w.card, err = cardsim.Create(w.path, spec); err != nil {
		t.Fatal(err)
	}
	w.insert(t)
	return w
}

func (w *walk) insert(t *testing.T) {
	t.Helper()
	if err := w.Insert(w.slot, w.path); err != nil {
		t.Fatal(err)
	}
	waitFor(t, w.Reader, fmt.Sprintf("%d Yes Latchkey", w.slot), "opensc-tool", "--list-readers")
}

// through takes the steps, and returns the card as it was left.
func (w *walk) through(t *testing.T, steps []step) *cardsim.Card {
	t.Helper()
	for _, step := range steps {
		if step.command == "pull" {
			if err := w.Eject(w.slot); err != nil {
				t.Fatal(err)
			}
			waitFor(t, w.Reader, fmt.Sprintf("%d No Latchkey", w.slot), "opensc-tool", "--list-readers")
			w.insert(t)
			continue
		}
		out, accepted := w.run(t, step.command)
		if accepted != step.accepts || !strings.Contains(strings.Join(strings.Fields(out), " "), step.says) {
			t.Fatalf("%s: accepted: %t, want %t and %q in:\n%s", step.command, accepted, step.accepts, step.says, out)
		}
	}
	if err := w.Eject(w.slot); err != nil {
		t.Fatal(err)
	}
	left, err := cardsim.Open(w.path)
	if err != nil {
		t.Fatal(err)
	}
	return left
}

func (w *walk) run(t *testing.T, command string) (out string, accepted bool) {
	t.Helper()
	if line, ok := strings.CutPrefix(command, "scd "); ok {
		parts := strings.Split(line, "|")
		return scdaemon(t, w.Reader, parts[0], parts[1:]...)
	}
	args := strings.Fields(command)
	if args[0] == "yubico-piv-tool" { // which looks for a reader of its maker
		args = append(args, fmt.Sprintf("--reader=Latchkey Virtual Reader 00 %02d", w.slot))
	}
	b, err := w.Command(t.Context(), args[0], args[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Sprintf("%s%v", b, err), false
	}
	return string(b), true
}
