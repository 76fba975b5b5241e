package house

import (
	"slices"
	"testing"
)

const root = "../.."

func TestImports(t *testing.T) {
	t.Parallel()
	report(t)(Check(root))
}

func TestTop(t *testing.T) {
	t.Parallel()
	report(t)(CheckTop(root))
}

func TestREADMENamesWhatIsThere(t *testing.T) {
	t.Parallel()
	report(t)(CheckPaths(root, "firmware/README.md"))
}

func report(t *testing.T) func([]string, error) {
	return func(broken []string, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range broken {
			t.Error(b)
		}
	}
}

// testdata/broken breaks every rule at least once.
func TestBrokenRulesAreFound(t *testing.T) {
	t.Parallel()
	const tree = "testdata/broken"
	compare := func(name string, want []string) func([]string, error) {
		return func(got []string, err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			for _, g := range got {
				if !slices.Contains(want, g) {
					t.Errorf("%s: found: %s", name, g)
				}
			}
			for _, w := range want {
				if !slices.Contains(got, w) {
					t.Errorf("%s: not found: %s", name, w)
				}
			}
		}
	}
	compare("source", []string{
		"card/pcsc imports card/cardtest, which is for tests and tools alone: move what it needs of it into a package of its own",
		"card/piv has no package comment: say above the package clause what it is and what it refuses to do",
		"card/piv imports github.com/ebfe/scard, which only card/pcsc and mains may: ask that package instead",
		"card/piv imports tools/cardsim, which is for tests and tools alone: move what it needs of it into a package of its own",
		"cmd/central/internal/cases imports firmware/unlock, and may import of ours only firmware/wire, firmware/wire/ra, firmware/audit, firmware/service, card, card/profiles, cmd/central/internal/..., cmd/internal/command, image/provision: have the caller give it what it needs",
		"firmware/secret imports card, and may import nothing of ours: have the caller give it what it needs",
		"firmware/telegraph is a package that no rule knows: say in tools/house/house.go what it may import",
		"firmware/unlock imports card/pcsc, and may import of ours only firmware/wire, firmware/audit, card: have the caller give it what it needs",
		"firmware/unlock imports net/http (machine.go:6), and the machine is pure: give it what it needs with an event",
		"firmware/unlock imports sync/atomic (machine.go:7), and the machine is pure: give it what it needs with an event",
		"firmware/unlock starts a goroutine (machine.go:17), and the machine is pure: return an effect and let the loop do it",
		"firmware/unlock starts goroutines, and its tests do not see whether they end: have its TestMain ask goleak",
		"firmware/unlock uses time.Now (machine.go:14), and the machine is pure: take the time of the event",
		"ui imports go.etcd.io/bbolt, which only firmware/journal and mains may: ask that package instead",
	})(Check(tree))
	compare("top", []string{
		"notes.txt stands at the top of the repository, where only cmd, firmware, board, ui, card, image, tools, go.mod, go.sum, Makefile, README.md, LICENSE, CHANGELOG.md, SECURITY.md may: move it to the room that it belongs to",
	})(CheckTop(tree))
	compare("paths", []string{
		"firmware/README.md names firmware/telex, which is not there: correct the name, or the document if it has become untrue",
		"firmware/README.md names firmware/telex/telex.go, which is not there: correct the name, or the document if it has become untrue",
		"firmware/README.md names machine2.go, which is not there: correct the name, or the document if it has become untrue",
	})(CheckPaths(tree, "firmware/README.md"))
}
