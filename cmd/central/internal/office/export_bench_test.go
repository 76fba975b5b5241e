package office

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/store"
	"latchkey/cmd/central/internal/tree"
	"latchkey/firmware/audit"
)

// BenchmarkEvidence exports and verifies evidence of some sizes, on SQLite; run it with -benchtime=1x. Memory is what either holds at most
// while it works, above what was held before: it must not grow with the records.
func BenchmarkEvidence(b *testing.B) {
	for _, records := range []int{100_000, 1_000_000} {
		b.Run(fmt.Sprintf("records=%d", records), func(b *testing.B) {
			s, g := evidenceOf(b, records)
			file := filepath.Join(b.TempDir(), "export")
			for b.Loop() {
				f, err := os.Create(file)
				if err != nil {
					b.Fatal(err)
				}
				p, began := newPeak(), time.Now()
				write, err := ExportEvidence(context.Background(), s, g, Export{}, "bench", time.Now())
				w := bufio.NewWriterSize(f, 1<<16)
				if err == nil {
					err = write(p.writer(w))
				}
				if err != nil || w.Flush() != nil || f.Close() != nil {
					b.Fatal(err)
				}
				b.ReportMetric(time.Since(began).Seconds(), "export-s")
				b.ReportMetric(p.mib(), "export-MiB")
				if f, err = os.Open(file); err != nil {
					b.Fatal(err)
				}
				defer f.Close()
				p, began = newPeak(), time.Now()
				a := audit.Auditor{Keys: []audit.TreeKey{g.Key.Key()}}
				v, err := a.Verify(p.reader(f))
				if err != nil || v.Wrong > 0 || v.Records <= int64(records) {
					b.Fatal(err, v.Wrong, v.Records, v.Findings)
				}
				b.ReportMetric(time.Since(began).Seconds(), "verify-s")
				b.ReportMetric(p.mib(), "verify-MiB")
				b.ReportMetric(float64(v.Heads), "heads")
			}
		})
	}
}

// evidenceOf is a store with so many records in its tree: half are central's, half of a hundred kiosks, which signed each fifth.
func evidenceOf(b *testing.B, records int) (store.Store, *tree.Grower) {
	b.Helper()
	must := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	s, err := store.OpenSQLite(context.Background(), filepath.Join(b.TempDir(), "central.db"))
	must(err)
	b.Cleanup(func() { s.Close() })
	device, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	spki, err := x509.MarshalPKIXPublicKey(device.Public())
	must(err)
	const kiosks = 100
	name := func(i int) string { return fmt.Sprintf("k%03d", i%kiosks) }
	var ends [kiosks]audit.Point
	must(s.Update(context.Background(), func(tx *store.Tx) error {
		for i := range kiosks {
			if _, err := tx.AddKiosk(store.Kiosk{Name: name(i), Kind: store.KindKiosk, State: store.KioskActive, AddedAt: 1}); err != nil {
				return err
			}
			if err := tx.AddKioskKey(name(i), spki); err != nil {
				return err
			}
		}
		return nil
	}))
	const together = 5000
	for done := 0; done < records; done += together {
		must(s.Update(context.Background(), func(tx *store.Tx) error {
			for i := done / 2; i < min(done+together, records)/2; i++ {
				if err := tx.AppendEvent(ledger.Event{At: time.UnixMilli(int64(i)), Kind: ledger.CodeSent, Kiosk: name(i), Case: fmt.Sprintf("%032x", i), Note: "email"}); err != nil {
					return err
				}
				body, err := audit.Encode(audit.Entry{Kind: audit.KindBegun, At: int64(i), Case: fmt.Sprintf("%032x", i)})
				if err != nil {
					return err
				}
				var e ledger.Linked
				rand.Read(e.Salt[:])
				end := &ends[i%kiosks]
				end.Seq++
				end.Hash = audit.Chain(end.Hash, end.Seq, audit.Leaf(e.Salt, body))
				e.Seq, e.Body, e.Hash = end.Seq, body, end.Hash
				if end.Seq%5 == 0 {
					h, err := audit.SignHead(device, name(i), end.Seq, end.Hash)
					if err != nil {
						return err
					}
					e.Signature = h.Signature
				}
				if err := tx.AppendEntry(name(i), e); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	secret, _, err := audit.NewTreeKey(rand.Reader, "ledger")
	must(err)
	key, err := audit.ParseTreeSigner(bytes.Clone(secret))
	must(err)
	g := &tree.Grower{Store: s, Key: key, Log: slog.New(slog.DiscardHandler), Now: time.Now}
	must(g.Append(context.Background()))
	return s, g
}

// peak looks at the heap as bytes go by.
type peak struct {
	before, most, passed uint64
}

func newPeak() *peak {
	runtime.GC()
	p := new(peak)
	p.look()
	p.before = p.most
	return p
}

func (p *peak) look() {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	p.most = max(p.most, m.HeapInuse+m.StackInuse)
}

func (p *peak) mib() float64 { return float64(p.most-p.before) / (1 << 20) }

func (p *peak) pass(n int) {
	if was := p.passed; was>>20 != (was+uint64(n))>>20 { // each MiB
		p.look()
	}
	p.passed += uint64(n)
}

func (p *peak) writer(w io.Writer) io.Writer { return passing{w: w, p: p} }
func (p *peak) reader(r io.Reader) io.Reader { return passing{r: r, p: p} }

type passing struct {
	w io.Writer
	r io.Reader
	p *peak
}

func (x passing) Write(b []byte) (int, error) {
	n, err := x.w.Write(b)
	x.p.pass(n)
	return n, err
}

func (x passing) Read(b []byte) (int, error) {
	n, err := x.r.Read(b)
	x.p.pass(n)
	return n, err
}
