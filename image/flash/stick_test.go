//go:build disks

package flash_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey/image"
	"latchkey/image/flash/flashtest"
	"latchkey/tools/debs"
	"latchkey/tools/qemu"
)

// patience with an emulated machine on processors that others use, too.
const patience = 5 * time.Minute

// bench is an emulated machine with flash, an image and a provisioning file on it.
type bench struct {
	*qemu.Machine
	t     *testing.T
	ctx   context.Context
	image flashtest.Image
	setup string
}

func newBench(t *testing.T) *bench {
	ctx, end := context.WithTimeout(t.Context(), patience)
	t.Cleanup(end)
	b := &bench{t: t, ctx: ctx, image: flashtest.New(t, image.UEFI), setup: flashtest.Setup(t, t.TempDir(), "ward-7", nil)}
	dir, err := os.MkdirTemp("", "flash-") // short: unix sockets live in it
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	tree := qemu.Tree{}
	for name, program := range map[string]string{"init": "latchkey/tools/qemu/guest", "bin/flash": "latchkey/cmd/flash"} {
		built := filepath.Join(dir, filepath.Base(name))
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-o", built, program)
		build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=arm64")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v\n%s", program, err, out)
		}
		must(t, tree.Add(name, built))
	}
	for name, from := range map[string]string{"x.img.zst": b.image.Path, "x.manifest": b.image.Manifest, "etc/latchkey/image-keys/x.vkey": b.image.Key, "ward-7.toml": b.setup} {
		must(t, tree.Add(name, from))
	}
	packages, err := debs.Arm64(ctx, os.Stderr, "linux-image-arm64=>")
	must(t, err)
	must(t, tree.AddModules(packages.Path(), "virtio_pci", "virtio_console", "xhci_pci", "usb_storage", "sd_mod"))
	c := qemu.Config{Dir: dir, Initrd: filepath.Join(dir, "initrd"), Screen: qemu.Panel, Append: "console=ttyAMA0 panic=-1", Reader: true}
	must(t, tree.WriteArchive(c.Initrd))
	c.Kernel, err = qemu.KernelImage(packages.Path())
	must(t, err)
	b.Machine, err = qemu.Start(ctx, c)
	must(t, err)
	t.Cleanup(b.Close)
	if err := b.Booted(ctx); err != nil {
		t.Fatalf("%v\n%s", err, b.LastLines(20))
	}
	return b
}

// await reads a file on the machine until it holds a text so many times.
func (b *bench) await(path, text string, times int) {
	b.t.Helper()
	for {
		got, err := b.Read(b.ctx, path)
		if err == nil && strings.Count(got, text) >= times {
			return
		}
		if b.ctx.Err() != nil {
			b.t.Fatalf("%s never held %q: %s, %v", path, text, got, err)
		}
	}
}

// said is what flash wrote to its errors, of all times that it ran.
func (b *bench) said() string {
	b.t.Helper()
	s, err := b.Read(b.ctx, "/tmp/stderr")
	must(b.t, err)
	return s
}

// A stick on a USB bus, with the kernel's own account of it; and one that is pulled out in the middle.
func TestStick(t *testing.T) {
	b := newBench(t)
	file := full(t, 20*mib)
	must(t, b.PlugStick(b.ctx, "stick", file))
	b.await("/sys/block/sda/size", "40960", 1)
	flash := func(args ...string) int {
		t.Helper()
		pid, err := b.Run(b.ctx, append([]string{"/bin/flash", "/x.img.zst", "sda", "--yes", "sda"}, args...)...)
		must(t, err)
		return pid
	}
	ended, err := b.Exited(b.ctx, flash("--provision", "/ward-7.toml"))
	must(t, err)
	got := contents(t, file)
	if sameAs(t, got, b.image); ended != "exit status 0" || !bytes.Equal(setupOf(t, got), contents(t, b.setup)) {
		t.Fatalf("%s\n%s", ended, b.said())
	}
	// Its new partitions are seen without its being put in again. It is slow now, so that there is a middle.
	must(t, b.Execute(b.ctx, "block_set_io_throttle", map[string]any{
		"id": "/machine/peripheral/stick/stick.0/legacy[0]", "bps": 0, "bps_rd": 0, "bps_wr": 1 * mib, "iops": 0, "iops_rd": 0, "iops_wr": 0,
	}, nil))
	pid := flash()
	b.await("/tmp/stderr", "writing 25 %", 2)
	must(t, b.UnplugStick(b.ctx, "stick"))
	ended, err = b.Exited(b.ctx, pid)
	must(t, err)
	said := b.said()
	if ended != "exit status 4" || !strings.Contains(said, "flash: sda: it was pulled out") {
		t.Errorf("pulled out: %s\n%s", ended, said)
	}
	for _, part := range []string{image.Boot, image.Setup, image.RootA, image.Data} {
		if !strings.Contains(said, "\n    "+part+" ") {
			t.Errorf("the partition %s was not seen:\n%s", part, said)
		}
	}
	if b := contents(t, file)[:4096]; !zero(b) {
		t.Error("pulled out while it was written, and it has a partition table")
	}
}
