package journal

import (
	"fmt"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"

	"latchkey/firmware/audit"
)

// BenchmarkEntryJournal is one entry, durable: encoded, salted, chained, the head signed by a key in memory.
func BenchmarkEntryJournal(b *testing.B) {
	j := fresh(b, Config{MaxEntries: 1 << 40})
	e := entry(audit.KindBegun, 1)
	before := commits(b, j)
	for b.Loop() {
		do(b, j.Append(e))
	}
	b.ReportMetric(float64(commits(b, j)-before)/float64(b.N), "commits/op")
}

// BenchmarkEntryBboltUpdate is what the same bytes cost without chain and head.
func BenchmarkEntryBboltUpdate(b *testing.B) {
	db, err := bbolt.Open(filepath.Join(b.TempDir(), "raw"), 0o600, options())
	do(b, err)
	b.Cleanup(func() { db.Close() })
	do(b, db.Update(func(tx *bbolt.Tx) error { _, err := tx.CreateBucket(bucketEntries); return err }))
	body, err := audit.Encode(entry(audit.KindBegun, 1))
	do(b, err)
	value := append(make([]byte, 64), body...)
	var n int64
	for b.Loop() {
		n++
		do(b, db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bucketEntries).Put(number(n), value) }))
	}
}

// BenchmarkOpen is a start, by what the journal holds and how it was left.
func BenchmarkOpen(b *testing.B) {
	for _, n := range []int{100, 10_000, DefaultMaxEntries} {
		for _, left := range []string{"closed", "cut"} {
			b.Run(fmt.Sprintf("%s/%d", left, n), func(b *testing.B) {
				path := filepath.Join(b.TempDir(), "journal")
				j := open(b, path, Config{MaxEntries: 1 << 40})
				for i := 0; i < n; i += 100 {
					batch := make([]audit.Entry, 100)
					for k := range batch {
						batch[k] = entry(audit.KindBegun, i+k)
					}
					do(b, j.Append(batch...))
				}
				do(b, j.Close())
				for b.Loop() {
					j := open(b, path, Config{})
					b.StopTimer()
					if left == "closed" {
						do(b, j.Close())
					} else {
						cut(b, j)
					}
					b.StartTimer()
				}
			})
		}
	}
}
