package journal

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"latchkey/firmware/audit"
)

// commitsOfUnlock are the entries of one unlock, commit by commit, as the machine's own transcript has them. Central's
// settlement goes with the next unlock's first commit.
func commitsOfUnlock(b *testing.B) (list [][]audit.Entry) {
	text, err := os.ReadFile(filepath.Join("..", "unlock", "testdata", "unlocked.txt"))
	do(b, err)
	base := int64(4)
	for line := range strings.Lines(string(text)) {
		kinds, is := strings.CutPrefix(strings.TrimSpace(line), "record ")
		if !is || kinds == string(audit.KindStarted) {
			continue
		}
		var commit []audit.Entry
		for kind := range strings.SplitSeq(kinds, " | ") {
			e := audit.Entry{Kind: audit.Kind(strings.Fields(kind)[0]), At: 1}
			switch e.Kind {
			case audit.KindIntent:
				e.Base, e.First = &base, &base
			case audit.KindOutcome:
				none := 0
				e.Base, e.Opened, e.Passcode, e.Rotated, e.Tries = &base, &base, audit.Yes, audit.Yes, &none
			}
			commit = append(commit, e)
		}
		list = append(list, commit)
	}
	list[0] = append([]audit.Entry{{Kind: audit.KindSettled, At: 1}}, list[0]...)
	return list
}

func entriesOf(commits [][]audit.Entry) (list []audit.Entry) {
	for _, c := range commits {
		list = append(list, c...)
	}
	return list
}

// BenchmarkUnlockJournal is what one unlock writes: durable, salted, chained, the head signed by a key in memory.
func BenchmarkUnlockJournal(b *testing.B) {
	j := fresh(b, Config{MaxEntries: 1 << 40})
	unlock := commitsOfUnlock(b)
	n, before := 0, commits(b, j)
	for b.Loop() {
		n++
		for _, commit := range unlock {
			for i := range commit {
				commit[i].Case = caseID(n)
				if commit[i].Kind == audit.KindSettled {
					commit[i].Case = caseID(n - 1)
				}
			}
			do(b, j.Append(commit...))
		}
	}
	b.ReportMetric(float64(commits(b, j)-before)/float64(b.N), "commits/op")
	b.ReportMetric(float64(len(entriesOf(unlock))), "entries/op")
}

// BenchmarkUnlockBboltUpdate writes the same entries, one Update each, without chain and head.
func BenchmarkUnlockBboltUpdate(b *testing.B) {
	db, err := bbolt.Open(filepath.Join(b.TempDir(), "raw"), 0o600, options())
	do(b, err)
	b.Cleanup(func() { db.Close() })
	do(b, db.Update(func(tx *bbolt.Tx) error { _, err := tx.CreateBucket(bucketEntries); return err }))
	entries := entriesOf(commitsOfUnlock(b))
	var key int64
	for b.Loop() {
		for _, e := range entries {
			key++
			e.Case = caseID(int(key))
			body, err := audit.Encode(e)
			do(b, err)
			value := append(make([]byte, 64), body...)
			do(b, db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bucketEntries).Put(number(key), value) }))
		}
	}
	b.ReportMetric(float64(len(entries)), "entries/op")
}

// BenchmarkReopen is a start after a cut, with 20,000 entries held.
func BenchmarkReopen(b *testing.B) {
	path := filepath.Join(b.TempDir(), "journal")
	j := open(b, path, Config{MaxEntries: 1 << 40})
	batch := make([]audit.Entry, 100)
	for i := 0; i < 20_000; i += len(batch) {
		for k := range batch {
			batch[k] = entry(audit.KindBegun, i+k)
		}
		do(b, j.Append(batch...))
	}
	cut(b, j)
	for b.Loop() {
		j := open(b, path, Config{})
		b.StopTimer()
		cut(b, j)
		b.StartTimer()
	}
}
