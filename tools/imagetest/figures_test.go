package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/image"
	"latchkey/tools/debs"
	"latchkey/tools/qemu"
	"latchkey/tools/qemu/letters"
	"latchkey/tools/reader"
)

func TestMain(m *testing.M) {
	reader.Main()
	os.Exit(m.Run())
}

const (
	root   = "../.." // of the repository
	images = root + "/bin/image"
	board  = "latchkey-uefi-arm64"
)

// BenchmarkBuild is make image, whole, with Debian's packages in the cache and what the Go compiler keeps in its own.
func BenchmarkBuild(b *testing.B) {
	for b.Loop() {
		cmd := exec.CommandContext(b.Context(), "make", "image", "BOARD="+image.UEFI)
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("make image: %v\n%s", err, out)
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/image")
}

// boots are how many make a figure.
const boots = 3

// BenchmarkBoot is from QEMU's start to "Insert your smartcard" on the screen of a kiosk that was set up, through UEFI from the disk; the
// same machine, firmware, disk, boot loader and kernel with a first process that switches the machine off; and, where make peer-image has made it, the
// same machine and firmware with a plain Debian's disk until pcscd, started by systemd, has the reader (tools/peer/build argues what is plain).
// They take turns. The kiosk has its power cut each time and goes to the network, and its screen is read; Debian is shut down, has no network to wait for,
// and says on the serial line that it is ready: the differences are in Debian's favour.
func BenchmarkBoot(b *testing.B) {
	ctx := b.Context()
	l := benchLab(b, board+".img", false)
	setUp(b, l)
	l.powerOff()
	floor := filepath.Join(l.dir, "floor.img")
	do(b, qemu.CopyDisk(floor, l.disk))
	do(b, bareInit(ctx, l, floor))
	p := debian(b, l)
	var ours, theirs, peers []float64
	for b.Loop() {
		for range boots {
			do(b, l.powerOn(ctx))
			_, err := l.see(ctx, "", attract)
			do(b, err)
			ours = append(ours, time.Since(l.booting).Seconds())
			l.powerOff()
			theirs = append(theirs, off(b, l, floor))
			if p != "" {
				peers = append(peers, peer(b, l, p))
			}
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(ours), "ready-s")
	b.ReportMetric(median(theirs), "floor-s")
	if p != "" {
		b.ReportMetric(median(peers), "systemd-s")
	}
}

// BenchmarkMemory is what the machine was given less what is available when the kiosk is ready: the kernel and what it reserves count,
// too. The debug image's shell, which counts with it, is what says so.
func BenchmarkMemory(b *testing.B) {
	l := benchLab(b, board+"-debug.img", false)
	setUp(b, l)
	var used int
	for b.Loop() {
		var err error
		used, _, err = l.memory(b.Context())
		do(b, err)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(used), "used-MiB")
}

// BenchmarkSize is of a root with its hash tree, and of the whole image as it is handed out.
func BenchmarkSize(b *testing.B) {
	var size, whole float64
	for b.Loop() {
		l := &lab{disk: filepath.Join(images, board+".img")}
		r, err := l.read(image.RootA, image.RootMiB*mib)
		do(b, err)
		size = float64(len(strings.TrimRight(string(r), "\x00"))) / mib
		info, err := os.Stat(filepath.Join(images, board+".img.zst"))
		do(b, err)
		whole = float64(info.Size()) / mib
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(size, "root-MiB")
	b.ReportMetric(whole, "total-MiB")
}

func do(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func median(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}

// benchLab is a lab with a folder whose name is short.
func benchLab(b *testing.B, img string, tpm bool) *lab {
	b.Helper()
	packages, err := debs.Arm64(b.Context(), os.Stderr, firmwarePackage, fontPackage)
	do(b, err)
	font, err := letters.ReadFont(packages.Path(fontFile))
	do(b, err)
	dir, err := os.MkdirTemp("", "image-bench-")
	do(b, err)
	bin, err := filepath.Abs(filepath.Join(root, "bin"))
	do(b, err)
	l := &lab{name: "bench", dir: dir, bin: bin, firmware: packages.Path(firmwareFolder), letters: letters.NewReader(font), album: &album{dir: dir}, out: os.Stderr}
	b.Cleanup(func() {
		l.close()
		os.RemoveAll(dir)
	})
	do(b, l.furnish(b.Context(), filepath.Join(images, img), false, tpm, false))
	return l
}

func setUp(b *testing.B, l *lab) {
	b.Helper()
	ctx, stop := context.WithTimeout(b.Context(), patience)
	defer stop()
	do(b, errors.Join(l.fillSetup(), l.powerOn(ctx), l.confirm(ctx)))
	_, err := l.see(ctx, "", attract)
	do(b, err)
}

// debian is a copy of the peer's disk, which has started once: what a first start does besides (fsck of a new file system, the hardware database, the
// journal's folders) is not measured. It is "" where none was made by the recipe as it stands.
func debian(b *testing.B, l *lab) string {
	b.Helper()
	build := exec.CommandContext(b.Context(), "tools/peer/build", "path")
	build.Dir = root
	out, err := build.Output()
	do(b, err)
	made := strings.TrimSpace(string(out))
	if _, err := os.Stat(made); errors.Is(err, os.ErrNotExist) {
		return ""
	}
	disk := filepath.Join(l.dir, "peer.img")
	do(b, qemu.CopyDisk(disk, made))
	peer(b, l, disk)
	return disk
}

// startWith switches the machine on with another disk than its own, which it has again when stop is called.
func startWith(b *testing.B, l *lab, disk string) (ctx context.Context, stop func()) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), patience)
	own := l.disk
	l.disk = disk
	do(b, l.powerOn(ctx))
	return ctx, func() {
		l.disk = own
		cancel()
	}
}

// peer is from QEMU's start until the peer says that it is ready; then it is shut down as from its keyboard.
func peer(b *testing.B, l *lab, disk string) float64 {
	b.Helper()
	ctx, stop := startWith(b, l, disk)
	defer stop()
	_, err := l.AwaitConsole(ctx, func(log string) bool { return strings.Contains(log, "peer: ready") })
	do(b, err)
	took := time.Since(l.booting).Seconds()
	resets := l.Seen("RESET")
	for l.Seen("RESET") == resets { // the reader is there before the keyboard's driver
		do(b, l.Keys(ctx, "ctrl", "alt", "delete"))
		const again = 5 * time.Second
		once, stop := context.WithTimeout(ctx, again)
		err := l.Await(once, "RESET", resets+1)
		stop()
		if ctx.Err() != nil {
			do(b, err)
		}
	}
	l.powerOff()
	return took
}

// off is from QEMU's start until the machine switches itself off.
func off(b *testing.B, l *lab, disk string) float64 {
	b.Helper()
	ctx, stop := startWith(b, l, disk)
	defer stop()
	do(b, l.Await(ctx, "SHUTDOWN", 1))
	took := time.Since(l.booting).Seconds()
	l.powerOff()
	return took
}

const offSource = `package main

import "syscall"

func main() { syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF) }
`

// bareInit puts in place of both slots' initial RAM disks one whose only program switches the machine off.
func bareInit(ctx context.Context, l *lab, disk string) error {
	source, program := filepath.Join(l.dir, "off.go"), filepath.Join(l.dir, "off")
	if err := os.WriteFile(source, []byte(offSource), 0o600); err != nil {
		return err
	}
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", program, source)
	build.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the floor's program: %w: %s", err, out)
	}
	tree, initrd := qemu.Tree{}, filepath.Join(l.dir, "off.initrd")
	if err := errors.Join(tree.Add("init", program), tree.WriteArchive(initrd)); err != nil {
		return err
	}
	_, at, err := l.partition(image.Boot)
	if err != nil {
		return err
	}
	for _, slot := range []string{"a", "b"} {
		cmd := exec.CommandContext(ctx, "mcopy", "-o", "-i", fmt.Sprintf("%s@@%d", disk, at), initrd, "::/latchkey/"+slot+"/"+image.Initrd)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("put it onto the floor's disk: %w: %s", err, out)
		}
	}
	return nil
}
