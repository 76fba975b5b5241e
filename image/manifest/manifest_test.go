package manifest

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"math"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"pgregory.net/rapid"
)

var built = time.Date(2026, 11, 22, 13, 0, 0, 0, time.UTC)

func keys(t testing.TB) (note.Signer, note.Verifier) {
	skey, vkey, err := note.GenerateKey(rand.Reader, "ra.example/image")
	if err != nil {
		t.Fatal(err)
	}
	s, errS := note.NewSigner(skey)
	v, errV := note.NewVerifier(vkey)
	if err := errors.Join(errS, errV); err != nil {
		t.Fatal(err)
	}
	return s, v
}

// blocks is an image whose blocks hold something where the text has an x.
func blocks(text string) []byte {
	img := make([]byte, len(text)*Block)
	for i, c := range text {
		if c == 'x' {
			img[i*Block+i%Block] = byte(i%255 + 1)
		}
	}
	return img
}

func filled(img []byte, free ...Extent) (Manifest, error) {
	m, err := Make(bytes.NewReader(img), int64(len(img)), free...)
	m.Board, m.Version, m.Built = "uefi-arm64", "1.2.0", built
	m.Compressed = Sum{Size: 5}
	m.Pieces = []Piece{{Extent{0, int64(len(img) / Block)}, 1, 4}}
	return m, err
}

func TestMap(t *testing.T) {
	t.Parallel()
	gap := strings.Repeat(".", shortest)
	for name, c := range map[string]struct {
		image  string
		free   []Extent
		ranges []Extent
		zero   []Extent
	}{
		"all of it": {"xxx", nil, []Extent{{0, 3}}, nil},
		"a short run of zeros is not worth a line": {"xx..xx", nil, []Extent{{0, 6}}, nil},
		"a long one is":                            {"xx" + gap + "x", nil, []Extent{{0, 2}, {18, 1}}, []Extent{{2, 16}}},
		"the end":                                  {"x" + gap, nil, []Extent{{0, 1}}, []Extent{{1, 16}}},
		"the first block is always written":        {gap + gap, nil, []Extent{{0, 1}}, []Extent{{1, 31}}},
		"what is free need not be zero":            {"x" + gap + gap + "x", []Extent{{4, 8}}, []Extent{{0, 1}, {33, 1}}, []Extent{{1, 3}, {12, 21}}},
		"what is free and holds something is kept": {"x" + gap + "xx", []Extent{{1, 18}}, []Extent{{0, 1}, {17, 2}}, nil},
		"several are free":                         {"x" + gap + gap, []Extent{{1, 2}, {3, 1}, {30, 400}}, []Extent{{0, 1}}, []Extent{{4, 26}}},
		"ranges are of bounded length, zeros not":  {strings.Repeat("x", MaxRange+1) + strings.Repeat(".", 2*MaxRange), nil, []Extent{{0, MaxRange}, {MaxRange, 1}}, []Extent{{MaxRange + 1, 2 * MaxRange}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, err := filled(blocks(c.image), c.free...)
			if err != nil {
				t.Fatal(err)
			}
			if err := m.check(); err != nil {
				t.Error(err)
			}
			var ranges []Extent
			for _, r := range m.Ranges {
				ranges = append(ranges, r.Extent)
			}
			if !equal(ranges, c.ranges) || !equal(m.Zero, c.zero) {
				t.Errorf("ranges %v, zero %v; want %v, %v", ranges, m.Zero, c.ranges, c.zero)
			}
		})
	}
}

func equal(a, b []Extent) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// What the manifest says of an image is enough to have the image again, wherever it says nothing about zeros; and the manifest that is
// opened is the one that was signed.
func TestManifestTellsTheWholeImage(t *testing.T) {
	t.Parallel()
	signer, verifier := keys(t)
	rapid.Check(t, func(t *rapid.T) {
		r := mathrand.New(mathrand.NewPCG(rapid.Uint64().Draw(t, "image"), 0))
		var text strings.Builder
		for n := rapid.IntRange(1, 3000).Draw(t, "blocks"); text.Len() < n; {
			text.WriteString(strings.Repeat(string("x."[r.IntN(2)]), 1+r.IntN(60)))
		}
		img := blocks(text.String())
		m, err := filled(img)
		if err != nil {
			t.Fatal(err)
		}
		signed, err := m.Sign(signer)
		if err != nil {
			t.Fatal(err)
		}
		m, by, err := Open(signed, verifier)
		if err != nil || len(by) != 1 || by[0] != "ra.example/image" {
			t.Fatal(by, err)
		}
		again := bytes.Repeat([]byte{0xff}, len(img))
		for _, r := range m.Ranges {
			copy(again[r.First*Block:r.End()*Block], img[r.First*Block:r.End()*Block])
			if s, err := SumOf(bytes.NewReader(img[r.First*Block : r.End()*Block])); err != nil || s.SHA256 != r.SHA256 {
				t.Errorf("range %v has another checksum", r.Extent)
			}
		}
		for _, z := range m.Zero {
			clear(again[z.First*Block : z.End()*Block])
		}
		if !bytes.Equal(again, img) {
			t.Error("the image is not what the manifest says")
		}
		if s, err := SumOf(bytes.NewReader(img)); err != nil || s != m.Image {
			t.Errorf("image %v, manifest %v", s, m.Image)
		}
	})
}

func TestManifestOfAnotherIsRefused(t *testing.T) {
	t.Parallel()
	signer, verifier := keys(t)
	_, stranger := keys(t)
	m, err := filled(blocks("xx"))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := m.Sign(signer)
	if err != nil {
		t.Fatal(err)
	}
	var untrusted *UntrustedError
	if _, _, err := Open(signed, stranger); !errors.As(err, &untrusted) || len(untrusted.Signers) != 1 {
		t.Errorf("with another key: %v", err)
	}
	if _, _, err := Open(signed); !errors.As(err, &untrusted) {
		t.Errorf("with no key: %v", err)
	}
	for i := range signed {
		altered := bytes.Clone(signed)
		altered[i] ^= 1
		if got, _, err := Open(altered, verifier); err == nil && got.text() != m.text() {
			t.Fatalf("byte %d was altered, and nobody noticed", i)
		}
	}
}

// Whatever its signature, a manifest that says what cannot be is refused, before anything is written by it.
func TestManifestThatCannotBe(t *testing.T) {
	t.Parallel()
	signer, verifier := keys(t)
	m, err := filled(blocks("xx" + strings.Repeat(".", 20) + "x"))
	if err != nil {
		t.Fatal(err)
	}
	good := m.text()
	for name, change := range map[string][2]string{
		"another format":         {"image v1", "image v2"},
		"board with a path":      {"board uefi-arm64", "board ../uefi"},
		"no debug":               {"debug no\n", ""},
		"debug otherwise":        {"debug no", "debug maybe"},
		"a line too many":        {"debug no\n", "debug no\ncolour red\n"},
		"a line twice":           {"debug no\n", "debug no\ndebug no\n"},
		"another order":          {"range 0 2", "range 21 2"},
		"overlap":                {"zero 2 20", "zero 1 20"},
		"beyond the image":       {"zero 2 20", "zero 2 9223372036854775807"},
		"negative":               {"zero 2 20", "zero 2 -1"},
		"leading zero":           {"zero 2 20", "zero 02 20"},
		"a size of half a block": {"size 94208", "size 94209"},
		"a size of nothing":      {"size 94208", "size 0"},
		"no pieces":              {"piece 0 23 1 4\n", ""},
		"a range in no piece":    {"piece 0 23 1 4", "piece 0 22 1 4"},
		"a piece beyond the end": {"piece 0 23 1 4", "piece 0 24 1 4"},
		"a piece elsewhere":      {"piece 0 23 1 4", "piece 0 23 2 4"},
		"an empty piece":         {"piece 0 23 1 4", "piece 0 23 1 0"},
		"a copy of itself":       {"piece 0 23 1 4", "piece 0 2 1 4\ncopy 2 21 2"},
		"a copy of nothing":      {"piece 0 23 1 4", "piece 0 2 1 4\ncopy 20 3 10"},
		"a copy of what follows": {"piece 0 23 1 4", "piece 0 2 1 4\npiece 22 1 5 1\ncopy 3 1 22"},
		"half a checksum":        {"sha256 ", "sha256 00"},
		"upper case":             {"uefi-arm64\nversion 1.2.0", "uefi-arm64\nVersion 1.2.0"},
	} {
		text := strings.Replace(good, change[0], change[1], 1)
		if text == good {
			t.Errorf("%s: nothing was changed in\n%s", name, good)
			continue
		}
		signed, err := note.Sign(&note.Note{Text: text}, signer)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := Open(signed, verifier); err == nil {
			t.Errorf("%s: nothing was said", name)
		}
	}
	if _, err := (Manifest{}).Sign(signer); err == nil {
		t.Error("an empty manifest was signed")
	}
}

type failing struct{}

func (failing) ReadAt([]byte, int64) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestImageThatCannotBeMapped(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{0, -Block, Block + 1, math.MaxInt64 &^ (Block - 1)} {
		if _, err := Make(bytes.NewReader(nil), size); err == nil {
			t.Errorf("an image of %d bytes was mapped", size)
		}
	}
	if _, err := Make(failing{}, Block); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("an image that cannot be read: %v", err)
	}
}

func TestDevelopmentKey(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "bin", "image")
	first, err := DevelopmentSigner(dir)
	if err != nil {
		t.Fatal(err)
	}
	again, err := DevelopmentSigner(dir)
	if err != nil || again.KeyHash() != first.KeyHash() {
		t.Errorf("it was made again: %v", err)
	}
	verifier, err := Verifier(filepath.Join(dir, "development.vkey"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := filled(blocks("x"))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := m.Sign(first)
	if err != nil {
		t.Fatal(err)
	}
	if _, by, err := Open(signed, verifier); err != nil || len(by) != 1 || !strings.Contains(by[0], Development) {
		t.Errorf("signed by %v, %v", by, err)
	}
	if info, err := os.Stat(filepath.Join(dir, "development.key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := NewKey("another", dir, "development"); err == nil {
		t.Error("a key was replaced")
	}
	if err := NewKey("two words", dir, "other"); err == nil {
		t.Error("a key was made that cannot be read")
	}
	if now, err := Verifier(filepath.Join(dir, "development.vkey")); err != nil || now.KeyHash() != verifier.KeyHash() {
		t.Errorf("the key that checks was replaced: %v", err)
	}
}

func FuzzOpen(f *testing.F) {
	m, err := filled(blocks("xx" + strings.Repeat(".", 20) + "x"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(m.text())
	f.Add(format + "\nrange 0 9223372036854775807 " + strings.Repeat("0", 64) + "\n")
	signer, verifier := keys(f)
	f.Fuzz(func(t *testing.T, text string) {
		_, _, _ = Open([]byte(text), verifier)
		m, err := parse(text)
		if err != nil {
			return
		}
		// What is read is what can be signed, and says the same.
		signed, err := m.Sign(signer)
		if err != nil && len(text) < MaxText/2 {
			t.Fatalf("read, but not signed: %v", err)
		}
		if again, _, err := Open(signed, verifier); len(signed) > 0 && (err != nil || again.text() != text) {
			t.Fatalf("another manifest: %v", err)
		}
		end := int64(0)
		for _, r := range m.Ranges {
			if r.First < end || r.Count < 1 || r.Count > MaxRange || r.End()*Block > m.Image.Size {
				t.Fatalf("range %v", r.Extent)
			}
			end = r.End()
		}
	})
}
