// Package flash measures cmd/flash as a whole process beside what else writes images: zstd with dd, and bmaptool. All write the same
// compressed image into a new file and wait for the disk. None reads back what it wrote; flash and bmaptool check what they write.
package flash

import (
	"bytes"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"latchkey/image"
	"latchkey/image/flash/flashtest"
	"latchkey/image/manifest"
	"latchkey/image/packed"
)

const mib = 1 << 20

// rounds of each program, one after the other in turns: they share what the machine does besides.
const rounds = 7

func do(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func command(b *testing.B, name string, args ...string) {
	b.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		b.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// newImage makes one as large and as full as the UEFI machine's: two slots that are alike, half of their bytes compressible.
func newImage(b *testing.B, dir string) (base string) {
	base = filepath.Join(dir, "latchkey-uefi-arm64")
	f, err := os.Create(base + ".img")
	do(b, err)
	defer f.Close()
	parts, at := map[string][2]int{}, mib
	r := mathrand.New(mathrand.NewPCG(1, 2))
	slot := make([]byte, 56*mib)
	for i := range slot {
		if slot[i] = byte(r.Uint32()); i/manifest.Block%2 == 0 {
			slot[i] &= 0x0f
		}
	}
	for _, p := range image.Partitions(image.UEFI) {
		parts[p.Name] = [2]int{at, at + int(p.MiB)*mib}
		switch p.Name {
		case image.Boot: // a kernel and its RAM disk
			_, err = f.WriteAt(slot[:44*mib], int64(at+mib))
			do(b, err)
			_, err = f.WriteAt(slot[:44*mib], int64(at+46*mib))
		case image.RootA, image.RootB:
			_, err = f.WriteAt(slot[44*mib:], int64(at))
		}
		do(b, err)
		at += int(p.MiB) * mib
	}
	size := at + mib
	ends := make([]byte, size)
	flashtest.Table(ends, parts)
	_, err = f.WriteAt(ends[:mib], 0)
	do(b, err)
	_, err = f.WriteAt(ends[at:], int64(at))
	do(b, err)
	m, err := manifest.Make(f, int64(size))
	do(b, err)
	z, err := os.Create(base + ".img.zst")
	do(b, err)
	defer z.Close()
	do(b, packed.Pack(z, f, &m, func(piece []byte) ([]byte, error) {
		cmd := exec.Command("zstd", "-q", "-9", "--no-check", "-c")
		cmd.Stdin = bytes.NewReader(piece)
		return cmd.Output()
	}))
	m.Board, m.Version, m.Built = image.UEFI, "0", time.Unix(0, 0).UTC()
	signer, err := manifest.DevelopmentSigner(dir)
	do(b, err)
	text, err := m.Sign(signer)
	do(b, err)
	do(b, os.WriteFile(base+".manifest", text, 0o600))
	return base
}

func BenchmarkFile(b *testing.B) {
	dir := b.TempDir()
	if _, err := exec.LookPath("zstd"); err != nil {
		b.Logf("not measured: zstd makes the image, and unpacks it for dd: %v", err)
		return
	}
	base, out := newImage(b, dir), filepath.Join(dir, "out.img")
	program := filepath.Join(dir, "flash")
	command(b, "go", "build", "-trimpath", "-buildvcs=false", "-o", program, "latchkey/cmd/flash")
	programs := map[string][]string{
		"flash": {program, "--key", filepath.Join(dir, "development.vkey"), "--no-verify", base + ".img.zst", "--to-file", out},
		"dd":    {"sh", "-c", fmt.Sprintf("zstd -dc --long=27 %s | dd of=%s bs=4M conv=fsync status=none", base+".img.zst", out)},
	}
	if _, err := exec.LookPath("bmaptool"); err == nil { // Debian's package bmap-tools; without it there is no such figure
		command(b, "bmaptool", "create", "-o", base+".bmap", base+".img")
		programs["bmaptool"] = []string{"bmaptool", "-q", "copy", "--bmap", base + ".bmap", base + ".img.zst", out}
	}
	taken := map[string][]float64{}
	for b.Loop() {
		for range rounds {
			for name, args := range programs {
				if err := os.Remove(out); err != nil && !os.IsNotExist(err) {
					b.Fatal(err)
				}
				command(b, "sync", "-f", dir)
				begun := time.Now()
				command(b, args[0], args[1:]...)
				taken[name] = append(taken[name], time.Since(begun).Seconds())
			}
		}
	}
	for name, t := range taken {
		slices.Sort(t)
		b.ReportMetric(t[len(t)/2], name+"-median-s")
	}
	b.ReportMetric(0, "ns/op")
}
