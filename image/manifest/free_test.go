package manifest_test

import (
	"bytes"
	"slices"
	"testing"

	"latchkey/image"
	"latchkey/image/flash/flashtest"
	"latchkey/image/manifest"
)

// What a kiosk never reads before it has written it is free, and nothing else: a FAT, what must be zero in data, the setup partition.
func TestFree(t *testing.T) {
	t.Parallel()
	im := flashtest.New(t, image.UEFI)
	const block, cluster = manifest.Block, 512
	want := []manifest.Extent{}
	for _, e := range [][2]int64{
		{flashtest.BootAt + (50+600)*cluster, flashtest.SetupAt},
		{flashtest.RootAt + 1<<20 + block, flashtest.DataAt},
		{flashtest.DataAt + manifest.Head, flashtest.Size - 1<<20},
	} {
		first := (e[0] + block - 1) / block
		want = append(want, manifest.Extent{First: first, Count: e[1]/block - first})
	}
	less := func(a, b manifest.Extent) int { return int(a.First - b.First) }
	if got := slices.SortedFunc(slices.Values(im.Free), less); !slices.Equal(got, want) {
		t.Errorf("free %v, want %v", got, want)
	}
	// What is taken for a file system must be one, or blocks of it would be left to chance.
	for name, alter := range map[string]func([]byte){
		"no file system":    func(b []byte) { clear(b[:512]) },
		"no cluster":        func(b []byte) { b[13] = 0 },
		"no FAT":            func(b []byte) { b[16] = 0 },
		"an empty FAT":      func(b []byte) { b[22] = 0 },
		"a short FAT":       func(b []byte) { b[22] = 2 },
		"a long FAT":        func(b []byte) { b[23] = 0xff },
		"FAT12":             func(b []byte) { b[13] = 2 },
		"beyond the end":    func(b []byte) { b[20] = 0xff },
		"no bytes a sector": func(b []byte) { b[12] = 0 },
	} {
		raw := bytes.Clone(im.Raw)
		alter(raw[flashtest.BootAt:])
		if free, err := manifest.Free(bytes.NewReader(raw), flashtest.Size); err == nil {
			t.Errorf("%s: %v", name, free)
		}
	}
	if _, err := manifest.Free(bytes.NewReader(make([]byte, 1<<20)), 1<<20); err == nil {
		t.Error("no partition table, and nothing was said")
	}
}
