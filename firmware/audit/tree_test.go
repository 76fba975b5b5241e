package audit

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// treeVectors is testdata/tree.json. Its values are fixed: a change that alters one is a new version of the form.
type treeVectors struct {
	Key         string           `json:"key"` // verifier key of the tree
	Witness     string           `json:"witness"`
	Events      []treeEvent      `json:"events"`
	Records     []treeRecord     `json:"records"`
	Checkpoints []treeCheckpoint `json:"checkpoints"`
	// Consistency of the first checkpoint with the second, which is of the same epoch; hex.
	Consistency []string `json:"consistency"`
	// Inclusion of record Place in the second checkpoint; hex.
	Place     int64    `json:"place"`
	Inclusion []string `json:"inclusion"`
	Refused   []string `json:"refused"` // bodies that are no checkpoint of ours
}

type treeEvent struct {
	Salt string `json:"salt"`
	Body string `json:"body"`
	Leaf string `json:"leaf"`
}

type treeRecord struct {
	Source string `json:"source"`
	Number int64  `json:"number"`
	Leaf   string `json:"leaf"`
	Hash   string `json:"hash"` // in the tree
}

type treeCheckpoint struct {
	Epoch     int64  `json:"epoch"`
	Note      string `json:"note"`
	Cosigned  int64  `json:"cosigned,omitempty"` // seconds since the Unix epoch, if the witness did
	Size      int64  `json:"size"`
	RootInHex string `json:"root"`
}

func readTree(t testing.TB) (v treeVectors) {
	t.Helper()
	b, err := os.ReadFile("testdata/tree.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// grown is a tree in memory.
type grown struct {
	records []Record
	stored  []tlog.Hash
}

func (g *grown) ReadHashes(places []int64) (list []tlog.Hash, err error) {
	for _, p := range places {
		list = append(list, g.stored[p])
	}
	return list, nil
}

func (g *grown) add(t testing.TB, r Record) {
	t.Helper()
	h, err := tlog.StoredHashes(int64(len(g.records)), r.Data(), g)
	if err != nil {
		t.Fatal(err)
	}
	g.records, g.stored = append(g.records, r), append(g.stored, h...)
}

func (g *grown) at(t testing.TB, size int64) Checkpoint {
	t.Helper()
	root, err := tlog.TreeHash(size, g)
	if err != nil {
		t.Fatal(err)
	}
	return Checkpoint{Size: size, Root: root}
}

func unhexed[T ~[]tlog.Hash](t testing.TB, list []string) (out T) {
	t.Helper()
	for _, s := range list {
		out = append(out, tlog.Hash(unhex(t, s)))
	}
	return out
}

func TestTreeVectors(t *testing.T) {
	t.Parallel()
	v := readTree(t)
	for _, e := range v.Events {
		event, err := DecodeEvent([]byte(e.Body))
		if err != nil {
			t.Fatalf("%s: %v", e.Body, err)
		}
		if b, err := EncodeEvent(event); err != nil || string(b) != e.Body {
			t.Errorf("%s encodes as %s (%v)", e.Body, b, err)
		}
		if leaf := Leaf([32]byte(unhex(t, e.Salt)), []byte(e.Body)); hex.EncodeToString(leaf[:]) != e.Leaf {
			t.Errorf("%s: leaf %x", e.Body, leaf)
		}
	}
	var g grown
	for _, r := range v.Records {
		record := Record{r.Source, r.Number, [32]byte(unhex(t, r.Leaf))}
		if _, _, err := ParseSource(r.Source); err != nil {
			t.Error(err)
		}
		if h := record.Hash(); hex.EncodeToString(h[:]) != r.Hash {
			t.Errorf("%s %d: hash %x", r.Source, r.Number, h)
		}
		g.add(t, record)
	}
	key, err := ParseTreeKey(v.Key)
	if err != nil || key.String() != v.Key {
		t.Fatalf("%v: %v", key, err)
	}
	witness, err := ParseWitness(v.Witness)
	if err != nil || witness.String() != v.Witness {
		t.Fatalf("%v: %v", witness, err)
	}
	var points []Signed
	for _, c := range v.Checkpoints {
		s, err := key.Open([]byte(c.Note))
		if err != nil || s.Epoch != c.Epoch || s.Size != c.Size || hex.EncodeToString(s.Root[:]) != c.RootInHex || s.Origin != OriginOf(key.Name, c.Epoch) {
			t.Errorf("%+v: %+v, %v", c, s, err)
		}
		if want := g.at(t, c.Size); want.Root != s.Root {
			t.Errorf("size %d: root %s, the records have %s", c.Size, s.Root, want.Root)
		}
		at, _, err := witness.Verify([]byte(c.Note))
		if cosigned := err == nil; cosigned != (c.Cosigned != 0) || cosigned && at.Unix() != c.Cosigned {
			t.Errorf("size %d: cosigned %v, %v", c.Size, at, err)
		}
		points = append(points, s)
	}
	if err := CheckConsistency(points[0].Checkpoint, points[1].Checkpoint, unhexed[tlog.TreeProof](t, v.Consistency)); err != nil {
		t.Error(err)
	}
	if err := CheckInclusion(points[1].Checkpoint, v.Place, g.records[v.Place], unhexed[tlog.RecordProof](t, v.Inclusion)); err != nil {
		t.Error(err)
	}
	for _, text := range v.Refused {
		if c, err := ParseCheckpoint(text); err == nil {
			t.Errorf("%q was read as %+v", text, c)
		}
	}
}

// A history that another begins with is proven; one that differs in one record, by a bit, its number or its source, is not.
func TestAnotherHistoryIsSeen(t *testing.T) {
	t.Parallel()
	v := readTree(t)
	var g grown
	for _, r := range v.Records {
		g.add(t, Record{r.Source, r.Number, [32]byte(unhex(t, r.Leaf))})
	}
	whole := int64(len(g.records))
	for size := range whole + 1 {
		for newer := size; newer <= whole; newer++ {
			var proof tlog.TreeProof
			if size > 0 {
				var err error
				if proof, err = tlog.ProveTree(newer, size, &g); err != nil {
					t.Fatal(err)
				}
			}
			older := g.at(t, size)
			if err := CheckConsistency(older, g.at(t, newer), proof); err != nil {
				t.Fatalf("%d to %d: %v", size, newer, err)
			}
			older.Root[0] ^= 1
			if err := CheckConsistency(older, g.at(t, newer), proof); !errors.Is(err, ErrInconsistent) {
				t.Fatalf("%d to %d with another root: %v", size, newer, err)
			}
		}
		if size < whole {
			if err := CheckConsistency(g.at(t, whole), g.at(t, size), nil); !errors.Is(err, ErrInconsistent) {
				t.Fatalf("%d after %d: %v", size, whole, err)
			}
		}
	}
	for place, r := range g.records {
		proof, err := tlog.ProveRecord(whole, int64(place), &g)
		if err != nil {
			t.Fatal(err)
		}
		c := g.at(t, whole)
		if err := CheckInclusion(c, int64(place), r, proof); err != nil {
			t.Fatal(err)
		}
		for _, change := range []func(*Record){
			func(r *Record) { r.Leaf[31] ^= 1 }, func(r *Record) { r.Number++ }, func(r *Record) { r.Source += "1" },
		} {
			other := r
			change(&other)
			if err := CheckInclusion(c, int64(place), other, proof); !errors.Is(err, ErrNotIncluded) {
				t.Fatalf("%+v stands in the place of %+v: %v", other, r, err)
			}
		}
		if err := CheckInclusion(c, whole, r, proof); !errors.Is(err, ErrNotIncluded) {
			t.Fatal(err)
		}
	}
}

func TestEveryFlippedBitOfACheckpointIsSeen(t *testing.T) {
	t.Parallel()
	v := readTree(t)
	key, err := ParseTreeKey(v.Key)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range v.Checkpoints {
		msg, text := []byte(c.Note), strings.Index(c.Note, "\n\n")
		want, err := key.Open(msg)
		if err != nil {
			t.Fatal(err)
		}
		for bit := range 8 * len(msg) {
			msg[bit/8] ^= 1 << (bit % 8)
			got, err := key.Open(msg)
			if err == nil && (bit/8 <= text || got.Checkpoint != want.Checkpoint) {
				t.Fatalf("bit %d flipped: %+v", bit, got)
			}
			msg[bit/8] ^= 1 << (bit % 8)
		}
	}
}

// The key of one tree signs in every epoch, and under no other name; others' programs read it.
func TestSignedAndCosigned(t *testing.T) {
	t.Parallel()
	secret, key, err := NewTreeKey(rand.Reader, "unlock.example.nhs.uk/evidence")
	if err != nil {
		t.Fatal(err)
	}
	s, err := ParseTreeSigner(secret)
	if err != nil || s.Key().String() != key.String() {
		t.Fatal(err)
	}
	if _, err := note.NewSigner(strings.TrimSpace(string(secret))); err != nil {
		t.Errorf("sumdb/note does not read the key: %v", err)
	}
	v, err := note.NewVerifier(key.String())
	if err != nil {
		t.Fatal(err)
	}
	one, err := s.Sign(FirstEpoch, Checkpoint{Size: 7, Root: tlog.Hash{1}})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := note.Open(one.Note, note.VerifierList(v)); err != nil || n.Text != one.Text() {
		t.Errorf("sumdb/note does not read the checkpoint: %v", err)
	}
	later, err := s.Sign(1795305600, Checkpoint{Size: 3, Root: tlog.Hash{2}})
	if err != nil || later.Origin != "unlock.example.nhs.uk/evidence/epoch-1795305600" {
		t.Fatalf("%+v: %v", later, err)
	}
	if got, err := key.Open(later.Note); err != nil || got.Epoch != 1795305600 || got.Checkpoint != later.Checkpoint {
		t.Errorf("%+v: %v", got, err)
	}
	other := key
	other.Name = "unlock.example.nhs.uk"
	for _, msg := range [][]byte{one.Note, later.Note} {
		if _, err := other.Open(msg); !errors.Is(err, ErrCheckpointSignature) {
			t.Errorf("a tree of another name: %v", err)
		}
	}

	private, witness, err := NewWitnessKey(rand.Reader, "audit.example.org")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1795305601, 0).UTC()
	both, err := Cosign(private, one, at)
	if err != nil {
		t.Fatal(err)
	}
	when, line, err := witness.Verify(both)
	if err != nil || !when.Equal(at) || !bytes.HasSuffix(both, []byte(line)) {
		t.Errorf("%v %q: %v", when, line, err)
	}
	if got, err := key.Open(both); err != nil || got.Checkpoint != one.Checkpoint {
		t.Errorf("with a cosignature: %v", err)
	}
	moved := append(append([]byte{}, later.Note...), line...) // a cosignature of another checkpoint
	if _, _, err := witness.Verify(moved); !errors.Is(err, ErrNotCosigned) {
		t.Errorf("a cosignature that was moved: %v", err)
	}
	if _, _, err := witness.Verify(one.Note); !errors.Is(err, ErrNotCosigned) {
		t.Errorf("none: %v", err)
	}
	if _, err := ParseTreeSigner(private); err == nil {
		t.Error("a witness's key signs trees")
	}
	if _, err := ParseWitness(key.String()); err == nil {
		t.Error("a tree's key is a witness's")
	}
	for _, name := range []string{"", "a b", "a+b", "a/epoch-2", "ŵ", strings.Repeat("a", 201)} {
		if _, _, err := NewTreeKey(rand.Reader, name); err == nil {
			t.Errorf("%q is a name", name)
		}
	}
}

func TestSourcesAreRead(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]struct {
		kiosk string
		log   int64
	}{"central/": {"", 0}, "central/k1": {"k1", 0}, "kiosk/k1/1": {"k1", 1}, "kiosk/a/b/12": {"a/b", 12}, "central/kiosk/k1/1": {"kiosk/k1/1", 0}} {
		kiosk, log, err := ParseSource(source)
		if err != nil || kiosk != want.kiosk || log != want.log {
			t.Errorf("%s: %s %d, %v", source, kiosk, log, err)
		}
	}
	for _, source := range []string{"", "kiosk/k1", "kiosk/k1/0", "kiosk/k1/01", "kiosk/k1/-1", "kiosk//1", "other/k1"} {
		if kiosk, log, err := ParseSource(source); err == nil {
			t.Errorf("%s is read as %s %d", source, kiosk, log)
		}
	}
}

func FuzzCheckpoint(f *testing.F) {
	v := readTree(f)
	key, err := ParseTreeKey(v.Key)
	if err != nil {
		f.Fatal(err)
	}
	witness, err := ParseWitness(v.Witness)
	if err != nil {
		f.Fatal(err)
	}
	for _, c := range v.Checkpoints {
		f.Add([]byte(c.Note))
	}
	for _, text := range v.Refused {
		f.Add([]byte(text))
	}
	f.Add([]byte(v.Key))
	f.Add([]byte(v.Witness))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := ParseCheckpoint(string(b)); err == nil && c.Text() != string(b) {
			t.Errorf("%q was read as %+v", b, c)
		}
		if s, err := key.Open(b); err == nil && OriginOf(key.Name, s.Epoch) != s.Origin {
			t.Errorf("%q was opened as %+v", b, s)
		}
		_, _, _ = witness.Verify(b)
		if k, err := ParseTreeKey(string(b)); err == nil && k.String() != string(b) {
			t.Errorf("%q was read as %s", b, k)
		}
		if w, err := ParseWitness(string(b)); err == nil && w.String() != string(b) {
			t.Errorf("%q was read as %s", b, w)
		}
		if s, err := ParseTreeSigner(b); err == nil && !strings.Contains(string(b), s.name) {
			t.Errorf("%q was read as a key", b)
		}
	})
}

func FuzzEvent(f *testing.F) {
	for _, e := range readTree(f).Events {
		f.Add([]byte(e.Body))
	}
	f.Add([]byte(`{"v":1,"kind":"","at":-1,"note":"\u2028<&>"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := DecodeEvent(b)
		if err != nil {
			return
		}
		if again, err := EncodeEvent(e); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%s encodes as %s (%v)", b, again, err)
		}
	})
}
