package packed

import (
	"bytes"
	"crypto/sha256"
	"io"
	mathrand "math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"latchkey/image/manifest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const block = manifest.Block

var encoder = sync.OnceValues(func() (*zstd.Encoder, error) { return zstd.NewWriter(nil) })

// compressor is this library's; mkimage takes zstd's.
func compressor(piece []byte) ([]byte, error) {
	z, err := encoder()
	if err != nil {
		return nil, err
	}
	return z.EncodeAll(piece, nil), nil
}

func packedOf(t rapid.TB, raw []byte) ([]byte, manifest.Manifest) {
	t.Helper()
	m, err := manifest.Make(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := Pack(&file, bytes.NewReader(raw), &m, compressor); err != nil {
		t.Fatal(err)
	}
	if s := sha256.Sum256(file.Bytes()); m.Compressed.SHA256 != s || m.Compressed.Size != int64(file.Len()) {
		t.Fatal("the manifest describes another file")
	}
	return file.Bytes(), m
}

// unpacked is the image by its pieces and copies alone.
func unpacked(t rapid.TB, file []byte, m manifest.Manifest) []byte {
	t.Helper()
	u, err := NewUnpacker(bytes.NewReader(file), m.Pieces)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	raw := make([]byte, m.Image.Size)
	for _, p := range m.Pieces {
		if err := u.Unpack(p, raw[p.First*block:p.End()*block]); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range m.Copies {
		copy(raw[c.First*block:c.End()*block], raw[c.From*block:])
	}
	return raw
}

// image of pieces of all kinds: text that repeats itself at few distances, what cannot be compressed, what is there already, zeros; each of so
// many blocks.
func image(seed uint64, sizes []int) (raw []byte) {
	r := mathrand.New(mathrand.NewPCG(seed, 1))
	raw = make([]byte, block)
	for i, size := range sizes {
		b := make([]byte, size*block)
		switch kind := r.IntN(5); kind {
		case 0: // zeros
		case 1:
			if from := r.IntN(len(raw)/block) * block; i > 0 {
				copy(b, raw[from:])
				break
			}
			fallthrough
		case 2:
			for j := range b {
				b[j] = byte(r.Uint32())
			}
		default:
			// At once from the distances that a frame begins with.
			copy(b, bytes.Repeat([]byte{byte(r.IntN(255) + 1)}, 40))
			for j := range 40 {
				b[40+j] = byte(j%[]int{4, 8}[i%2] + 1)
			}
			for at := 80; at < len(b); {
				switch r.IntN(300) {
				case 0:
					at += r.IntN(2 * block)
				case 1:
					b[at] = byte(r.Uint32())
					at++
				default:
					distance, n := []int{3, 5, 7, 8, 12, 37}[r.IntN(6)], min(3+r.IntN(20), len(b)-at)
					b[at-distance] |= 1
					for range n {
						b[at] = b[at-distance]
						at++
					}
					if at < len(b) {
						b[at] = byte(r.Uint32())
						at++
					}
				}
			}
		}
		raw = append(raw, b...)
	}
	return raw
}

// Plain tools read what the flasher does.
func TestPackedImage(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		raw := image(rapid.Uint64().Draw(t, "seed"), rapid.SliceOfN(rapid.IntRange(1, 60), 1, 12).Draw(t, "blocks"))
		file, m := packedOf(t, raw)
		z, err := zstd.NewReader(bytes.NewReader(file))
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		if got, err := io.ReadAll(z); err != nil || !bytes.Equal(got, raw) {
			t.Fatalf("plain zstd reads something else: %v", err)
		}
		if !bytes.Equal(unpacked(t, file, m), raw) {
			t.Fatal("the pieces are something else")
		}
		if err := Check(bytes.NewReader(file), m); err != nil {
			t.Fatal(err)
		}
		if n := len(m.Copies); n > 0 && m.Copies[n-1].From > 0 {
			m.Copies[n-1].From--
			if err := Check(bytes.NewReader(file), m); err == nil {
				t.Fatal("a copy of other blocks is not noticed")
			}
		}
	})
}

// repeats is a block that copies from one of the three distances that a frame begins with: 4 and 8 by their place in the list, as before it
// stand no literals (RFC 8878, 3.1.1.5).
func repeats(place, size int) []byte {
	return copied(nil, int64(place)-3, size) // its value is 3 more
}

// Zstd's own compressor takes distances for granted that a frame begins with; this library's does not, so here they are by hand.
func TestPiecesBeginAsFramesDo(t *testing.T) {
	t.Parallel()
	text := bytes.Repeat([]byte("abcd"), 2+2*(minCopy+1)/4)
	text = append(text, bytes.Repeat(text[len(text)-1:], minCopy)...)
	hand := slices.Concat(before, storedBlocks(text[:8]), repeats(1, minCopy+1), repeats(2, minCopy+1), repeats(2, minCopy), behind)
	z, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	if got, err := z.DecodeAll(hand, nil); err != nil || !bytes.Equal(got, text) {
		t.Fatalf("what was made by hand is no frame of it: %v", err)
	}
	// After each, the list is another, until the next piece sets it right.
	raw := make([]byte, 100*block)
	for _, at := range []int{20, 40, 80} {
		copy(raw[at*block:], text)
	}
	m, err := manifest.Make(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := Pack(&file, bytes.NewReader(raw), &m, func(piece []byte) ([]byte, error) {
		if bytes.Equal(piece, text) {
			return slices.Clone(hand), nil
		}
		return compressor(piece)
	}); err != nil {
		t.Fatal(err)
	}
	if got, err := z.DecodeAll(file.Bytes(), nil); err != nil || !bytes.Equal(got, raw) {
		t.Errorf("plain zstd reads something else: %v", err)
	}
	if !bytes.Equal(unpacked(t, file.Bytes(), m), raw) {
		t.Error("the pieces are something else")
	}
}

// What plain tools could not look back to is packed again.
func TestTooFarToCopy(t *testing.T) {
	t.Parallel()
	raw := make([]byte, 300*block)
	r := mathrand.New(mathrand.NewPCG(1, 2))
	for i := range 40 * block {
		raw[i] = byte(r.Uint32())
	}
	copy(raw[200*block:], raw[:40*block])
	copy(raw[260*block:], raw[:40*block])
	m, err := manifest.Make(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	parts, err := plan(bytes.NewReader(raw), m, 100*block)
	if err != nil || len(parts) != 3 || parts[1].copies || parts[1].First != 200 || !parts[2].copies || parts[2].from != 200 {
		t.Errorf("%v, %v", parts, err)
	}
}

// Whatever a piece says, unpacking it fails or gives bytes in the place that it has.
func FuzzUnpack(f *testing.F) {
	frame, err := compressor(bytes.Repeat([]byte("latchkey"), block/4))
	if err != nil {
		f.Fatal(err)
	}
	blocks, err := blocksOf(frame)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(blocks)
	f.Add(storedBlocks(bytes.Repeat([]byte{1}, 3*block)))
	f.Add(slices.Concat(storedBlocks([]byte{1}), copied(nil, 1, maxCopy)))
	f.Add(copied(nil, 8, minCopy))
	f.Fuzz(func(t *testing.T, piece []byte) {
		if len(piece) == 0 {
			return
		}
		pieces := []manifest.Piece{{Extent: manifest.Extent{Count: 2}, Size: int64(len(piece))}}
		u, err := NewUnpacker(bytes.NewReader(piece), pieces)
		if err != nil {
			t.Fatal(err)
		}
		defer u.Close()
		memory := bytes.Repeat([]byte{0xa5}, 3*block)
		_ = u.Unpack(pieces[0], memory[:2*block])
		if !bytes.Equal(memory[2*block:], bytes.Repeat([]byte{0xa5}, block)) {
			t.Error("what follows was overwritten")
		}
		_, _ = blocksOf(slices.Concat(before, piece))
	})
}
