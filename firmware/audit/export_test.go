package audit

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"flag"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

var update = flag.Bool("update", false, "write testdata/export.json anew")

// trail is a tree with a kiosk's journal and central's events in it, and who signs.
type trail struct {
	t      testing.TB
	signer *TreeSigner
	device *ecdsa.PrivateKey
	list   []Exported
	hashes []tlog.Hash // by StoredHashIndex
	chain  [32]byte
	number map[string]int64
}

func newTrail(t testing.TB) *trail {
	t.Helper()
	secret, _, err := NewTreeKey(rand.Reader, "central.example/ledger")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ParseTreeSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	device, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &trail{t: t, signer: signer, device: device, number: map[string]int64{}}
}

func (w *trail) read(places []int64) ([]tlog.Hash, error) {
	var list []tlog.Hash
	for _, p := range places {
		list = append(list, w.hashes[p])
	}
	return list, nil
}

func (w *trail) add(source string, body []byte, err error) *Exported {
	if err != nil {
		w.t.Fatal(err)
	}
	w.number[source]++
	r := Exported{Place: int64(len(w.list)), Salt: make([]byte, 32), Body: body, Record: Record{Source: source, Number: w.number[source]}}
	rand.Read(r.Salt)
	r.Leaf = Leaf([32]byte(r.Salt), body)
	stored, err := tlog.StoredHashesForRecordHash(r.Place, r.Hash(), tlog.HashReaderFunc(w.read))
	if err != nil {
		w.t.Fatal(err)
	}
	w.hashes = append(w.hashes, stored...)
	w.list = append(w.list, r)
	return &w.list[len(w.list)-1]
}

const (
	kioskLog   = "kiosk/k1/1"
	centralLog = "central/k1"
)

func (w *trail) entry(kind Kind, signed bool) {
	body, err := Encode(Entry{Kind: kind, At: 1795305600000, Case: strings.Repeat("0a", 16)})
	r := w.add(kioskLog, body, err)
	w.chain = Chain(w.chain, r.Number, r.Leaf)
	if signed {
		h, err := SignHead(w.device, "k1", r.Number, w.chain)
		if err != nil {
			w.t.Fatal(err)
		}
		r.Head = &h
	}
}

func (w *trail) event(kind, note string) {
	body, err := EncodeEvent(Event{Kind: kind, At: 1795305600000, Note: note, By: "jo <&> \u2028"})
	w.add(centralLog, body, err)
}

func (w *trail) checkpoint(size int64) Signed {
	w.t.Helper()
	root, err := tlog.TreeHash(size, tlog.HashReaderFunc(w.read))
	if err != nil {
		w.t.Fatal(err)
	}
	c, err := w.signer.Sign(FirstEpoch, Checkpoint{Size: size, Root: root})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (w *trail) spki() []byte {
	b, err := x509.MarshalPKIXPublicKey(w.device.Public())
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

// run exports from a place.
func (w *trail) run(from int64, older ...int64) []byte {
	w.t.Helper()
	var b bytes.Buffer
	e := NewExporter(&b)
	left, err := w.read(LeftSubtrees(from))
	if err != nil {
		w.t.Fatal(err)
	}
	size := int64(len(w.list))
	e.Run(from, left, w.checkpoint(size))
	w.olderProofs(e, size, older)
	e.Key("k1", w.spki())
	var chain [32]byte
	begun := from == 0
	for _, r := range w.list {
		if r.Source == kioskLog && r.Place < from {
			chain = Chain(chain, r.Number, r.Leaf)
		}
		if r.Place < from {
			continue
		}
		if r.Source == kioskLog && !begun {
			begun = true
			if r.Number > 1 {
				r.Chain = &chain
			}
		}
		e.Record(r)
	}
	if err := e.End(); err != nil {
		w.t.Fatal(err)
	}
	return b.Bytes()
}

func (w *trail) olderProofs(e *Exporter, size int64, older []int64) {
	for _, n := range older {
		p, err := tlog.ProveTree(size, n, tlog.HashReaderFunc(w.read))
		if err != nil {
			w.t.Fatal(err)
		}
		e.Older(n, p)
	}
}

func (w *trail) proof(places []int64, older ...int64) []byte {
	w.t.Helper()
	var b bytes.Buffer
	e := NewExporter(&b)
	size := int64(len(w.list))
	e.Proof(w.checkpoint(size))
	w.olderProofs(e, size, older)
	for _, p := range places {
		r := w.list[p]
		r.Head = nil
		var err error
		if r.Inclusion, err = tlog.ProveRecord(size, p, tlog.HashReaderFunc(w.read)); err != nil {
			w.t.Fatal(err)
		}
		e.Record(r)
	}
	if err := e.End(); err != nil {
		w.t.Fatal(err)
	}
	return b.Bytes()
}

func (w *trail) auditor(kept ...Signed) *Auditor {
	return &Auditor{Keys: []TreeKey{w.signer.Key()}, Kept: kept, Kiosks: map[string][32]byte{"k1": sha256.Sum256(w.spki())}}
}

func verify(t testing.TB, a *Auditor, b []byte) Verified {
	t.Helper()
	v, err := a.Verify(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// someUnlocks is what two walks leave: 14 records.
func someUnlocks(t testing.TB) *trail {
	w := newTrail(t)
	for range 2 {
		w.event("case-begun", "")
		w.entry(KindBegun, false)
		w.entry(KindConsented, true)
		w.event("code-sent", "email")
		w.entry(KindIntent, true)
		w.event("grant", "")
		w.entry(KindOutcome, true)
	}
	return w
}

// A good export verifies, from the beginning and from any place, in full or erased in part, against every checkpoint that was kept.
func TestAGoodExport(t *testing.T) {
	t.Parallel()
	w := someUnlocks(t)
	var kept []Signed
	for n := range int64(len(w.list) + 1) {
		kept = append(kept, w.checkpoint(n))
	}
	for from := range int64(len(w.list)) + 1 {
		older := []int64{}
		for n := int64(1); n < from; n++ {
			older = append(older, n)
		}
		v := verify(t, w.auditor(kept[min(from, 1):]...), w.run(from, older...))
		if v.Wrong > 0 || v.Records != int64(len(w.list))-from || v.From != from {
			t.Errorf("from %d: %+v", from, v)
		}
	}
	w.list[2].Salt, w.list[2].Body = nil, nil
	w.list[3].Salt, w.list[3].Body = nil, nil
	if v := verify(t, w.auditor(kept...), w.run(0)); v.Wrong > 0 || v.Erased != 2 || v.Heads != 6 || len(v.Unsigned) > 0 {
		t.Errorf("erased: %+v", v)
	}
	if v := verify(t, w.auditor(kept[5], kept[14]), w.proof([]int64{1, 2, 13}, 5)); v.Wrong > 0 || v.Records != 3 {
		t.Errorf("proof: %+v", v)
	}
	w.entry(KindStarted, false)
	if v := verify(t, w.auditor(), w.run(0)); v.Wrong > 0 || v.Unsigned[kioskLog] != 1 {
		t.Errorf("unsigned: %+v", v)
	}
}

// Every byte of the file counts; one in three is tried, and of a byte one bit.
func TestASingleBit(t *testing.T) {
	t.Parallel()
	w := newTrail(t)
	w.event("case-begun", "")
	w.entry(KindBegun, false)
	w.entry(KindIntent, true)
	w.list[0].Salt, w.list[0].Body = nil, nil
	for what, good := range map[string][]byte{"run": w.run(0), "proof": w.proof([]int64{0, 1})} {
		a := w.auditor(w.checkpoint(3))
		if v := verify(t, a, good); v.Wrong > 0 {
			t.Fatalf("%s: %v", what, v.Findings)
		}
		for at := 0; at < len(good); at += 3 {
			bad := bytes.Clone(good)
			bad[at] ^= 1 << (at % 8)
			if v := verify(t, a, bad); v.Wrong == 0 {
				t.Errorf("%s: byte %d changed from %q to %q, and nobody saw it", what, at, good[at], bad[at])
			}
		}
		for at := 0; at < len(good); at += 7 {
			if v := verify(t, a, good[:at]); v.Wrong == 0 {
				t.Errorf("%s: cut off after %d bytes, and nobody saw it", what, at)
			}
		}
	}
}

// forge parses an export's lines, lets f do what it likes, and makes the sum and the count right again, as a forger would.
func forge(t testing.TB, good []byte, f func([]*exportLine) []*exportLine) []byte {
	t.Helper()
	var lines []*exportLine
	for text := range bytes.Lines(good) {
		l := new(exportLine)
		if err := json.Unmarshal(text, l); err != nil {
			t.Fatal(err)
		}
		if l.End == nil {
			lines = append(lines, l)
		}
	}
	var b bytes.Buffer
	end := exportEnd{}
	for _, l := range f(lines) {
		if l.Record != nil {
			end.Records++
		}
		if err := l.write(&b); err != nil {
			t.Fatal(err)
		}
	}
	sum := sha256.Sum256(b.Bytes())
	end.SHA256 = sum[:]
	if err := (exportLine{End: &end}).write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// at is the index of the line of a place.
func at(lines []*exportLine, place int64) int {
	return slices.IndexFunc(lines, func(l *exportLine) bool { return l.Record != nil && l.Record.Place == place })
}

// rehash makes a record's hashes right, as a forger would.
func (l *exportLine) rehash() {
	r := l.Record
	leaf := Leaf([32]byte(r.Salt), r.Body)
	h := Record{r.Source, r.Number, leaf}.Hash()
	r.Leaf, r.Hash = leaf[:], h[:]
}

// Ten ways to tamper with an export, each by somebody who makes right again what needs no key; each is named, and where.
func TestTamperedExports(t *testing.T) {
	t.Parallel()
	w := someUnlocks(t)
	good, kept := w.run(0), w.checkpoint(9)
	stranger := newTrail(t)
	for _, c := range []struct {
		name string
		f    func(lines []*exportLine) []*exportLine
		want []string // each a part of a finding, in order
	}{
		{"a body", func(l []*exportLine) []*exportLine {
			r := l[at(l, 6)].Record
			r.Body = bytes.Replace(r.Body, []byte(`"outcome"`), []byte(`"refused"`), 1)
			return l
		}, []string{"body: line 10: record 6 (kiosk/k1/1 4): what it says was changed"}},
		{"a body with its leaf", func(l []*exportLine) []*exportLine {
			x := l[at(l, 6)]
			x.Record.Body = bytes.Replace(x.Record.Body, []byte(`"outcome"`), []byte(`"ended"`), 1)
			x.rehash()
			return l
		}, []string{
			"chain: line 10: record 6 (kiosk/k1/1 4): entries 4 of k1 do not lead to what the kiosk signed",
			"inconsistent: line 12: the first 9 records", "tree: the records are not those of the 14",
		}},
		{"a leaf", func(l []*exportLine) []*exportLine {
			l[at(l, 3)].Record.Leaf[7] ^= 1
			return l
		}, []string{"record: line 7: record 3 (central/k1 2) was changed", "body: line 7"}},
		{"an event with its leaf", func(l []*exportLine) []*exportLine {
			x := l[at(l, 3)]
			x.Record.Body = bytes.Replace(x.Record.Body, []byte(`"email"`), []byte(`"mobile"`), 1)
			x.rehash()
			return l
		}, []string{"inconsistent: line 12: the first 9 records", "tree:"}},
		{"a removed record", func(l []*exportLine) []*exportLine {
			i := at(l, 4)
			return slices.Delete(l, i, i+1)
		}, []string{"removed: line 8: before this line: record 4 is missing", "removed: line 9: before this line: kiosk/k1/1 3 is missing", "inconsistent", "tree:"}},
		{"a removed event, renumbered", func(l []*exportLine) []*exportLine {
			i := at(l, 5)
			l = slices.Delete(l, i, i+1)
			for _, x := range l[i:] {
				if x.Record.Place--; x.Record.Source == centralLog {
					x.Record.Number--
				}
				x.rehash()
			}
			return l
		}, []string{"inconsistent: line 12", "removed: line 17: before this line: record 13 is missing", "tree:"}},
		{"an added record", func(l []*exportLine) []*exportLine {
			i := at(l, 6)
			x := *l[i].Record
			return slices.Insert(l, i, &exportLine{Record: &x})
		}, []string{"added: line 11: record 6 (kiosk/k1/1 4): there is a record in this place already", "added: line 11: record 6 (kiosk/k1/1 4): there is a number 4 already", "inconsistent", "tree:"}},
		{"two records exchanged", func(l []*exportLine) []*exportLine {
			i := at(l, 10)
			l[i], l[i+1] = l[i+1], l[i]
			return l
		}, []string{"reordered: line 15: record 10 (central/k1 5) stands after record 11", "tree:"}},
		{"a run put together of two", func(l []*exportLine) []*exportLine {
			i := at(l, 11) // the second walk's, from its intent on, in front of the first's
			return append(append(slices.Clone(l[:at(l, 4)]), l[i:]...), l[at(l, 4):i]...)
		}, []string{"reordered: line 11: record 4 (kiosk/k1/1 3) stands after record 13"}},
		{"the end cut off", func(l []*exportLine) []*exportLine { return l[:at(l, 12)] },
			[]string{"removed: line 16: before this line: record 12 to 13 is missing", "tree:"}},
		{"a head signed by somebody else", func(l []*exportLine) []*exportLine {
			h, err := SignHead(stranger.device, "k1", 3, [32]byte(l[at(l, 4)].Record.Head.Hash))
			if err != nil {
				t.Fatal(err)
			}
			l[at(l, 4)].Record.Head.Signature = h.Signature
			return l
		}, []string{"head: line 8: record 4 (kiosk/k1/1 3): its head is not signed by a key of k1"}},
		{"another key of the kiosk", func(l []*exportLine) []*exportLine {
			l[2].Key.SPKI = stranger.spki()
			return l
		}, []string{"key: line 3: k1: central states the key", "head: line 6", "head: line 8"}},
		{"a checkpoint signed by somebody else", func(l []*exportLine) []*exportLine {
			c := w.checkpoint(14).Checkpoint
			s, err := stranger.signer.Sign(FirstEpoch, c)
			if err != nil {
				t.Fatal(err)
			}
			l[1].Checkpoint = string(s.Note)
			return l
		}, []string{"checkpoint: line 2: the checkpoint is not signed by this tree's key"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			v := verify(t, w.auditor(kept), forge(t, good, c.f))
			told := v.Findings
			for _, want := range c.want {
				i := slices.IndexFunc(told, func(f Finding) bool { return strings.HasPrefix(f.String(), want) })
				if i < 0 {
					t.Fatalf("want %q in %q", want, v.Findings)
				}
				told = told[i+1:]
			}
			if !strings.HasPrefix(v.Findings[0].String(), c.want[0]) {
				t.Errorf("first is %q", v.Findings[0])
			}
		})
	}
}

// A central that signs another history is found out by whoever kept a checkpoint.
func TestAnotherHistory(t *testing.T) {
	t.Parallel()
	w := someUnlocks(t)
	other := someUnlocks(t)
	other.signer = w.signer
	for _, c := range []struct {
		file []byte
		kept Signed
		want string
	}{
		{w.run(0), other.checkpoint(9), "the first 9 records are not those"},
		{w.run(0), other.checkpoint(14), "the first 14 records are not those"},
		{w.run(9), other.checkpoint(9), "the first 9 records are not those"},
		{w.run(9, 5), other.checkpoint(5), "does not begin with the 5 records"},
		{w.run(9), w.checkpoint(5), "nothing here proves that it goes on from the checkpoint of 5 records"},
		{w.proof([]int64{3}, 5), other.checkpoint(5), "does not begin with the 5 records"},
		{w.proof([]int64{3}), other.checkpoint(14), "it is not the checkpoint of 14 records"},
		{w.proof([]int64{3}), w.checkpoint(5), "nothing here proves"},
	} {
		if v := verify(t, w.auditor(c.kept), c.file); v.Wrong != 1 || v.Findings[0].Wrong != WrongInconsistent || !strings.Contains(v.Findings[0].Says, c.want) {
			t.Errorf("want %q: %v", c.want, v.Findings)
		}
	}
	longer := w.checkpoint(14)
	w.list = w.list[:9]
	if v := verify(t, w.auditor(longer), w.run(0)); v.Wrong != 1 || !strings.Contains(v.Findings[0].Says, "records are withheld") {
		t.Errorf("%v", v.Findings)
	}
}

// Any number of records is read without keeping them, or more of what is wrong than anybody reads.
func TestALongExport(t *testing.T) {
	w := newTrail(t)
	w.event("case-begun", "")
	line := w.run(0)
	records := bytes.SplitAfter(line, []byte("\n"))
	const n = 30_000
	before := new(runtime.MemStats)
	runtime.ReadMemStats(before)
	v, err := w.auditor().Verify(&repeating{records[3], n})
	if err != nil || v.Records != n || len(v.Findings) != maxFindings || v.Wrong < n {
		t.Fatalf("%v: %d records, %d findings of %d", err, v.Records, len(v.Findings), v.Wrong)
	}
	after := new(runtime.MemStats)
	runtime.GC()
	runtime.ReadMemStats(after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 8<<20 {
		t.Errorf("%d bytes are kept", grown)
	}
}

// repeating reads a line n times.
type repeating struct {
	line []byte
	left int
}

func (r *repeating) Read(b []byte) (n int, err error) {
	for r.left > 0 && len(b)-n >= len(r.line) {
		n += copy(b[n:], r.line)
		r.left--
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// The vectors are for other implementations: an export and a proof, the keys that verify them.
func TestExportVectors(t *testing.T) {
	t.Parallel()
	type vectors struct {
		Key, Kiosk, Checkpoint string
		Run, Proof             []string
	}
	const file = "testdata/export.json"
	if *update {
		w := someUnlocks(t)
		w.list[3].Salt, w.list[3].Body = nil, nil
		lines := func(b []byte) []string { return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n") }
		v := vectors{w.signer.Key().String(), base64.StdEncoding.EncodeToString(w.spki()), string(w.checkpoint(9).Note), lines(w.run(0)), lines(w.proof([]int64{4, 6}, 9))}
		b, err := json.MarshalIndent(v, "", "\t")
		if err == nil {
			err = os.WriteFile(file, append(b, '\n'), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(file)
	var v vectors
	if err == nil {
		err = json.Unmarshal(b, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	key, err := ParseTreeKey(v.Key)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := key.Open([]byte(v.Checkpoint))
	if err != nil {
		t.Fatal(err)
	}
	spki, err := base64.StdEncoding.DecodeString(v.Kiosk)
	if err != nil {
		t.Fatal(err)
	}
	a := &Auditor{Keys: []TreeKey{key}, Kept: []Signed{kept}, Kiosks: map[string][32]byte{"k1": sha256.Sum256(spki)}}
	for _, lines := range [][]string{v.Run, v.Proof} {
		file := []byte(strings.Join(lines, "\n") + "\n")
		if got := verify(t, a, file); got.Wrong > 0 || got.Records == 0 {
			t.Errorf("%v", got.Findings)
		}
	}
}

func FuzzVerifyExport(f *testing.F) {
	w := someUnlocks(f)
	f.Add(w.run(0))
	f.Add(w.run(5, 3))
	f.Add(w.proof([]int64{1, 4}, 3))
	a := w.auditor(w.checkpoint(7))
	key := w.signer.Key()
	genuine := w.checkpoint(14).Root
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := a.Verify(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if c := v.Checkpoint; v.Wrong == 0 && (c.Origin != key.Name || c.Root != genuine) {
			t.Errorf("verified: %+v", v)
		}
	})
}
