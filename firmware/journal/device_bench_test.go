package journal

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// private is a file system of its own on a loop device, and tells how many bytes were written to that. It needs root; without,
// the benchmark has no result.
func private(b *testing.B) (dir string, written func() int64) {
	image := filepath.Join(b.TempDir(), "image")
	f, err := os.Create(image)
	do(b, err)
	do(b, f.Truncate(256<<20))
	do(b, f.Close())
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", image).CombinedOutput(); err != nil {
		b.Logf("mkfs.ext4: %v: %s", err, out)
		return "", nil
	}
	out, err := exec.Command("losetup", "--find", "--show", image).Output()
	if err != nil {
		b.Logf("losetup: %v", err)
		return "", nil
	}
	device := strings.TrimSpace(string(out))
	b.Cleanup(func() { exec.Command("losetup", "--detach", device).Run() })
	dir = filepath.Join(b.TempDir(), "mounted")
	do(b, os.Mkdir(dir, 0o700))
	if err := syscall.Mount(device, dir, "ext4", syscall.MS_NOATIME, ""); err != nil {
		b.Logf("mount: %v", err)
		return "", nil
	}
	b.Cleanup(func() { do(b, syscall.Unmount(dir, 0)) })
	return dir, func() int64 {
		syscall.Sync()
		// Documentation/block/stat.rst of the kernel: the seventh field is the sectors written, 512 bytes each.
		text, err := os.ReadFile(filepath.Join("/sys/block", filepath.Base(device), "stat"))
		do(b, err)
		sectors, err := strconv.ParseInt(strings.Fields(string(text))[6], 10, 64)
		do(b, err)
		return sectors * 512
	}
}

// BenchmarkDevice is what reaches the device for an unlock: in a journal that is delivered as it grows, and in one that has
// delivered and forgotten a backlog of 300,000 entries.
func BenchmarkDevice(b *testing.B) {
	for _, backlog := range []int{0, 300_000} {
		b.Run(fmt.Sprintf("after/%d", backlog), func(b *testing.B) {
			dir, written := private(b)
			if dir == "" {
				return
			}
			j := open(b, filepath.Join(dir, "journal"), Config{MaxEntries: 1 << 40})
			b.Cleanup(func() { j.Close() }) // before the file system goes
			fill(b, j, max(backlog, 100))
			drain(b, j)
			unlock := commitsOfUnlock(b)
			n := 0
			one := func() {
				n++
				for _, commit := range unlock {
					for i := range commit {
						commit[i].Case = caseID(n)
					}
					do(b, j.Append(commit...))
				}
				do(b, held(b, j, j.Head().Seq))
				do(b, j.Forget(j.Head().Seq))
			}
			for range 20 {
				one()
			}
			before, from := written(), n
			for b.Loop() {
				one()
			}
			b.ReportMetric(float64(written()-before)/float64(n-from), "device-bytes/op")
			b.ReportMetric(float64(length(b, filepath.Join(dir, "journal"))), "file-bytes")
		})
	}
}
