package audit

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// vectors is testdata/vectors.json. Its values are fixed: a change that alters one is a new version of the form.
// Binary values are hex.
type vectors struct {
	Kiosk     string          `json:"kiosk"`
	PublicKey string          `json:"public_key"` // SubjectPublicKeyInfo, DER
	Entries   []vectorEntry   `json:"entries"`
	Heads     []vectorHead    `json:"heads"`
	Bodies    []vectorBody    `json:"bodies"` // outside the chain
	Refused   []vectorRefused `json:"refused"`
}

type vectorEntry struct {
	Seq  int64  `json:"seq"`
	Salt string `json:"salt"`
	Body string `json:"body"`
	Leaf string `json:"leaf"`
	Hash string `json:"hash"`
}

type vectorHead struct {
	Seq       int64  `json:"seq"`
	Hash      string `json:"hash"`
	Signature string `json:"signature"`
}

type vectorBody struct {
	What string `json:"what"`
	Salt string `json:"salt"`
	Body string `json:"body"`
	Leaf string `json:"leaf"`
}

type vectorRefused struct {
	Why  string `json:"why"`
	Body string `json:"body"`
}

func readVectors(t testing.TB) (v vectors) {
	t.Helper()
	b, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// log is the vectors' chain: what a kiosk of that key wrote.
func log(t testing.TB) (pub *ecdsa.PublicKey, kiosk string, run []Stored, head Head) {
	t.Helper()
	v := readVectors(t)
	key, err := x509.ParsePKIXPublicKey(unhex(t, v.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range v.Entries {
		run = append(run, Stored{e.Seq, [32]byte(unhex(t, e.Salt)), []byte(e.Body)})
	}
	h := v.Heads[len(v.Heads)-1]
	head = Head{h.Seq, [32]byte(unhex(t, h.Hash)), unhex(t, h.Signature)}
	return key.(*ecdsa.PublicKey), v.Kiosk, run, head
}

func TestVectors(t *testing.T) {
	t.Parallel()
	v := readVectors(t)
	pub, kiosk, run, head := log(t)
	var hash [32]byte
	for i, e := range v.Entries {
		entry, err := Decode(run[i].Body)
		if err != nil {
			t.Fatalf("entry %d: %v", e.Seq, err)
		}
		again, err := Encode(entry)
		if err != nil || string(again) != e.Body {
			t.Fatalf("entry %d encodes as %s (%v), want %s", e.Seq, again, err, e.Body)
		}
		leaf := Leaf(run[i].Salt, run[i].Body)
		hash = Chain(hash, e.Seq, leaf)
		if hex.EncodeToString(leaf[:]) != e.Leaf || hex.EncodeToString(hash[:]) != e.Hash {
			t.Fatalf("entry %d: leaf %x, hash %x, want %s and %s", e.Seq, leaf, hash, e.Leaf, e.Hash)
		}
	}
	for _, h := range v.Heads {
		if err := VerifyHead(pub, kiosk, Head{h.Seq, [32]byte(unhex(t, h.Hash)), unhex(t, h.Signature)}); err != nil {
			t.Error(err)
		}
	}
	entries, err := Verify(pub, kiosk, Point{}, run, head)
	if err != nil || len(entries) != len(run) || entries[6].Kind != KindIntent {
		t.Fatalf("the whole log: %v, %v", entries, err)
	}
	if _, err := Verify(pub, kiosk, Point{3, [32]byte(unhex(t, v.Entries[2].Hash))}, run[3:], head); err != nil {
		t.Errorf("from entry 3 on: %v", err)
	}
	if _, err := Verify(pub, kiosk, Point{head.Seq, head.Hash}, nil, head); err != nil {
		t.Errorf("nothing new: %v", err)
	}
}

func TestBodies(t *testing.T) {
	t.Parallel()
	for _, b := range readVectors(t).Bodies {
		entry, err := Decode([]byte(b.Body))
		if err != nil {
			t.Errorf("%s: %v", b.What, err)
			continue
		}
		if again, err := Encode(entry); err != nil || string(again) != b.Body {
			t.Errorf("%s: encodes as %s (%v), want %s", b.What, again, err, b.Body)
		}
		if leaf := Leaf([32]byte(unhex(t, b.Salt)), []byte(b.Body)); hex.EncodeToString(leaf[:]) != b.Leaf {
			t.Errorf("%s: leaf %x, want %s", b.What, leaf, b.Leaf)
		}
	}
}

func TestRefusedBodies(t *testing.T) {
	t.Parallel()
	for _, r := range readVectors(t).Refused {
		if e, err := Decode([]byte(r.Body)); err == nil {
			t.Errorf("%s: %s was read as %+v", r.Why, r.Body, e)
		}
	}
	long := `{"v":1,"kind":"refused","at":1,"reason":"` + strings.Repeat("a", MaxBody) + `"}`
	if _, err := Decode([]byte(long)); err == nil {
		t.Error("a body beyond the limit was read")
	}
}

func TestEncodeRefusesWhatDecodeWould(t *testing.T) {
	t.Parallel()
	minus := int64(-1)
	c := "00112233445566778899aabbccddeeff"
	for _, e := range []Entry{
		{},
		{Kind: "slept"},
		{Kind: KindStarted, At: -1},
		{Kind: KindRefused, Reason: "no such holder: j@nhs.net"},
		{Kind: KindRefused, Reason: strings.Repeat("a", 97)},
		{Kind: KindBegun, Case: "case 1"},
		{Kind: KindSettled},
		{Kind: KindIntent, Case: c, Base: &minus},
		{Kind: KindOutcome, Case: c, Passcode: "perhaps"},
		{Kind: KindEnded, Case: c, Passcode: Yes},
		{Kind: KindChanging, Passcode: No},
		{Kind: KindOutcome, Case: c, Token: "AAAA"},
		{Kind: KindIntent, Case: c, Token: "card 0a0b"},
		{Kind: KindIntent, Case: c, Token: strings.Repeat("A", 129)},
		{Kind: KindChanged, Passcode: Yes, Rotated: Yes},
	} {
		if b, err := Encode(e); err == nil {
			t.Errorf("%+v was written as %s", e, b)
		}
	}
}

// A leaf's salt and body are what an auditor is shown; a head is what the kiosk signed. Nothing between them can change.
func TestEveryFlippedBitIsSeen(t *testing.T) {
	t.Parallel()
	pub, kiosk, run, head := log(t)
	for i := range run {
		for _, field := range [][]byte{run[i].Salt[:], run[i].Body} {
			for bit := range len(field) * 8 {
				field[bit/8] ^= 1 << (bit % 8)
				_, err := Verify(pub, kiosk, Point{}, run, head)
				field[bit/8] ^= 1 << (bit % 8)
				var wrong *EntryError
				if !errors.As(err, &wrong) || wrong.First > run[i].Seq || wrong.Last < run[i].Seq {
					t.Fatalf("bit %d of entry %d flipped: %v", bit, run[i].Seq, err)
				}
			}
		}
	}
	for _, field := range [][]byte{head.Hash[:], head.Signature} {
		for bit := range len(field) * 8 {
			field[bit/8] ^= 1 << (bit % 8)
			if _, err := Verify(pub, kiosk, Point{}, run, head); !errors.Is(err, ErrSignature) {
				t.Fatalf("bit %d of the head flipped: %v", bit, err)
			}
			field[bit/8] ^= 1 << (bit % 8)
		}
	}
}

func TestWhatIsWrongIsNamed(t *testing.T) {
	t.Parallel()
	pub, kiosk, run, head := log(t)
	renumbered := func(s []Stored) []Stored {
		for i := range s {
			s[i].Seq = int64(i + 1)
		}
		return s
	}
	swapped := slices.Clone(run)
	swapped[3], swapped[4] = swapped[4], swapped[3]
	unknown := slices.Clone(run)
	unknown[4].Body = []byte(`{"v":1,"kind":"slept","at":1}`)
	changed := slices.Clone(run)
	changed[4].Body = []byte(strings.Replace(string(run[4].Body), "code-wrong", "code-right", 1))

	for _, tc := range []struct {
		name        string
		from        Point
		run         []Stored
		head        Head
		first, last int64
	}{
		{"one removed", Point{}, slices.Delete(slices.Clone(run), 4, 5), head, 5, 5},
		{"one removed, the rest renumbered", Point{}, renumbered(slices.Delete(slices.Clone(run), 4, 5)), head, 10, 10},
		{"the last removed", Point{}, run[:9], head, 10, 10},
		{"all removed", Point{}, nil, head, 1, 10},
		{"one added", Point{}, renumbered(slices.Insert(slices.Clone(run), 4, run[4])), head, 11, 11},
		{"one twice", Point{}, slices.Insert(slices.Clone(run), 4, run[4]), head, 6, 6},
		{"two swapped", Point{}, swapped, head, 4, 4},
		{"two swapped and renumbered", Point{}, renumbered(slices.Clone(swapped)), head, 1, 10},
		{"one of a kind that we do not know", Point{}, unknown, head, 5, 5},
		{"one with another reason", Point{}, changed, head, 1, 10},
		{"from a point of another chain", Point{Hash: [32]byte{1}}, run, head, 1, 10},
		{"nothing new, from a point of another chain", Point{10, [32]byte{1}}, nil, head, 10, 10},
		{"a head before the known point", Point{11, head.Hash}, nil, head, 11, 11},
	} {
		_, err := Verify(pub, kiosk, tc.from, tc.run, tc.head)
		var wrong *EntryError
		if !errors.As(err, &wrong) || wrong.First != tc.first || wrong.Last != tc.last {
			t.Errorf("%s: %v, want entries %d to %d to be named", tc.name, err, tc.first, tc.last)
		}
	}
	if _, err := Verify(pub, "kiosk-0002", Point{}, run, head); !errors.Is(err, ErrSignature) {
		t.Errorf("another kiosk's name: %v", err)
	}
}

// An entry lives on a disk that can be stolen. Whoever adds a field here says first why a thief may read it.
func TestAnEntryHasNoPersonalData(t *testing.T) {
	t.Parallel()
	want := []string{"Kind", "At", "Case", "Reason", "Base", "First", "Opened", "Passcode", "Rotated", "Tries",
		"Token", // sealed by central with a random nonce: two of one card have nothing in common
	}
	var got []string
	for f := range reflect.TypeFor[Entry]().Fields() {
		got = append(got, f.Name)
	}
	if !slices.Equal(got, want) {
		t.Errorf("Entry has the fields %v, want %v", got, want)
	}
}

func FuzzDecode(f *testing.F) {
	v := readVectors(f)
	for _, e := range v.Entries {
		f.Add([]byte(e.Body))
	}
	for _, b := range v.Bodies {
		f.Add([]byte(b.Body))
	}
	for _, r := range v.Refused {
		f.Add([]byte(r.Body))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := Decode(b)
		if err != nil {
			return
		}
		again, err := Encode(e)
		if err != nil || string(again) != string(b) {
			t.Errorf("%q was read as %+v, which is written as %q (%v)", b, e, again, err)
		}
	})
}

func TestSignHead(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	h, err := SignHead(key, "kiosk-0001", 7, [32]byte{7})
	if err != nil {
		t.Fatal(err)
	}
	if err := VerifyHead(&key.PublicKey, "kiosk-0001", h); err != nil {
		t.Error(err)
	}
	h.Seq++
	if err := VerifyHead(&key.PublicKey, "kiosk-0001", h); !errors.Is(err, ErrSignature) {
		t.Errorf("another number: %v", err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := SignHead(other, "kiosk-0001", 7, [32]byte{7}); err == nil {
		t.Error("a key on P-384 signed a head")
	}
}
