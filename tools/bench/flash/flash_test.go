// Package flash measures cmd/flash as a whole process beside what else writes images: zstd with dd, and bmaptool. All write the same
// image, as make image packed it, into a new file and wait for the disk. None reads back what it wrote; flash and bmaptool check what they write.
package flash

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/image"
)

// rounds of each program, one after the other in turns: they share what the machine does besides.
const rounds = 7

func command(b *testing.B, name string, args ...string) {
	b.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		b.Fatalf("%s: %v\n%s", name, err, out)
	}
}

func BenchmarkFile(b *testing.B) {
	dir := b.TempDir()
	if _, err := exec.LookPath("zstd"); err != nil {
		b.Logf("not measured: zstd unpacks the image for dd: %v", err)
		return
	}
	base, key, out := "../../../bin/image/latchkey-"+image.UEFI+"-debug", "../../../bin/image/development.vkey", filepath.Join(dir, "out.img")
	if signed := os.Getenv("IMAGE_KEY"); signed != "" {
		key = strings.TrimSuffix(signed, ".key") + ".vkey"
	}
	if _, err := os.Stat(base + ".img.zst"); err != nil {
		b.Logf("not measured: make image BOARD=%s DEBUG=1 makes what is written: %v", image.UEFI, err)
		return
	}
	program := filepath.Join(dir, "flash")
	command(b, "go", "build", "-trimpath", "-buildvcs=false", "-o", program, "latchkey/cmd/flash")
	programs := map[string][]string{
		"flash": {program, "--key", key, "--no-verify", base + ".img.zst", "--to-file", out},
		"dd":    {"sh", "-c", fmt.Sprintf("zstd -dc %s | dd of=%s bs=4M conv=fsync status=none", base+".img.zst", out)},
	}
	if _, err := exec.LookPath("bmaptool"); err == nil { // Debian's package bmap-tools; without it there is no such figure
		bmap := filepath.Join(dir, "bmap")
		command(b, "bmaptool", "create", "-o", bmap, base+".img")
		programs["bmaptool"] = []string{"bmaptool", "-q", "copy", "--bmap", bmap, base + ".img.zst", out}
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
