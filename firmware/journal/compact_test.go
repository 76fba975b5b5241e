package journal

import (
	"os"
	"path/filepath"
	"testing"

	"latchkey/firmware/audit"
)

// fill appends n entries, a hundred at a time.
func fill(t testing.TB, j *Journal, n int) {
	t.Helper()
	batch := make([]audit.Entry, 100)
	for i := 0; i < n; i += len(batch) {
		for k := range batch {
			batch[k] = entry(audit.KindBegun, i+k)
		}
		do(t, j.Append(batch...))
	}
}

// drain has central hold and back up all there is, and the journal forget it.
func drain(t testing.TB, j *Journal) {
	t.Helper()
	end := j.Head().Seq
	do(t, held(t, j, end))
	do(t, j.Forget(end))
	for n := 0; j.state.First <= end; n++ {
		do(t, j.Append(entry(audit.KindBegun, n)))
		do(t, j.Forget(end))
	}
}

func length(t testing.TB, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	do(t, err)
	return info.Size()
}

// A long time without central leaves no large file behind, and an unknown card of an earlier day does not hinder that.
func TestFileShrinksWhenItsEntriesAreForgotten(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "journal")
	j := open(t, path, Config{})
	do(t, j.Append(entry(audit.KindIntent, 1)))
	fill(t, j, 20_000)
	large := length(t, path)
	drain(t, j)
	if now := length(t, path); now < large {
		t.Errorf("compacted from %d to %d bytes while a card was being written", large, now)
	}
	cut(t, j)

	j = open(t, path, Config{})
	do(t, held(t, j, j.Head().Seq-1))
	do(t, j.Forget(j.Head().Seq-1))
	if now := length(t, path); now > large/8 {
		t.Errorf("%d bytes when it was full, and %d when all was forgotten", large, now)
	}
	do(t, j.Append(entry(audit.KindConsented, 2)))
	from := audit.Point{Seq: j.state.First - 1, Hash: [32]byte(j.state.Base)}
	head := j.Head()
	cut(t, j)
	j = open(t, path, Config{})
	if got := j.Head(); got.Seq != head.Seq || got.Hash != head.Hash {
		t.Errorf("head is %d, was %d", got.Seq, head.Seq)
	}
	if got := j.Intents(); len(got) != 1 {
		t.Errorf("%d intents are open, want 1", len(got))
	}
	if run, _, err := j.Pending(1); err != nil || len(run) != 1 || run[0].Seq <= from.Seq {
		t.Errorf("pending is %v (%v)", run, err)
	}
	if _, err := os.Stat(path + newSuffix); err == nil {
		t.Error("the copy's own name is left")
	}
}

// What cannot be compacted goes on as it was.
func TestNoRoomToCompact(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "journal")
	j := open(t, path, Config{})
	fill(t, j, 20_000)
	do(t, held(t, j, 20_000))
	do(t, j.Forget(20_000))
	do(t, os.MkdirAll(filepath.Join(path+newSuffix, "taken"), 0o700))
	var failed error
	for n := 0; n < 45; n++ {
		do(t, j.Append(entry(audit.KindBegun, n)))
		if err := j.Forget(20_000); err != nil {
			failed = err
		}
	}
	if failed == nil {
		t.Error("compacted into a name that is taken")
	}
	do(t, j.Append(entry(audit.KindBegun, 1)))
	cut(t, j)
	do(t, os.RemoveAll(path+newSuffix))
	open(t, path, Config{})
}
